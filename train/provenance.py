"""What a stage was made from and on: code, data, versions, machine."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["ROOT", "code", "data", "git", "machine", "sources", "versions"]

ROOT = Path(__file__).resolve().parent.parent
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
LISTS = {".txt", ".csv"}


def sources(module: str) -> list[Path]:
    """The files of this project that a module imports, directly or not, and its own; sorted.

    A package's `__init__` counts where something is imported from it, not where a module below it is.
    """
    ours = {"lc", "train", module.partition(".")[0]}
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] not in ours:
            continue
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # a class or a function of a module
            continue
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue
        found[name] = Path(spec.origin)
        waiting += _imported(
            ast.parse(found[name].read_text()), spec.name if spec.submodule_search_locations else spec.parent or ""
        )
    return sorted(found.values())


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of modules, and of what may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            # What is taken from a module may be a module as well.
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


class _WithoutTexts(ast.NodeTransformer):
    """Drops docstrings, which change nothing that is computed; comments are no part of a tree."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


@functools.cache
def code(module: str) -> str:
    """Hash of what a module and all that it imports from this project compute; texts and layout do not count."""
    digest = hashlib.sha256()
    for path in sources(module):
        digest.update(ast.unparse(_WithoutTexts().visit(ast.parse(path.read_text()))).encode())
    return digest.hexdigest()


def data(folder: Path) -> dict[str, Any]:
    """Count and hash of a folder's files, or of a file: names and sizes, and of lists what they say.

    Returns:
        files, photos: how many. sha256: of the list of them.
    """
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    digest, files, photos = hashlib.sha256(), 0, 0
    for path in paths:
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):  # a file manager's own
            continue
        files += 1
        photos += path.suffix.lower() in PICTURES
        digest.update(f"{name.as_posix()} {path.stat().st_size}\n".encode())
        if path.suffix in LISTS:
            digest.update(path.read_bytes())
    return {"files": files, "photos": photos, "sha256": digest.hexdigest()}


@functools.cache
def git() -> dict[str, Any]:
    """The commit that runs, and whether files differ from it; None where this is no checkout."""

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    changed = ask("status", "--porcelain")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def versions() -> dict[str, str]:
    """Of what the figures may depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def machine() -> dict[str, Any]:
    """Processor, its cores, threads asked for, GPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "omp_threads": os.environ.get("OMP_NUM_THREADS"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": sys.platform,
    }

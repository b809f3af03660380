"""Programs of train/ run to the end, in a process of their own or in this one, or killed on the way."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

ROOT = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def finish(arguments: list[str]) -> str:
    """Run to the end, and return what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def finish_here(arguments: list[str]) -> str:
    """As `finish`, in this process, which spares importing torch anew: for programs without accelerate."""
    program, printed, threads = importlib.import_module(arguments[0]), io.StringIO(), torch.get_num_threads()
    try:
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(printed), torch.random.fork_rng():
            program.main()
    finally:
        torch.set_num_threads(threads)
    return printed.getvalue()


def logged(folder: Path) -> list[dict[str, float]]:
    """A run's log, without what depends on the time that it took."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(line["seconds"] > 0 for line in lines)
    return [{k: v for k, v in line.items() if k != "seconds" and not k.endswith("_per_second")} for line in lines]


def reached(folder: Path) -> dict[str, Any]:
    """A run's checkpoint, likewise."""
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert state.pop("seconds") > 0
    return state


def same(a: Any, b: Any) -> bool:
    """Bit for bit, through nested dictionaries and lists."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def kill_in_the_middle(arguments: list[str], out: Path) -> None:
    """Start a run and SIGKILL it soon after its first checkpoint."""
    run = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(run, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (out / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        process.kill()
    assert process.wait() == -9, "the run was over before it could be killed"

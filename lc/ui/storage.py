"""The app's own folder: what visitors upload and what is made for them, for a while.

Nobody else may look into it; whatever lies in it goes by age, whatever became of the visitor; and what a server that
was killed has left is swept when the next one starts.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lc.errors import PhotoError
from lc.ui.texts import text

if sys.platform != "win32":
    import fcntl

__all__ = ["Folder", "every", "sweep_dead"]

_PREFIX, _STARTING = "latent-constraints-page-", "latent-constraints-starting-"
_LOCK = "server.lock"  # held as long as the server lives, so that no other takes its folder for a dead one's


class Folder:
    """A folder with mode 0700 for as long as the server runs; use it as a context manager, or `close` it.

    Args:
        age: seconds after which `sweep` deletes a file.
        parent: where to make it; None: where temporary files go here.
    """

    def __init__(self, age: float, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        sweep_dead(parent)
        # Locked before it has the name by which others look for it.
        starting = tempfile.mkdtemp(prefix=_STARTING, dir=parent)
        self._lock_file = _locked(Path(starting) / _LOCK)
        self.path = Path(starting).with_name(_PREFIX + Path(starting).name.removeprefix(_STARTING))
        os.rename(starting, self.path)
        self.age = age
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()  # between who writes and who sweeps
        self._uploads: set[str] = set()
        self._results: set[str] = set()
        self._kept: frozenset[str] = frozenset()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock_file is not None:
            self._lock_file.close()

    # --- what comes in ---------------------------------------------------------------------------------------------

    def new_upload(self) -> Path:
        """An empty folder for one upload. Its name cannot be guessed: who can name it has been told it."""
        folder = self.path / f"upload-{secrets.token_hex(16)}"
        folder.mkdir(mode=0o700)
        return folder

    def add_upload(self, path: str) -> None:
        """Make a file that has arrived one that a request may name."""
        with self._lock:
            self._uploads.add(path)

    def is_upload(self, path: object) -> bool:
        """Whether this is, to the letter, the path of an upload that is still here."""
        return isinstance(path, str) and path in self._uploads

    def open_upload(self, upload: object) -> BinaryIO:
        """The only way in which a file that a request names is opened.

        Args:
            upload: Gradio's description of a file; of it, only the path counts.

        Raises:
            PhotoError: it names no upload that is here.
        """
        path = upload.get("path") if isinstance(upload, dict) else None
        if not self.is_upload(path):
            raise PhotoError(text("photo.gone"))
        extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            file = open(str(path), "rb", opener=lambda name, flags: os.open(name, flags | extra))  # noqa: SIM115
        except OSError as error:
            raise PhotoError(text("photo.gone")) from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise PhotoError(text("photo.gone"))
        return file

    # --- what goes out ---------------------------------------------------------------------------------------------

    def write(self, data: bytes, name: str) -> str:
        """Put a result where the browser can fetch it; the same data and name lead to the same file.

        Args:
            data: the file's bytes.
            name: what a visitor who saves it sees.

        Returns:
            The path, which nobody can guess who does not know the data and this server's secret.
        """
        folder = self.path / hashlib.blake2b(data, key=self._secret, digest_size=20).hexdigest()
        path = folder / name
        with self._lock:
            if path.is_file():
                os.utime(path)  # it counts as new; and it may be on its way to a browser, so it is not written again
            else:
                folder.mkdir(mode=0o700, exist_ok=True)
                with tempfile.NamedTemporaryFile(dir=folder, delete=False) as partial:
                    partial.write(data)
                os.replace(partial.name, path)
            self._results.add(str(path))
        return str(path)

    def refresh(self, path: str) -> bool:
        """Count a result as new; False where it is not here any more."""
        with self._lock:
            if path not in self._results or not os.path.exists(path):
                return False
            os.utime(path)
            return True

    def serves(self, path: str) -> bool:
        """Whether a browser may fetch this file: an upload or a result that is still here, to the letter."""
        return path in self._uploads or path in self._results

    def keep_all(self) -> None:
        """What is here now stays as long as the server runs: the first paint needs it."""
        with self._lock:
            self._kept = frozenset(str(path) for path, _ in _files(self.path))

    # --- what goes away --------------------------------------------------------------------------------------------

    def sweep(self, now: float | None = None) -> None:
        """Delete every file and every empty folder that has come of age, whoever made it.

        Args:
            now: seconds since 1970; None: the clock's.
        """
        limit = (time.time() if now is None else now) - self.age
        with self._lock:
            for path, details in _files(self.path):
                if str(path) in self._kept or path == self.path / _LOCK or details.st_ctime > limit:
                    continue
                path.unlink(missing_ok=True)
            for folder in [entry.path for entry in os.scandir(self.path) if entry.is_dir(follow_symlinks=False)]:
                _remove_empty(folder, limit)
            for known in (self._uploads, self._results):
                known.difference_update([path for path in known if not os.path.exists(path)])


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            try:
                yield path, path.lstat()
            except OSError:
                continue  # gone meanwhile


def _remove_empty(folder: str, limit: float) -> None:
    """Delete a folder and the folders in it, those of age that hold nothing."""
    for place, _, _ in os.walk(folder, topdown=False):
        try:
            if os.lstat(place).st_ctime <= limit:
                os.rmdir(place)
        except OSError:
            continue  # not empty, or gone


def _locked(path: Path) -> BinaryIO | None:
    """Open and lock a file; None where another process holds it, or where the system knows no such locks."""
    if sys.platform == "win32":
        return None
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def sweep_dead(parent: Path) -> None:
    """Delete the folders of this user's servers that were killed; those of living ones are locked."""
    if sys.platform == "win32":
        return
    for entry in list(os.scandir(parent)):
        try:
            details = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(details.st_mode) or details.st_uid != os.getuid():
                continue
            if entry.name.startswith(_STARTING) and details.st_ctime < time.time() - 3600:
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name.startswith(_PREFIX) and (lock := _locked(Path(entry.path) / _LOCK)) is not None:
                with lock:
                    shutil.rmtree(entry.path, ignore_errors=True)
        except OSError:
            continue  # deleted by another server that starts at the same time


def every(seconds: float, *tasks: Callable[[], object]) -> Callable[[], None]:
    """Run tasks again and again in a thread of their own, until the function that comes back is called."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(seconds):
            for task in tasks:
                task()

    threading.Thread(target=run, name="sweeper", daemon=True).start()
    return stopped.set

"""The one way to write a file: whole, or not at all.

What is written goes to a draft in the same folder, is flushed to the disk, and takes the target's name in one step. A
full disk, a kill or a pulled plug at any moment leaves the old file or the new one. On Linux a draft has no name until
it is complete, so that not even a kill leaves one behind; elsewhere it is a hidden file.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     write_text(Path(folder) / "note.txt", "hello")
...     (Path(folder) / "note.txt").read_text()
'hello'
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["append_text", "whole", "write_bytes", "write_json", "write_text"]


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the place of `path` when the block ends; an exception leaves `path` alone.

    The old file's permissions are kept, and its owner where the system allows it; a new file gets those of the umask.
    A symbolic link stays, and the file that it leads to is replaced.

    Args:
        path: its folder must exist. What stands there must be a regular file that may be written, or nothing.

    Raises:
        OSError: it cannot be written; `filename` is `path`, whatever library met the error.
    """
    with _about(path):
        draft = _Draft(Path(os.path.realpath(path)))
    try:
        yield draft
        with _about(path):
            draft.publish()
    except BaseException as error:
        if draft.disk.failure is None or getattr(error, "filename", None):
            raise
        with _about(path):
            raise draft.disk.failure from error
    finally:
        draft.discard()


def write_bytes(path: str | Path, data: ReadableBuffer) -> None:
    """Write a file whole; see `whole`."""
    with whole(path) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8 whole; see `whole`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, indent: int = 2) -> None:
    """Write JSON whole, what JSON does not know as its `str`; see `whole`."""
    write_text(path, json.dumps(value, indent=indent, default=str) + "\n")


def append_text(path: str | Path, text: str) -> None:
    """Append a text in UTF-8, whole or not at all, to a file that may be new: a log's line without copying the log.

    It is one call to the system, which a kill does not divide.

    Raises:
        OSError: it cannot be written; `filename` is `path`.
    """
    data = text.encode()
    with _about(path), open(path, "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            raise


class _Raw(io.FileIO):
    """Remembers what went wrong, which the libraries that write through it turn into errors of their own."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


class _Draft(io.BufferedWriter):
    """A new file beside `target`, without a name where the system can do that."""

    def __init__(self, target: Path) -> None:
        old = _old(target)
        mode = 0o666 if old is None else stat.S_IMODE(old.st_mode)
        self.target, self.hidden = target, target.with_name(f".lc-{secrets.token_hex(8)}.part")
        descriptor = self._nameless(mode)
        self.named = descriptor is None
        if descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(self.hidden, flags, mode)
        self.disk = _Raw(descriptor, "wb")
        super().__init__(self.disk)
        if old is not None and hasattr(os, "fchown"):
            with contextlib.suppress(OSError):  # only root may give files away
                os.fchown(descriptor, old.st_uid, old.st_gid)
            with contextlib.suppress(OSError):  # file systems without permissions
                os.fchmod(descriptor, mode)

    def fileno(self) -> int:
        """Denied: Pillow would write past this object, and take a disk that fills up on the last bytes for success."""
        raise io.UnsupportedOperation("fileno")

    def publish(self) -> None:
        """Give a complete draft the target's name."""
        self.flush()
        os.fsync(self.disk.fileno())
        if self.named:
            self.close()  # Windows renames no open file
        else:
            folder = os.open(self.target.parent, os.O_RDONLY)
            try:  # `dst_dir_fd` is what makes Python follow the link to the draft, and not link to the link
                os.link(
                    f"/proc/self/fd/{self.disk.fileno()}", self.hidden.name, dst_dir_fd=folder, follow_symlinks=True
                )
            finally:
                os.close(folder)
            self.named = True
        os.replace(self.hidden, self.target)
        self.named = False
        _sync(self.target.parent)

    def discard(self) -> None:
        """Leave nothing behind; does nothing after `publish`."""
        with contextlib.suppress(OSError):
            self.disk.close()
        with contextlib.suppress(OSError, ValueError):  # what was not yet written stays so
            self.close()
        if self.named:
            with contextlib.suppress(OSError):
                os.unlink(self.hidden)

    def _nameless(self, mode: int) -> int | None:
        """A descriptor, or None where there are no files without a name or no way to name them later."""
        if not hasattr(os, "O_TMPFILE"):
            return None
        try:
            os.close(os.open(self.target.parent, os.O_RDONLY))
            descriptor = os.open(self.target.parent, os.O_TMPFILE | os.O_RDWR, mode)
        except OSError:  # where it is the folder's fault, a draft with a name meets it too
            return None
        if os.path.exists(f"/proc/self/fd/{descriptor}"):
            return descriptor
        os.close(descriptor)
        return None


@contextlib.contextmanager
def _about(path: str | Path) -> Iterator[None]:
    """Have an error name the file that somebody asked for, and not its draft."""
    try:
        yield
    except OSError as error:
        number = errno.EIO if error.errno is None else error.errno
        raise OSError(number, error.strerror or str(error), str(path)) from error


def _old(target: Path) -> os.stat_result | None:
    """What stands at `target`; an OSError where it is nothing to be replaced by a file."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if not os.access(target, os.W_OK):  # a rename would not ask
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return old


def _sync(folder: Path) -> None:
    """Have a rename survive a power cut, where folders can be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Memory: what was made last is kept for a while, and what has been freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["LARGE", "Kept", "trim"]

_Made = TypeVar("_Made")

LARGE = 8_000_000  # pixels of a photo after which `trim` is worth its milliseconds


def trim() -> None:
    """Give freed memory back; does nothing where the C library is not glibc.

    A photo's blocks are freed while small things that came later still live above them: glibc then keeps the blocks
    for itself, and a server that has once opened large photos stays as large. `malloc_trim` gives back the holes too.
    """
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError):  # musl
            return


class Kept(Generic[_Made]):
    """What was made last of objects that are never changed: all edits of a face begin with the same things. Safe to
    share by threads.

        >>> kept, photo = Kept[str](most=2), threading.Event()
        >>> kept.get((photo,), "large", lambda: "made"), kept.get((photo,), "large", lambda: "made again")
        ('made', 'made')

    Args:
        most: how many things are kept.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._known: OrderedDict[tuple[Hashable, ...], tuple[list[weakref.ref[object]], _Made]] = OrderedDict()

    def get(self, of: tuple[object, ...], form: Hashable, make: Callable[[], _Made]) -> _Made:
        """A thing made of some objects in a form; made now where it is new, or has been made too long ago."""
        key = (*map(id, of), form)
        with self._lock:
            known = self._known.pop(key, None)
        if known is None or any(ref() is not one for ref, one in zip(known[0], of, strict=True)):
            known = [weakref.ref(one) for one in of], make()
        with self._lock:
            self._known[key] = known
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return known[1]

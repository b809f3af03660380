"""Photos under a face, as `lc.faces.blend` works on them, kept from one edit to the next."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Canvases"]

_Bytes: TypeAlias = npt.NDArray[np.uint8]


class Canvases:
    """The canvases used last: all edits of a face in a photo begin with the same one. Safe to share by threads.

    Args:
        most: how many are kept, each of at most 2 MB.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._known: OrderedDict[tuple[int, ...], tuple[list[weakref.ref[object]], _Bytes]] = OrderedDict()

    def get(self, of: tuple[object, ...], form: tuple[int, ...], make: Callable[[], _Bytes]) -> _Bytes:
        """A canvas of a photo and a face in it, neither of which is ever changed, in a form; made where it is new."""
        key = (*map(id, of), *form)
        with self._lock:
            refs, canvas = self._known.pop(key, ([], None))
        if canvas is None or [ref() for ref in refs] != list(of):
            refs, canvas = [weakref.ref(one) for one in of], make()
        with self._lock:
            self._known[key] = refs, canvas
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return canvas

"""What is made when somebody asks for it, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Later", "one_of"]

_Made = TypeVar("_Made")


class Later(Generic[_Made]):
    """Calls `make` for the first who asks, and lets go of it then. Safe to share by threads.

        >>> later = Later(lambda: print("made") or 7)
        >>> later(), later()
        made
        (7, 7)

    Args:
        make: what it takes to make it.
    """

    def __init__(self, make: Callable[[], _Made]) -> None:
        self._make: Callable[[], _Made] | None = make
        self._lock = threading.Lock()

    def __call__(self) -> _Made:
        with self._lock:
            if self._make is not None:
                self._made = self._make()
                self._make = None
        return self._made


def one_of(later: Later[Sequence[_Made]], index: int) -> Callable[[], _Made]:
    """Gives one of several things that are made together.

    >>> one_of(Later(lambda: ["first", "second"]), 1)()
    'second'
    """
    return lambda: later()[index]

"""Work that is the same for each of many things, on all cores: Pillow, OpenCV and NumPy let go of Python meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["each"]

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def each(make: Callable[[_Item], _Made], items: Sequence[_Item]) -> list[_Made]:
    """What is made of each item, in their order; raises what making one raises.

    >>> each(abs, [-1, 2])
    [1, 2]
    """
    threads = min(len(items), os.cpu_count() or 1)
    if threads < 2:
        return [make(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(make, items))

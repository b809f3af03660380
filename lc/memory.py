"""Memory that has been freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["LARGE", "trim"]

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

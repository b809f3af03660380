"""What people give for numbers, checked: on the command line as text, through the API and the page as anything.

>>> whole_number("7"), whole_number(7.0), number("0.5", 0, 1)
(7, 7, 0.5)
"""

from __future__ import annotations

import math
from numbers import Real

from lc.errors import LatentConstraintsError, Sentence

__all__ = ["MAX_COUNT", "MAX_FACE", "MAX_SEED", "MAX_STYLE", "number", "whole_number"]

MAX_SEED = 2**63 - 1
MAX_COUNT = 100_000  # faces generated in one go: two gigabytes of them
MAX_FACE = 1_000  # more faces than a photo of 120 megapixels has in a place to be edited
MAX_STYLE = 1_000  # more forms than there are of anything: they go round


def whole_number(value: object, low: int = 0, high: int = MAX_SEED) -> int:
    """A whole number in [low, high], given as such, as a float without fraction, or as a text of digits.

    Raises:
        LatentConstraintsError: it is none: empty, NaN, infinite, a fraction, too small or too large.

    >>> whole_number("1e3")
    Traceback (most recent call last):
    lc.errors.LatentConstraintsError: '1e3' is not a whole number from 0 to 9223372036854775807.
    """
    try:
        if isinstance(value, str):
            found = int(value) if value.strip().isdecimal() and value.isascii() else None
        elif isinstance(value, Real) and not isinstance(value, bool) and value == math.floor(value):
            found = int(math.floor(value))  # noqa: RUF046, mypy does not know
        else:
            found = None
    except (ValueError, OverflowError):  # thousands of digits; NaN and inf have no floor
        found = None
    if found is None or not low <= found <= high:
        raise LatentConstraintsError(
            "{value} is not a whole number from {low} to {high}.", value=_shown(value), low=low, high=high
        )
    return found


def number(value: object, low: float, high: float) -> float:
    """A number in [low, high], given as such, as True or False, or as a text.

    Raises:
        LatentConstraintsError: it is none: empty, NaN, too small or too large.

    >>> number("nan", 0, 1)
    Traceback (most recent call last):
    lc.errors.LatentConstraintsError: 'nan' is not a number from 0 to 1.
    """
    try:
        found = float(value) if isinstance(value, (str, Real)) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not low <= found <= high:  # nor is NaN
        raise LatentConstraintsError(
            "{value} is not a number from {low:g} to {high:g}.", value=_shown(value), low=low, high=high
        )
    return found


def _shown(value: object) -> str:
    """A value for a message, cut where somebody sent a book."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return Sentence("What was given")
    return text if len(text) <= 60 else f"{text[:60]}..."

"""The errors a user can meet: each message is one sentence that says what to do."""

from __future__ import annotations

__all__ = [
    "LatentConstraintsError",
    "NoFaceError",
    "OtherGeneratorError",
    "PhotoError",
    "UnknownAttributeError",
    "WeightsError",
]


class LatentConstraintsError(ValueError):
    """Something the user can put right; the message, one sentence, says how."""


class PhotoError(LatentConstraintsError):
    """The photo cannot be used as it is: unreadable, too large, too small, wrongly framed."""


class NoFaceError(PhotoError):
    """The photo can be read, but no face was found in it."""


class WeightsError(LatentConstraintsError):
    """The weights cannot be used: missing, damaged, or made for another model."""


class OtherGeneratorError(WeightsError):
    """What was taught was taught to another generator."""


class UnknownAttributeError(LatentConstraintsError):
    """An attribute was named that the loaded model does not know."""

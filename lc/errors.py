"""The errors a user can meet: each message is one sentence that says what to do.

>>> error = PhotoError("{name} is empty; export or download it again.", name="me.jpg")
>>> str(error)
'me.jpg is empty; export or download it again.'
>>> error.sentence.template
'{name} is empty; export or download it again.'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

__all__ = [
    "LatentConstraintsError",
    "NoFaceError",
    "OtherGeneratorError",
    "PhotoError",
    "Sentence",
    "UnknownAttributeError",
    "WeightsError",
]


class Sentence(str):
    """English that remembers how it was made, so that a page in another language can say it anew.

    Attributes:
        template: the English with fields in braces, as `str.format` takes it; without values, it is the sentence.
        values: for the fields. One that is itself words, and no name or number, is a Sentence too.
    """

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, /, **values: object) -> Self:
        # Without values nothing is filled in: a whole sentence may hold braces, as JSON does.
        made = super().__new__(cls, template.format(**values) if values else template)
        made.template, made.values = template, values
        return made


class LatentConstraintsError(ValueError):
    """Something the user can put right; the message, one sentence, says how.

    Args:
        sentence: in English, with fields in braces for the values, if there are any; see `Sentence`.
        values: for the fields.

    Attributes:
        sentence: the message, which can be said in another language.
    """

    def __init__(self, sentence: str = "", /, **values: object) -> None:
        made = sentence if isinstance(sentence, Sentence) else Sentence(sentence, **values)
        super().__init__(made)
        self.sentence = made


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

"""What a request says, checked: whatever JSON may hold comes in, what the editor takes goes out.

Gradio's own checks are switched off, for they end in a traceback. Each function names the field in its error, one
sentence for the visitor.

>>> share(0.5, "Keep the person"), seed("7")
(0.5, 7)
>>> share(7, "Keep the person")
Traceback (most recent call last):
lc.errors.LatentConstraintsError: Keep the person: 7 is not a number from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lc.attributes import AttributeSet, Strength
from lc.errors import LatentConstraintsError
from lc.numbers import MAX_FACE, MAX_SEED, MAX_STYLE, number, whole_number
from lc.ui.texts import text

__all__ = [
    "Kept",
    "boxes",
    "changes",
    "choice",
    "count",
    "face",
    "face_name",
    "face_names",
    "kept",
    "moment",
    "seed",
    "share",
    "style",
    "truth",
    "whole",
]

_T = TypeVar("_T", bound=str)
_OF = "{field}: {wrong}"
_FACE = "Face "  # begins what the page sends for a face, whatever it calls it


@dataclass(frozen=True)
class Kept:
    """A face's settings as a browser has kept them; see `Session.kept`."""

    number: int
    boxes: tuple[str, ...]
    identity: float
    strength: float
    style: int = 0
    more: object = None  # not checked: what was taught may be gone


def share(value: object, field: str, low: float = 0.0, high: float = 1.0) -> float:
    """A number from `low` to `high`."""
    if isinstance(value, bool):
        raise LatentConstraintsError(text("wrong.share", field=field, value=value, low=low, high=high))
    try:
        return number(value, low, high)
    except LatentConstraintsError as error:
        raise LatentConstraintsError(_OF, field=field, wrong=error.sentence) from error


def count(value: object, most: int) -> int:
    """How many faces to make."""
    return whole(value, text("random.count"), 1, most)


def seed(value: object) -> int:
    """A seed; as text too, because a browser's numbers are exact to 2^53 only."""
    return whole(value, text("random.seed"), 0, MAX_SEED)


def style(value: object, field: str) -> int:
    """Which of several forms, from 0."""
    return whole(value, field, 0, MAX_STYLE)


def face(value: object) -> int | None:
    """Which face, from 1; 0: let the editor choose, which gives None."""
    return whole(value, text("face.field"), 0, MAX_FACE) - 1 if value != 0 or isinstance(value, bool) else None


def face_names(many: int) -> list[tuple[str, str]]:
    """Faces to choose from: what the page calls each, and the name that it sends."""
    return [(text("face.name", number=number), f"{_FACE}{number}") for number in range(1, many + 1)]


def face_name(value: object) -> int:
    """The place, from 0, in a name such as "Face 2"."""
    if not isinstance(value, str) or not value.startswith(_FACE):
        raise LatentConstraintsError(text("face.choose"))
    return whole(value.removeprefix(_FACE), text("face.field"), 1, MAX_FACE) - 1


def truth(value: object, field: str) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise LatentConstraintsError(text("wrong.truth", field=field))
    return value


def choice(value: object, field: str, options: Sequence[_T]) -> _T:
    """One of several words."""
    for option in options:
        if value == option:
            return option
    raise LatentConstraintsError(text("wrong.choice", field=field, options=", ".join(options)))


def boxes(value: object, attributes: AttributeSet) -> list[str]:
    """The attributes that are ticked, the latest last."""
    names = attributes.names
    if not isinstance(value, list) or not all(isinstance(name, str) and name in names for name in value):
        raise LatentConstraintsError(text("wrong.boxes", names=", ".join(names)))
    return list(dict.fromkeys(value))


def kept(value: object, attributes: AttributeSet) -> list[Kept]:
    """The faces that a browser has kept, the one that is edited last."""
    if not isinstance(value, list) or not all(isinstance(face, dict) for face in value):
        raise LatentConstraintsError(text("wrong.kept"))
    return [
        Kept(
            whole(face.get("face"), text("face.field"), 0, MAX_FACE),
            tuple(boxes(face.get("boxes"), attributes)),
            share(face.get("identity"), text("edit.identity")),
            share(face.get("strength"), text("edit.strength"), 0.5),
            style(face.get("style", 0), text("edit.another")),
            face.get("more"),
        )
        for face in value[:20]
    ]


def changes(value: object, attributes: AttributeSet) -> dict[str, Strength]:
    """Attribute name -> true, false or a probability."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(wanted, (bool, int, float)) for wanted in value.values()):
        example = f'{{"{attributes.names[0]}": true, "{attributes.names[-1]}": 0.6}}'
        raise LatentConstraintsError(text("wrong.changes", example=example))
    wanted = {_short(str(name)): _probability(name, strength) for name, strength in value.items()}
    return dict(attributes.changes(wanted).wanted)


def moment(value: object) -> float:
    """Milliseconds by the browser's clock; what is no time counts as long ago."""
    known = isinstance(value, (int, float)) and abs(value) < 1e15  # NaN is not
    return float(value) if known else 0.0  # type: ignore[arg-type]


def _probability(name: object, value: Strength) -> Strength:
    return value if isinstance(value, bool) else share(value, _short(str(name)))


def _short(name: str) -> str:
    """A name for a message, cut where somebody sent a book."""
    return name if len(name) <= 60 else f"{name[:60]}..."


def whole(value: object, field: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    try:
        return whole_number(value, low, high)
    except LatentConstraintsError as error:
        raise LatentConstraintsError(_OF, field=field, wrong=error.sentence) from error

"""What a name says of where in a face something is: "Bangs" are hair, and "Rosy cheeks" are of the face itself.

A few photos cannot say it: faces that have one thing in common have others in common too, and a direction of latents
takes them all along. So an edit of something taught whose name has one of these words touches only that.

    >>> parts_of("Wavy_Hair"), parts_of("Bushy eyebrows"), parts_of("Warm_light")
    (('hair',), ('skin', 'mouth', 'brows', 'eyes'), ())
"""

from __future__ import annotations

import re

__all__ = ["parts_of"]

_FACE = (
    "face|skin|cheek|cheekbone|freckle|rosy|pale|tan|wrinkle|dimple|acne|blush|nose|chin|jaw|eye|lash|eyelash|bags|"
    "brow|eyebrow|lip|lipstick|mouth|teeth|tooth|tongue|grin|laugh|frown|beard|mustache|moustache|goatee|stubble|shadow|"
    "makeup"
)
_HAIR = "hair|bang|fringe|curl|ponytail|bun|braid|dreadlock|afro|wig|sideburn"
_BOTH = "hairline|forehead"
#: Words in the singular -> classes of the face parser.
_WORDS = {_FACE: ("skin", "mouth", "brows", "eyes"), _HAIR: ("hair",), _BOTH: ("hair", "skin")}


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a face that something of this name is of, among the face parser's classes; empty: any.

    Where words say different things, so does the name, and any part it is.
    """
    words = re.findall(r"[a-z]+", name.lower())
    found = [parts for some, parts in _WORDS.items() if any(re.fullmatch(f"(?:{some})s?", word) for word in words)]
    return found[0] if len(found) == 1 else ()

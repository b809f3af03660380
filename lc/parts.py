"""Which part of a face something is of, by its name: "Bangs" are hair, and "Rosy cheeks" are of the face itself.

A few photos cannot say it: faces that have one thing in common have others in common too, and a direction of latents
takes them all along. So an edit of something taught whose name has one of these words touches only that part.

    >>> part_of("Wavy_Hair"), part_of("Bushy eyebrows"), part_of("Warm_light")
    ('hair', 'face', 'any')
"""

from __future__ import annotations

import re

__all__ = ["PARTS", "part_of"]

#: What a part is called -> classes of the face parser that an edit of it may change or make; none: all of the person.
PARTS: dict[str, tuple[str, ...]] = {
    "face": ("skin", "mouth", "brows", "eyes"),
    "hair": ("hair",),
    "hairline": ("hair", "skin"),
    "any": (),
}

# In the singular. What surrounds a face, such as earrings, or is of all of it, such as age, is not among them.
_WORDS = {
    "face": "face|skin|cheek|cheekbone|freckle|rosy|pale|wrinkle|dimple|acne|nose|chin|jaw|eye|lash|eyelash|bags|brow|"
    "eyebrow|lip|lipstick|mouth|teeth|tooth|tongue|grin|frown|beard|mustache|moustache|goatee|stubble|shadow|makeup",
    "hair": "hair|bang|fringe|curl|ponytail|bun|braid|dreadlock|afro|wig",
    "hairline": "hairline|forehead|sideburn",
}


def part_of(name: str) -> str:
    """The one of `PARTS` that a name speaks of; "any" where it speaks of none, or of several."""
    words = re.findall(r"[a-z]+", name.lower())
    found = [part for part, some in _WORDS.items() if any(re.fullmatch(f"(?:{some})s?", word) for word in words)]
    return found[0] if len(found) == 1 else "any"

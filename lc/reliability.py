"""What seldom works on whom: shares of edits that were seen in finished photos, by change and by kind of face.

Measured by `train.evaluate.reliability` and kept in the weights folder. Kinds are what the model reads in a photo: who
wears a hat, whose skin is dark. A change that was seldom seen on such photos is had all the same, and said to be
doubtful before it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lc.attributes import AttributeSet, Strength
from lc.checksums import is_listed, parse_json, read_file, save_files
from lc.errors import Sentence, WeightsError

__all__ = ["DARK", "FILE", "LIGHT", "Reliability", "load_reliability", "save_reliability"]

FILE = "reliability.json"

DARK, LIGHT = "dark skin", "light skin"

_SELDOM = 0.5  # a change that is seen more seldom is doubtful
_ENOUGH = 10  # edits that a share rests on, at least


@dataclass(frozen=True)
class Reliability:
    """Shares of edits that were seen. The default knows nothing, and doubts nothing.

    Attributes:
        seen: change, as "Bald=1" -> kind of face, see `kinds` -> how many edits were seen, and of how many.
        tones: L* of skin up to which it counts as dark, and from which on as light: the thirds of what was measured.
    """

    seen: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    tones: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        pairs = [pair for kinds in self.seen.values() for pair in kinds.values()]
        if not all(0 <= some <= every for some, every in pairs):
            raise ValueError("more edits were seen than were made")

    def doubt(
        self, attributes: AttributeSet, changes: Mapping[str, Strength], read: Mapping[str, float], tone: float | None
    ) -> Sentence | None:
        """A sentence where one of the changes seldom works on such a face; None where nothing says so.

        Args:
            attributes: of the model.
            changes: what is asked for, by name.
            read: the probabilities that D_attr reads in the photo, by name.
            tone: L* of the skin; None where nobody knows.
        """
        kinds = self.kinds(attributes, read, tone)
        found = [
            (some / every, name, kind, some, every)
            for name, wanted in changes.items()
            for kind, (some, every) in self.seen.get(f"{name}={int(wanted >= 0.5)}", {}).items()
            if kind in kinds and every >= _ENOUGH and some / every < _SELDOM
        ]
        if not found:
            return None
        _, name, kind, some, every = min(found)
        return Sentence(
            "{title}: this change was seen in {some} of {every} photos of {people}, so it may not look real.",
            title=attributes[name].title,
            some=some,
            every=every,
            people=kinds[kind],
        )

    def kinds(self, attributes: AttributeSet, read: Mapping[str, float], tone: float | None) -> dict[str, Sentence]:
        """What kinds of face a photo shows, and what to call such people in a sentence; arguments as `doubt` has them.

        A kind is an attribute that is read, as "Wearing_Hat=1", or "dark skin" or "light skin".
        """
        kinds: dict[str, Sentence] = {}
        for entry in attributes.attributes:
            has = read[entry.name] >= 0.5
            if people := entry.people[has]:
                kinds[f"{entry.name}={int(has)}"] = Sentence(people)
        if self.tones and tone is not None and not self.tones[0] < tone < self.tones[1]:
            kind = DARK if tone <= self.tones[0] else LIGHT
            dark = kind == DARK
            kinds[kind] = Sentence("people with dark skin") if dark else Sentence("people with light skin")
        return kinds


def load_reliability(folder: Path) -> Reliability:
    """Read reliability.json; where there is none, one that knows nothing.

    Raises:
        WeightsError: damaged, or not the one that config.json describes.
    """
    if not is_listed(folder, FILE):
        return Reliability()
    data = read_file(folder, FILE)
    try:
        found = parse_json(data)
        seen = {
            str(change): {str(kind): (int(some), int(every)) for kind, (some, every) in kinds.items()}
            for change, kinds in found["seen"].items()
        }
        tones = found.get("tones")
        return Reliability(seen, None if tones is None else (float(tones[0]), float(tones[1])))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise WeightsError(f"{folder / FILE} is damaged: fetch it again.") from error


def save_reliability(folder: Path, reliability: Reliability) -> None:
    """Write reliability.json."""
    found = {"seen": {change: dict(kinds) for change, kinds in reliability.seen.items()}, "tones": reliability.tones}
    save_files(folder, {FILE: f"{json.dumps(found, indent=1)}\n".encode()})

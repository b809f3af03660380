"""What steers the blend of edits: the face parser's maps of photos and edited crops, and what each change may touch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor

from lc.attributes import Attribute, AttributeSet, Strength
from lc.colour import Colour
from lc.constraints import And, Constraint, Not, Or, Rule, Taught
from lc.crops import to_tensor
from lc.errors import Sentence
from lc.faces.align import FRAME_BOX, TEMPLATE
from lc.faces.layers import kind_of
from lc.faces.steering import MARGIN, Maps, Steering, beyond, of_crop, of_face, share_of, wide_crop
from lc.faces.tone import to_lab
from lc.laid import Laid, Layer
from lc.memory import Kept
from lc.model import Model
from lc.results import Bytes, Located, Reading
from lc.threads import each

__all__ = ["Steerer", "steering_of"]

# Hair colours overlap. How much of its spread is left to one that is asked for, and to one that stands in for another
# that is not wanted: in between, it would still be taken for that.
_WANTED, _INSTEAD = 0.1, 0.15
_ALREADY = 0.05  # how near a probability is to what is wanted for that to be so already
_APART = 2.0  # spreads of the next darker colour from its mean
_UNTOLD = np.float32(4)  # of 255, of hair where neither hair nor background is found
_BARE = 0.2  # probability of what is worn, below which nothing is
_ABOVE = (0.32 + MARGIN) / (1 + 2 * MARGIN)  # of the rows around a crop that lie above brows, and above glasses
_MOUTH, _BEARD = "mouth", "beard"
_BATCH = 8  # photos that are parsed together: more do not fit into a core's cache
_SCARCE = 0.03  # share of a crop below which a part is too small for its colour to be seen
_VEILED = 0.004  # share of a crop below which a hand or a mask is before a mouth: thin lips take more
_SKIN = 30  # pixels of skin from which on its tone is known
_PLAIN: Kept[Maps] = Kept(64)  # of the photos edited last, what is found in their reconstructions, 40 kB each
_THERE = 0.004  # share of a crop from which on a part is there: half of what thin frames take


class Steerer:
    """Parses photos and edits, and says what steers the blend of each. Without a parser nothing does.

    Args:
        model: see `lc.weights.load_model`.
    """

    def __init__(self, model: Model) -> None:
        self._parser, self._attributes, self._laid = model.parser, model.attributes, Laid(model)
        self._exemplars, self._reliability = model.exemplars, model.reliability
        self._place, self._latent = model.statistics.mean.device, model.generator.latent

    @torch.inference_mode()
    def parsed(self, located: Sequence[Located]) -> list[tuple[Bytes, Maps] | None]:
        """Photos around their faces, (side, side, 3), and what the parser finds there: (C, side, side), probabilities
        in parts of 255. None without a parser."""
        if self._parser is None:
            return [None] * len(located)
        size = self._parser.config.image_size

        def around(one: Located) -> Bytes:
            return np.array(wide_crop(one.photo.rgb, one.aligned, size))

        wide = each(around, located)
        maps: list[Maps] = []
        for first in range(0, len(wide), _BATCH):
            x = torch.from_numpy(np.stack(wide[first : first + _BATCH])).permute(0, 3, 1, 2).to(self._place) / 255
            maps += list(_levels(self._parser.parse(x, resample=False)))
        for one, photo in zip(maps, located, strict=True):
            one[self._parser.config.classes.index("background"), beyond(photo.photo.rgb.size, photo.aligned, size)] = 0
        return list(zip(wide, maps, strict=True))

    def told(self, maps: Maps, read: Mapping[str, float]) -> dict[str, float]:
        """What D_attr `read` in a photo, by attribute name, with what the parser finds there, see `lc.evidence`.

        Where nothing is worn by that, what seems to be above the brows is made hair, or what is behind, in place.
        """
        assert self._parser is not None
        classes = self._parser.config.classes
        told = dict(read)
        for entry in self._attributes.attributes:
            if entry.evidence and entry.part in classes:
                told[entry.name] = entry.evidence.read(read[entry.name], share_of(maps, classes.index(entry.part)))
        self._bared(maps, told)
        return told

    def _bared(self, maps: Maps, read: Mapping[str, float]) -> None:
        """Make what is worn above the brows hair, or what is behind, in place, where `read` says that nothing is."""
        assert self._parser is not None
        classes = self._parser.config.classes
        hair, background = (
            maps[classes.index(name), : round(maps.shape[1] * _ABOVE)] for name in ("hair", "background")
        )
        for part in {entry.part for entry in self._attributes.attributes if entry.part and read[entry.name] < _BARE}:
            if part in classes:
                above = maps[classes.index(part), : len(hair)]
                # It is what the parser finds more probable there: a wall may be taken for a hat.
                share = (hair + _UNTOLD) / (hair + np.float32(background) + _UNTOLD)
                told = np.rint(share * above).astype(np.uint8)
                hair[:], background[:] = cv2.add(hair, told), cv2.add(background, above - told)  # which stop at 255
                above[:] = 0

    def tone(self, reading: Reading) -> float | None:
        """The median L* of a face's skin; None where too little of it is seen, or nothing was parsed."""
        if self._parser is None or reading.maps is None or reading.wide is None:
            return None
        skin = reading.maps[self._parser.config.classes.index("skin")] > 127
        if skin.sum() <= _SKIN:
            return None
        return float(np.median(to_lab(reading.wide[skin][None].astype(np.float32))[..., 0]))

    def warning(
        self, reading: Reading, changes: Mapping[str, Strength], target: Sequence[float], painted: Collection[str]
    ) -> str | None:
        """Why the edit may not look real, or may not show; None where nothing says so.

        Args:
            reading, changes: the photo, and what was asked for.
            target: (A,), the label vector that follows from that.
            painted: the changes that the generator has no part in.
        """
        doubt, tone = self._reliability.doubt, self.tone(reading)
        return (
            self.scarce(reading, changes)
            or self._attributes.warning(target, painted)
            or doubt(self._attributes, changes, reading.attributes, tone)
        )

    def scarce(self, reading: Reading, changes: Mapping[str, Strength]) -> Sentence | None:
        """What to say where hardly anything is seen in a photo of the part that a change would give another colour, or
        of the mouth of a face that is to change."""
        if self._parser is None or reading.maps is None:
            return None
        classes = self._parser.config.classes
        for entry in (self._attributes[name] for name in changes):
            part = entry.recolours
            if part in classes and share_of(reading.maps, classes.index(part)) < _SCARCE:
                return Sentence(
                    "{title}: hardly any {part} is seen in this photo, so the change may not show.",
                    title=entry.title,
                    part=Sentence(part),
                )
            if of_face(entry.acts_on) and self._veiled(reading):
                return Sentence(
                    "{title}: something is before the mouth in this photo; the lower half of the face stays.",
                    title=entry.title,
                )
        return None

    def recoloured(self, reading: Reading, changes: Mapping[str, Strength]) -> frozenset[str]:
        """The changes that are another colour of something that a photo shows, all the way, and nothing else."""
        if self._parser is None or reading.maps is None:
            return frozenset()
        classes = self._parser.config.classes

        def only(name: str) -> bool:
            entry, part = self._attributes[name], self._attributes[name].recolours
            there = part in classes and share_of(reading.maps, classes.index(part)) >= _SCARCE
            return there and entry.acts_on == (part,) and entry.colour is not None and changes[name] in (True, False)

        return frozenset(name for name in changes if only(name))

    def _veiled(self, reading: Reading) -> bool:
        """Whether something is before the mouth."""
        assert self._parser is not None
        classes = self._parser.config.classes
        if reading.maps is None or _MOUTH not in classes:
            return False
        return share_of(reading.maps, classes.index(_MOUTH)) < _VEILED

    def present(self, readings: Sequence[Reading]) -> dict[str, Tensor]:
        """By attribute, whether the parser finds in the crops what it is the presence of: (B,) of bool."""
        parts = {entry.name: entry.part for entry in self._attributes.attributes if entry.part}
        if self._parser is None:
            return {}
        classes = self._parser.config.classes
        return {
            name: torch.tensor([share_of(reading.maps, classes.index(part)) > _THERE for reading in readings])
            for name, part in parts.items()
            if part in classes
        }

    def layers(
        self, readings: Sequence[Reading], changes: Mapping[str, Strength], style: int = 0, identity: float = 0.5
    ) -> list[dict[str, Layer]]:
        """What is laid onto each photo, by change; see `lc.laid`."""
        return self._laid.on(readings, changes, style, identity)

    def styles(self, changes: Mapping[str, Strength], lays: bool = True) -> int:
        """In how many forms changes can be had, together; 1: in one only. `lays`: whether things can be laid on."""
        counts = [1]
        for name, wanted in changes.items():
            if isinstance(wanted, bool):
                move = self._exemplars.get(name, wanted) if self._exemplars else None
                laid = self._laid.styles(name, wanted) if lays else 0
                counts.append(laid or (len(move.styles) if move else 1))
        return math.lcm(*counts)

    def shifts(self, layers: Sequence[Mapping[str, Layer]], names: Iterable[str]) -> dict[str, Tensor]:
        """What the layers add to latents, (B, latent) by change; zeros in rows onto which nothing is laid."""
        none = torch.zeros(self._latent, device=self._place)
        return {
            name: torch.stack([one[name].shift if name in one else none for one in layers]) for name in sorted(names)
        }

    @torch.inference_mode()
    def steering(
        self,
        readings: Sequence[Reading],
        changes: Mapping[str, Strength],
        pictures: Tensor | None,
        layers: Sequence[Mapping[str, Layer]],
        others: Iterable[Constraint] = (),
    ) -> list[Steering | None]:
        """What steers the edits of photos.

        Args:
            readings: the photos.
            changes: what was asked for.
            pictures: the edited crops without what the layers show, (B, 3, S, S) in [0, 1]; None: the layers and
                other colours are all.
            layers: see `layers`.
            others: what was asked for beyond `changes`.
        """
        if self._parser is None:
            return [None] * len(readings)
        parts = _parts(others)
        classes = self._parser.config.classes
        after: list[Maps | None] = [None if one.maps is None else of_crop(one.maps) for one in readings]
        without: list[Maps | None] = [None] * len(readings)
        if pictures is not None:
            after, without = list(self._parsed(pictures)), list(self._reconstructed(readings))
        return [
            None
            if reading.maps is None or edited is None
            else self._of_photo(
                reading,
                changes,
                steering_of(
                    self._attributes,
                    classes,
                    changes,
                    (reading.maps, edited, plain),
                    laid,
                    parts,
                    _nose(reading),
                    covered=pictures is None,
                ),
            )
            for reading, edited, plain, laid in zip(readings, after, without, layers, strict=True)
        ]

    def _of_photo(self, reading: Reading, changes: Mapping[str, Strength], found: Steering) -> Steering:
        """What steers an edit, with what only the photo says."""
        colours = [name for name in changes if self._attributes[name].recolours]
        if colours and all(abs(reading.attributes[name] - changes[name]) < _ALREADY for name in colours):
            found = replace(found, colour=None)  # it has that colour, or has not, already
        bearded = self._laid.has(reading, _BEARD)
        # Who is shaved gets a mouth that the beard hid: what the opposite change would lay on.
        gone = {layer for name, wanted in changes.items() for layer in self._attributes[name].adds[wanted < 0.5]}
        shaved = bearded and any(kind_of(layer) == _BEARD for layer in gone)
        return replace(found, veiled=self._veiled(reading), own_mouth=found.own_mouth and not shaved, bearded=bearded)

    def _reconstructed(self, readings: Sequence[Reading]) -> list[Maps]:
        """What the parser finds in photos' reconstructions, which every edit of them is held against."""

        @cache
        def together() -> list[Maps]:
            return self._parsed(to_tensor([one.reconstruction for one in readings], self._place))

        def of(row: int) -> Maps:
            return _PLAIN.get((self._parser, readings[row]), (), lambda: together()[row])

        return [of(row) for row in range(len(readings))]

    def _parsed(self, crops: Tensor) -> list[Maps]:
        assert self._parser is not None
        return [one for some in crops.split(_BATCH) for one in _levels(self._parser.parse(some))]


def steering_of(
    attributes: AttributeSet,
    classes: Sequence[str],
    changes: Mapping[str, Strength],
    maps: tuple[Maps, Maps, Maps | None],
    laid: Mapping[str, Layer],
    others: frozenset[str] | None = None,
    nose: tuple[float, float] | None = None,
    covered: bool = False,
) -> Steering:
    """What steers one edit.

    Args:
        attributes: of the model.
        classes: the parser's.
        changes: what was asked for, by name. Where nothing was, all of the person may change.
        maps: of the photo, the edit and the reconstruction, see `Steering`.
        laid: what is laid onto the photo, by change.
        others: the parts that other constraints are of; empty where one is of all of the person; None without any.
        nose: where it is in the crop, x and y in parts of its side.
        covered: whether what is laid on and other colours are all of the edit.
    """
    entries = [attributes[name] for name in changes]
    shown = {name for name, layer in laid.items() if not layer.over}  # by what is laid on alone
    drawn = [entry for entry in entries if entry.name not in shown]
    free = (not entries and others is None) or any(not entry.acts_on for entry in drawn) or others == frozenset()
    acts_on = {part for entry in drawn for part in entry.acts_on} | (others or frozenset())
    if free:
        acts_on |= set(classes) - {"background"}
    recolours: str | None = None
    colour: Colour | None = None
    for entry in entries:
        if entry.recolours:
            recolours = entry.recolours
            wanted = changes[entry.name]
            if isinstance(wanted, bool):
                own = _colour(attributes, entry, _WANTED)
                colour = own if wanted else colour or _other_colour(attributes, entry, changes)
    over = [entry for entry in drawn if entry.shades and changes[entry.name] is True]
    shades = over[0].part if over else None
    pixels = tuple(one.pixels for one in laid.values())
    alone = covered or (len(changes) == len(shown) + len(over) and others is None)
    shapes = [entry for entry in drawn if not entry.recolours] if others is None else []
    begins = min((entry.begins for entry in shapes), default=0.0)
    before, after, without = maps
    found = Steering(classes, before, after, frozenset(acts_on), recolours, colour, shades, pixels, alone)
    nose_stays, own_mouth, own_structure = (
        bool(shapes) and all(part in entry.spares for entry in shapes) for part in ("nose", _MOUTH, "structure")
    )
    nose = nose if nose_stays else None
    creases = sum(entry.creased(changes[entry.name]) for entry in drawn)
    found = replace(found, own_mouth=own_mouth, own_structure=own_structure)
    return replace(found, without=without, begins=begins, nose=nose, creases=creases)


def _colour(attributes: AttributeSet, entry: Attribute, part: float) -> Colour | None:
    """The middle of a colour's range, a `part` of it, and of that what is lighter than the range of the next darker
    one: in shadow it would be taken for that."""
    if entry.colour is None:
        return None
    colour = entry.colour.narrowed(part)
    light, width = colour.mean[0], colour.spread[0]
    others = [one.colour for one in _alternatives(attributes, entry, {}) if one.colour]
    darker = (one.mean[0] + _APART * one.spread[0] for one in others if one.mean[0] < light)
    return replace(colour, mean=(max(light, max(darker, default=0.0) + width), *colour.mean[1:]))


def _other_colour(attributes: AttributeSet, entry: Attribute, changes: Mapping[str, Strength]) -> Colour | None:
    """What a part that is not to have a colour has instead: the nearest one that nobody forbids."""
    if entry.colour is None:
        return None
    light = entry.colour.mean[0]
    known = [(abs(one.colour.mean[0] - light), one) for one in _alternatives(attributes, entry, changes) if one.colour]
    _, nearest = min(known, key=lambda pair: pair[0], default=(0.0, None))
    return _colour(attributes, nearest, _INSTEAD) if nearest else None


def _alternatives(attributes: AttributeSet, entry: Attribute, changes: Mapping[str, Strength]) -> list[Attribute]:
    """The others of its group that nobody forbids."""
    group = next((group for group in attributes.one_of if entry.name in group), ())
    return [attributes[name] for name in group if name != entry.name and changes.get(name, True)]


def _parts(constraints: Iterable[Constraint]) -> frozenset[str] | None:
    """The parts of a face that constraints are of; empty where one is of all of it; None without any."""
    found = [_acts_on(one) for one in constraints]
    if not found:
        return None
    return frozenset().union(*found) if all(found) else frozenset()


def _acts_on(constraint: Constraint) -> frozenset[str]:
    if isinstance(constraint, Rule | Taught):
        return frozenset(constraint.acts_on)
    if isinstance(constraint, Not):
        return _acts_on(constraint.part)
    return (_parts(constraint.parts) or frozenset()) if isinstance(constraint, And | Or) else frozenset()


def _nose(reading: Reading) -> tuple[float, float]:
    """Where the tip of the nose is in a crop, x and y in parts of its side: where it is in most, without landmarks."""
    if reading.face is None:
        x, y = (TEMPLATE[2] - FRAME_BOX[:2]) / (FRAME_BOX[2] - FRAME_BOX[0])
    else:
        matrix, tip = reading.aligned.matrix, reading.face.landmarks[2]
        x, y = np.linalg.solve(matrix[:, :2], tip - matrix[:, 2]) / reading.aligned.crop.width
    return float(x), float(y)


def _levels(probabilities: Tensor) -> Maps:
    levels: Maps = (probabilities * 255).round().to(torch.uint8).cpu().numpy()
    return levels

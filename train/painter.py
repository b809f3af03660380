"""Pictures that `train.finish` learns from: what is painted onto photos, and the photos that it should become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from lc.faces.beards import STUBBLE, STYLES, beard
from lc.faces.composites import Face, Floats, glasses
from lc.faces.frames import STYLES as STYLES_OF_FRAMES
from lc.faces.frames import frames
from lc.faces.masks import soft
from lc.faces.scalps import scalp
from lc.finish import SIZE, bearded, finished, painted, with_layer, worn
from train.attributes import ATTRIBUTES
from train.data import DataError

if TYPE_CHECKING:
    from lc.parser import Parser
    from lc.upsampler import Upsampler
    from train.finish import FinishTraining

__all__ = ["HELD_OUT", "Painter", "Pictures", "drawn", "without_beards", "without_glasses"]

_HAIRY, _HATLESS = 0.1, 0.01  # shares of a crop that are hair, and a hat: from and below which it may be a wig
_BEARDS = (*STYLES, STUBBLE)
_BARE = 0.05  # share of a crop that is hair, below which a head is bald
_AS_DARK = 0.5  # of how much darker than skin a painted beard is, from which on a photo's is one
_SPECKS, _SEEN = 10, 0.004  # pixels of glasses that are none, and the share of a crop from which on some are seen
_CUT = 0.5  # share of the glasses that are others', and not drawn
_TRIES = 60  # photos that are looked at for one
HELD_OUT = 12  # people of either kind who are looked at along the way


_Painted: TypeAlias = tuple[Floats, Floats, Floats, Floats]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Photos, the same with layers on them, and the photos that those should become, (N, S, S, 3) uint8; how much of
    each pixel is replaced, (N, S, S) uint8."""

    photos: npt.NDArray[np.uint8]
    painted: npt.NDArray[np.uint8]
    wanted: npt.NDArray[np.uint8]
    missing: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, made: Sequence[_Painted]) -> Pictures:
        """From pictures in 0..255 and masks in [0, 1]."""
        scales = (1, 1, 1, 255)
        columns = zip(*made, strict=True)
        levels = (
            np.stack([(scale * one).round().clip(0, 255).astype(np.uint8) for one in column])
            for scale, column in zip(scales, columns, strict=True)
        )
        return cls(*levels)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, rows: slice) -> Pictures:
        return Pictures(self.photos[rows], self.painted[rows], self.wanted[rows], self.missing[rows])


class Painter:
    """Paints layers onto training photos.

    Args:
        parser: finds the parts of faces.
        images: crops, (N, 3, S, S) uint8.
    """

    def __init__(self, parser: Parser, images: Tensor) -> None:
        self._parser, self._images = parser, images
        self._inner = SIZE / images.shape[-1]

    def face(self, rgb: Floats) -> Face:
        """The face of a picture, (S, S, 3) in 0..255."""
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
        maps = self._parser.parse(x, resample=False)[0].numpy()
        return Face(rgb, dict(zip(self._parser.config.classes, maps, strict=True)), self._inner)

    def photo(self, row: int) -> Floats:
        """A training photo, (S, S, 3) in 0..255."""
        return np.asarray(self._images[row].permute(1, 2, 0).numpy(), dtype=np.float32)

    def wig(self, rows: Sequence[int], chance: np.random.Generator) -> tuple[Floats, Floats]:
        """Somebody's hair: their picture, and how much of each pixel is hair.

        Raises:
            DataError: of many photos none shows hair.
        """
        for row in chance.choice(rows, _TRIES):
            rgb = self.photo(int(row))
            face = self.face(rgb)
            if face.sure("hair").mean() > _HAIRY and face.sure("hat").mean() < _HATLESS:
                return rgb, soft(face.maps["hair"], 0.7)
        raise DataError("No face with hair is found among the photos: use more of them.")

    def bare(self, row: int) -> bool:
        """Whether a head is bald to the parser as well: many that are called so have hair at their sides."""
        face = self.face(self.photo(row))
        return bool(face.sure("hair", "hat").mean() < _BARE)

    def bald(self, row: int, wig: tuple[Floats, Floats]) -> _Painted | None:
        """A bald person in another's hair, painted bald again: photo, painted, what it should become, where."""
        wanted = self.photo(row)
        rgb, hair = wig
        in_wig = wanted + hair[..., None] * (rgb - wanted)
        return _with(self.face(np.asarray(in_wig, dtype=np.float32)), wanted, scalp)

    def made_bald(self, row: int) -> _Painted | None:
        """A person painted bald."""
        rgb = self.photo(row)
        return _with(self.face(rgb), rgb, scalp)

    def in_glasses(self, row: int, style: int, donor: int | None = None) -> _Painted | None:
        """A person with drawn glasses, or another's: to become the person again where those are found."""
        rgb = self.photo(row)
        onto = self.face(rgb)
        if onto.sure("glasses").sum() > _SPECKS:
            return None
        if donor is None:
            layer = frames(onto, style)
            put = None if layer is None else painted(rgb, layer)[0]
        else:
            put = glasses(self.face(self.photo(donor)), onto)
        return None if put is None else self._wearing(np.asarray(put, dtype=np.float32), rgb)

    def in_a_beard(self, row: int, style: int, finisher: Upsampler) -> _Painted | None:
        """A shaven person in a beard that looks like one, to be shaven again; or as they are, where style is none."""
        rgb = self.photo(row)
        face = self.face(rgb)
        there, put = bearded(face), rgb
        if style < len(_BEARDS):
            layer = beard(face, _BEARDS[style])
            if layer is None:
                return None
            put = with_layer(rgb, finished(finisher, face, layer, np.ones_like(there)))
        return (put, put, rgb, there) if there.any() else None

    def as_he_is(self, row: int) -> _Painted | None:
        """A person with a beard."""
        rgb = self.photo(row)
        there = bearded(self.face(rgb))
        return (rgb, rgb, rgb, there) if there.any() else None

    def wearer(self, row: int) -> _Painted | None:
        """A person who wears glasses."""
        return self._wearing(self.photo(row), self.photo(row))

    def _wearing(self, rgb: Floats, wanted: Floats) -> _Painted | None:
        there = worn(self.face(rgb))
        return (rgb, rgb, wanted, there) if there.mean() > _SEEN else None

    def bearded(self, row: int, style: int) -> _Painted | None:
        """A person with a beard painted on."""
        rgb = self.photo(row)
        return _with(self.face(rgb), rgb, lambda onto: beard(onto, _BEARDS[style]))

    def as_bearded(self, row: int, style: int) -> _Painted | None:
        """A person with a beard painted over one; None where that is much lighter, and no more than a shade."""
        made = self.bearded(row, style)
        if made is None:
            return None
        photo, picture, _, missing = made
        skin = float(np.median(photo[self.face(photo).sure("skin")].mean(1)))
        light, wanted = (float((missing * one.mean(2)).sum() / missing.sum()) for one in (photo, picture))
        return made if skin - light > _AS_DARK * (skin - wanted) else None


def _with(face: Face, wanted: Floats, make: Callable[[Face], Floats | None]) -> _Painted | None:
    layer = make(face)
    if layer is None:
        return None
    picture, missing = painted(face.rgb, layer)
    return face.rgb, picture, wanted, missing


def _made(people: str, rows: Sequence[int], count: int, paint: Callable[[int], _Painted | None]) -> list[_Painted]:
    """What is painted onto some of the photos, from the first on and again."""
    again = (rows[i % len(rows)] for i in range(count if rows else 0))
    found = [one for row in tqdm(again, desc=people, leave=False) if (one := paint(row)) is not None]
    if not found:
        raise DataError(f"No face with {people} is found among the photos: use more of them.")
    return found


def drawn(painter: Painter, labels: Tensor, config: FinishTraining) -> tuple[Pictures, Pictures, Pictures]:
    """Pictures whose photos are known, of people held out and of others; and pictures that no photo is known of."""
    chance = np.random.default_rng(config.seed)
    bald, shaven = (labels[:, ATTRIBUTES.index(name)].numpy() > 0.5 for name in ("Bald", "No_Beard"))
    kinds = {"bald": bald, "hairy": ~bald, "bearded": ~shaven, "shaven": shaven & ~bald}
    rows = {name: chance.permutation(np.flatnonzero(which)).tolist() for name, which in kinds.items()}

    def wigged(row: int) -> _Painted | None:
        return painter.bald(row, painter.wig(rows["hairy"], chance))

    def style() -> int:
        return int(chance.integers(len(_BEARDS)))

    bare = [row for row in rows["bald"] if painter.bare(row)]
    beards = _made("a beard", rows["bearded"], config.bearded, lambda row: painter.as_bearded(row, style()))
    held_out = _made("a bald head", bare[:HELD_OUT], HELD_OUT, wigged) + beards[:HELD_OUT]
    known = _made("a bald head", bare[HELD_OUT:] or bare, config.bald, wigged)
    # As many of both: what is painted more often than photos show it is told by that.
    beards = beards[HELD_OUT:] or beards
    known += [beards[row % len(beards)] for row in range(len(known))]
    others = _made("hair", rows["hairy"], config.others, painter.made_bald)
    others += _made("no beard", rows["shaven"], config.others, lambda row: painter.bearded(row, style()))
    return Pictures.of(held_out), Pictures.of(known), Pictures.of(others)


def without_glasses(painter: Painter, labels: Tensor, config: FinishTraining) -> tuple[Pictures, Pictures, Pictures]:
    """As `drawn`, of people in glasses."""
    chance = np.random.default_rng(config.seed)
    has = labels[:, ATTRIBUTES.index("Eyeglasses")].numpy() > 0.5
    wearers, others = (chance.permutation(np.flatnonzero(which)).tolist() for which in (has, ~has))

    def put(row: int) -> _Painted | None:
        donor = int(chance.choice(wearers)) if wearers and chance.random() < _CUT else None
        return painter.in_glasses(row, int(chance.integers(len(STYLES_OF_FRAMES))), donor)

    known = _made("no glasses", others, config.glasses, put)
    held_out, known = known[: 2 * HELD_OUT], known[2 * HELD_OUT :] or known
    return (
        Pictures.of(held_out),
        Pictures.of(known),
        Pictures.of(_made("glasses", wearers, config.others, painter.wearer)),
    )


def without_beards(
    painter: Painter, labels: Tensor, config: FinishTraining, finisher: Upsampler
) -> tuple[Pictures, Pictures, Pictures]:
    """As `drawn`, of people in beards."""
    chance = np.random.default_rng(config.seed)
    shaven = labels[:, ATTRIBUTES.index("No_Beard")].numpy() > 0.5
    without, with_ = (chance.permutation(np.flatnonzero(which)).tolist() for which in (shaven, ~shaven))

    def put(row: int) -> _Painted | None:
        return painter.in_a_beard(row, int(chance.integers(len(_BEARDS) + 1)), finisher)

    known = _made("no beard", without, config.glasses, put)
    held_out, known = known[: 2 * HELD_OUT], known[2 * HELD_OUT :] or known
    others = _made("a beard", with_, config.others, painter.as_he_is)
    return Pictures.of(held_out), Pictures.of(known), Pictures.of(others)

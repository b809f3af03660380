"""Train what finishes layers: what is painted onto a photo, a bald head or a beard, is to become what photos show; and
what lifts glasses off, see `lc.finish`.

    python -m train.finish --weights weights/celeba-64 --celeba data/celebahq --vgg cache/perceptual --out runs/finisher
    python -m train.finish --what glasses --alike 0 --vgg cache/perceptual --out runs/lifter
    python -m train.finish --what beards --alike 0 --vgg cache/perceptual --out runs/shaver

Where the right answer is known, it is a photo: of a bald person, onto whom another's hair is pasted, to be painted away
again; of a person with a beard, over which one is painted; of people onto whom glasses are drawn, or those of others
laid. Of all others no photo says what is right: to the discriminator it is to look like one, and not to go far from
what is painted. The net is an upsampler, see `lc.upsampler`, which sees the photo about what is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

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
from lc.upsampler import Upsampler, UpsamplerConfig
from lc.weights import load_parser, load_upsampler, save_upsampler
from train.attributes import ATTRIBUTES
from train.data import DataError, load_training
from train.engine import parse, program, save_grid
from train.loop import Stage, cosine, follow, train
from train.perceptual import Perceptual
from train.sharpness import PARTS, CriticTask, DecoderTask, PatchCritic, SharpnessTraining, View, augmented
from train.upsampler import Completed, shrunk

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lc.parser import Parser

MARGIN = 8  # pixels around crops, on every side
_HAIRY, _HATLESS = 0.1, 0.01  # shares of a crop that are hair, and a hat: from and below which it may be a wig
_BEARDS = (*STYLES, STUBBLE)
_BARE = 0.05  # share of a crop that is hair, below which a head is bald
_AS_DARK = 0.5  # of how much darker than skin a painted beard is, from which on a photo's is one
_SPECKS, _SEEN = 10, 0.004  # pixels of glasses that are none, and the share of a crop from which on some are seen
_CUT = 0.5  # share of the glasses that are others', and not drawn
_TRIES = 60  # photos that are looked at for one
_HELD_OUT = 12  # people of either kind who are looked at along the way


_Painted: TypeAlias = tuple[Floats, Floats, Floats, Floats]


@dataclass(frozen=True)
class FinishTraining(SharpnessTraining):
    """Train what finishes layers."""

    celeba: Path = Path("data/celebahq")
    weights: Path = Path("weights/celeba-64")
    """Weights folder with a parser and an upsampler, which this begins with."""
    out: Path = Path("runs/finisher")
    what: Literal["painted", "glasses", "beards"] = "painted"
    """What is painted is to be finished, or glasses or beards are to be lifted off."""
    bald: int = 1_800
    """Pictures of bald people in wigs."""
    bearded: int = 4_000
    """Pictures of people with a beard over which one is painted, before those whose own is a shade are left out."""
    glasses: int = 4_000
    """Pictures of people with glasses that they do not wear, or with a beard."""
    others: int = 800
    """Pictures of people made bald, and of as many who get a beard; or of people who wear glasses."""
    model: UpsamplerConfig = field(default_factory=UpsamplerConfig)
    images: int = 12_000
    """Pictures to see in all, whose photo is known."""
    batch: int = 8
    colour: float = 0.08
    pixel: float = 30.0
    features: float = 4.0
    adversarial: float = 0.1
    lpips: float = 0.0
    spectrum: float = 0.1
    vgg_weight: float = 4.0
    alike: float = 0.15
    lr: float = 4e-4
    lr_critic: float = 2e-4
    r1: float = 0.5
    clip: float = 1.0
    ema: float = 0.99
    limit: int | None = None
    """Use only so many photos: a dry run."""


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
    held_out = _made("a bald head", bare[:_HELD_OUT], _HELD_OUT, wigged) + beards[:_HELD_OUT]
    known = _made("a bald head", bare[_HELD_OUT:] or bare, config.bald, wigged)
    # As many of both: what is painted more often than photos show it is told by that.
    beards = beards[_HELD_OUT:] or beards
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
    held_out, known = known[: 2 * _HELD_OUT], known[2 * _HELD_OUT :] or known
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
    held_out, known = known[: 2 * _HELD_OUT], known[2 * _HELD_OUT :] or known
    others = _made("a beard", with_, config.others, painter.as_he_is)
    return Pictures.of(held_out), Pictures.of(known), Pictures.of(others)


class Finishing(Stage[FinishTraining]):
    """What finishes layers, and a discriminator beside it."""

    title = "finisher"

    def __init__(self, config: FinishTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.held_out, self.known, self.others = self.pictures()
        torch.manual_seed(self.seed)
        net = load_upsampler(config.weights) or Upsampler(config.model)
        net = net.train().requires_grad_().to(memory_format=torch.channels_last)
        critic = PatchCritic(config.width).to(memory_format=torch.channels_last)
        vgg = Perceptual(config.vgg, config.vgg_stages).to(self.device) if config.vgg else None
        self.steps = config.images // self.rows
        self.completed = Completed(net, hidden=self.hidden)
        tasks = {
            "finisher": (net, DecoderTask(self.completed, critic, None, vgg, config), config.lr),
            "critic": (critic, CriticTask(critic, config.r1), config.lr_critic),
        }
        for name, (module, task, lr) in tasks.items():
            optimiser = torch.optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.99), fused=True)
            average = follow(config.ema) if name == "finisher" else None
            rate = cosine(self.steps, lr, 0.05 * lr, 50)
            self.add(name, module, optimiser, rate, task=task, average=average, clip=config.clip)

    def pictures(self) -> tuple[Pictures, Pictures, Pictures]:
        """See `drawn`.

        Raises:
            DataError: of photos with labels there are none of these kinds, or no faces are found in them.
        """
        config = self.config
        parser = load_parser(config.weights)
        crops = load_training(config.celeba, (), config.limit, image_size=SIZE, margin=MARGIN)
        if parser is None or crops.labels is None:
            raise DataError(
                f"This is learned with a face parser and labels: see whether {config.weights} has a parser."
            )
        with torch.inference_mode():
            painter = Painter(parser, crops.images)
            if config.what == "beards":
                finisher = load_upsampler(config.weights, "finisher")
                if finisher is None:
                    raise DataError(f"Beards are painted and finished first: {config.weights} has no finisher.")
                return without_beards(painter, crops.labels, config, finisher)
            make = drawn if config.what == "painted" else without_glasses
            return make(painter, crops.labels, config)

    @property
    def hidden(self) -> bool:
        """Whether the net sees nothing of what it replaces."""
        return self.config.what == "painted"

    def batch(self, pictures: Pictures, chance: torch.Generator) -> list[Tensor]:
        """Crops of photos, of what is painted, and of what that should become, (B, 3, S, S) in [0, 1], and what is
        replaced, (B, 1, S, S)."""
        config = self.config
        rows = torch.randint(len(pictures), (config.batch,), generator=chance).numpy()
        down, right = (2 * torch.randint(0, MARGIN + 1, (2,), generator=chance)).tolist()
        some = [getattr(pictures, name)[rows] for name in ("photos", "painted", "wanted", "missing")]
        stacked = torch.from_numpy(np.concatenate([one.reshape(*one.shape[:3], -1) for one in some], 3))
        x = stacked[:, down : down + SIZE, right : right + SIZE].permute(0, 3, 1, 2).float() / 255
        if torch.rand(1, generator=chance) < 0.5:
            x = x.flip(3)
        light = 1 + config.colour * (2 * torch.rand(config.batch, 1, 1, 1, generator=chance) - 1)
        x[:, :9] = (x[:, :9] * light).clamp(0, 1)
        return [one.to(self.device, memory_format=torch.channels_last) for one in x.split([3, 3, 3, 1], 1)]

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        sides = [self.batch(pictures, chance) for pictures in (self.known, self.others)]
        photos, made, _, missing = (torch.cat(pair) for pair in zip(*sides, strict=True))
        wanted, drawn, view = sides[0][2], sides[1][1], View(SIZE, chance)
        inputs = shrunk(made, SIZE // 2), photos, missing
        with self.engine.autocast(), torch.no_grad():
            pictures = self.completed(inputs)
            # What is to look like a photo is held against bald heads and beards, and against the others' own photos.
            pair = augmented(torch.cat([view(wanted).repeat(2, 1, 1, 1), view(pictures)]), chance)
        critic = self.update("critic", pair, step % 8 == 0)
        losses = self.update("finisher", wanted, inputs, drawn, view, chance)
        return dict(zip(("total", *PARTS), losses, strict=True)) | {"critic": critic}

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        edge = slice(MARGIN, MARGIN + SIZE)
        net, found = self.averaged("finisher"), []
        for pictures in (self.held_out, self.others[:: max(1, len(self.others) // (2 * _HELD_OUT))]):
            photos, made, wanted = (
                torch.from_numpy(one[:, edge, edge]).permute(0, 3, 1, 2).float() / 255
                for one in (pictures.photos, pictures.painted, pictures.wanted)
            )
            missing = torch.from_numpy(pictures.missing[:, None, edge, edge]).float() / 255
            done_so = Completed(net, hidden=self.hidden)((shrunk(made, SIZE // 2), photos, missing))
            found.append((photos, made, done_so, wanted, missing))
        (_, made, finished, wanted, missing), _ = found
        rows = [one[:24] for side in found for one in side[:4]]
        save_grid(torch.cat(rows), self.config.out / "finished.png", columns=24)
        before, after = (
            float(-10 * ((missing * (one - wanted)).square().sum() / (3 * missing.sum())).log10())
            for one in (made, finished)
        )
        return {"painted_psnr": before, "finished_psnr": after}

    def finish(self) -> str:
        name = {"painted": "finisher", "glasses": "lifter", "beards": "shaver"}[self.config.what]
        save_upsampler(self.config.out / "weights", self.averaged("finisher"), name)
        found = self.measure(self.steps)
        return f"held-out {found['finished_psnr']:.2f} dB where what is painted has {found['painted_psnr']:.2f}"


@program
def main() -> None:
    train(Finishing, parse(FinishTraining))


if __name__ == "__main__":
    main()

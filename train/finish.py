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

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from lc.finish import SIZE
from lc.upsampler import Upsampler, UpsamplerConfig
from lc.weights import load_parser, load_upsampler, save_upsampler
from train.data import DataError, load_training
from train.engine import parse, program, save_grid
from train.loop import Stage, cosine, follow, train
from train.painter import HELD_OUT, Painter, Pictures, drawn, without_beards, without_glasses
from train.perceptual import Perceptual
from train.sharpness import PARTS, CriticTask, DecoderTask, PatchCritic, SharpnessTraining, View, augmented
from train.upsampler import Completed, shrunk

if TYPE_CHECKING:
    from accelerate import Accelerator

MARGIN = 8  # pixels around crops, on every side


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
        for pictures in (self.held_out, self.others[:: max(1, len(self.others) // (2 * HELD_OUT))]):
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

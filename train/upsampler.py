"""Train the super-resolution of a generator's pictures, see `lc.upsampler`: the generator stays as it is.

    python -m train.upsampler --vae weights/celeba-64 --celeba data/celebahq --vgg cache/perceptual --out runs/upsampler

A photo is shrunk to the generator's size, encoded and decoded, and its decoded picture is to become the photo at twice
that size: in its pixels, in features that were learned on other photos (`train.perceptual`), in local power spectra,
and to a patch discriminator trained beside it (Ledig et al. 2017, SRGAN); see `train.sharpness` for the terms. In most
steps the photo stays but for a mouth, a jaw, an eye or any other place, which is to go on from what is around it. Of
what edits put there, a smile where there was none, no photo says what is right: to the discriminator it is to look like
one, and not to go far from what the generator draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.edit.actor import propose
from lc.edit.problem import constraints_of, pose
from lc.edit.space import LatentSpace
from lc.upsampler import Upsampler, UpsamplerConfig, surroundings
from lc.weights import load_model, load_upsampler, save_upsampler
from train.data import augment, centre, load_celeba, load_training
from train.engine import parse, program, save_grid
from train.inputs import load_vae
from train.loop import Stage, cosine, follow, train
from train.metrics import gradient_energy, psnr
from train.perceptual import Perceptual
from train.sharpness import PARTS, CriticTask, DecoderTask, PatchCritic, SharpnessTraining, View, augmented

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class UpsamplerTraining(SharpnessTraining):
    """Train the super-resolution of a generator's pictures."""

    celeba: Path = Path("data/celebahq")
    """CelebA or CelebA-HQ, in a layout with at least twice the generator's pixels."""
    out: Path = Path("runs/upsampler")
    vae: Path = Path("weights/celeba-64")
    """Weights folder of the generator."""
    margin: int = 8
    """Pixels around a crop, on every side, that training may shift it by."""
    model: UpsamplerConfig = field(default_factory=UpsamplerConfig)
    colour: float = 0.08
    """Augmentation: largest relative change of brightness."""
    images: int = 20_000
    """Photos to see in all."""
    batch: int = 8
    alone: float = 0.25
    """Share of the steps in which pictures are enlarged without a photo around them."""
    light: float = 0.08
    """Largest difference in brightness between a photo and what goes into it, of each channel by chance."""
    shrunk: float = 0.0
    """Share of the pictures that are photos made small, not what the generator makes of them: from those alone the net
    would learn to smooth what the generator misplaces."""
    pixel: float = 30.0
    features: float = 4.0
    adversarial: float = 0.05
    lpips: float = 0.0
    spectrum: float = 0.2
    vgg_weight: float = 4.0
    lr: float = 4e-4
    lr_critic: float = 2e-4
    r1: float = 0.5
    clip: float = 1.0
    """Most of a gradient's norm: without a limit, one odd batch in a thousand ruined the net."""
    ema: float = 0.99
    blend: float = 1.0
    """Share of what it adds to interpolation that is kept at the end: weights on the way to those of a net that only
    interpolates (network interpolation, Wang et al. 2018, ESRGAN)."""
    init: Path | None = None
    """Weights folder whose upsampler this begins with."""
    edited: float = 0.5
    """How many edits are put into photos for each photo that is put together again; 0 for weights without an actor."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


HELD_OUT = 256  # validation photos that it is measured on along the way

# Where edits put something into aligned crops, in parts of the side from the left and from above, and how often.
_PLACES = ((0.5, 0.74), (0.5, 0.86), (0.36, 0.5), (0.64, 0.5), (0.5, 0.42))
_SHARES = (0.4, 0.15, 0.1, 0.1, 0.05)  # elsewhere in the rest
#: What edits change of a face at those places, up to the jaw.
_CHANGES = ("Smiling", "Male", "No_Beard", "Young")


def shrunk(x: Tensor, side: int) -> Tensor:
    """(B, 3, 2S, 2S) -> (B, 3, S, S), as the editor makes a crop of a photo."""
    return F.interpolate(x, side, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def drawn_place(chance: torch.Generator) -> tuple[float, float]:
    """Where a step replaces something, in parts of the side from the left and from above."""
    rest = 1 - sum(_SHARES)
    row = int(torch.multinomial(torch.tensor([*_SHARES, rest]), 1, generator=chance))
    if row < len(_PLACES):
        return _PLACES[row]
    x, y = (0.15 + 0.7 * torch.rand(2, generator=chance)).tolist()
    return x, y


def holes(rows: int, size: int, place: tuple[float, float], chance: torch.Generator) -> Tensor:
    """What is to be replaced about a place: up to three ellipses for each of `rows` photos, with soft edges.

    Returns:
        (rows, 1, size, size) in [0, 1].
    """
    line = (torch.arange(size) + 0.5) / size
    centres = torch.tensor(place) + 0.05 * torch.randn(rows, 3, 2, generator=chance)
    radii = 0.05 + 0.25 * torch.rand(rows, 3, 2, generator=chance) ** 1.5
    radii[:, 1:] *= (torch.rand(rows, 2, 1, generator=chance) < 0.6) + 1e-3
    x, y = ((line - centres[..., i, None]) / radii[..., i, None] for i in range(2))
    far = (y[..., :, None].square() + x[..., None, :].square()).amin(1).sqrt()
    # About four pixels from none to all, whatever the ellipse's size.
    edge = 4 / size / radii[:, 0].amax(1)[:, None, None]
    return ((1 - far) / edge + 0.5).clamp(0, 1)[:, None]


class Completed(nn.Module):
    """Photos in which the upsampler has replaced something, which it sees or not."""

    def __init__(self, net: nn.Module, *, hidden: bool = True) -> None:
        super().__init__()
        self.net, self.hidden = net, hidden

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """What goes in, (B, 3, S, S), photos, (B, 3, 2S, 2S), and where, (B, 1, 2S, 2S) -> (B, 3, 2S, 2S)."""
        small, photos, missing = inputs
        return photos + missing * (self.net(small, surroundings(photos, missing, hidden=self.hidden)) - photos)


class Upsampling(Stage[UpsamplerTraining]):
    """The upsampler, and a discriminator beside it."""

    title = "upsampler"

    def __init__(self, config: UpsamplerTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.vae = load_vae(config.vae, self.device)
        self.size = 2 * self.vae.image_size
        size, margin = self.size, config.margin
        self.images = load_training(config.celeba, (), config.limit, image_size=size, margin=margin).images
        held_out = load_celeba(config.celeba, "validation", config.limit, image_size=size, margin=margin).images
        self.held_out = centre(held_out[:HELD_OUT], size)
        self.space = LatentSpace(load_model(config.vae, str(self.device))) if config.edited else None
        torch.manual_seed(self.seed)
        net = (load_upsampler(config.init) if config.init else None) or Upsampler(config.model)
        net = net.train().requires_grad_().to(memory_format=torch.channels_last)
        critic = PatchCritic(config.width).to(memory_format=torch.channels_last)
        vgg = Perceptual(config.vgg, config.vgg_stages).to(self.device) if config.vgg else None
        self.steps = config.images // self.rows
        self.completed = Completed(net)
        tasks = {
            "upsampler": (net, DecoderTask(self.completed, critic, None, vgg, config), config.lr),
            "critic": (critic, CriticTask(critic, config.r1), config.lr_critic),
        }
        for name, (module, task, lr) in tasks.items():
            optimiser = torch.optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.99), fused=True)
            average = follow(config.ema) if name == "upsampler" else None
            rate = cosine(self.steps, lr, 0.05 * lr, 100)
            self.add(name, module, optimiser, rate, task=task, average=average, clip=config.clip)

    @torch.no_grad()
    def copies(self, x: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """What the generator makes of photos: (B, 3, 2S, 2S) -> (B, 3, S, S)."""
        posterior = self.vae.encode(shrunk(x, self.vae.image_size))
        if chance is None:
            return self.vae.decode(posterior.mean)
        # Half means, half draws, near which edits and generated faces lie.
        noise = (torch.rand(len(x), 1, generator=chance) < 0.5).to(x.device)
        return self.vae.decode(
            posterior.mean + noise * posterior.std * torch.randn(posterior.std.shape, device=x.device)
        )

    @torch.no_grad()
    def edits(self, x: Tensor, chance: torch.Generator) -> Tensor:
        """What the generator draws of photos whose faces are to change: (B, 3, 2S, 2S) -> (B, 3, S, S)."""
        assert self.space is not None
        names = [name for name in _CHANGES if name in self.space.attributes.names]
        name = names[int(torch.randint(len(names), (), generator=chance))]
        wanted = bool(torch.rand(1, generator=chance) < 0.5)
        z = self.vae.encode(shrunk(x, self.vae.image_size)).mean
        problem = pose(self.space, z, constraints_of(self.space, {name: wanted}))
        far = self.space.model.calibration.for_actor(float(torch.rand(1, generator=chance)))
        return self.vae.decode(propose(self.space, problem, far))

    @torch.no_grad()
    def spoilt(self, small: Tensor, chance: torch.Generator) -> Tensor:
        """Copies in another light than their photos, half of them blurred as well, for what edits draw is softer than
        copies are."""
        config, rows = self.config, len(small)
        shift = (2 * torch.rand(rows, 3, 1, 1, generator=chance) - 1) * config.light
        common = (2 * torch.rand(rows, 1, 1, 1, generator=chance) - 1) * config.light
        soft = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
        part = (2 * torch.rand(rows, 1, 1, 1, generator=chance) - 1).clamp(0, 1).to(small)
        return (small + part * (soft - small) + (0.5 * shift + common).to(small)).clamp(0, 1)

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        config, size = self.config, self.size
        rows = torch.randint(len(self.images), (config.batch,), generator=chance)
        x = augment(self.images[rows], chance, config.colour, image_size=size)
        x = x.to(self.device, memory_format=torch.channels_last)
        view, missing = View(size, chance), torch.ones(len(x), 1, size, size)
        within = float(torch.rand(1, generator=chance)) >= config.alone
        if within:
            place = drawn_place(chance)
            view.look_at(*place)
            missing = holes(len(x), size, place, chance)
        whole, drawn = x, x[:0]
        with self.engine.autocast(), torch.no_grad():
            small = self.copies(x, chance)
            if within and self.space is not None:
                some = x[: round(config.edited * len(x))]
                small, whole = torch.cat([small, self.edits(some, chance)]), torch.cat([x, some])
                missing = torch.cat([missing, missing[: len(some)]])
            missing = missing.to(self.device)
            inputs = (self.spoilt(small, chance) if within else small, whole, missing)
            if len(whole) > len(x):
                plain = F.interpolate(inputs[0][len(x) :], size, mode="bicubic", align_corners=False)
                drawn = torch.lerp(whole[len(x) :], plain.clamp(0, 1), missing[len(x) :])
            pictures = self.completed(inputs) if config.discriminates else x[:0]
            pair = augmented(torch.cat([view(whole), view(pictures)]), chance) if config.discriminates else x[:0]
        critic = self.update("critic", pair, step % 8 == 0) if config.discriminates else 0.0
        losses = self.update("upsampler", x, inputs, drawn, view, chance)
        return dict(zip(("total", *PARTS), losses, strict=True)) | {"critic": critic}

    def measure(self, done: int) -> Mapping[str, float]:
        return self.report(self.averaged("upsampler"))

    @torch.no_grad()
    def report(self, net: Upsampler) -> dict[str, float]:
        """Held-out PSNR and gradient energy of whole pictures, PSNR of mouths alone, and a grid: photos, interpolated,
        with more resolution, and mouths put into the photos."""
        found, smooth, completed = [], [], []
        mouths = holes(len(self.held_out), self.size, _PLACES[0], torch.Generator().manual_seed(0))
        for x, missing in zip(self.held_out.split(64), mouths.split(64), strict=True):
            x = x.to(self.device)
            small = self.copies(x)
            smooth.append(F.interpolate(small, self.size, mode="bicubic", align_corners=False).clamp(0, 1).cpu())
            found.append(net(small).cpu())
            completed.append(Completed(net)((small, x, missing.to(self.device))).cpu())
        pictures, interpolated, within = torch.cat(found), torch.cat(smooth), torch.cat(completed)
        save_grid(
            torch.cat([x[:12] for x in (self.held_out, interpolated, pictures, within)]),
            self.config.out / "upsampled.png",
            columns=12,
        )
        energy, smooth_energy = (
            float((gradient_energy(one) / gradient_energy(self.held_out)).mean()) for one in (pictures, interpolated)
        )
        pasted = self.held_out + mouths * (interpolated - self.held_out)
        error, before = ((mouths * (one - self.held_out)).square().sum() / mouths.sum() for one in (within, pasted))
        return {
            "held_out_psnr": float(psnr(pictures, self.held_out).mean()),
            "interpolated_psnr": float(psnr(interpolated, self.held_out).mean()),
            "gradient_energy": energy,
            "interpolated_gradient_energy": smooth_energy,
            "mouth_psnr": float(-10 * (error / 3).log10()),
            "interpolated_mouth_psnr": float(-10 * (before / 3).log10()),
        }

    def finish(self) -> str:
        net = self.averaged("upsampler")
        for parameter in net.last.parameters():
            parameter.mul_(self.config.blend)
        save_upsampler(self.config.out / "weights", net)
        found = self.report(net)
        return f"held-out {found['held_out_psnr']:.2f} dB, gradient energy {found['gradient_energy']:.3f}"


@program
def main() -> None:
    train(Upsampling, parse(UpsamplerTraining))


if __name__ == "__main__":
    main()

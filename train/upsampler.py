"""Train the super-resolution of a generator's pictures, see `lc.upsampler`: the generator stays as it is.

    python -m train.upsampler --vae weights/celeba-64 --celeba data/celebahq --vgg cache/perceptual --out runs/upsampler

A photo is shrunk to the generator's size, encoded and decoded, and its decoded picture is to become the photo at twice
that size: in its pixels, in features that were learned on other photos (`train.perceptual`), in local power spectra,
and to a patch discriminator trained beside it (Ledig et al. 2017, SRGAN); see `train.sharpness` for the terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from lc.upsampler import Upsampler, UpsamplerConfig
from lc.weights import save_upsampler
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
    images: int = 8_000
    """Photos to see in all."""
    batch: int = 8
    pixel: float = 30.0
    features: float = 0.0
    adversarial: float = 0.0
    spectrum: float = 0.0
    vgg_weight: float = 4.0
    lr: float = 5e-4
    lr_critic: float = 4e-4
    ema: float = 0.99
    limit: int | None = None
    """Use only so many photos: a dry run."""


HELD_OUT = 256  # validation photos that it is measured on along the way


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
        torch.manual_seed(self.seed)
        net = Upsampler(config.model).to(memory_format=torch.channels_last)
        critic = PatchCritic(config.width).to(memory_format=torch.channels_last)
        vgg = Perceptual(config.vgg, config.vgg_stages).to(self.device) if config.vgg else None
        self.steps = config.images // self.rows
        tasks = {
            "upsampler": (net, DecoderTask(net, critic, None, vgg, config), config.lr),
            "critic": (critic, CriticTask(critic, config.r1), config.lr_critic),
        }
        for name, (module, task, lr) in tasks.items():
            optimiser = torch.optim.Adam(module.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
            average = follow(config.ema) if name == "upsampler" else None
            self.add(name, module, optimiser, cosine(self.steps, lr, 0.05 * lr, 100), task=task, average=average)

    @torch.no_grad()
    def copies(self, x: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """What the generator makes of photos: (B, 3, 2S, 2S) -> (B, 3, S, S)."""
        small = F.interpolate(x, self.vae.image_size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        posterior = self.vae.encode(small)
        if chance is None:
            return self.vae.decode(posterior.mean)
        # Half means, half draws, near which edits and generated faces lie.
        noise = (torch.rand(len(x), 1, generator=chance) < 0.5).to(x.device)
        return self.vae.decode(
            posterior.mean + noise * posterior.std * torch.randn(posterior.std.shape, device=x.device)
        )

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        config, net = self.config, self.nets["upsampler"].module
        rows = torch.randint(len(self.images), (config.batch,), generator=chance)
        x = augment(self.images[rows], chance, config.colour, image_size=self.size)
        x = x.to(self.device, memory_format=torch.channels_last)
        view = View(self.size, chance)
        with self.engine.autocast(), torch.no_grad():
            small = self.copies(x, chance)
            pair = augmented(torch.cat([view(x), view(net(small))]), chance) if config.discriminates else x[:0]
        critic = self.update("critic", pair, step % 8 == 0) if config.discriminates else 0.0
        losses = self.update("upsampler", x, small, x[:0], view, chance)
        return dict(zip(("total", *PARTS), losses, strict=True)) | {"critic": critic}

    def measure(self, done: int) -> Mapping[str, float]:
        return self.report(self.averaged("upsampler"))

    @torch.no_grad()
    def report(self, net: Upsampler) -> dict[str, float]:
        """Held-out PSNR and gradient energy, and a grid: photos, interpolated, with more resolution."""
        found, smooth = [], []
        for x in self.held_out.split(64):
            small = self.copies(x.to(self.device))
            smooth.append(F.interpolate(small, self.size, mode="bicubic", align_corners=False).clamp(0, 1).cpu())
            found.append(net(small).cpu())
        pictures, interpolated = torch.cat(found), torch.cat(smooth)
        save_grid(
            torch.cat([self.held_out[:12], interpolated[:12], pictures[:12]]),
            self.config.out / "upsampled.png",
            columns=12,
        )
        energy, smooth_energy = (
            float((gradient_energy(one) / gradient_energy(self.held_out)).mean()) for one in (pictures, interpolated)
        )
        return {
            "held_out_psnr": float(psnr(pictures, self.held_out).mean()),
            "interpolated_psnr": float(psnr(interpolated, self.held_out).mean()),
            "gradient_energy": energy,
            "interpolated_gradient_energy": smooth_energy,
        }

    def finish(self) -> str:
        net = self.averaged("upsampler")
        save_upsampler(self.config.out / "weights", net)
        found = self.report(net)
        return f"held-out {found['held_out_psnr']:.2f} dB, gradient energy {found['gradient_energy']:.3f}"


@program
def main() -> None:
    train(Upsampling, parse(UpsamplerTraining))


if __name__ == "__main__":
    main()

"""Sharpen the decoder with a learned similarity, encoder and latents untouched.

    python -m train.sharpen --vae runs/vae/weights --extra cache/lfw.safetensors --out runs/sharpen \\
        --perceptual runs/perceptual/weights [--editor weights/celeba-64] [--decoder-widths 64 128 256 256]

A pixel likelihood gives the mean of all faces that a latent may stand for, which is soft. Here the decoder learns on,
from the features of a patch discriminator trained beside it (VAE/GAN, Larsen et al. 2016; spectral norm and hinge loss,
Miyato et al. 2018), from those of a classifier of sharp photos (as LPIPS does, Zhang et al. 2018, but trained here on
the same photos), and from local power spectra (after Durall et al. 2020), while the pixel term keeps the person and
patterns that repeat from pixel to pixel are penalised.
Critics and actor work on unchanged: z means what it meant.

Edits and generated faces lie where no photo's encoding does, and there is no photo to compare them with. With --editor
the discriminator sees these as well, and they are to stay like what the editor's own decoder draws of the same latents.
--decoder-widths and --decoder-bottleneck make another decoder: what does not fit it begins anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from lc.edit.actor import propose_corrected, realistic
from lc.edit.problem import constraints_of, pose
from lc.edit.space import LatentSpace
from lc.invert import invert
from lc.vae import VAE, Decoder
from lc.weights import load_model, save_generator
from train.attributes import ATTRIBUTES
from train.classifier import load_perceptual
from train.data import MARGIN, augment, centre, load_celeba, load_training
from train.engine import parse, program, save_grid
from train.inputs import load_vae
from train.loop import Stage, cosine, follow, seeded, train
from train.metrics import gradient_energy, psnr
from train.perceptual import FOLDER, Perceptual
from train.sharpness import PARTS, CriticTask, DecoderTask, PatchCritic, SharpnessTraining, View, augmented
from train.tuning import tuning_of
from train.vae import grow

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class SharpenTraining(SharpnessTraining):
    """Sharpen the decoder."""

    out: Path = Path("runs/sharpen")
    celeba: Path = Path("data/celeba")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare."""
    vae: Path = Path("runs/vae/weights")
    """Weights folder of the VAE."""
    weights: Path | None = None
    """Where the sharpened decoder goes, OUT/weights when not given."""
    perceptual: Path | None = None
    """Folder of a "perceptual" classifier."""
    editor: Path | None = None
    """A whole weights folder: its edits and generated faces are learned from as well."""
    decoder_widths: tuple[int, ...] = ()
    """See VAEConfig; none: as they are."""
    decoder_bottleneck: int = 0
    """Likewise."""
    margin: int = MARGIN
    """Pixels around a crop, on every side, that training may shift it by."""
    detail: int = 16
    """Channels of the decoder's fine lines; see VAEConfig."""
    images: int = 43_000
    """Photos to see in all."""
    batch: int = 64
    imagined: int = 4_000
    """Photos that it edits, and faces that it generates."""
    made: float = 0.5
    """Edits and generated faces to a batch, as a share of its photos, up to 1."""
    searched: int = 4
    """Every so many steps the latents are those that the app finds, see `lc.invert`; 0: never."""
    ema: float = 0.995
    crispness: float = 0.14
    """Amount of unsharp masking in what is written; see VAEConfig."""
    blend: float = 0.75
    """Share of the sharpened weights in those that are written, the rest the VAE's (Wortsman et al. 2022): the last of
    the sharpness costs the most decibels and leaves grain. 1 where the decoder's sizes change."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


PRESETS = {
    "cpu": SharpenTraining(),
    "celeba-128": SharpenTraining(
        celeba=Path("data/celebahq"),
        margin=2,
        # At 2e-4 Adam's own noise is hatching within a hundred steps; a discriminator is yet to be tried below that.
        lr=4e-5,
        features=0.0,
        adversarial=0.0,
        spectrum=0.0,
        vgg=FOLDER,
        vgg_stages=4,
        vgg_weight=4.0,
        images=3_520,
        batch=16,
        searched=0,
        crispness=0.5,
        blend=1.0,
    ),
    "paper": SharpenTraining(width=96, images=2_000_000, batch=128),
}


@torch.no_grad()
def imagine(space: LatentSpace, photos: Tensor, seed: int, rows: int = 250) -> Tensor:
    """Latents to draw without a photo, (2N, latent): an edit of each photo (N, latent), as many generated faces.

    Edits change one to three attributes as the app does, generated faces have the training photos' label vectors, the
    rare ones more often.
    """
    generator, model = torch.Generator().manual_seed(seed), space.model
    device, often = photos.device, model.label_counts.sqrt()
    found = []
    for part in tqdm(photos.split(rows), desc="imagine", leave=False):
        count = int(torch.randint(1, 4, (), generator=generator))
        columns = torch.randperm(len(ATTRIBUTES), generator=generator)[:count].tolist()
        identity, *wanted = torch.rand(1 + len(ATTRIBUTES), generator=generator).tolist()
        problem = pose(space, part, constraints_of(space, {ATTRIBUTES[i]: wanted[i] < 0.5 for i in columns}))
        scale = model.calibration.for_actor(identity)
        edits, _ = propose_corrected(space, problem, scale, space.tuning.correction_steps)
        y = model.label_vectors[torch.multinomial(often, len(part), replacement=True, generator=generator)].to(device)
        noise = torch.randn(part.shape, generator=generator).to(device)
        found += [edits, realistic(space, noise, y)]
    return torch.cat(found)


@torch.no_grad()
def report(vae: VAE, decoder: Decoder, images: Tensor, path: Path) -> dict[str, float]:
    """Held-out PSNR and gradient energy of a decoder, and a grid: photos, before, after."""
    device = next(vae.parameters()).device
    z = torch.cat([vae.encode(x.to(device)).mean for x in images.split(128)])
    copies = torch.cat([decoder(part) for part in z.split(128)]).cpu()
    energy = (gradient_energy(copies) / gradient_energy(images)).mean()
    save_grid(torch.cat([images[:16], vae.decode(z[:16]).cpu(), copies[:16]]), path, columns=16)
    return {"held_out_psnr": float(psnr(copies, images).mean()), "gradient_energy": float(energy)}


class Sharpening(Stage[SharpenTraining]):
    """The decoder, and a discriminator beside it."""

    title = "sharpen"

    def __init__(self, config: SharpenTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.vae = load_vae(config.vae, self.device)
        self.tuning = tuning_of(config.vae) if config.searched else None
        self.size = self.vae.image_size
        crops = load_training(config.celeba, config.extra, config.limit, image_size=self.size, margin=config.margin)
        held_out = load_celeba(
            config.celeba, "validation", config.limit, image_size=self.size, margin=config.margin
        ).images
        self.images, self.held_out = crops.images, centre(held_out, self.size)
        torch.manual_seed(self.seed)
        sizes = dataclasses.replace(
            self.vae.config,
            detail=config.detail,
            crispness=0.0,
            decoder_widths=config.decoder_widths or self.vae.config.decoder_widths,
            decoder_bottleneck=config.decoder_bottleneck or self.vae.config.decoder_bottleneck,
        )
        # Batch norm keeps the statistics it has: the average of the weights would not fit moving ones.
        self.sharp = grow(self.vae, sizes).eval().to(self.device)
        decoder = self.sharp.decoder.to(memory_format=torch.channels_last)
        decoder.colours.requires_grad_(False)
        # What is blended with in the end is kept in checkpoints: the VAE's folder may hold what is written then.
        self.kept = {name: value.clone() for name, value in decoder.state_dict().items()}
        self.classifier = load_perceptual(config.perceptual, self.device)
        critic = PatchCritic(config.width).to(memory_format=torch.channels_last)
        vgg = Perceptual(config.vgg, config.vgg_stages).to(self.device) if config.vgg else None
        self.steps = config.images // self.rows
        tasks = {
            "decoder": (decoder, DecoderTask(decoder, critic, self.classifier, vgg, config), config.lr),
            "critic": (critic, CriticTask(critic, config.r1), config.lr_critic),
        }
        for name, (net, task, lr) in tasks.items():
            optimiser = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
            average = follow(config.ema, head_start=100) if name == "decoder" else None
            self.add(name, net, optimiser, cosine(self.steps, lr, 0.05 * lr, 100), task=task, average=average)
        self.space = LatentSpace(load_model(config.editor, config.device)) if config.editor else None
        self.made = self.imagined()

    @torch.no_grad()
    def imagined(self) -> Tensor:
        """Latents to draw without a photo, (N, latent); none without an editor."""
        if not self.space:
            return torch.zeros(0, self.vae.latent, device=self.device)
        few = self.images[torch.randperm(len(self.images), generator=seeded(self.seed, 0))[: self.config.imagined]]
        encoded = torch.cat([self.vae.encode(centre(x, self.size).to(self.device)).mean for x in few.split(256)])
        return imagine(self.space, encoded, self.seed)

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        config, decoder = self.config, self.sharp.decoder
        rows = torch.randint(len(self.images), (config.batch,), generator=chance)
        x = augment(self.images[rows], chance, image_size=self.size)
        x = x.to(self.device, memory_format=torch.channels_last)
        count = min(config.batch, round(config.made * config.batch)) if self.space else 0
        extra = self.made[torch.randint(max(1, len(self.made)), (count,), generator=chance)]
        view = View(self.size, chance)
        z = self.latents(x, chance, step)
        z = torch.cat([z, extra])
        with self.engine.autocast(), torch.no_grad():
            drawn = self.space.model.generator.decode(extra) if self.space else x[:0]
        critic: Tensor | float = 0.0
        if config.discriminates:
            with self.engine.autocast(), torch.no_grad():
                pair = augmented(view(torch.cat([x, x[:count], decoder(z)])), chance)
            critic = self.update("critic", pair, step % 8 == 0)
        losses = self.update("decoder", x, z, drawn, view, chance)
        return dict(zip(("total", *PARTS), losses, strict=True)) | {"critic": critic}

    def latents(self, x: Tensor, chance: torch.Generator, step: int) -> Tensor:
        """Where photos (B, 3, S, S) lie, (B, latent): now and then as the app finds them, else as the encoder says."""
        if self.tuning and step % self.config.searched == 0:
            return invert(self.sharp, x, self.tuning, perceptual=self.classifier)[0]
        with self.engine.autocast(), torch.no_grad():
            posterior = self.vae.encode(x)
        # Half means, half draws, near which edits and generated faces lie.
        noise = (torch.rand(len(x), 1, generator=chance) < 0.5).to(x.device)
        return posterior.mean + noise * posterior.std * torch.randn(posterior.std.shape, device=x.device)

    def measure(self, done: int) -> Mapping[str, float]:
        return report(self.vae, self.averaged("decoder"), self.held_out[:256], self.config.out / "sharpened.png")

    def finish(self) -> str:
        config, decoder = self.config, self.averaged("decoder")
        blended = {
            name: torch.lerp(self.kept[name].float(), value.float(), config.blend).to(value.dtype)
            for name, value in decoder.state_dict().items()
        }
        sharp = grow(self.sharp, dataclasses.replace(self.sharp.config, crispness=config.crispness))
        sharp.decoder.load_state_dict(blended)
        sharp.eval().to(self.device)
        folder = config.weights or config.out / "weights"
        save_generator(folder, sharp)
        found = report(self.vae, sharp.decoder, self.held_out, config.out / "sharpened.png")
        psnr, energy = found["held_out_psnr"], found["gradient_energy"]
        return f"held-out {psnr:.2f} dB, gradient energy {energy:.3f}; decoder in {folder}"


@program
def main() -> None:
    train(Sharpening, parse(SharpenTraining, PRESETS))


if __name__ == "__main__":
    main()

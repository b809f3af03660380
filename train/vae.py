"""Train the generator: a VAE without labels.

    python -m train.vae --celeba data/celeba --extra cache/lfw.safetensors --out runs/vae
    python -m train.vae --celeba data/celeba --out runs/vae --resume
    python -m train.vae --preset celeba-128 --init runs/linear/weights --out runs/vae128
    torchrun --nproc_per_node 2 -m train.vae --celeba data/celeba --out runs/vae

L = E_q[ sum_pixels (x - decode(z))^2 / (2 sigma_x^2) ] + beta KL(q(z|x) || N(0, I)), Kingma and Welling 2014.
With --perceptual, plus the distance between a classifier's features of photo and copy (as VAE/GAN adds a learned
similarity, Larsen et al. 2016), so that the latent has room for what a few pixels decide: thin frames, stubble. With
--vgg, plus that between VGG16's features, which were learned on other photos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lc.classifier import Classifier, feature_distance
from lc.critics import LatentStatistics
from lc.errors import LatentConstraintsError
from lc.losses import kl_divergence, pixel_nll
from lc.vae import VAE, BottleneckBlock, ResidualBlock, VAEConfig
from lc.weights import save_generator, save_statistics
from train.classifier import load_perceptual
from train.data import IMAGE_SIZE, MARGIN, augment, centre, load_celeba, load_training
from train.engine import RunConfig, parse, program, save_grid
from train.inputs import load_vae
from train.loop import Stage, cosine, train
from train.metrics import psnr
from train.perceptual import Perceptual

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class VAETraining(RunConfig):
    """Train the generator."""

    out: Path = Path("runs/vae")
    celeba: Path = Path("data/celeba")
    """CelebA in its official layout, full or half size."""
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare."""
    init: Path | None = None
    """Weights folder to start from; `model` may add blocks, channels and pixels to what is there, see `grow`."""
    model: VAEConfig = field(default_factory=VAEConfig)
    sigma_x: float = 0.1
    """Standard deviation of the pixel likelihood, pixels in [0, 1]."""
    focus: float = 0.0
    """How many times more a pixel counts in the middle of the face than in a corner, less one: what a latent has no
    room for should be background before it is glasses, lips or stubble. The mean weight is 1."""
    perceptual: Path | None = None
    """Folder of a "perceptual" classifier."""
    lpips: float = 1_500.0
    """Weight of the distance between its features, in nats per unit: the pixels of a photo cost about 2,500."""
    vgg: Path | None = None
    """Folder of what `python -m train.perceptual fetch` puts there."""
    vgg_weight: float = 25_000.0
    """Weight of the distance between those features, in nats per unit; at 128 pixels and sigma_x .07 the pixels of a
    photo cost about 18,000."""
    margin: int = MARGIN
    """Pixels around a crop, on every side, that training may shift it by."""
    decoder_first: int = 0
    """Steps in which the encoder is left as it is, for a decoder with new layers."""
    colour: float = 0.0
    """Augmentation: largest relative change of brightness."""
    zoom: float = 0.0
    """Augmentation: share of the photos shown a little larger or smaller."""
    beta: float = 1.0
    beta_warmup: int = 1_500
    """Steps over which beta grows to its value, so that the latents are used before they are priced."""
    images: int = 384_000
    """Photos to see in all."""
    batch: int = 64
    """Photos per step and process."""
    lr: float = 8e-4
    lr_final: float = 2e-6
    warmup: int = 300
    """Steps of linear learning-rate warm-up."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


PRESETS = {
    "cpu": VAETraining(),
    # From what train.linear finds, which stays: the decoder learns to add what is not linear.
    "celeba-128": VAETraining(
        celeba=Path("data/celebahq"),
        model=VAEConfig(
            decoder_widths=(96, 128, 256, 256),
            decoder_bottleneck=128,
            patch=4,
            fine_blocks=2,
            linear=64,
        ),
        margin=2,
        sigma_x=0.07,
        focus=0.5,
        colour=0.08,
        beta_warmup=1,
        images=51_200,
        batch=32,
        lr=5e-4,
        lr_final=4e-6,
        warmup=200,
    ),
    "paper": VAETraining(
        model=VAEConfig(widths=(128, 256, 512, 1024), bottleneck=512, encoder_blocks=1, decoder_blocks=2),
        images=200_000 * 256,
        batch=256,
        lr=3e-4,
        lr_final=1e-6,
    ),
}


HELD_OUT = 1_000  # validation photos that reconstructions are measured on along the way
_LOOK = 64  # side of the part of a picture that VGG sees, another one in each step; all of it takes too long


class Trainee(nn.Module):
    """One forward pass from photos to losses, so that the distributed wrapper sees a single module."""

    weight: Tensor

    def __init__(
        self,
        vae: VAE,
        config: VAETraining,
        classifier: Classifier | None = None,
        vgg: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.vae, self.config = vae, config
        self._beside = classifier, vgg  # in a tuple, so that they become no part of this module
        self.register_buffer("weight", focus_map(config.focus, vae.image_size), persistent=False)

    def forward(self, images: Tensor, beta: float) -> Tensor:
        """(B, 3, S, S) and the weight of the KL -> the loss, and its three parts as `losses` gives them: (4,) means."""
        nll, perceptual, kl = self.losses(images)
        return torch.stack([(nll + perceptual + beta * kl).mean(), *(x.detach().mean() for x in (nll, perceptual, kl))])

    def losses(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, S, S) -> pixel negative log-likelihood, weighted feature distance and KL, (B,) each, in nats."""
        posterior = self.vae.encode(images)
        reconstruction = self.vae.decode(posterior.sample())
        root = self.weight.sqrt()
        nll = pixel_nll(images * root, reconstruction * root, self.config.sigma_x)
        classifier, vgg = self._beside
        perceptual = torch.zeros_like(nll)
        half = -(-len(images) // 2)  # of the photos, which costs half: either net takes longer than the VAE
        photos, copies = images[-half:], reconstruction[-half:]
        if classifier:
            with torch.no_grad():
                wanted = classifier.maps(photos)
            perceptual[-half:] = 2 * self.config.lpips * feature_distance(classifier.maps(copies), wanted)
        if vgg:
            size = self.vae.image_size
            down, right = torch.randint(max(size - _LOOK, 0) + 1, (2,)).tolist()
            part = ..., slice(down, down + _LOOK), slice(right, right + _LOOK)
            perceptual[-half:] += 2 * self.config.vgg_weight * vgg(photos[part], copies[part])
        return nll, perceptual, kl_divergence(posterior)


def focus_map(focus: float, size: int = IMAGE_SIZE) -> Tensor:
    """Weight of each pixel, (size, size) with mean 1: a Gaussian over the face in CelebA's pose, on a flat ground."""
    places = (torch.arange(size, dtype=torch.float32) + 0.5) * (64 / size) - 0.5  # of 64
    down = ((places - 38) / 20).square()  # from the brows to the chin
    across = ((places - 31.5) / 16).square()
    weight = 1 + focus * torch.exp(-0.5 * (down[:, None] + across))
    return weight / weight.mean()


def grow(small: VAE, config: VAEConfig) -> VAE:
    """A VAE with more residual blocks, wider layers, larger pictures or detail that computes what `small` does.

    What is new adds nothing yet: new blocks and detail begin at zero, and so does what reads new channels (Chen et al.
    2016, Net2Net). A patch of twice the side is read as its average over 2x2 pixels and drawn as such, so that training
    at a small size, which is cheap, is the first part of training at a large one (Karras et al. 2018). Detail that
    `config` has no room for is left out, and layers that it wants narrower begin anew.

    A linear encoder stays what it is.

    Raises:
        RuntimeError: the sizes differ by more than that.
    """
    vae = VAE(config)
    pairs: list[tuple[Any, Any]] = [(small.decoder, vae.decoder)]
    if small.config.linear != config.linear:
        raise RuntimeError(f"an encoder that is linear in {small.config.linear} pixels cannot be so in {config.linear}")
    if config.linear:
        vae.encoder.load_state_dict(small.encoder.state_dict())
    else:
        pairs.insert(0, (small.encoder, vae.encoder))
    for old, new in pairs:
        same = [(module, getattr(new, name)) for name, module in old.named_children() if name != "features"]
        kept = list(old.features)
        for module in new.features:
            if isinstance(module, ResidualBlock | BottleneckBlock) and not (kept and type(kept[0]) is type(module)):
                for parameter in module.body[-1].parameters():
                    nn.init.zeros_(parameter)
            else:
                same.append((kept.pop(0), module))
        for module, copy in same:
            if copy is not None and (new is vae.encoder or _fits(module, copy)):
                _widen(module, copy)
    return vae


def _fits(small: nn.Module, large: nn.Module) -> bool:
    """Whether every tensor of `small` has a place in `large`'s."""
    pairs = zip(small.state_dict().values(), large.state_dict().values(), strict=True)
    return all(a.ndim == b.ndim and all(x <= y for x, y in zip(a.shape, b.shape, strict=True)) for a, b in pairs)


@torch.no_grad()
def _widen(small: nn.Module, large: nn.Module) -> None:
    """Copy weights into a layer of the same or a larger size that then computes the same from what is not new."""
    old, new = small.state_dict(), large.state_dict()
    if old.keys() != new.keys():
        raise RuntimeError(f"a {type(small).__name__} cannot become a {type(large).__name__}")
    transposed = isinstance(large, nn.ConvTranspose2d)
    for name, target in new.items():
        source = old[name]
        if source.ndim == 4 and (times := target.shape[-1] // source.shape[-1]) > 1:
            source = source.repeat_interleave(times, 2).repeat_interleave(times, 3)
            source = source if transposed else source / times**2
        if source.ndim >= 2 and source.shape != target.shape:
            inputs = 0 if transposed else 1
            target.narrow(inputs, source.shape[inputs], target.shape[inputs] - source.shape[inputs]).zero_()
        target[tuple(slice(size) for size in source.shape)] = source


@torch.no_grad()
def reconstruction_psnr(vae: VAE, images: Tensor, batch: int = 128) -> float:
    """Mean PSNR in dB of decode(mean of q(z|x)) over images (N, 3, S, S) in [0, 1]."""
    vae.eval()
    device = next(vae.parameters()).device
    values = [psnr(vae.decode(vae.encode(x.to(device)).mean), x.to(device)) for x in images.split(batch)]
    vae.train()
    return float(torch.cat(values).mean())


@torch.no_grad()
def latent_statistics(vae: VAE, images: Tensor, batch: int = 256) -> LatentStatistics:
    """Mean, std and sigma_bar of the encodings of photos (N, 3, S, S) uint8, un-augmented."""
    vae.eval()
    device = next(vae.parameters()).device
    crops = (centre(x, vae.image_size) for x in tqdm(images.split(batch), desc="latent statistics", leave=False))
    mean, std = (torch.cat(parts) for parts in zip(*(vae.encode(x.to(device)) for x in crops), strict=True))
    return LatentStatistics(mean.mean(0), (mean.var(0) + std.square().mean(0)).sqrt(), std.mean(0))


@torch.no_grad()
def grid(vae: VAE, images: Tensor, path: Path) -> None:
    """Photos, reconstructions and prior samples, eight each."""
    vae.eval()
    device = next(vae.parameters()).device
    x = images[:8].to(device)
    prior = torch.randn(8, vae.latent, generator=torch.Generator().manual_seed(0)).to(device)
    save_grid(torch.cat([x, vae.decode(vae.encode(x).mean), vae.decode(prior)]), path)
    vae.train()


class VAEStage(Stage[VAETraining]):
    """The VAE, with nothing beside it."""

    title = "vae"

    def __init__(self, config: VAETraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        size, margin = config.model.image_size, config.margin
        crops = load_training(config.celeba, config.extra, config.limit, image_size=size, margin=margin)
        validation = load_celeba(config.celeba, "validation", config.limit, image_size=size, margin=margin)
        self.images, self.size = crops.images, size
        self.held_out = centre(validation.images[:HELD_OUT], size)
        self.seen = centre(crops.images[: len(self.held_out)], size)
        torch.manual_seed(self.seed)
        if config.model.linear and not config.init:
            raise LatentConstraintsError(
                "A linear encoder is found, not trained: run python -m train.linear, and name its weights with --init."
            )
        self.vae = grow(load_vae(config.init, self.device), config.model) if config.init else VAE(config.model)
        self.vae.to(memory_format=torch.channels_last)
        self.vae.decoder.colours.requires_grad_(False)
        classifier = load_perceptual(config.perceptual, self.device, size)
        vgg = Perceptual(config.vgg, 3).to(self.device) if config.vgg else None
        self.steps = config.images // self.rows
        self.add(
            "vae",
            self.vae,
            torch.optim.Adam(self.vae.parameters(), lr=config.lr, fused=True),
            cosine(self.steps, config.lr, config.lr_final, config.warmup),
            task=Trainee(self.vae, config, classifier, vgg),
        )

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        config = self.config
        rows = torch.randint(len(self.images), (config.batch,), generator=chance)
        x = augment(self.images[rows], chance, config.colour, config.zoom, image_size=self.size)
        learns = step >= config.decoder_first and not config.model.linear
        self.vae.encoder.requires_grad_(learns).train(learns)
        beta = config.beta * min(1.0, (step + 1) / config.beta_warmup)
        _, nll, perceptual, kl = self.update("vae", x.to(self.device, memory_format=torch.channels_last), beta)
        return {"nll": nll, "perceptual": perceptual, "kl": kl, "beta": beta}

    def measure(self, done: int) -> Mapping[str, float]:
        if done % (10 * self.config.log_steps):
            return {}
        grid(self.vae, self.held_out, self.config.out / "reconstructions.png")
        held_out, seen = (reconstruction_psnr(self.vae, x[:256]) for x in (self.held_out, self.seen))
        return {"held_out_psnr": held_out, "trained_on_psnr": seen}

    def finish(self) -> str:
        weights = self.config.out / "weights"
        save_generator(weights, self.vae)
        save_statistics(weights, latent_statistics(self.vae, self.images))
        held_out, seen = (reconstruction_psnr(self.vae, x) for x in (self.held_out, self.seen))
        return f"held-out reconstruction {held_out:.2f} dB, trained on {seen:.2f} dB; weights in {weights}"


@program
def main() -> None:
    train(VAEStage, parse(VAETraining, PRESETS))


if __name__ == "__main__":
    main()

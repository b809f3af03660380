"""Train a generator without an encoder: a GAN, without labels.

    python -m train.gan --celeba data/celebahq --perceptual weights/celeba-64 --out runs/gan

The discriminator sees pictures through the frozen features of a classifier that knows faces, at four sizes, with a
small head for each (Projected GAN, Sauer et al. 2021): it need not learn what a face is, which takes a GAN from pixels
most of its time. Hinge loss, spectral norm (Miyato et al. 2018), the same shift and brightness for photos and generated
faces (Zhao et al. 2020), R1 on the features (Mescheder et al. 2018), an average of the generator's weights.

Part of each batch begins at codes of photos, the whitened principal components of their pixels, where GLO begins too
(Bojanowski et al. 2018), and is to look like these photos; the rest is drawn from the prior N(0, I), whose mean and
covariance the codes have. So every photo has its place, rare ones as well, and training takes a small part of the
pictures that a GAN takes otherwise. The weights folder has no part of that, and photos go in by inversion;
codes.safetensors beside it has the training photos' codes, see `train.decoded --codes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lc.classifier import Classifier, feature_distance
from lc.errors import LatentConstraintsError
from lc.files import write_bytes
from lc.gan import GAN, GANConfig
from lc.invert import measured_statistics
from lc.tuning import Tuning
from lc.weights import bundled_classifier, save_generator, save_statistics, save_tuning
from train.data import augment, centre, load_celeba
from train.engine import RunConfig, parse, program, save_grid
from train.inputs import check_size
from train.loop import Stage, cosine, follow, seeded, train
from train.sharpness import augmented
from train.tuning import LEGACY_TUNING

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Codes", "Discriminator", "DiscriminatorTask", "GANTraining", "GeneratorTask", "principal_components"]

SIDE = 32  # of the pictures whose principal components are the codes, in pixels
PARTS = ("adversarial", "mse", "features")
INVERSION_STEPS = 60  # descent that begins at a draw takes more than one that begins where an encoder says


@dataclass(frozen=True)
class GANTraining(RunConfig):
    """Train a generator without an encoder."""

    out: Path = Path("runs/gan")
    celeba: Path = Path("data/celebahq")
    oversampled: int = 2
    """Photos are cut at so many times the size and averaged: 2 takes the crops that training at twice the size has
    cached."""
    perceptual: Path = Path("weights/celeba-64")
    """Folder of a "perceptual" classifier: what the discriminator sees by, and what copies are compared by."""
    model: GANConfig = field(default_factory=GANConfig)
    width: int = 48
    """Channels of the discriminator's heads."""
    stages: int = 4
    """How many of the classifier's stages the discriminator sees, from the finest."""
    anchored: float = 0.5
    """Share of a batch that begins at photos' codes; 0: a plain GAN."""
    components: int = 8_000
    """Photos whose principal components are the codes."""
    images: int = 64_000
    """Photos to see in all."""
    batch: int = 16
    lr: float = 8e-4
    lr_discriminator: float = 6e-4
    warmup: int = 50
    pixel: float = 100.0
    """Weight of the mean squared error between a photo and what is drawn at its code."""
    features: float = 4.0
    """Weight of the distance between the classifier's features."""
    adversarial: float = 0.5
    """Weight of the hinge loss."""
    r1: float = 0.2
    """Weight of the gradient penalty on photos' features, applied every 8th step."""
    sigma_x: float = 0.15
    """Standard deviation of pixels in [0, 1] by which the unit of a step in each dimension is measured."""
    ema: float = 0.995
    margin: int = 4
    """Pixels around a crop, on every side, that training may shift it by."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


class Codes(nn.Module):
    """Pictures -> whitened principal components of their pixels at 32x32: mean 0 and covariance I over photos."""

    mean: Tensor
    axes: Tensor

    def __init__(self, mean: Tensor, axes: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)  # (3072,)
        self.register_buffer("axes", axes)  # (3072, latent)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, latent)."""
        codes: Tensor = (pooled(images) - self.mean) @ self.axes
        return codes


def pooled(images: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 3072), at 32x32."""
    return F.interpolate(images, SIDE, mode="area").flatten(1)


@torch.no_grad()
def principal_components(images: Tensor, latent: int, batch: int = 512) -> Codes:
    """Codes of `latent` dimensions, fitted to photos (N, 3, S, S) in [0, 1].

    Raises:
        LatentConstraintsError: there are fewer photos than dimensions.
    """
    if len(images) <= latent:
        raise LatentConstraintsError(
            f"{len(images)} photos have no {latent} principal components: take more, or give --model.latent "
            f"{max(1, len(images) - 1)} or --anchored 0."
        )
    total, square, count = torch.zeros(3 * SIDE**2), torch.zeros(3 * SIDE**2, 3 * SIDE**2), 0
    for part in images.split(batch):
        x = pooled(part)
        x = torch.cat([x, x.unflatten(1, (3, SIDE, SIDE)).flip(3).flatten(1)])  # training flips them
        total, square, count = total + x.sum(0), square + x.T @ x, count + len(x)
    mean = total / count
    values, vectors = torch.linalg.eigh(square / count - mean[:, None] * mean)
    largest = values[-latent:].flip(0).clamp_min(1e-6)
    return Codes(mean, vectors[:, -latent:].flip(1) * largest.rsqrt())


def maps_of(classifier: Classifier, images: Tensor, stages: int) -> list[Tensor]:
    """The first of a classifier's maps, see `Classifier.maps`, without the time that the others take.

    Pictures are blurred a little first: slopes of strided convolutions repeat every two and four pixels, and a
    generator that follows them draws dots which such a classifier hardly tells from texture.
    """
    found, x = [], blurred(images) * 2 - 1
    for level in range(min(stages, len(classifier.config.widths))):
        x = classifier.body[level * classifier.stage : (level + 1) * classifier.stage](x)
        found.append(F.normalize(x.float(), dim=1))
    return found


def blurred(images: Tensor) -> Tensor:
    """(B, 3, S, S) with a binomial filter of five pixels: nothing repeats every two pixels, little every four."""
    taps = images.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = (taps[:, None] * taps).expand(3, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)


class Head(nn.Sequential):
    """A classifier's maps at one size -> logits, one a place of a grid of at most 8x8."""

    def __init__(self, inputs: int, side: int, width: int) -> None:
        layers: list[nn.Module] = []
        while side > 8 or not layers:
            stride = 2 if side > 4 else 1
            convolution = nn.Conv2d(inputs, width, 4 if stride == 2 else 3, stride, 1)
            layers += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
            inputs, side = width, side // stride
        super().__init__(*layers, spectral_norm(nn.Conv2d(inputs, 1, 3, padding=1)))


class Discriminator(nn.Module):
    """Is it a photo? A head for each of a classifier's maps, which are what it is shown."""

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(inputs, 32 >> level, width) for level, inputs in enumerate(widths))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, width, side, side), of unit norm in each place -> logits (B, places), one tensor for each."""
        scaled = [x * x.shape[1] ** 0.5 for x in maps]
        return [head(x).flatten(1).float() for head, x in zip(self.heads, scaled, strict=True)]


class DiscriminatorTask(nn.Module):
    """Hinge loss over photos and generated faces, with R1 now and then."""

    def __init__(self, discriminator: Discriminator, r1: float) -> None:
        super().__init__()
        self.discriminator, self.r1 = discriminator, r1

    def forward(self, photos: list[Tensor], drawn: list[Tensor], penalised: bool) -> Tensor:
        """Maps of each -> the loss, and how often photos are told and generated faces are, (3,)."""
        photos = [x.requires_grad_(penalised) for x in photos]
        real, fake = self.discriminator(photos), self.discriminator(drawn)
        loss = torch.stack([F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, fake, strict=True)]).sum()
        if penalised:
            opinion = torch.stack([x.mean(1).sum() for x in real]).sum()
            slopes = torch.autograd.grad(opinion, photos, create_graph=True)
            loss = loss + self.r1 * torch.stack([x.square().flatten(1).sum(1).mean() for x in slopes]).sum()
        told = [
            torch.cat([(sign * x > 0).float().mean()[None] for x in side]).mean()
            for sign, side in ((1, real), (-1, fake))
        ]
        return torch.stack([loss, *told]).float()


class GeneratorTask(nn.Module):
    """The generator's loss: to be taken for photos, and at photos' codes to be like them."""

    def __init__(
        self, generator: GAN, discriminator: Discriminator, classifier: Classifier, config: GANTraining
    ) -> None:
        super().__init__()
        self.generator, self.config = generator, config
        self.maps: list[Tensor] = []  # of the last generated faces
        self._frozen = discriminator, classifier  # in a tuple, so that neither becomes a part of this module

    def forward(self, z: Tensor, photos: Tensor, wanted: list[Tensor], chance: torch.Generator) -> Tensor:
        """z (B, latent), the first ones codes of photos (C, 3, S, S) with maps `wanted` -> the loss and its parts."""
        config, (discriminator, classifier) = self.config, self._frozen
        drawn = self.generator.decode(z)
        maps = maps_of(classifier, augmented(torch.cat([drawn, drawn]), chance)[: len(drawn)], config.stages)
        self.maps = [x.detach() for x in maps]
        adversarial = -torch.stack([x.mean() for x in discriminator(maps)]).sum()
        count = len(photos)
        mse = (drawn[:count] - photos).square().mean() if count else drawn.new_zeros(())
        unlike = feature_distance([x[:count] for x in maps], wanted).mean() if count else drawn.new_zeros(())
        total = config.adversarial * adversarial + config.pixel * mse + config.features * unlike
        return torch.stack([total, adversarial.detach(), mse.detach(), unlike.detach()])


class GANStage(Stage[GANTraining]):
    """The generator, and a discriminator beside it."""

    title = "gan"

    def __init__(self, config: GANTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.size = config.model.image_size
        times = config.oversampled
        side, margin = times * self.size, times * config.margin
        self.images = load_celeba(config.celeba, "train", config.limit, image_size=side, margin=margin).images
        self.steps = config.images // self.rows
        classifier = bundled_classifier(config.perceptual, "perceptual")
        if classifier is None:
            raise LatentConstraintsError(f"{config.perceptual} has no perceptual classifier, which this begins with.")
        check_size("perceptual", config.perceptual, classifier.config.image_size, self.size)
        self.classifier = classifier.to(self.device)
        latent = config.model.latent
        self.anchors = round(config.anchored * config.batch)
        few = torch.randperm(len(self.images), generator=seeded(self.seed, 0))[: config.components]
        self.codes = principal_components(self.photos(few), latent).to(self.device) if self.anchors else None
        torch.manual_seed(self.seed)
        self.gan = GAN(config.model).to(memory_format=torch.channels_last)
        widths = classifier.config.widths[: config.stages]
        discriminator = Discriminator(widths, config.width).to(memory_format=torch.channels_last)
        self.task = GeneratorTask(self.gan, discriminator, self.classifier, config)
        tasks: dict[str, tuple[nn.Module, nn.Module, float]] = {
            "generator": (self.gan, self.task, config.lr),
            "discriminator": (discriminator, DiscriminatorTask(discriminator, config.r1), config.lr_discriminator),
        }
        for name, (net, task, lr) in tasks.items():
            optimiser = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
            average = follow(config.ema) if name == "generator" else None
            self.add(name, net, optimiser, cosine(self.steps, lr, 0.05 * lr, config.warmup), task=task, average=average)

    def crops(self, rows: Tensor) -> Tensor:
        """Crops with their margins, (B, 3, S, S) uint8."""
        images, times = self.images[rows], self.config.oversampled
        return images if times == 1 else F.avg_pool2d(images.float(), times).round().byte()

    def photos(self, rows: Tensor) -> Tensor:
        """The same without margins, (B, 3, S, S) in [0, 1]."""
        return torch.cat([centre(self.crops(part), self.size) for part in rows.split(512)])

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        config = self.config
        rows = torch.randint(len(self.images), (config.batch,), generator=chance)
        x = augment(self.crops(rows), chance, image_size=self.size)
        x = x.to(self.device, memory_format=torch.channels_last)
        z = torch.randn(config.batch, config.model.latent, generator=chance).to(self.device)
        photos = x[: self.anchors]
        # Both sides are shaken alike: the same numbers are drawn for each.
        alike = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=chance)))
        with self.engine.autocast(), torch.no_grad():
            if self.codes is not None:
                z[: self.anchors] = self.codes(photos)
            begun = alike.get_state()
            shown = maps_of(self.classifier, augmented(torch.cat([x, x]), alike)[: len(x)], config.stages)
        alike.set_state(begun)
        _, *parts = self.update("generator", z, photos, [maps[: self.anchors] for maps in shown], alike)
        loss, real, fake = self.update("discriminator", shown, self.task.maps, step % 8 == 0)
        return dict(zip(PARTS, parts, strict=True)) | {"discriminator": loss, "real_told": real, "fake_told": fake}

    @torch.no_grad()
    def save_codes(self, path: Path) -> None:
        """Every photo's code and its mirror image's, "z" (2 N, latent), in no order."""
        assert self.codes is not None
        parts = []
        for rows in torch.randperm(len(self.images), generator=seeded(self.seed, 0)).split(512):
            photos = self.photos(rows)
            parts.append(torch.stack([self.codes(photos), self.codes(photos.flip(3))], dim=1).flatten(0, 1))
        write_bytes(path, safetensors.torch.save({"z": torch.cat(parts)}))

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        self.draw(self.averaged("generator"), self.config.out / "samples.png")
        return {}

    def draw(self, gan: GAN, path: Path) -> None:
        """A grid: eight photos, what is drawn at their codes, and 32 draws from the prior."""
        photos = self.photos(torch.arange(8)).to(self.device)
        copies = gan.decode(self.codes(photos)) if self.codes is not None else photos[:0]
        noise = torch.randn(32, gan.latent, generator=torch.Generator().manual_seed(0)).to(self.device)
        save_grid(torch.cat([photos[: len(copies)], copies, gan.decode(noise)]), path)

    def finish(self) -> str:
        config, weights = self.config, self.config.out / "weights"
        gan: GAN = self.averaged("generator").cpu()
        save_generator(weights, gan)
        save_statistics(weights, measured_statistics(gan, config.sigma_x))
        inversion = {"inversion_steps": INVERSION_STEPS, "inversion_contrast": 0.0, "sigma_x": config.sigma_x}
        save_tuning(weights, Tuning.from_dict({**LEGACY_TUNING, **inversion}))
        self.device = torch.device("cpu")
        if self.codes is not None:
            self.codes = self.codes.cpu()
            self.save_codes(config.out / "codes.safetensors")
        with torch.no_grad():
            self.draw(gan, config.out / "samples.png")
        return f"weights in {weights}"


@program
def main() -> None:
    train(GANStage, parse(GANTraining))


if __name__ == "__main__":
    main()

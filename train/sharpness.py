"""What a decoder is sharpened by: a patch discriminator, local power spectra, features, and what repeats."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lc.classifier import Classifier, feature_distance
from train.engine import RunConfig

if TYPE_CHECKING:
    from train.perceptual import Perceptual

__all__ = [
    "PARTS",
    "CriticTask",
    "DecoderTask",
    "PatchCritic",
    "SharpnessTraining",
    "View",
    "augmented",
    "checkerboard",
    "spectrum_distance",
]

PATCH = 8  # pixels, side of the patches whose spectra are compared
PERIOD, TILES = 4, 4  # pixels of the pattern that two doublings of resolution can leave; patterns side by side
PARTS = ("mse", "features", "adversarial", "lpips", "spectrum", "checkerboard", "vgg", "alike")
VIEW = 64  # side of what all losses but that of pixels see of a picture, in pixels


@dataclass(frozen=True)
class SharpnessTraining(RunConfig):
    """What pictures are sharpened by, and how much each term weighs."""

    vgg: Path | None = None
    """Folder of what `python -m train.perceptual fetch` puts there, for features that were learned on other photos."""
    vgg_stages: int = 3
    """How many of its five stages count, from the finest."""
    vgg_weight: float = 1.5
    """Weight of the distance between its features."""
    width: int = 48
    """Channels of the discriminator's first layer."""
    lr: float = 2e-4
    lr_critic: float = 4e-4
    pixel: float = 60.0
    """Weight of the mean squared error."""
    features: float = 12.0
    """Weight of the feature matching."""
    adversarial: float = 0.3
    """Weight of the hinge loss."""
    lpips: float = 1.0
    """Weight of the distance between the classifier's features."""
    spectrum: float = 0.3
    """Weight of the difference between the logarithms of local power spectra."""
    checkerboard: float = 30.0
    """Weight of what repeats every four pixels in the error, against the photo's contrast there."""
    alike: float = 0.5
    """What their distance from the editor's pictures counts, in pixels and features; a copy's from its photo: 1."""
    r1: float = 0.05
    """Weight of the gradient penalty on photos (Mescheder et al. 2018), applied every 8th step."""

    @property
    def discriminates(self) -> bool:
        """Whether a discriminator is trained at all."""
        return self.features > 0 or self.adversarial > 0


class PatchCritic(nn.Module):
    """Is a picture from a photo, each patch of it and the whole? Returns the logits and the features on the way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # The first layer steps by one pixel: one that steps by two hardly sees patterns as fine as that.
        layers = [nn.Conv2d(3, width // 2, 3, padding=1)]
        layers += [nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise((width // 2, width, 2 * width, 4 * width))]
        layers.append(nn.Conv2d(4 * width, 4 * width, 3, padding=1))
        self.layers = nn.ModuleList(spectral_norm(layer) for layer in layers)
        self.head = spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1))
        # Two eyes that do not match are right, each by itself.
        self.rest = nn.ModuleList(spectral_norm(nn.Conv2d(4 * width, 4 * width, 4, 2, 1)) for _ in range(2))
        self.whole = spectral_norm(nn.Conv2d(4 * width, 1, 2))

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, 64, 64) in [0, 1] -> logits (B, 65), the last of the whole, and features of five layers."""
        x, features = images * 2 - 1, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        patches = self.head(x).flatten(1)
        for layer in self.rest:
            x = F.leaky_relu(layer(x), 0.2)
        return torch.cat([patches, self.whole(x).flatten(1)], dim=1), features


def opinion(scores: Tensor) -> Tensor:
    """(B, 65) -> a scalar: all patches together count what the whole does."""
    return scores[:, :-1].mean() + scores[:, -1].mean()


class View:
    """What of pictures of S pixels the losses see, the same of each in a step: all of 64; of larger ones a part of 64,
    and the whole at 64 in one step of four.

    A discriminator or VGG that sees all of 128 costs four times as much and teaches nothing that these two do not.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size = size
        places = (size - VIEW) // 8 + 1  # multiples of what four doublings of resolution can repeat
        self.down, self.right = (8 * torch.randint(0, places, (2,), generator=generator)).tolist()
        self.whole = size == VIEW or float(torch.rand(1, generator=generator)) < 0.25

    def look_at(self, x: float, y: float) -> None:
        """See the part about a place of a picture of 128 pixels or more, in parts of its side, and not the whole."""
        last = self.size - VIEW
        self.right, self.down = (min(max(round((at * self.size - VIEW / 2) / 8) * 8, 0), last) for at in (x, y))
        self.whole = self.size == VIEW

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 3, 64, 64)."""
        if x.shape[-1] == VIEW:
            return x
        if self.whole:
            return F.interpolate(x, VIEW, mode="area")
        return x[..., self.down : self.down + VIEW, self.right : self.right + VIEW]


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """The same shift and brightness for photos and their copies, stacked in pairs (Zhao et al. 2020): (2B, ...)."""
    down, right = torch.randint(-6, 7, (2,), generator=generator).tolist()
    light = torch.empty(len(x) // 2, 1, 1, 1).uniform_(-0.15, 0.15, generator=generator).repeat(2, 1, 1, 1)
    padded = F.pad(x + light.to(x.device), (6, 6, 6, 6), mode="reflect")
    return padded[:, :, 6 + down : 70 + down, 6 + right : 70 + right]


class CriticTask(nn.Module):
    """Hinge loss of the discriminator, with R1 now and then."""

    def __init__(self, critic: PatchCritic, r1: float) -> None:
        super().__init__()
        self.critic, self.r1 = critic, r1

    def forward(self, pair: Tensor, penalise: bool) -> Tensor:
        """Photos and copies stacked, (2B, 3, 64, 64) -> a scalar."""
        logits, _ = self.critic(pair)
        real, fake = logits.float().chunk(2)
        loss = opinion(F.relu(1 - real)) + opinion(F.relu(1 + fake))
        if penalise:
            photos = pair[: len(pair) // 2].detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(
                len(photos) * opinion(self.critic(photos)[0].float()), photos, create_graph=True
            )
            loss = loss + self.r1 * 4 * gradient.square().flatten(1).sum(1).mean()
        return loss


def spectrum_distance(copies: Tensor, photos: Tensor, generator: torch.Generator) -> Tensor:
    """Mean absolute difference between the log power spectra of patches of 8x8 pixels at the same places: a scalar.

    It asks for the photo's contrast at every scale and place, whatever the phase: a checkerboard on smooth skin costs
    as much as missing texture in hair. Patches begin at a random pixel.
    """
    down, right = torch.randint(0, PATCH, (2,), generator=generator).tolist()
    window = torch.hann_window(PATCH, periodic=False, device=copies.device)
    grey = torch.cat([copies, photos]).float().mean(1)[:, down : down + 56, right : right + 56]
    patches = grey.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH) * window[:, None] * window  # (2B, 7, 7, 8, 8)
    # The floor is the noise of a good photo, about two grey levels.
    copy_power, photo_power = torch.fft.rfft2(patches, norm="ortho").abs().square().add(1e-5).log().chunk(2)
    return (copy_power - photo_power).abs().mean()


def checkerboard(copies: Tensor, photos: Tensor) -> Tensor:
    """Mean square of the pattern that repeats over a square of 16x16 pixels in the error: 2 x (B, 3, 64, 64) -> scalar.

    Transposed convolutions can draw the same few pixels over and over. To a power spectrum that looks like texture;
    no photo has it, and at these few frequencies nothing else is lost with it. It counts against the photo's contrast
    in the square: smooth skin and hair are where it shows.
    """
    side = photos.shape[-1] // (PERIOD * TILES)
    error, photo = (
        x.float().reshape(*photos.shape[:2], side, TILES, PERIOD, side, TILES, PERIOD)
        for x in (copies - photos, photos)
    )
    pattern = error.mean((3, 6))  # (B, 3, side, PERIOD, side, PERIOD)
    contrast = photo.var((3, 4, 6, 7), correction=0)  # (B, 3, side, side)
    return (pattern.var((3, 5), correction=0) / (contrast + 2e-3)).mean()


class DecoderTask(nn.Module):
    """What the decoder learns from: pixels, features, spectrum, and the discriminator's opinion."""

    def __init__(
        self,
        decoder: nn.Module,
        critic: PatchCritic,
        classifier: Classifier | None,
        vgg: Perceptual | None,
        config: SharpnessTraining,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self._critics, self._config = (critic, classifier, vgg), config

    def forward(
        self, x: Tensor, z: Tensor | tuple[Tensor, ...], drawn: Tensor, view: View, generator: torch.Generator
    ) -> Tensor:
        """A loss to learn from.

        Args:
            x: photos, (B, 3, S, S) in [0, 1].
            z: their latents, then M without a photo, M at most B: (B + M, latent); or what else the decoder takes.
            drawn: what those M are to stay like, (M, 3, S, S).
            view: what the losses but that of pixels see.
            generator: the source of chance.

        Returns:
            (9,): the total, and its detached parts, see PARTS.
        """
        config, (critic, classifier, vgg) = self._config, self._critics
        pictures = self.decoder(z)
        copies, made = pictures.split([len(x), len(drawn)])
        error = (copies - x).square().mean()
        far = (made - drawn).square().sum() / max(1, made.numel())
        x, pictures, drawn = view(x), view(pictures), view(drawn)
        copies = pictures[: len(x)]
        matching = doubt = lpips = alike = error.new_zeros(())
        if config.discriminates:
            logits, features = critic(augmented(torch.cat([x, x[: len(made)], pictures]), generator))
            pairs = [[side[: len(x)] for side in layer.float().chunk(2)] for layer in features]
            matching = torch.stack([(fake - real.detach()).abs().mean() for real, fake in pairs]).mean()
            doubt = -opinion(logits.float().chunk(2)[1])
        if classifier:
            with torch.no_grad():
                wanted = classifier.maps(torch.cat([x, drawn]))
            apart = feature_distance(classifier.maps(pictures), wanted)
            lpips, alike = apart[: len(x)].mean(), config.lpips * apart[len(x) :].sum() / max(1, len(made))
        alike = alike + config.pixel * far
        seen = error.new_zeros(()) if vgg is None else vgg(x, copies).mean()
        waves = spectrum_distance(copies, x, generator)
        parts = torch.stack([error, matching, doubt, lpips, waves, checkerboard(copies, x), seen, alike])
        weights = (
            config.pixel,
            config.features,
            config.adversarial,
            config.lpips,
            config.spectrum,
            config.checkerboard,
            config.vgg_weight,
            config.alike,
        )
        return torch.cat([(parts * parts.new_tensor(weights)).sum()[None], parts.detach()])

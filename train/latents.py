"""Encodings of the training photos, and what is asked of them: label vectors to sample for, toggles to edit for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from lc.files import write_bytes
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.data import MARGIN, augment, centre, load_training

__all__ = ["DIRECTIONS", "Goals", "Latents", "load_or_encode", "toggle_goals"]

#: The twenty one-attribute edits: (name, wanted).
DIRECTIONS: tuple[tuple[str, bool], ...] = tuple((name, wanted) for name in ATTRIBUTES for wanted in (True, False))


@dataclass(frozen=True)
class Latents:
    """Encodings of photos, several views (flips, shifts) at each.

    Attributes:
        mean, std: (N, views, latent), of q(z|x).
        labels: (M, 10) in {0, 1}, of the first M photos; the rest are unlabelled.
        pools: for each direction of `DIRECTIONS`, the labelled photos that lack what it wants.
    """

    mean: Tensor
    std: Tensor
    labels: Tensor
    pools: tuple[Tensor, ...]

    @classmethod
    def of(cls, mean: Tensor, std: Tensor, labels: Tensor) -> Latents:
        """Sort the labelled photos into the pools."""
        columns = [(labels[:, ATTRIBUTES.index(name)] > 0.5) != wanted for name, wanted in DIRECTIONS]
        everyone = torch.arange(len(labels))
        return cls(mean, std, labels, tuple(everyone[lacking] if lacking.any() else everyone for lacking in columns))

    def draw(self, rows: Tensor, noise: Tensor | float) -> Tensor:
        """A view at random of each photo: mean + noise * std * eps, (B, latent). noise 1 draws from q(z|x)."""
        views = torch.randint(self.mean.shape[1], (len(rows),))
        mean, std = self.mean[rows, views], self.std[rows, views]
        return mean + noise * std * torch.randn_like(mean)

    def rare_rows(self, count: int) -> Tensor:
        """Labelled photos, half of them drawn so that every attribute is seen both ways equally often."""
        half = count // 2
        directions = torch.randint(len(self.pools), (count - half,))
        return torch.cat([torch.randint(len(self.labels), (half,)), self.without(directions)])

    def without(self, directions: Tensor) -> Tensor:
        """For each direction (B,), a labelled photo that lacks what it wants, (B,)."""
        picks = [self.pools[d][torch.randint(len(self.pools[d]), (1,))] for d in directions.tolist()]
        return torch.cat(picks)


@torch.no_grad()
def load_or_encode(
    path: Path | None,
    vae: Any,
    celeba: Path,
    extra: tuple[Path, ...],
    views: int,
    limit: int | None,
    device: torch.device,
    margin: int = MARGIN,
) -> Latents:
    """Encode CelebA's training part and unlabelled extra crops: as they are, then `views` - 1 augmented versions.

    Args:
        path: a file that keeps them, for the next time: of the same generator and photos. None keeps nothing.
        vae: a frozen generator with an encoder.
        celeba, extra, limit, margin: see `train.data.load_training`.
        views: encodings of each photo.
        device: the generator's.
    """
    if path and path.exists():
        return Latents.of(**safetensors.torch.load_file(path))
    size = vae.image_size
    crops = load_training(celeba, extra, limit, image_size=size, margin=margin)
    assert crops.labels is not None
    generator = torch.Generator().manual_seed(0)
    means, stds = [], []
    for x in tqdm(crops.images.split(128), desc="encode", leave=False):
        shifted = [centre(x, size), *(augment(x, generator, image_size=size) for _ in range(views - 1))]
        posteriors = [vae.encode(view.to(device)) for view in shifted]
        means.append(torch.stack([p.mean for p in posteriors], 1).cpu())
        stds.append(torch.stack([p.std for p in posteriors], 1).cpu())
    tensors = {"mean": torch.cat(means), "std": torch.cat(stds), "labels": crops.labels}
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, safetensors.torch.save(tensors))
    return Latents.of(**tensors)


@dataclass(frozen=True)
class Goals:
    """What is wanted of a batch: target (B, 10) in [0, 1] and mask (B, 10), 1 where edited; see `lc.actor.Actor`."""

    target: Tensor
    mask: Tensor


def toggle_goals(before: Tensor, directions: Tensor) -> Goals:
    """One toggle per row, with what it implies, exactly as the app asks for it.

    Args:
        before: (B, 10) probabilities that the attribute critic reads.
        directions: (B,) into `DIRECTIONS`, or -1 for "change nothing".
    """
    target, mask = before.clone(), torch.zeros_like(before)
    for direction in directions.unique().tolist():
        if direction >= 0:
            rows, (name, wanted) = directions == direction, DIRECTIONS[direction]
            target[rows], edited = ATTRIBUTE_SET.changes({name: wanted}).apply(before[rows])
            mask[rows] = edited.float()
    return Goals(target, mask)

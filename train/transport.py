"""Moves by matching distributions: from the latents of photos without an attribute to those of photos with it.

    python -m train.transport --weights runs/critics/weights --celeba data/celebahq --attributes Male Young

A direction that raises a classifier's logit most is one that no eye sees. What takes one whole distribution to the
other with the least movement is optimal transport; between Gaussians it is a linear map (Gelbrich 1990; Peyre and
Cuturi 2019, remark 2.31): z' = m1 + A (z - m0), A = S0^-1/2 (S0^1/2 S1 S0^1/2)^1/2 S0^-1/2. The covariances are
shrunk towards that of all photos. What else goes with the attribute in the photos, as glasses go with age, is taken out
of the shift by linear regression on the other attributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from lc.errors import LatentConstraintsError
from lc.exemplars import Move, MoveConfig
from lc.files import write_bytes
from lc.generator import EncodingGenerator
from lc.weights import load_attributes, load_generator
from train.data import centre, load_celeba
from train.engine import parse, program
from train.moves import add_moves

__all__ = ["transport"]


@dataclass(frozen=True)
class TransportTraining:
    """Moves by matching distributions."""

    weights: Path
    """Weights folder with a generator that has an encoder; the moves go there."""
    celeba: Path = Path("data/celebahq")
    attributes: tuple[str, ...] = ("Male", "Young")
    """Which are to have moves, both ways."""
    apart: tuple[str, ...] = (
        "Bald",
        "Black_Hair",
        "Blond_Hair",
        "Brown_Hair",
        "Eyeglasses",
        "Male",
        "Smiling",
        "Wearing_Hat",
        "Young",
    )
    """Attributes whose own part in the shift is taken out; any of the data set's."""
    amount: float = 1.0
    """How far to go; 1 is from the mean of one group to that of the other."""
    shrinkage: float = 0.3
    """Share of all photos' covariance in each group's."""
    rank: int = 96
    limit: int | None = 10_000
    """Use only so many photos."""
    latents: Path | None = None
    """Where encoded photos are kept from one run to the next."""
    threads: int = 1


def root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of a symmetric positive matrix, and the root's inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(1e-6 * float(values.max())).sqrt()
    return vectors * values @ vectors.T, vectors / values @ vectors.T


def transport(source: Tensor, target: Tensor) -> Tensor:
    """A of the module's docstring, for covariances (D, D)."""
    half, inverse = root(source)
    middle, _ = root(half @ target @ half)
    return inverse @ middle @ inverse


def covariance(z: Tensor) -> Tensor:
    """(N, D) -> (D, D)."""
    away = z - z.mean(0)
    return away.T @ away / len(z)


def shift_of(z: Tensor, labels: Tensor, column: int) -> Tensor:
    """What having an attribute adds to latents (N, D), others being equal: least squares on labels (N, A)."""
    x = torch.cat([labels, torch.ones(len(labels), 1)], 1).double()
    return torch.linalg.lstsq(x, z.double()).solution[column].float()


def learn(z: Tensor, has: Tensor, shift: Tensor, config: TransportTraining) -> tuple[Move, Move]:
    """The moves to having an attribute and to not having it.

    Args:
        z: (N, D).
        has: (N,) bool.
        shift: (D,), from not to having.
    """
    every = covariance(z)
    groups = [(1 - config.shrinkage) * covariance(z[side]) + config.shrinkage * every for side in (~has, has)]
    means = [z[side].mean(0) for side in (~has, has)]
    moves = []
    for source, sign in ((0, 1), (1, -1)):
        change = config.amount * (transport(groups[source], groups[1 - source]) - torch.eye(z.shape[1])).T
        # Of what the map does to photos of the group, the part that moves them most.
        half, inverse = root(groups[source])
        left, values, right = torch.linalg.svd(half @ change, full_matrices=False)
        kept = min(config.rank, len(values))
        move = Move(z.shape[1], MoveConfig(1, kept))
        move.styles, move.centre = config.amount * sign * shift[None], means[source]
        move.down, move.up = inverse @ (left[:, :kept] * values[:kept]), right[:kept]
        moves.append(move)
    return moves[0], moves[1]


@torch.inference_mode()
def encoded(generator: EncodingGenerator, images: Tensor) -> Tensor:
    """Crops (N, 3, S, S) uint8 with a margin -> the means of their posteriors, (N, latent)."""
    size = generator.image_size
    parts = tqdm(range(0, len(images), 64), desc="encode")
    return torch.cat([generator.encode(centre(images[i : i + 64], size)).mean for i in parts])


@program
def main() -> None:
    config = parse(TransportTraining)
    torch.set_num_threads(config.threads)
    generator = load_generator(config.weights)
    if not isinstance(generator, EncodingGenerator):
        raise LatentConstraintsError(f"The generator in {config.weights} has no encoder: transport needs one.")
    load_attributes(config.weights)  # refuses a folder without
    names = list(dict.fromkeys((*config.attributes, *config.apart)))
    size = generator.image_size
    crops = load_celeba(config.celeba, "train", config.limit, attributes=names, image_size=size, margin=size // 16)
    assert crops.labels is not None
    if config.latents and config.latents.exists():
        z = safetensors.torch.load_file(config.latents)["z"]
    else:
        z = encoded(generator, crops.images)
        if config.latents:
            write_bytes(config.latents, safetensors.torch.save({"z": z}))
    moves: dict[str, Move] = {}
    for name in config.attributes:
        has = crops.labels[:, names.index(name)] > 0.5
        others = [i for i, other in enumerate(names) if other == name or other in config.apart]
        shift = shift_of(z, crops.labels[:, others], others.index(names.index(name)))
        moves[f"{name}=1"], moves[f"{name}=0"] = learn(z, has, shift, config)
        print(f"{name}: {int(has.sum())} of {len(has)} photos, shift {float(shift.norm()):.2f}", flush=True)
    add_moves(config.weights, moves)


if __name__ == "__main__":
    main()

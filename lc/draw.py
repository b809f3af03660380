"""What chance says about generated faces: latents of the prior, and the label vectors that they are made for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lc.attributes import Changes
from lc.model import Model

__all__ = ["Draws"]

_SEEDS_OF_TORCH = 4096


class Draws:
    """Face i depends on seed and i only, and no two seeds share one.

    Args:
        model: see `lc.weights.load_model`.
        changes: the attributes that were asked for; the others are drawn from the label vectors that real photos have.
        seed: source of chance, 0 to 2^63 - 1.
    """

    def __init__(self, model: Model, changes: Changes, seed: int) -> None:
        self._seed, self._latent = seed, model.generator.latent
        self._vectors, self._counts = _agreeing(model, changes)

    def __call__(self, first: int, end: int, attempt: int = 0) -> tuple[Tensor, Tensor]:
        """Faces `first` up to `end`: noise (B, latent), and label vectors (B, A) in {0, 1}, on the CPU. Of further
        attempts at the same faces each gives others."""
        drawn, rows = zip(*(self._draw(i, attempt) for i in range(first, end)), strict=True)
        return torch.stack(drawn), self._vectors[list(rows)]

    def _draw(self, i: int, attempt: int) -> tuple[Tensor, int]:
        """A latent of the prior, (latent,), and a row of the label vectors.

        Torch's generator takes 32 bits of a seed. Those that fit into them beside i keep the faces they were published
        with; the others are numpy's, which hashes all of seed, i and attempt.
        """
        if self._seed < _SEEDS_OF_TORCH and not attempt:
            generator = torch.Generator().manual_seed((self._seed << 20) + i)
            z = torch.randn(self._latent, generator=generator)
            return z, int(torch.multinomial(self._counts, 1, generator=generator))
        chance = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(i, attempt) if attempt else (i,)))
        shares = self._counts.double().numpy()
        z = torch.from_numpy(chance.standard_normal(self._latent, dtype=np.float32))
        return z, int(chance.choice(len(shares), p=shares / shares.sum()))


def _agreeing(model: Model, changes: Changes) -> tuple[Tensor, Tensor]:
    """The label vectors that agree with `changes`, (K, A), and their counts, (K,)."""
    vectors, counts = model.label_vectors, model.label_counts
    agree = torch.ones(len(vectors), dtype=torch.bool)
    for name, value in changes.wanted.items():
        agree &= (vectors[:, model.attributes.names.index(name)] > 0.5) == bool(value)
    if agree.any():
        return vectors[agree], counts[agree]
    # Nobody has these: keep what was asked for and take the rest from everybody.
    return changes.apply(vectors)[0], counts

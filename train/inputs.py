"""Weights that a stage starts from, checked for what the stage needs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lc.errors import WeightsError
from lc.generator import EncodingGenerator
from lc.vae import VAE
from lc.weights import load_generator

__all__ = ["check_size", "load_encoding_generator", "load_generator_of", "load_vae"]


def load_encoding_generator(folder: Path, device: torch.device) -> Any:
    """A weights folder's generator: an nn.Module that implements `EncodingGenerator`, frozen.

    Raises:
        WeightsError: see `load_generator`; also a generator without an encoder.
    """
    generator = load_generator(folder).to(device)
    if not isinstance(generator, EncodingGenerator):
        raise WeightsError(
            f"The generator in {folder} has no encoder, and this stage encodes photos: name weights that have one."
        )
    return generator


def load_generator_of(folder: Path, latents: Path | None, device: torch.device) -> Any:
    """A weights folder's generator, frozen, for a stage that encodes photos where the file `latents` is not there yet.

    Raises:
        WeightsError: see `load_generator`; also a generator without an encoder and no such file.
    """
    generator = load_generator(folder).to(device)
    if not isinstance(generator, EncodingGenerator) and not (latents and latents.exists()):
        raise WeightsError(
            f"The generator in {folder} has no encoder: draw latents by python -m train.decoded --weights {folder}, "
            "and name its file with --latents."
        )
    return generator


def load_vae(folder: Path, device: torch.device) -> VAE:
    """A weights folder's generator where it is a VAE, frozen.

    Raises:
        WeightsError: see `load_generator`; also another class of generators.
    """
    generator = load_generator(folder)
    if not isinstance(generator, VAE):
        raise WeightsError(
            f"The generator in {folder} is a {type(generator).__name__}, and this stage trains a VAE: name a VAE's "
            "weights."
        )
    return generator.to(device)


def check_size(name: str, folder: Path, found: int, wanted: int) -> None:
    """Refuse a classifier of another image size.

    Raises:
        WeightsError: the sizes, in pixels, differ.
    """
    if found != wanted:
        raise WeightsError(
            f"The {name!r} classifier in {folder} is for pictures of {found} pixels, and these have {wanted}: train "
            f"one with --model.patch {wanted // 32}."
        )

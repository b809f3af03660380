"""A model that is small enough to build in no time, and how loading one is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lc.actor import Actor
from lc.attributes import AttributeSet
from lc.critics import AttributeCritic, Critic, LatentStatistics, NetConfig
from lc.errors import WeightsError
from lc.results import Edit
from lc.tuning import Tuning
from lc.vae import VAE, VAEConfig
from lc.weights import load_model, save_editing_nets, save_generator, save_statistics, save_tuning
from train.attributes import ATTRIBUTE_SET
from train.tuning import LEGACY_TUNING

LATENT = 24


def write_tiny_weights(
    folder: Path,
    generator: Any = None,
    statistics: LatentStatistics | None = None,
    attributes: AttributeSet = ATTRIBUTE_SET,
) -> Path:
    """A complete weights folder of an untrained model that is small enough to build in no time.

    Args:
        folder: where.
        generator: a registered one; None makes a VAE of 64 pixels.
        statistics: of its latents; None makes random ones.
        attributes: which it knows.
    """
    torch.manual_seed(0)
    generator = generator or VAE(VAEConfig(latent=LATENT, widths=(8, 8, 16, 16), bottleneck=8))
    latent = generator.latent
    config = NetConfig(latent=latent, attributes=len(attributes), width=32, layers=2)
    labels = (torch.rand(200, len(attributes)) < 0.3).float()
    save_generator(folder, generator)
    statistics = statistics or LatentStatistics(torch.zeros(latent), torch.ones(latent), torch.full((latent,), 0.5))
    save_statistics(folder, statistics)
    nets = Actor(config), Critic(config), AttributeCritic(config)
    for net in nets:
        net.whiten.fit(statistics)
    save_editing_nets(folder, *nets, labels=labels, lambda_dist=(0.01, 1.0), attributes=attributes)
    save_tuning(folder, Tuning.from_dict(LEGACY_TUNING))
    return folder


def refuse(folder: Path | str) -> str:
    """Loading a model fails with one sentence; returns it."""
    with pytest.raises(WeightsError) as caught:
        load_model(folder, "cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def with_edited(edit: Edit, picture: Image.Image) -> Edit:
    """The edit, had the generator drawn this crop for it."""
    outcome = dataclasses.replace(edit.outcome(), edited=picture)
    return dataclasses.replace(edit, outcome=lambda: outcome, drawing=lambda: outcome)

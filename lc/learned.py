"""What was measured of rules on a weights folder, kept in it: their units, and the critics of those without a gradient.

To measure a rule that asks for masks takes thousands of decoded and parsed pictures, which is too long to wait for.
rules.safetensors holds the result, a few kB for a rule; `python -m train.rules` writes it. It is bound by checksum to
what it was measured on, and ignored where that has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from lc.checksums import digest, is_listed, load_config, parse_json, read_file, save_files
from lc.errors import WeightsError
from lc.generator import registered
from lc.tensors import check_finite, parse_tensors

__all__ = ["LearnedCritic", "LearnedRule", "checksum_of", "load_rules", "save_rules"]

FILE = "rules.safetensors"
_KEY = "latent_constraints.measured_on"


@dataclass(frozen=True, eq=False)
class LearnedCritic:
    """A linear critic that stands in for a rule, see `lc.following.StandIn`; weight and direction are (latent,)."""

    weight: Tensor
    direction: Tensor
    bias: float
    explained: float


@dataclass(frozen=True, eq=False)
class LearnedRule:
    """What a rule gives for faces in general, mean and standard deviation > 0, and its critic where it has one."""

    mean: float
    std: float
    critic: LearnedCritic | None = None

    def to(self, device: torch.device) -> LearnedRule:
        """The same on another device."""
        if self.critic is None:
            return self
        tensors = self.critic.weight.to(device), self.critic.direction.to(device)
        return LearnedRule(self.mean, self.std, LearnedCritic(*tensors, self.critic.bias, self.critic.explained))


def checksum_of(config: Mapping[str, Any], more: tuple[str, ...] = ()) -> str:
    """A checksum of what gives latents their meaning: the generator's sizes, weights and statistics.

    Args:
        config: config.json.
        more: further parts of the folder that count.
    """
    section, files = config["generator"], config.get("files", {})
    parts = (*registered(section["class"]).parts, "statistics", *more)
    own = {name: value for name, value in files.items() if name.partition(".")[0].partition("-0")[0] in parts}
    return digest(json.dumps([section, own], sort_keys=True).encode())


def _measured_on(folder: Path) -> str:
    return checksum_of(load_config(folder), ("parser", "contrast"))


def save_rules(folder: Path, learned: Mapping[str, LearnedRule]) -> None:
    """Write what was measured of rules, by their names, into the folder that it was measured on."""
    tensors: dict[str, Tensor] = {}
    for name, one in learned.items():
        numbers = [one.mean, one.std]
        if one.critic:
            numbers += [one.critic.bias, one.critic.explained]
            for key in ("weight", "direction"):
                tensors[f"{name}.{key}"] = getattr(one.critic, key).float().cpu().contiguous()
        tensors[f"{name}.numbers"] = torch.tensor(numbers, dtype=torch.float64)
    save_files(folder, {FILE: safetensors.torch.save(tensors, {_KEY: _measured_on(folder)})})


def load_rules(folder: Path, latent: int) -> dict[str, LearnedRule]:
    """Read what `save_rules` wrote; nothing where a folder has none, or has changed since.

    Args:
        folder: of the weights.
        latent: dimensions of z.

    Raises:
        WeightsError: damaged, or of another latent.
    """
    if not is_listed(folder, FILE):
        return {}
    data = read_file(folder, FILE)
    tensors = parse_tensors(data, folder / FILE)
    facts = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if facts.get("__metadata__", {}).get(_KEY) != _measured_on(folder):
        return {}
    for tensor in tensors.values():
        check_finite(tensor, str(folder / FILE))
    found: dict[str, LearnedRule] = {}
    try:
        for key in tensors:
            name, _, what = key.rpartition(".")
            if what == "numbers":
                mean, std, *more = tensors[key].tolist()
                critic = None
                if more:
                    weight, direction = tensors[f"{name}.weight"], tensors[f"{name}.direction"]
                    if {tuple(weight.shape), tuple(direction.shape)} != {(latent,)}:
                        raise ValueError(name)
                    critic = LearnedCritic(weight, direction, *more)
                found[name] = LearnedRule(mean, std, critic)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{folder / FILE} is damaged: fetch it again, or run python -m train.rules.") from error
    return found

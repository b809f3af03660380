"""Measure rules on a weights folder once, so that their first use need not wait.

    python -m train.rules --weights weights/celeba-64

Writes rules.safetensors, see `lc.learned`: of each rule that the folder's parser allows what it gives for faces in
general, and of those that have no gradient the critic that stands in for them. No data is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lc.checksums import save_files
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError
from lc.learned import FILE, LearnedCritic, LearnedRule, save_rules
from lc.named import Vocabulary
from lc.rules import rules
from lc.weights import load_model
from train.engine import parse, program
from train.layouts import say

__all__ = ["RulesLearning", "main"]


@dataclass(frozen=True)
class RulesLearning:
    """Measure rules on a weights folder."""

    weights: Path = Path("weights/celeba-64")
    device: str = "auto"
    threads: int = 0


@program
def main() -> None:
    config = parse(RulesLearning)
    if config.threads:
        torch.set_num_threads(config.threads)
    save_files(config.weights, {}, stale=[FILE])  # else what is there would be believed
    space = LatentSpace(load_model(config.weights, config.device))
    vocabulary, learned = Vocabulary(space), dict[str, LearnedRule]()
    for one in rules():
        if not one.possible(space.model.parser):
            continue
        try:
            scale, critic = vocabulary.scale(one), None
        except LatentConstraintsError as error:
            say(str(error))
            continue
        if not one.differentiable:
            fitted = vocabulary.stand_in(one)
            linear = fitted.critic
            critic = LearnedCritic(linear.weight, fitted.direction, float(linear.bias), fitted.explained)
        learned[one.name] = LearnedRule(scale.mean, scale.std, critic)
        explained = f", its critic explains {critic.explained:.2f} of it" if critic else ""
        print(f"{one.name}: {scale.mean:.4g} +/- {scale.std:.3g}{explained}")
    save_rules(config.weights, learned)


if __name__ == "__main__":
    main()

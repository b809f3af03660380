"""Measure rules: on how many faces each reaches its target, in generated faces and in photos that are edited.

    python -m train.evaluate.rules --weights weights/celeba-64 --celeba data/celebahq

No label takes part. The rule itself is asked of the decoded picture: in a generated face for as much as one face in
five has, in an edited one for a standard deviation more than its photo's reconstruction has. A rule that can be
differentiated is followed both ways: through the decoder, and by a critic that has learned it from decoded samples, as
the others are.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lc.constraints import Constraint
from lc.editor import FaceEditor, Method, Reading
from lc.following import Scale, decoded, follow, lessons, level_of, measure, sample, stand_in, values, values_of
from lc.rules import NamedRule, named_rule, rules
from train.data import find
from train.engine import parse, program
from train.evaluate.edits import read_framed
from train.evaluate.report import keep
from train.evaluate.tables import table

__all__ = ["RulesConfig", "main", "measure_rules"]


@dataclass(frozen=True)
class RulesConfig:
    """Measure rules."""

    weights: Path = Path("weights/celeba-64")
    celeba: Path = Path("data/celebahq")
    part: str = "validation"
    rules: tuple[str, ...] = (*(one.name for one in rules()), "hair_like_a52a2a", "hair_like_e6c35c")
    samples: int = 100
    """Generated faces for each rule."""
    photos: int = 60
    """Photos that are edited for each rule."""
    both: bool = True
    """Follow rules that can be differentiated by a critic as well."""
    method: Method = "actor"
    identity: float = 0.5
    seed: int = 0
    out: Path = Path("runs/rules.json")
    device: str = "auto"
    threads: int = 0


def _row(
    editor: FaceEditor,
    chosen: NamedRule,
    scale: Scale,
    readings: list[Reading],
    plain: Tensor,
    constraint: Callable[[Tensor | None], Constraint],
    config: RulesConfig,
) -> dict[str, float]:
    """One rule one way: the share of faces whose pictures reach the target, and what else changed. `plain`: latents
    of as many generated faces without the rule."""
    space, begun = editor.space, time.perf_counter()
    sampled = editor.sample(config.samples, seed=config.seed, constraints=[constraint(None)])
    seconds_sampled = time.perf_counter() - begun
    z = torch.stack([one.z for one in sampled]).to(editor.device)
    level = level_of(space, chosen, scale)
    found, before = (values_of(space, chosen, some) for some in (z, plain))
    z_photos = torch.stack([reading.z for reading in readings]).to(editor.device)
    begun = time.perf_counter()
    edits = editor.edit_many(readings, None, config.identity, config.method, constraints=[constraint(z_photos)])
    seconds = time.perf_counter() - begun
    wanted = level_of(space, chosen, scale, z_photos)
    after = values_of(space, chosen, torch.stack([one.z_edited for one in edits]).to(editor.device))
    names = editor.attributes.names
    same = [(edit.before[name] >= 0.5) == (edit.after[name] >= 0.5) for edit in edits for name in names]
    with torch.inference_mode():
        realism = torch.sigmoid(space.critic(z))[:, 0]
    return {
        "before": float((before >= level).float().mean()),
        "sampled": float((found >= level - 1e-4 * scale.std).float().mean()),
        "edited": float((after >= wanted - 1e-4 * scale.std).float().mean()),
        "moved": float((after - wanted).mean() / scale.std + 1),
        "kept": sum(same) / len(same),
        "realistic": float((realism > editor.model.tuning.realism_level).float().mean()),
        "seconds_sampled": seconds_sampled / config.samples,
        "seconds_edited": seconds / len(readings),
    }


def measure_rules(config: RulesConfig) -> dict[str, Any]:
    """Every figure: by rule, by way."""
    editor = FaceEditor.load(config.weights, config.device)
    names = find(config.celeba).names(config.part, config.photos)
    readings = read_framed(editor, config.celeba, names)
    figures: dict[str, Any] = {"settings": dataclasses.asdict(config), "rules": {}}
    every, space = [named_rule(name) for name in config.rules], editor.space
    faces = sample(space)
    by_critic = [one for one in every if config.both or not one.differentiable]
    said = values(by_critic, decoded(space, lessons(space))) if by_critic else {}
    plain = torch.stack([one.z for one in editor.sample(config.samples, seed=config.seed)]).to(editor.device)
    for chosen in tqdm(every, leave=False):
        scale = measure(space, chosen, faces)
        rows: dict[str, dict[str, float]] = {}
        if chosen.differentiable:
            followed = partial(follow, space, chosen, scale)
            rows["decoder"] = _row(editor, chosen, scale, readings, plain, followed, config)
        if chosen in by_critic:
            learned = stand_in(space, chosen, scale, said[chosen.name])
            rows["critic"] = _row(editor, chosen, scale, readings, plain, learned.constraint, config)
            rows["critic"]["explained"] = learned.explained
        figures["rules"][chosen.name] = rows
        for way, row in rows.items():
            tqdm.write(f"{chosen.name}, {way}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()))
    return figures


def tables(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    head = ["rule", "way", "generated: by chance", "generated", "edited", "own attributes kept", "explained"]
    keys = ("before", "sampled", "edited", "kept", "explained")
    rows = [
        [name, way, *(f"{row[key]:.2f}" if key in row else "-" for key in keys)]
        for name, ways in figures["rules"].items()
        for way, row in ways.items()
    ]
    return "\n".join(table(head, rows))


@program
def main() -> None:
    config = parse(RulesConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    figures = measure_rules(config)
    keep(config.out, figures)
    print(tables(figures))


if __name__ == "__main__":
    main()

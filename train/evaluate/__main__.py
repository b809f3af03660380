"""Measure a weights folder on held-out photos, as the paper scores it and more, and write its model card's tables.

    python -m train.evaluate --weights weights/celeba-64 --judges weights/judges-64 --celeba data/celeba

First the judges themselves, on photos and their reconstructions. Then rows of pictures: photos, reconstructions, the
raw prior, faces made up for the held-out photos' label vectors by actor and optimiser; and one-attribute edits of
held-out photos in twenty directions, over the identity slider. Figures go to evaluation.json, tables and plots to the
card. The judges are pixel classifiers, and a face embedding, that no other part of the project has seen.
It takes ten minutes of a slow core; `--preset card`, which the published card is written with, measures more places of
the slider and more photos. `--limit 30 --edits 2 --optimised 1 --swept 1 --seeds 0` is a dry run.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lc.editor import FaceEditor, Method
from lc.files import write_json
from lc.weights import load_generator
from train.evaluate import report
from train.data import PARTS
from train.engine import parse, program
from train.identity import pairs, separate
from train.mixture import load_density
from train.evaluate.plots import write_plots
from train.evaluate.crops import Evaluation, Source, Walk, spread
from train.evaluate.readers import Evaluators


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a weights folder."""

    weights: Path = Path("weights/celeba-64")
    judges: Path = Path("weights/judges-64")
    """Folder with the classifiers "reader" and "realism"."""
    celeba: Path = Path("data/celeba")
    part: str = "validation"
    plain: Path | None = None
    """Weights folder of the same VAE with its decoder as it was before sharpening, to compare with."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the made-up faces; mean and spread are given."""
    thorough: bool = False
    """Faces made up by the optimiser and from the density too; all seeds, not one, for the actor's along the slider."""
    edits: int = 40
    """Photos per edit direction for the actor."""
    optimised: int = 10
    """Photos per edit direction for the optimiser."""
    identity: float = 0.5
    """Place of the identity slider for the edits."""
    sweep: tuple[float, ...] = (0.0, 1.0)
    """Places of the slider at which edits, beside those at `identity`, and made-up faces are measured."""
    swept: int = 5
    """Of the photos per edit direction, those that are edited at all these places."""
    several: int = 0
    """Photos in which two to four changes are made at once, by the actor."""
    pairs: int = 300
    """Pairs of photos on which the face embedding is tried."""
    device: str = "auto"
    threads: int = 0
    limit: int | None = None
    """Use only so many photos: a dry run."""


PRESETS = {
    "quick": EvaluateConfig(),
    "card": EvaluateConfig(thorough=True, optimised=20, sweep=(0.0, 0.25, 0.5, 0.75, 1.0), swept=40, several=300),
}


def judges(config: EvaluateConfig, evaluation: Evaluation) -> dict[str, Any]:
    """What the judges see of photos and of reconstructions: an editor cannot be judged by a judge that cannot see."""
    figures = {
        "photos": len(evaluation.labels),
        "settings": dataclasses.asdict(config),
        "lambda_dist": {str(place): evaluation.editor.model.distance_weight(place) for place in config.sweep},
        "real": evaluation.row(evaluation.photos),
        "frechet_floor": evaluation.frechet_floor(config.celeba, "train" if config.part != "train" else "validation"),
        "reconstruction": evaluation.reconstructions(),
    }
    embedding = evaluation.judge.embedding
    if embedding and len(photos := pairs(config.celeba, config.pairs)) > 1:
        figures["identity_judge"] = separate(embedding, photos)
    return figures


def made_up(config: EvaluateConfig, evaluation: Evaluation) -> dict[str, Any]:
    """The rows of made-up faces, each the mean over the seeds."""

    def over_seeds(name: str, walk: Walk, identity: float = 0.0, source: Source = "prior", **other: Any) -> Any:
        every = walk != "optimise" and (config.thorough or not identity)
        chosen = config.seeds if every else config.seeds[:1]
        seeds = tqdm(chosen, desc=f"made-up faces, {name}", leave=False)
        return spread([evaluation.made_up(seed, walk, identity, source, **other) for seed in seeds])

    rows = {"prior": over_seeds("prior", "none"), "actor": over_seeds("actor", "actor")}
    if config.thorough:
        rows["optimiser"] = over_seeds("optimiser", "optimise")
    rows["samples"] = {
        str(place): over_seeds(f"actor, identity {place:g}", "actor", place) if place else rows["actor"]
        for place in config.sweep
    }
    if config.thorough and evaluation.density is not None:
        rows["density"] = over_seeds("density", "none", source="density")
        rows["density_actor"] = over_seeds("density and actor", "actor", source="density")
    if config.plain:
        decoder = load_generator(config.plain).to(evaluation.editor.device)
        rows["plain_reconstruction"] = evaluation.reconstructions(decoder)
        rows["plain_actor"] = over_seeds("plain decoder", "actor", decoder=decoder)
    return rows


def edits(config: EvaluateConfig, evaluation: Evaluation) -> dict[str, Any]:
    """One-attribute edits by both methods, over the identity slider."""
    rows: dict[str, Any] = {}
    methods: tuple[tuple[Method, str, int], ...] = (
        ("actor", "sweep", config.edits),
        ("optimise", "sweep_optimise", config.optimised),
    )
    for method, name, count in methods:
        parts, swept, rows[name] = len(config.seeds), min(count, config.swept), {}
        for place in sorted({*config.sweep, config.identity}):
            edits = evaluation.edits(method, count if place == config.identity else swept, place)
            rows[name][str(place)] = evaluation.edits_row(edits, parts, swept)
            if place == config.identity:
                rows[f"edits_{method}"] = evaluation.edits_row(edits, parts)
    if config.several:
        rows["several"] = evaluation.several("actor", config.several, config.identity)
    return rows


def measure(config: EvaluateConfig, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Every figure, as it is written to evaluation.json. The judges' own come first, and are said at once."""
    editor = FaceEditor.load(config.weights, config.device)
    density = load_density(config.weights, editor.model.generator.latent)
    photos = config.celeba, config.part, config.limit
    evaluation = Evaluation(editor, Evaluators.load(config.judges), *photos, density=density)
    figures = judges(config, evaluation)
    say(report.judges_table(figures))
    figures |= made_up(config, evaluation) | edits(config, evaluation)
    return {**figures, "reach": report.reach(figures)}


@program
def main() -> None:
    config = parse(EvaluateConfig, PRESETS)
    if config.part not in PARTS:
        raise SystemExit(f"--part must be one of: {', '.join(PARTS)}")
    if config.threads:
        torch.set_num_threads(config.threads)
    begun, busy = time.perf_counter(), time.process_time()
    figures = measure(config)
    figures["minutes"] = (time.perf_counter() - begun) / 60
    figures["cpu_minutes"] = (time.process_time() - busy) / 60
    figures = report.short(figures)  # the card says what the file says, to the last digit
    write_json(config.weights / "evaluation.json", figures, indent=1)
    write_plots(config.weights / "plots", figures)
    tables = report.markdown(figures)
    report.write_card(config.weights / "README.md", tables)
    print(tables)


if __name__ == "__main__":
    main()

"""Measure a weights folder: edits of finished photos by readers of every role and by masks, and the model's own crops.

    python -m train.evaluate --weights weights/celeba-64 --evaluators weights/judges-64 --photos data/lfw
    python -m train.evaluate --weights weights/celeba-64 --evaluators weights/judges-64 --celeba data/celeba --crops

First the finished photo: whole photos go in, edited ones come out, in twenty directions, and the face that is found in
them again is read by guidance, calibration, evaluation and outside readers, side by side, and measured by the masks of
a face parser where the weights have one or `--parser` names one. Without `--photos` the labelled set's own pictures are
taken, as they are framed.

With `--crops` the model itself: the evaluation readers on photos and their reconstructions; rows of pictures: photos,
reconstructions, the raw prior, faces generated for the held-out photos' label vectors by actor and optimiser; and
one-attribute edits over the identity slider. It takes ten minutes of a slow core; `--preset card`, which the published
card is written with, measures more places of the slider and more photos. `--limit 30 --edits 2 --optimised 1 --swept 1
--seeds 0` is a dry run.

Figures go to evaluation.json beside the weights, all tables and plots to evaluation.md there, one table to the card.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lc.editor import FaceEditor, Method
from lc.errors import LatentConstraintsError
from lc.files import write_json
from lc.weights import load_generator, load_parser
from train.data import PARTS, find
from train.engine import parse, program
from train.evaluate import finished, report
from train.evaluate.crops import Evaluation, Walk, spread
from train.evaluate.edits import read_framed, read_photos
from train.evaluate.finished import learn_ranges
from train.evaluate.reach import reach
from train.evaluate.readers import Evaluators, load_roles
from train.identity import pairs, separate


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a weights folder."""

    weights: Path = Path("weights/celeba-64")
    evaluators: Path = Path("weights/judges-64")
    """Folder with the classifiers "reader" and "realism", for evaluation."""
    celeba: Path = Path("data/celeba")
    """Labelled photos, in any layout that training takes."""
    part: str = "validation"
    photos: Path | None = None
    """Folder of whole photos; without it the labelled set's own are edited."""
    count: int = 24
    """Whole photos, drawn by chance."""
    places: tuple[float, ...] = (0.5,)
    """Places of the identity slider at which whole photos are edited."""
    method: Method = "actor"
    parser: Path | None = None
    """Folder of a face parser, where the weights have none."""
    masks_from: Path | None = None
    """Labelled photos from which masks learn what counts as what; without it --celeba."""
    masks_photos: int = 40
    """Labelled photos of each attribute for that."""
    calibration: tuple[Path, ...] = ()
    """Folders of the classifiers that train.calibrate was given: they read in that role."""
    outside: bool = True
    """Let outside readers read too, where they were fetched."""
    redetect: bool = True
    """Find the face again in the finished photo."""
    grey: int = 2
    """Of so many whole photos grey copies are edited as well."""
    crops: bool = False
    """Measure the model's own crops as well; all settings below are of these."""
    plain: Path | None = None
    """Weights folder of the same VAE with its decoder as it was before sharpening, to compare with."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the generated faces; mean and spread are given."""
    thorough: bool = False
    """Faces of the optimiser too; all seeds, not one, for the actor's along the slider."""
    edits: int = 40
    """Photos per edit direction for the actor."""
    optimised: int = 10
    """Photos per edit direction for the optimiser."""
    identity: float = 0.5
    """Place of the identity slider for the edits."""
    sweep: tuple[float, ...] = (0.0, 1.0)
    """Places of the slider at which edits, beside those at `identity`, and generated faces are measured."""
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
    "card": EvaluateConfig(
        count=100,
        places=(0.5, 1.0),
        crops=True,
        thorough=True,
        optimised=20,
        sweep=(0.0, 0.25, 0.5, 0.75, 1.0),
        swept=40,
        several=300,
    ),
}


def photos_and_copies(config: EvaluateConfig, evaluation: Evaluation) -> dict[str, Any]:
    """What the evaluation classifiers read in photos and reconstructions: edits are measured no better than that."""
    figures = {
        "photos": len(evaluation.labels),
        "settings": dataclasses.asdict(config),
        "lambda_dist": {str(place): evaluation.editor.model.distance_weight(place) for place in config.sweep},
        "real": evaluation.row(evaluation.photos),
        "frechet_floor": evaluation.frechet_floor(config.celeba, "train" if config.part != "train" else "validation"),
        "reconstruction": evaluation.reconstructions(),
    }
    embedding, size = evaluation.evaluators.embedding, evaluation.editor.model.generator.image_size
    if embedding and len(photos := pairs(config.celeba, config.pairs, size)) > 1:
        figures["identity_embedding"] = separate(embedding, photos)
    return figures


def generated(config: EvaluateConfig, evaluation: Evaluation) -> dict[str, Any]:
    """The rows of generated faces, each the mean over the seeds."""

    def over_seeds(name: str, walk: Walk, identity: float = 0.0, **other: Any) -> Any:
        every = walk != "optimise" and (config.thorough or not identity)
        chosen = config.seeds if every else config.seeds[:1]
        seeds = tqdm(chosen, desc=f"generated faces, {name}", leave=False)
        return spread([evaluation.generated(seed, walk, identity, **other) for seed in seeds])

    rows = {"prior": over_seeds("prior", "none"), "actor": over_seeds("actor", "actor")}
    if evaluation.editor.model.flow is not None:
        rows["flow"] = over_seeds("flow", "flow")
    if config.thorough:
        rows["optimiser"] = over_seeds("optimiser", "optimise")
    rows["samples"] = {
        str(place): over_seeds(f"actor, identity {place:g}", "actor", place) if place else rows["actor"]
        for place in config.sweep
    }
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


def measure_crops(config: EvaluateConfig, editor: FaceEditor, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Every figure of the model's crops, as in evaluation.json. The readers' own come first, and are said at once."""
    evaluators = Evaluators.load(config.evaluators)
    evaluation = Evaluation(editor, evaluators, config.celeba, config.part, config.limit)
    figures = photos_and_copies(config, evaluation)
    say(report.evaluators_table(figures))
    figures |= generated(config, evaluation) | edits(config, evaluation)
    return {**figures, "reach": reach(figures)}


def measure_finished(config: EvaluateConfig, editor: FaceEditor) -> dict[str, Any]:
    """Every figure of finished photos, as in evaluation.json's section "finished"."""
    roles = load_roles(editor.model, config.evaluators, config.calibration, config.outside)
    parser = load_parser(config.parser) if config.parser else editor.model.parser
    if config.parser and parser is None:
        raise LatentConstraintsError(f"{config.parser} has no face parser: name the folder that train.parser wrote.")
    ranges = learn_ranges(parser, config.masks_from or config.celeba, each=config.masks_photos) if parser else None
    refused: list[str] = []
    if config.photos:
        readings, refused = read_photos(editor, config.photos, config.count, part=config.part)
    else:
        names = find(config.celeba).names(config.part, config.count)
        readings = read_framed(editor, config.celeba, names)
    photos = finished.Photos(editor, readings, finished.Panel(roles, parser, ranges, config.redetect))
    chosen = ("weights", "evaluators", "part", "count", "places", "method", "redetect", "grey")
    return {
        "settings": {name: getattr(config, name) for name in chosen},
        "source": (config.photos or config.celeba).name,
        "photos": len(readings),
        "refused": refused,
        "readers": roles.titles(),
        "masks": dataclasses.asdict(ranges) if ranges else None,
        "places": {
            str(place): finished.measure(photos, place, config.method, grey=config.grey) for place in config.places
        },
    }


def measure(config: EvaluateConfig, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Every figure, as it is written to evaluation.json."""
    editor = FaceEditor.load(config.weights, config.device)
    figures = {"finished": measure_finished(config, editor)}
    return {**(measure_crops(config, editor, say) if config.crops else {}), **figures}


def write(config: EvaluateConfig, figures: dict[str, Any]) -> str:
    """Put figures and tables beside the weights; crops' stay as they are where not measured. Returns the tables."""
    path = config.weights / "evaluation.json"
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    write_json(path, {**({} if config.crops else known), **figures}, indent=1)
    return report.write_report(config.weights, figures)


@program
def main() -> None:
    config = parse(EvaluateConfig, PRESETS)
    if config.part not in PARTS:
        raise SystemExit(f"--part must be one of: {', '.join(PARTS)}")
    if not config.places:
        raise SystemExit("--places needs a place of the identity slider, such as 0.5.")
    if config.threads:
        torch.set_num_threads(config.threads)
    begun, busy = time.perf_counter(), time.process_time()
    figures = measure(config)
    figures["minutes"] = (time.perf_counter() - begun) / 60
    figures["cpu_minutes"] = (time.process_time() - busy) / 60
    print(write(config, report.short(figures)))  # the tables say what the file says, to the last digit


if __name__ == "__main__":
    main()

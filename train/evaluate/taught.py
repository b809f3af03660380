"""Measure attributes that are taught from a few photos: how well they are read, edited, and what else changes.

    LC_ATTRIBUTES=train/celeba-40.json python -m train.classifier --kind evaluation --init weights/judges-64 \\
        --vae weights/celeba-64 --celeba data/celebahq --epochs 1 --lr 1e-3 --out runs/reader40
    python -m train.evaluate.taught --weights weights/celeba-64 --evaluator runs/reader40/weights --celeba data/celebahq

Attributes of CelebA that no net of the weights has been trained for are taught from photos of the validation part, and
toggled on others of it, half of which have it. An evaluation classifier of all forty attributes, which neither teaching
nor editing hears, reads the photo before and the finished photo: whether the attribute turned, of those where it read
it the other way round before, and whether the model's own attributes stayed.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lc.classifier import Classifier
from lc.editor import Edit, FaceEditor, Method, Reading
from lc.few_shot import encode, fit
from lc.generator import Posterior
from lc.taught import TaughtAttribute, load_taught
from lc.weights import load_classifier
from train.data import DataError, centre, find, load_celeba
from train.engine import parse, program
from train.evaluate.edits import before, finished, read_framed, tensor
from train.evaluate.report import keep
from train.evaluate.tables import table
from train.further import FurtherConfig

__all__ = ["ATTRIBUTES_TAUGHT", "Draw", "TaughtConfig", "draw", "main", "measure"]

#: No net of celeba-64 was trained for these.
ATTRIBUTES_TAUGHT = FurtherConfig.attributes
#: Those that settings of teaching were chosen on, with photos of the training part.
ATTRIBUTES_TRIED = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "High_Cheekbones",
    "Narrow_Eyes",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Straight_Hair",
    "Bags_Under_Eyes",
    "Double_Chin",
)


@dataclass(frozen=True)
class TaughtConfig:
    """Measure attributes that are taught from a few photos."""

    weights: Path = Path("weights/celeba-64")
    evaluator: Path = Path("runs/reader40/weights")
    """Folder with a classifier "reader" of all attributes that are measured, for evaluation only."""
    celeba: Path = Path("data/celebahq")
    part: str = "validation"
    attributes: tuple[str, ...] = ATTRIBUTES_TAUGHT
    sides: tuple[tuple[int, int], ...] = ((20, 20), (5, 0))
    """Photos with and without an attribute that it is taught from; 0: the weights' sample of latents."""
    actor: bool = False
    """Train an actor for each too, and measure with it as well."""
    add_on: Path | None = None
    """Folder of attributes that were taught already, measured instead."""
    photos: int = 100
    """Others that it is toggled on, half of them with it."""
    limit: int | None = None
    """Use only so many photos of the part: a dry run."""
    identity: float = 0.5
    method: Method = "actor"
    fast: bool = False
    """Edits that nothing corrects."""
    seed: int = 0
    out: Path = Path("runs/taught.json")
    device: str = "auto"
    threads: int = 0


PRESETS = {
    "few": TaughtConfig(),
    "tried": TaughtConfig(
        attributes=ATTRIBUTES_TRIED, part="train", photos=40, limit=2500, out=Path("runs/tried.json")
    ),
}


@dataclass(frozen=True)
class Draw:
    """Photos by chance, none of them twice: to teach from with and without an attribute, and to toggle it on."""

    positives: list[int]
    negatives: list[int]
    others: list[int]


def draw(has: Sequence[bool], positives: int, negatives: int, photos: int, seed: int) -> Draw:
    """Draw photos.

    Args:
        has: whether each photo has the attribute.
        positives, negatives: how many to teach from.
        photos: how many to toggle: half of them with it, or fewer where there are no more.

    Raises:
        DataError: there are too few.
    """
    order = list(range(len(has)))  # the same for every attribute, so that many photos serve several of them
    random.Random(seed).shuffle(order)
    there, lacking = ([i for i in order if bool(has[i]) == wanted] for wanted in (True, False))
    if len(there) <= positives or len(lacking) <= negatives + photos:
        raise DataError(f"{len(there)} photos have it: too few to teach from {positives} and toggle it on others.")
    with_it = there[positives:][: photos // 2]
    without = lacking[negatives:][: photos - len(with_it)]
    return Draw(there[:positives], lacking[:negatives], with_it + without)


class Evaluator:
    """Photos as the evaluation classifier reads them."""

    def __init__(self, classifier: Classifier, names: Sequence[str]) -> None:
        self.classifier, self.names, self.side = classifier, list(names), classifier.config.image_size

    @torch.no_grad()
    def read(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N, A) of bool."""
        return torch.cat([self.classifier.read(part) for part in faces.split(64)])

    def photos(self, readings: Sequence[Reading]) -> Tensor:
        return self.read(tensor([before(reading).crop(self.side) for reading in readings]))

    def edits(self, edits: Sequence[Edit]) -> Tensor:
        return self.read(tensor([finished(edit, redetect=False).crop(self.side) for edit in edits]))


def toggled(
    editor: FaceEditor, taught: TaughtAttribute, readings: Sequence[Reading], seen: Evaluator, name: str, config: Any
) -> dict[str, Any]:
    """Toggle an attribute in photos, each to what the classifier does not read, and say what it reads then."""
    was, column = seen.photos(readings), seen.names.index(name)
    kept = [seen.names.index(own) for own in editor.attributes.names]
    now, seconds = torch.zeros_like(was), 0.0
    for value in (True, False):
        rows = torch.nonzero(was[:, column] == value)[:, 0].tolist()
        if rows:
            begun = time.perf_counter()
            wanted = taught.constraint(not value)
            chosen = [readings[i] for i in rows]
            edits = editor.edit_many(chosen, None, config.identity, config.method, constraints=[wanted])
            seconds += time.perf_counter() - begun
            now[rows] = seen.edits(edits)
    turned, on = (was != now)[:, column].float(), ~was[:, column]
    return {
        "turned": float(turned.mean()),
        "on": float(turned[on].mean()),
        "off": float(turned[~on].mean()),
        "photos_on": int(on.sum()),
        "photos_off": int((~on).sum()),
        "kept": float((was == now)[:, kept].float().mean()),
        "seconds_each": seconds / len(readings),
    }


class Photos:
    """A part's photos, each encoded once and read once.

    Attributes:
        names: of all attributes that are labelled.
        labels: (N, A) of bool.
        posterior: q(z|x), (N, latent) each.
    """

    def __init__(self, editor: FaceEditor, config: TaughtConfig) -> None:
        self.editor, self.root = editor, config.celeba
        size = editor.model.generator.image_size
        self.names = find(config.celeba).attributes()
        crops = load_celeba(config.celeba, config.part, config.limit, attributes=self.names, image_size=size)
        assert crops.labels is not None
        self.labels, self._files = crops.labels.bool(), crops.names
        self.posterior = encode(editor.space, centre(crops.images, size))
        self._readings: dict[int, Reading] = {}

    def readings(self, rows: Sequence[int]) -> list[Reading]:
        """As a user's photos are read."""
        missing = [row for row in rows if row not in self._readings]
        found = read_framed(self.editor, self.root, [self._files[row] for row in missing])
        self._readings |= dict(zip(missing, found, strict=True))
        return [self._readings[row] for row in rows]

    def teach(self, name: str, positives: Sequence[int], negatives: Sequence[int]) -> TaughtAttribute:
        """Teach from some of them; without negatives from the weights' sample."""
        mean, std = self.posterior
        sides = [Posterior(mean[rows], std[rows]) for rows in (list(positives), list(negatives)) if rows]
        return fit(self.editor.space, f"Taught_{name}", *sides)

    def told(self, taught: TaughtAttribute, name: str, without: Sequence[int]) -> float:
        """Balanced accuracy on all photos but some."""
        rest = torch.ones(len(self.labels), dtype=torch.bool)
        rest[list(without)] = False
        has, found = self.labels[rest, self.names.index(name)], taught.probability(self.posterior.mean[rest]) >= 0.5
        return float((found[has].float().mean() + (~found[~has]).float().mean()) / 2)


def measure(config: TaughtConfig) -> dict[str, Any]:
    """Every figure: by photos taught from, by attribute."""
    editor = FaceEditor.load(config.weights, config.device)
    if config.fast:
        editor = FaceEditor(editor.model, correction_steps=0)
    photos = Photos(editor, config)
    seen = Evaluator(load_classifier(config.evaluator, "reader"), photos.names)
    sides = ((0, 0),) if config.add_on else config.sides
    most_p, most_n = (max(counts) for counts in zip(*sides, strict=True))
    figures: dict[str, Any] = {"settings": dataclasses.asdict(config), "sides": {}}
    for name in tqdm(config.attributes, leave=False):
        drawn = draw(photos.labels[:, photos.names.index(name)].tolist(), most_p, most_n, config.photos, config.seed)
        readings = photos.readings(drawn.others)
        for p, n in sides:
            begun = time.perf_counter()
            if config.add_on:
                taught = load_taught(config.add_on / f"{name}.safetensors", editor.model)
            else:
                taught = photos.teach(name, drawn.positives[:p], drawn.negatives[:n])
            row = {"seconds": time.perf_counter() - begun, "promised": taught.report.accuracy}
            row["told"] = photos.told(taught, name, drawn.positives + drawn.negatives)
            ways = {f"{p}+{n}": (taught, row)}
            if config.actor:
                begun = time.perf_counter()
                taught = editor.train_actor(taught)
                ways[f"{p}+{n}, with an actor"] = taught, {**row, "seconds": time.perf_counter() - begun}
            for way, (one, known) in ways.items():
                found = known | toggled(editor, one, readings, seen, name, config)
                figures["sides"].setdefault(way, {})[name] = found
                tqdm.write(f"{name} {way}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()))
    return figures


def tables(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    head = ["attribute", "told", "promised", "turned", "on", "off", "own attributes kept", "seconds an edit"]
    keys = ("told", "promised", "turned", "on", "off", "kept", "seconds_each")
    lines: list[str] = []
    for side, rows in figures["sides"].items():
        mean = {key: sum(row[key] for row in rows.values()) / len(rows) for key in keys}
        lines += ["", f"{side} photos:", ""]
        lines += table(
            head, [[name, *(f"{row[key]:.2f}" for key in keys)] for name, row in [*rows.items(), ("mean", mean)]]
        )
    return "\n".join(lines)


@program
def main() -> None:
    config = parse(TaughtConfig, PRESETS)
    if config.threads:
        torch.set_num_threads(config.threads)
    figures = measure(config)
    keep(config.out, figures)
    print(tables(figures))


if __name__ == "__main__":
    main()

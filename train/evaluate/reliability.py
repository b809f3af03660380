"""Measure what seldom works on whom, and put it into the weights folder, where `lc.reliability` reads it.

    python -m train.evaluate.reliability --weights weights/celeba-64 --evaluators weights/judges-64 \
        --celeba data/celebahq

Every change is made of photos of every kind of face, so many of each as are named: women and men, people in a hat, with
glasses, with a beard, bald, of each colour of hair, older; and of anybody, of whom the darkest and lightest third of
skins are kinds as well. A kind's share rests on its own photos only: men are not counted by all the men in hats that
another kind brought along. An edit counts as seen where half or more of those who judge it on the finished photo say
so: the evaluation classifiers, the outside reader, and the masks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lc.editor import FaceEditor
from lc.reliability import DARK, LIGHT, Reliability, save_reliability
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.data import DataError, find
from train.engine import parse, program
from train.evaluate import edits as editing
from train.evaluate.edits import Direction, key, read_framed
from train.evaluate.finished import Panel, Photos, learn_ranges
from train.evaluate.readers import load_roles
from train.evaluate.report import keep
from train.evaluate.summary import Columns
from train.evaluate.tables import table

__all__ = ["ReliabilityConfig", "chosen", "counted", "main", "seen"]

_ANYBODY = "anybody"
_JUDGES = ("evaluation", "outside", "masks")


@dataclass(frozen=True)
class ReliabilityConfig:
    """Measure what seldom works on whom."""

    weights: Path = Path("weights/celeba-64")
    evaluators: Path = Path("weights/judges-64")
    celeba: Path = Path("data/celebahq")
    part: str = "validation"
    each: int = 12
    """Photos of each kind of face."""
    first: int = 200
    """Photos of the part that are passed over: other figures rest on them."""
    identity: float = 0.5
    outside: bool = True
    """Ask the outside readers too, see train/readers.py."""
    out: Path = Path("runs/reliability.json")
    device: str = "auto"
    threads: int = 0


def chosen(labels: Tensor, each: int) -> dict[str, list[int]]:
    """Rows of so many photos of each kind that has a name, the first in the list, and three times as many of anybody.

    Args:
        labels: (N, A) bool, in the order of `ATTRIBUTES`.
    """
    rows = {_ANYBODY: list(range(min(3 * each, len(labels))))}
    for column, entry in enumerate(ATTRIBUTE_SET.attributes):
        for has, people in enumerate(entry.people):
            if people:
                rows[f"{entry.name}={has}"] = torch.nonzero(labels[:, column] == bool(has))[:each, 0].tolist()
    return rows


def seen(columns: Columns) -> Tensor:
    """Whether half or more of those who can judge an edit see it, (N,): 1, 0, or NaN where nobody can."""
    told = [columns[name] for name in _JUDGES if name in columns]
    share = torch.stack(told).nanmean(0) if told else torch.tensor(torch.nan)
    return torch.where(share.isnan(), share, (share >= 0.5).float())


def counted(
    found: Mapping[Direction, Tensor], rows: Mapping[Direction, Sequence[int]], kinds: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, tuple[int, int]]]:
    """How many edits were seen, and of how many, by change and kind.

    Args:
        found: for each direction what `seen` says of its edits.
        rows: for each direction which photos these are of.
        kinds: which photos are of each kind, see `lc.reliability.Reliability.kinds`.
    """
    result: dict[str, dict[str, tuple[int, int]]] = {}
    for direction, values in found.items():
        known = [(row, value) for row, value in zip(rows[direction], values.tolist(), strict=True) if value == value]
        counts = {kind: [value for row, value in known if row in its] for kind, its in kinds.items()}
        result[key(direction)] = {kind: (int(sum(some)), len(some)) for kind, some in counts.items() if some}
    return result


def measure(config: ReliabilityConfig) -> Reliability:
    """Edit photos of every kind, and count. Raises DataError."""
    editor = FaceEditor.load(config.weights, config.device)
    parser, model = editor.model.parser, editor.model
    if parser is None:
        raise DataError(f"{config.weights} holds no face parser, which tells kinds of faces: see train/parser.py.")
    layout = find(config.celeba)
    names = layout.names(config.part)[config.first :]
    labels = torch.tensor(layout.read_labels(names, list(ATTRIBUTES))).bool()
    kinds = chosen(labels, config.each)
    taken = sorted({row for rows in kinds.values() for row in rows})
    kinds = {kind: [taken.index(row) for row in rows] for kind, rows in kinds.items()}
    readings = read_framed(editor, config.celeba, [names[row] for row in taken])
    roles = load_roles(model, config.evaluators, (), config.outside)
    photos = Photos(editor, readings, Panel(roles, parser, learn_ranges(parser, config.celeba)))
    known = {row: editor.steerer.tone(readings[row]) for row in kinds.pop(_ANYBODY)}
    tones = {row: tone for row, tone in known.items() if tone is not None}
    low, high = np.quantile(list(tones.values()), (1 / 3, 2 / 3)).tolist() if tones else (0.0, 100.0)
    kinds[DARK] = [row for row, tone in tones.items() if tone <= low]
    kinds[LIGHT] = [row for row, tone in tones.items() if tone >= high]
    rows, found = editing.lacking(photos.has), dict[Direction, Tensor]()
    for batch in editing.make(editor, readings, rows, config.identity, "actor"):
        found[batch.direction] = seen(photos.measure(batch))
    return Reliability(counted(found, rows, kinds), (low, high))


def lines(reliability: Reliability) -> list[str]:
    """A table: changes down, kinds across."""
    kinds = sorted({kind for counts in reliability.seen.values() for kind in counts})
    rows = [
        [change, *("{}/{}".format(*counts[kind]) if kind in counts else "-" for kind in kinds)]
        for change, counts in reliability.seen.items()
    ]
    return table(["change", *kinds], rows)


@program
def main() -> None:
    config = parse(ReliabilityConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    reliability = measure(config)
    figures: dict[str, Any] = dataclasses.asdict(reliability)
    keep(config.out, figures)
    save_reliability(config.weights, reliability)
    print("\n".join(lines(reliability)))


if __name__ == "__main__":
    main()

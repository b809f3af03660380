"""Learn how what D_attr says and what the parser finds tell together whether a photo shows glasses or a hat.

    python -m train.evidence --weights weights/celeba-64 --celeba data/celebahq

A generator of few pixels takes dark brows for frames and a cap for hair; a parser takes the shadow of a frame for one.
For each attribute of the weights folder that is the presence of a part, a logistic regression on labelled photos of the
training part goes into config.json, see `lc.evidence`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lc.attributes import Attribute
from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from lc.evidence import LEAST_SHARE, Evidence, logit_of
from lc.faces.steering import share_of
from lc.results import Located
from lc.weights import save_config
from train.engine import parse, program
from train.evaluate.edits import read_framed
from train.layouts import find

_BATCH = 64
_DECAY = 1e-3  # of squared weights: where two classes are told without a mistake, weights stay finite


@dataclass(frozen=True)
class EvidenceConfig:
    """Learn how glasses and hats are read."""

    weights: Path
    """Weights folder with a parser; config.json there gets what was learned."""
    celeba: Path = Path("data/celebahq")
    photos: int = 400
    """How many with each such attribute, at most."""
    others: int = 1100
    """How many besides, by chance."""
    seed: int = 0
    threads: int = 1


def fitted(logits: Tensor, shares: Tensor, labels: Tensor, weights: Tensor) -> Evidence:
    """Logistic regression, to four significant digits.

    Args:
        logits, shares: (N,), of D_attr, and of the part in [0, 1].
        labels: (N,) in {0, 1}, both of which occur.
        weights: (N,), how much each photo counts.
    """
    x = torch.stack([logits, (shares + LEAST_SHARE).log(), torch.ones_like(logits)], 1).double()
    parameters = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        each = binary_cross_entropy_with_logits(x @ parameters, labels.double(), reduction="none")
        loss = (weights * each).sum() / weights.sum() + _DECAY * parameters[:2].square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return Evidence(*(float(f"{value:.4g}") for value in parameters.tolist()))


def chosen(labels: Sequence[tuple[bool, ...]], config: EvidenceConfig) -> list[int]:
    """Rows of photos to learn from: some that show each part, and others."""
    chance, rows = random.Random(config.seed), list(range(len(labels)))
    chance.shuffle(rows)
    found = dict.fromkeys(rows[: config.others])
    for column in range(len(labels[0])):
        found |= dict.fromkeys([row for row in rows if labels[row][column]][: config.photos])
    return list(found)


def seen(editor: FaceEditor, root: Path, names: Sequence[str], entries: Sequence[Attribute]) -> tuple[Tensor, Tensor]:
    """The logits of D_attr, and the shares of crops that the parser finds, (N, len(entries)) each."""
    assert editor.model.parser is not None
    columns = [editor.model.parser.config.classes.index(entry.part) for entry in entries]
    logits, shares = [], []
    for first in range(0, len(names), _BATCH):
        readings = read_framed(editor, root, names[first : first + _BATCH])
        told = editor.space.probabilities(torch.stack([one.z for one in readings]))
        logits += [[logit_of(one[entry.name]) for entry in entries] for one in told]
        for parsed in editor.steerer.parsed([Located(one.photo, [], None, one.aligned) for one in readings]):
            assert parsed is not None
            shares.append([share_of(parsed[1], column) for column in columns])
        print(f"{len(logits):,} of {len(names):,} photos", flush=True)
    return torch.tensor(logits), torch.tensor(shares)


@program
def main() -> None:
    config = parse(EvidenceConfig)
    torch.set_num_threads(config.threads)
    editor = FaceEditor.load(config.weights, "cpu")
    attributes, parser = editor.attributes, editor.model.parser
    if parser is None:
        raise LatentConstraintsError(f"{config.weights} has no face parser: train one with python -m train.parser.")
    entries = [entry for entry in attributes.attributes if entry.part in parser.config.classes]
    layout = find(config.celeba)
    names = layout.names("train")
    labels = [tuple(row) for row in layout.read_labels(names, [entry.name for entry in entries])]
    rows = chosen(labels, config)
    # Photos of rare things were looked for: each stands for those that are labelled alike.
    among, all_of = Counter(labels[row] for row in rows), Counter(labels)
    weights = torch.tensor([all_of[labels[row]] / among[labels[row]] for row in rows])
    logits, shares = seen(editor, config.celeba, [names[row] for row in rows], entries)
    known, learned = torch.tensor([labels[row] for row in rows]), {}
    for column, entry in enumerate(entries):
        if len(known[:, column].unique()) < 2:
            raise LatentConstraintsError(f"All photos are labelled alike with {entry.name}: give more of them.")
        found = fitted(logits[:, column], shares[:, column], known[:, column].float(), weights)
        learned[entry.name] = replace(entry, evidence=found)
        print(entry.name, found, flush=True)
    after = replace(attributes, attributes=tuple(learned.get(one.name, one) for one in attributes.attributes))
    save_config(config.weights, attributes=after.as_json())


if __name__ == "__main__":
    main()

"""Measure a weights folder on held-out photos, as the paper scores it and more, and write its model card's table.

    python -m train.evaluate --weights weights/celeba-64 --judges weights/judges-64 --celeba data/celeba

Rows: photos, their reconstructions, the raw prior, made-up faces conditioned on the held-out photos' label vectors, and
one-attribute edits of held-out photos in twenty directions by actor and optimiser. Everything goes through FaceEditor,
as a user's photo would. The judges are pixel classifiers that no other part of the project has seen.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lc.attributes import ATTRIBUTES, resolve
from lc.editor import Edit, FaceEditor, Method, Reading
from lc.metrics import attribute_scores, diversity, frechet_distance, gradient_energy, psnr
from train.classifier import Classifier, load_classifier
from train.data import PARTS, load_celeba, to_tensor, to_unit
from train.engine import parse
from train.latents import DIRECTIONS

MARKS = ("<!-- evaluation -->", "<!-- /evaluation -->")


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a weights folder."""

    weights: Path = Path("weights/celeba-64")
    judges: Path = Path("weights/judges-64")
    """Folder with the classifiers "reader" and "realism"."""
    celeba: Path = Path("data/celeba")
    part: str = "validation"
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the made-up faces; mean and spread are given."""
    edits: int = 40
    """Photos per edit direction for the actor."""
    optimised: int = 10
    """Photos per edit direction for the optimiser."""
    identity: float = 0.5
    """Place of the identity slider for the edits."""
    sweep: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Places of the slider at which the actor's edits are measured on fewer photos."""
    device: str = "auto"
    threads: int = 0
    limit: int | None = None
    """Use only so many photos: a dry run."""


@dataclass
class Judge:
    """Reads attributes and measures realism."""

    reader: Classifier
    realism: Classifier

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """(N, 3, 64, 64) in [0, 1] -> bool (N, 10)."""
        return torch.cat([self.reader.read(x) for x in images.split(256)])

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(N, 3, 64, 64) in [0, 1] -> (N, D)."""
        return torch.cat([self.realism.features(x) for x in images.split(256)])


def tensor(pictures: list[Image.Image]) -> Tensor:
    """64x64 pictures -> (N, 3, 64, 64) in [0, 1]."""
    return to_unit(to_tensor(pictures))


class Evaluation:
    """The held-out photos, read once, and the rows made from them."""

    def __init__(self, config: EvaluateConfig) -> None:
        self.config = config
        self.editor = FaceEditor.load(config.weights, config.device)
        self.judge = Judge(load_classifier(config.judges, "reader"), load_classifier(config.judges, "realism"))
        crops = load_celeba(config.celeba, config.part, config.limit)
        assert crops.labels is not None
        self.labels = crops.labels.bool()
        folder = config.celeba / "img_align_celeba"
        names = tqdm(crops.names, desc="read photos", leave=False)
        self.readings = self.editor.read_located([self.editor.locate(folder / n, aligned=True) for n in names])
        self.photos = tensor([reading.aligned.crop for reading in self.readings])
        self.copies = tensor([reading.reconstruction for reading in self.readings])
        self.real = self.judge.features(self.photos)
        self.seen = self.judge.read(self.copies)
        self.real_diversity = diversity(self.real)

    def row(self, images: Tensor, labels: Tensor) -> dict[str, Any]:
        """The figures that every row has."""
        features = self.judge.features(images)
        scores = attribute_scores(self.judge.read(images), labels, ATTRIBUTES)
        scores["frechet"] = frechet_distance(features, self.real)
        scores["diversity"] = diversity(features) / self.real_diversity
        return scores

    def reconstructions(self) -> dict[str, Any]:
        row = self.row(self.copies, self.labels)
        row["psnr"] = float(psnr(self.copies, self.photos).mean())
        row["gradient_energy"] = float((gradient_energy(self.copies) / gradient_energy(self.photos)).mean())
        return row

    def frechet_floor(self) -> float:
        """Real against real: held-out photos against as many training photos."""
        crops = load_celeba(self.config.celeba, "train", len(self.labels))
        images = to_unit(crops.images[:, :, 2:-2, 2:-2])
        return frechet_distance(self.judge.features(images), self.real)

    @torch.no_grad()
    def made_up(self, seed: int, *, realism: bool) -> dict[str, Any]:
        """Faces for the held-out photos' label vectors, z ~ N(0, I), through the actor or raw."""
        model = self.editor.model
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(len(self.labels), model.generator.latent, generator=generator).to(self.editor.device)
        y = self.labels.float().to(self.editor.device)
        begun = time.perf_counter()
        moved = model.actor(z, y, torch.ones_like(y), z.new_zeros(len(z))) if realism else z
        images = torch.cat([model.generator.decode(part) for part in moved.split(128)]).cpu()
        seconds = (time.perf_counter() - begun) / len(z)
        images = (images * 255).round() / 255
        row = self.row(images, self.labels)
        row["z_mse"] = float((moved - z).square().mean())
        row["z_distance"] = float(((moved - z) / model.statistics.sigma_bar).square().mean(1).sqrt().mean())
        row["seconds"] = seconds
        return row

    def direction(
        self, name: str, wanted: bool, method: Method, count: int, identity: float
    ) -> tuple[dict[str, Any], Tensor]:
        """Edit photos in whose reconstruction the reader does not see what is wanted."""
        column = ATTRIBUTES.index(name)
        rows = torch.nonzero(self.seen[:, column] != wanted)[:, 0][:count]
        chosen: list[Reading] = [self.readings[i] for i in rows.tolist()]
        edits: list[Edit] = self.editor.edit_many(chosen, {name: wanted}, identity, method)
        images = tensor([edit.edited for edit in edits])
        after = self.judge.read(images)
        others = [i for i, other in enumerate(ATTRIBUTES) if other not in resolve({name: wanted})]
        result = {
            "photos": len(edits),
            "success": float((after[:, column] == wanted).float().mean()),
            "held": float((after[:, others] == self.seen[rows][:, others]).float().mean()),
            "converged": sum(edit.converged for edit in edits) / len(edits),
            "z_distance": sum(edit.z_distance for edit in edits) / len(edits),
            "seconds": sum(edit.seconds for edit in edits) / len(edits),
        }
        return result, images

    def edits(self, method: Method, count: int, identity: float) -> dict[str, Any]:
        """The twenty directions, as far as there are photos to edit, and their mean."""
        directions, pictures = {}, []
        for name, wanted in tqdm(DIRECTIONS, desc=f"edits, {method}", leave=False):
            if bool((self.seen[:, ATTRIBUTES.index(name)] == wanted).all()):
                continue  # among few photos, nobody may be left to change
            directions[f"{name}={int(wanted)}"], images = self.direction(name, wanted, method, count, identity)
            pictures.append(images)
        columns = ("success", "held", "converged", "z_distance", "seconds")
        means = {c: sum(d[c] for d in directions.values()) / len(directions) for c in columns}
        features = self.judge.features(torch.cat(pictures))
        return {**means, "frechet": frechet_distance(features, self.real), "directions": directions}


def spread(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean of every figure over seeds, and half the range as NAME_spread."""
    result: dict[str, Any] = {}
    for key, value in rows[0].items():
        if isinstance(value, dict):
            result[key] = spread([row[key] for row in rows])
        else:
            values = [row[key] for row in rows]
            result[key] = sum(values) / len(values)
            result[f"{key}_spread"] = (max(values) - min(values)) / 2
    return result


def measure(config: EvaluateConfig) -> dict[str, Any]:
    """Every figure, as it is written to evaluation.json."""
    evaluation = Evaluation(config)
    seeds = tqdm(config.seeds, desc="made-up faces", leave=False)
    made = [(evaluation.made_up(s, realism=False), evaluation.made_up(s, realism=True)) for s in seeds]
    return {
        "photos": len(evaluation.labels),
        "settings": dataclasses.asdict(config),
        "real": evaluation.row(evaluation.photos, evaluation.labels),
        "frechet_floor": evaluation.frechet_floor(),
        "reconstruction": evaluation.reconstructions(),
        "prior": spread([raw for raw, _ in made]),
        "actor": spread([walked for _, walked in made]),
        "edits_actor": evaluation.edits("actor", config.edits, config.identity),
        "edits_optimise": evaluation.edits("optimise", config.optimised, config.identity),
        "sweep": {str(t): evaluation.edits("actor", config.optimised, t) for t in config.sweep},
    }


def markdown(figures: dict[str, Any], config: EvaluateConfig) -> str:
    """The tables of the model card."""
    lines = [
        f"Measured on the {figures['photos']} photos of CelebA's {config.part} part, which gave no net a gradient, "
        "by two classifiers that no part of the training heard. The ten biases of D_attr and the reader's ten "
        f"thresholds were set on the validation part. Made-up faces: mean of {len(config.seeds)} seeds, +- half the "
        f"range. Frechet distance of {figures['photos']} training photos to the held-out ones, its floor: "
        f"{figures['frechet_floor']:.2f}.",
        "",
        "| row | accuracy | precision | recall | F1 | Frechet distance | diversity | z_MSE | PSNR |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    names = {
        "real": "held-out photos, as read",
        "reconstruction": "their reconstructions",
        "prior": "raw prior, z ~ N(0, I)",
        "actor": "prior + actor, their label vectors",
    }
    for key, title in names.items():
        row = figures[key]
        cells = [f"{row[m]:.3f}" for m in ("accuracy", "precision", "recall", "f1")]
        if "accuracy_spread" in row:
            cells[0] += f" +- {row['accuracy_spread']:.3f}"
        cells += [f"{row['frechet']:.2f}", f"{row['diversity']:.2f}"]
        cells += [f"{row[m]:.2f}" if m in row else "-" for m in ("z_mse", "psnr")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        f"One-attribute edits at identity {config.identity:g} (success and held as the reader sees them):",
        "",
    ]
    lines += [
        "| edit | " + " | ".join(f"{m}: success | {m}: held | {m}: converged" for m in ("actor", "optimiser")) + " |"
    ]
    lines += ["|---" * 7 + "|"]
    both = figures["edits_actor"], figures["edits_optimise"]
    for name, wanted in DIRECTIONS:
        key = f"{name}={int(wanted)}"
        lines.append(_edit_line(key, [rows["directions"].get(key) for rows in both]))
    lines.append(_edit_line("**mean**", list(both)))
    lines += [
        "",
        f"Up to {config.edits} photos per direction for the actor, {config.optimised} for the optimiser. The actor's "
        f"edits have a Frechet distance of {both[0]['frechet']:.2f} to the photos. Per face the actor takes "
        f"{1000 * both[0]['seconds']:.0f} ms, the optimiser {both[1]['seconds']:.2f} s, in batches.",
        "",
        "| identity slider | success | held | distance moved, in sigma_bar |",
        "|---|---|---|---|",
    ]
    for place, row in figures["sweep"].items():
        lines.append(f"| {place} | {row['success']:.2f} | {row['held']:.2f} | {row['z_distance']:.2f} |")
    lines += ["", "| per attribute | F1 on photos | on reconstructions | on made-up faces |", "|---|---|---|---|"]
    for name in ATTRIBUTES:
        cells = [f"{figures[k]['per_attribute'][name]['f1']:.3f}" for k in ("real", "reconstruction", "actor")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _edit_line(title: str, rows: list[dict[str, Any] | None]) -> str:
    columns = ("success", "held", "converged")
    cells = [f"{row[column]:.2f}" if row else "-" for row in rows for column in columns]
    return f"| {title} | {' | '.join(cells)} |"


def write_card(card: Path, table: str) -> None:
    """Replace what stands between the marks of the model card, or append it."""
    text = card.read_text() if card.exists() else ""
    block = f"{MARKS[0]}\n{table}\n{MARKS[1]}"
    if all(mark in text for mark in MARKS):
        head, tail = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
        card.write_text(head + block + tail)
    else:
        card.write_text(f"{text}\n{block}\n")


def main() -> None:
    config = parse(EvaluateConfig)
    if config.part not in PARTS:
        raise SystemExit(f"--part must be one of: {', '.join(PARTS)}")
    if config.threads:
        torch.set_num_threads(config.threads)
    begun = time.perf_counter()
    figures = measure(config)
    figures["minutes"] = (time.perf_counter() - begun) / 60
    (config.weights / "evaluation.json").write_text(json.dumps(figures, indent=2, default=str) + "\n")
    table = markdown(figures, config)
    write_card(config.weights / "README.md", table)
    print(table)


if __name__ == "__main__":
    main()

"""How many edits converge, how many an independent classifier confirms, and how well the person is kept.

    python -m benchmarks.optimiser --weights weights/celeba-64 --evaluators weights/judges-64

200 held-out photos, chosen so that each of the twenty directions has some, in every direction that they lack: by the
actor, by the optimiser, and by the plain 300-step walk of the paper. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.reference import plain
from lc.edit.problem import constraints_of, pose
from lc.editor import FaceEditor, Method, Reading
from lc.files import write_json, write_text
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.data import load_celeba
from train.engine import parse
from train.evaluate import edits as editing
from train.evaluate.edits import Direction, tensor
from train.evaluate.readers import Evaluators
from train.identity import FaceEmbedding


@dataclass(frozen=True)
class OptimiserConfig:
    """Measure the reach of actor and optimiser."""

    weights: Path = Path("weights/celeba-64")
    evaluators: Path = Path("weights/judges-64")
    celeba: Path = Path("data/celeba")
    part: str = "validation"
    pool: int = 500
    """Photos of the part to choose from; train.calibrate leaves them alone."""
    photos: int = 200
    identity: float = 0.5
    sweep: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Places of the slider at which both backends are compared."""
    sweep_edits: int = 10
    """Edits per direction for that, and for the plain walk."""
    out: Path = Path("benchmarks/optimiser")
    device: str = "auto"
    threads: int = 0


def choose(lacking: Sequence[Sequence[int]], count: int) -> list[int]:
    """Up to `count` photos, from each direction's in turn, so that the rare ones are there too.

    >>> choose([[0, 1, 2, 3], [3]], 3)
    [0, 3, 1]
    """
    queues = [list(rows) for rows in lacking]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen


class Reach:
    """The photos, the evaluation classifiers, and the figures of edits."""

    def __init__(self, config: OptimiserConfig) -> None:
        self.editor = FaceEditor.load(config.weights, config.device)
        self.evaluators, self.embedding = Evaluators.load(config.evaluators), FaceEmbedding()
        names = load_celeba(config.celeba, config.part, config.pool).names
        self.readings = editing.read_framed(self.editor, config.celeba, names)
        copies = tensor([reading.reconstruction for reading in self.readings])
        self.seen = self.evaluators.read(copies)
        lacking = editing.lacking(self.seen)
        rows = sorted(choose(list(lacking.values()), config.photos))
        among = {direction: [row for row in rows if row in set(found)] for direction, found in lacking.items()}
        self.lacking = {direction: found for direction, found in among.items() if found}
        self.photos, self.faces = len(rows), dict(zip(rows, self.embedding.crops(copies[rows]), strict=True))
        self.strangers = float(torch.pdist(torch.stack(list(self.faces.values()))).mean())

    @torch.no_grad()
    def measured(self, rows: list[int], direction: Direction, images: Tensor, z: Tensor) -> dict[str, float]:
        """Figures of edits of the photos `rows` in one direction, (N, 3, 64, 64) in [0, 1] and (N, latent)."""
        name, wanted = direction
        column, space = ATTRIBUTES.index(name), self.editor.space
        others = [
            i for i, other in enumerate(ATTRIBUTES) if other not in ATTRIBUTE_SET.changes({name: wanted}).resolved
        ]
        got, seen = self.evaluators.read(images), self.seen[rows]
        z = z.to(self.editor.device)
        reached = (space.attribute_critic(z)[:, column] > 0) == wanted
        real = torch.sigmoid(space.critic(z)[:, 0]) > 0.3
        far = (self.embedding.crops(images) - torch.stack([self.faces[row] for row in rows])).norm(dim=1)
        return {
            "edits": len(rows),
            "converged": float((reached & real).float().mean()),
            "confirmed": float((got[:, column] == wanted).float().mean()),
            "held": float((got[:, others] == seen[:, others]).float().mean()),
            "similarity": float((1 - far / self.strangers).mean()),
        }

    def edits(self, method: Method, identity: float, most: int | None = None) -> dict[str, Any]:
        """The twenty directions by one of the editor's backends."""
        directions: dict[str, Any] = {}
        chosen = {direction: rows[:most] for direction, rows in self.lacking.items()}
        for batch in editing.make(self.editor, self.readings, chosen, identity, method, f"{method} {identity:g}"):
            edits, images = batch.edits, tensor([edit.edited for edit in batch.edits])
            z = torch.stack([edit.z_edited for edit in edits])
            row = self.measured(batch.rows, batch.direction, images, z)
            row["moved"] = sum(edit.z_distance for edit in edits) / len(edits)
            row["steps"] = sum(edit.steps for edit in edits) / len(edits)
            row["seconds"] = sum(edit.seconds for edit in edits) / len(edits)
            directions[editing.key(batch.direction)] = row
        return _with_mean(directions)

    def plain(self, most: int) -> dict[str, Any]:
        """The same by the paper's walk, from the photo, with its stop rule."""
        model, directions = self.editor.model, {}
        for (name, wanted), found in tqdm(self.lacking.items(), desc="plain", leave=False):
            rows = found[:most]
            space, start = self.editor.space, torch.stack([self.readings[row].z for row in rows])
            problem = pose(space, start, constraints_of(space, {name: wanted}))
            target, mask = problem.target.round(), problem.edited
            begun = time.perf_counter()
            z, taken = plain(problem.z, model.critic, model.attribute_critic, target, mask, stop=True)
            seconds = (time.perf_counter() - begun) / len(rows)
            with torch.inference_mode():
                images = (model.generator.decode(z).cpu() * 255).round() / 255
            row = self.measured(rows, (name, wanted), images, z)
            row |= {"steps": float(taken.mean()), "seconds": seconds}
            directions[editing.key((name, wanted))] = row
        return _with_mean(directions)


def _with_mean(directions: dict[str, Any]) -> dict[str, Any]:
    """Every direction counts the same in the means, however many photos lack it."""
    columns = [key for key in next(iter(directions.values())) if key != "edits"]
    means = {key: sum(row[key] for row in directions.values()) / len(directions) for key in columns}
    return {"edits": sum(row["edits"] for row in directions.values()), **means, "directions": directions}


def single(editor: FaceEditor, readings: Sequence[Reading]) -> dict[str, float]:
    """Seconds for one photo at a time, medians: the walk, all 300 steps of the plain one, and that with its stop."""
    times: dict[str, list[float]] = {"optimiser": [], "plain, 300 steps": [], "plain, with its stop": []}
    for i, reading in enumerate(tqdm(readings, desc="one at a time", leave=False)):
        name, wanted = ATTRIBUTES[i % len(ATTRIBUTES)], reading.attributes[ATTRIBUTES[i % len(ATTRIBUTES)]] < 0.5
        begun = time.perf_counter()
        editor.edit(reading, {name: wanted}, method="optimise")
        times["optimiser"].append(time.perf_counter() - begun)
        problem = pose(editor.space, reading.z[None], constraints_of(editor.space, {name: wanted}))
        for stop, title in ((False, "plain, 300 steps"), (True, "plain, with its stop")):
            begun = time.perf_counter()
            nets = editor.model.critic, editor.model.attribute_critic
            plain(problem.z, *nets, problem.target.round(), problem.edited, stop=stop)
            times[title].append(time.perf_counter() - begun)
    return {title: float(np.median(values)) for title, values in times.items()}


def equal_success(sweep: dict[str, dict[str, Any]]) -> list[dict[str, float]]:
    """Similarity of both backends where they are confirmed equally often, at five places of what both reach.

    At the highest of them the curves are flat, so that noise decides there.
    """
    curves = {m: sorted((r[m]["confirmed"], r[m]["similarity"]) for r in sweep.values()) for m in ("actor", "optimise")}
    low, high = max(c[0][0] for c in curves.values()), min(c[-1][0] for c in curves.values())
    return [
        {"confirmed": float(success)}
        | {m: float(np.interp(success, [x for x, _ in curve], [y for _, y in curve])) for m, curve in curves.items()}
        for success in np.linspace(low, high, 5)
    ]


def measure(config: OptimiserConfig) -> dict[str, Any]:
    """Every figure, as it is written to OUT.json."""
    reach = Reach(config)
    most = config.sweep_edits
    sweep = {
        str(place): {"actor": reach.edits("actor", place, most), "optimise": reach.edits("optimise", place, most)}
        for place in config.sweep
    }
    return {
        "settings": {key: str(value) for key, value in dataclasses.asdict(config).items()},
        "photos": reach.photos,
        "actor": reach.edits("actor", config.identity),
        "optimise": reach.edits("optimise", config.identity),
        "plain": reach.plain(most),
        "single": single(reach.editor, reach.readings[:20]),
        "sweep": sweep,
        "equal_success": equal_success(sweep),
    }


def markdown(figures: dict[str, Any]) -> str:
    """The tables."""
    columns = ("converged", "confirmed", "held", "similarity", "steps", "seconds")
    lines = ["| edits | number | " + " | ".join(columns) + " |", "|---" * 8 + "|"]
    titles = {"actor": "actor", "optimise": "optimiser", "plain": "the paper's walk, plainly"}
    for key, title in titles.items():
        row = figures[key]
        cells = [f"{row[c]:.3f}" if c in row else "-" for c in columns]
        lines.append(f"| {title} | {row['edits']} | {' | '.join(cells)} |")
    lines += ["", "| direction | " + " | ".join(f"{t}: converged | confirmed" for t in titles.values()) + " |"]
    lines += ["|---" * 7 + "|"]
    for name in figures["optimise"]["directions"]:
        rows = [figures[key]["directions"][name] for key in titles]
        lines.append(f"| {name} | " + " | ".join(f"{r['converged']:.2f} | {r['confirmed']:.2f}" for r in rows) + " |")
    lines += ["", "| slider | actor: confirmed | similarity | optimiser: confirmed | similarity |", "|---" * 5 + "|"]
    for place, row in figures["sweep"].items():
        cells = [f"{row[m]['confirmed']:.2f} | {row[m]['similarity']:.2f}" for m in ("actor", "optimise")]
        lines.append(f"| {place} | {' | '.join(cells)} |")
    lines += ["", "| confirmed | similarity: actor | optimiser |", "|---" * 3 + "|"]
    for row in figures["equal_success"]:
        lines.append(f"| {row['confirmed']:.2f} | {row['actor']:.3f} | {row['optimise']:.3f} |")
    single_ = figures["single"]
    lines += ["", "One photo at a time, median: "]
    lines[-1] += ", ".join(f"{title} {seconds:.2f} s" for title, seconds in single_.items()) + "."
    return "\n".join(lines) + "\n"


def main() -> None:
    config = parse(OptimiserConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    figures = measure(config)
    write_json(config.out.with_suffix(".json"), figures, indent=1)
    write_text(config.out.with_suffix(".md"), markdown(figures))
    print(markdown(figures))


if __name__ == "__main__":
    main()

"""Measure what the identity slider does, and lay it out so that it means the same in both backends.

    python -m train.calibrate --weights weights/celeba-64

For places of the actor's knob and of the optimiser's, held-out photos are edited in the twenty directions, and a face
embedding says how similar the person still is. The slider then runs over the range that both can reach, in equal steps
of similarity: 1 is the same picture, 0 two strangers. Writes calibration.json beside the weights; see lc.identity.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.identity import FILE, Calibration, save_calibration
from train.data import load_celeba
from train.engine import parse
from train.identity import FaceEmbedding
from train.latents import DIRECTIONS
from train.rows import tensor

__all__ = ["CalibrateConfig", "Curve", "lay_out", "similarity_by_distance"]


@dataclass(frozen=True)
class CalibrateConfig:
    """Lay out the identity slider of a weights folder."""

    weights: Path = Path("weights/celeba-64")
    celeba: Path = Path("data/celeba")
    part: str = "validation"
    skip: int = 500
    """Photos of the part left to others: the first ones are those that figures are reported on."""
    limit: int | None = None
    """Use only so many photos of the part: a dry run."""
    edits: int = 3
    """Photos per direction."""
    actor: tuple[float, ...] = (-0.4, 0.0, 0.5, 1.0)
    """Places of the actor's knob, ascending; see lc.identity."""
    optimiser: tuple[float, ...] = (1.7, 1.35, 1.0)
    """Places of the optimiser's knob, descending."""
    steps: int = 5
    """Places of the slider in the table."""
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Curve:
    """A knob's places, and the mean similarity at each; the last keeps the person best."""

    knob: tuple[float, ...]
    similarity: tuple[float, ...]

    def at(self, similarity: np.ndarray) -> tuple[float, ...]:
        """The knob's places at which these similarities (K,) are reached."""
        # What noise lowers on the way up is levelled, and tilted by nothing to speak of, so that it can be inverted.
        rising = np.maximum.accumulate(self.similarity) + 1e-9 * np.arange(len(self.similarity))
        return tuple(float(value) for value in np.interp(similarity, rising, self.knob))


def lay_out(actor: Curve, optimiser: Curve, steps: int) -> Calibration:
    """The slider over the range of similarities that both knobs reach.

    Raises:
        SystemExit: there is no such range.
    """
    low = max(min(actor.similarity), min(optimiser.similarity))
    high = min(max(actor.similarity), max(optimiser.similarity))
    if not low < high:
        raise SystemExit("Actor and optimiser keep the person differently well everywhere: widen --actor, --optimiser.")
    wanted = np.linspace(low, high, steps)
    places = tuple(float(value) for value in np.linspace(0, 1, steps))
    return Calibration(places, actor.at(wanted), optimiser.at(wanted))


def similarity_by_distance(
    distance: np.ndarray, similarity: np.ndarray, bins: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance and mean similarity (bins + 1,) of equally many edits each, nothing moved being the same picture.

    Args:
        distance, similarity: (N,), of single edits.
    """
    order = np.argsort(distance, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    x = np.array([0.0, *(distance[group].mean() for group in groups)])
    y = np.array([1.0, *(similarity[group].mean() for group in groups)])
    fresh = np.concatenate([[True], np.diff(x) > 1e-6])
    return x[fresh], np.minimum.accumulate(y)[fresh]


class Measurement:
    """Held-out photos, edited at places of a knob and compared with what they were."""

    def __init__(self, config: CalibrateConfig) -> None:
        self.editor, self.embedding = FaceEditor.load(config.weights, config.device), FaceEmbedding()
        names = load_celeba(config.celeba, config.part, config.limit).names[config.skip :]
        folder = config.celeba / "img_align_celeba"
        self.readings = self.editor.read_located([self.editor.locate(folder / n, aligned=True) for n in names])
        if len(self.readings) < 2:
            raise SystemExit(f"--skip {config.skip} leaves no photos to calibrate with: lower it.")
        self.chosen = [(n, w, self._lacking(n, w)[: config.edits]) for n, w in DIRECTIONS]
        everyone = {id(reading): reading for *_, readings in self.chosen for reading in readings}
        faces = self.embedding.crops(tensor([reading.reconstruction for reading in everyone.values()]))
        self.faces = dict(zip(everyone, faces, strict=True))
        # CelebA's people are in no order: nearly all pairs are of two.
        self.strangers = float(torch.pdist(faces).mean())

    def _lacking(self, name: str, wanted: bool) -> list[Reading]:
        return [reading for reading in self.readings if (reading.attributes[name] >= 0.5) != wanted]

    def at(self, calibration: Calibration, method: Method) -> tuple[np.ndarray, np.ndarray, float]:
        """Distances and similarities (N,) of the edits with a slider that stands still, and how many converged."""
        editor = FaceEditor(dataclasses.replace(self.editor.model, calibration=calibration))
        edits: list[Edit] = []
        for name, wanted, readings in self.chosen:
            edits += editor.edit_many(readings, {name: wanted}, 0.5, method)
        after = self.embedding.crops(tensor([edit.edited for edit in edits]))
        before = torch.stack([self.faces[id(edit.reading)] for edit in edits])
        similar = 1 - (after - before).norm(dim=1) / self.strangers
        converged = sum(edit.converged for edit in edits) / len(edits)
        return np.array([edit.z_distance for edit in edits]), similar.numpy(), converged


def main() -> None:
    config = parse(CalibrateConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    measurement = Measurement(config)
    knobs: dict[Method, tuple[float, ...]] = {"actor": config.actor, "optimise": config.optimiser}
    curves: dict[Method, Curve] = {}
    distances, similarities = [], []
    for method, places in knobs.items():
        means = []
        for place in tqdm(places, desc=method, leave=False):
            still = Calibration(actor=(place, place)) if method == "actor" else Calibration(optimiser=(place, place))
            distance, similarity, converged = measurement.at(still, method)
            distances.append(distance)
            similarities.append(similarity)
            means.append(float(similarity.mean()))
            print(
                f"{method} {place:5.2f}: similarity {means[-1]:.3f}, moved {distance.mean():.2f}, {converged:.2f} reach"
            )
        curves[method] = Curve(places, tuple(means))
    table = lay_out(curves["actor"], curves["optimise"], config.steps)
    x, y = similarity_by_distance(np.concatenate(distances), np.concatenate(similarities))
    table = dataclasses.replace(table, distance=tuple(x.tolist()), similarity=tuple(y.tolist()))
    measured = {method: dataclasses.asdict(curve) for method, curve in curves.items()}
    edits = len(distances[0])
    save_calibration(config.weights, table, edits=edits, strangers=measurement.strangers, **measured)
    print(f"{config.weights / FILE}: {edits} edits per place; the slider: {table}")


if __name__ == "__main__":
    main()

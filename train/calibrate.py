"""Measure what the identity slider does, and lay it out so that it means the same in both backends.

    python -m train.calibrate --weights weights/celeba-64 --calibration runs/calibration/weights

With classifiers for calibration (`train.classifier --kind guidance`), first the step scale of each of the twenty
changes: as large as most of its edits need before these classifiers see it in the photo that a user gets; and, where
that is not enough, the target margin, the logit that the guidance classifier must read. They must not be those that the
actor was trained by, which it has learned to please. Then,
for points on the actor's line where its proposal or the optimisation may end, held-out photos are edited in the twenty
directions, and a face embedding says how similar the person still is. The slider runs over the range that both can
reach, in equal steps of similarity: 1 is the same picture, 0 two strangers.
Writes calibration.json beside the weights; see lc.identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from lc.checksums import forget_missing
from lc.classifier import Classifier
from lc.crops import to_pictures
from lc.edit.actor import propose_corrected
from lc.edit.problem import Problem, constraints_of, pose
from lc.edit.space import LatentSpace
from lc.editor import Edit, FaceEditor, Method, Reading
from lc.faces import paste
from lc.faces.steering import Steering
from lc.identity import FILE, Calibration, save_calibration
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.classifier import load_guidance
from train.data import load_celeba
from train.engine import parse, program
from train.evaluate import edits as editing
from train.evaluate.edits import tensor
from train.evaluate.readers import check_calibration, resized
from train.identity import FaceEmbedding
from train.tuning import LEGACY_TUNING

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
    calibration: tuple[Path, ...] = ()
    """Folders of classifiers that took no part in training the actor; without any, step scales stay as they are."""
    step_scales: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)
    """Step scales that are tried, as parts of the actor's most careful move."""
    seen: float = 0.9
    """Share of a direction's edits in which a classifier for calibration must see what was wanted."""
    tried: int = 40
    """Photos per direction for step scales and target margins."""
    target_margins: tuple[float, ...] = (LEGACY_TUNING["target_margin"], 6.0, 8.0, 10.0, 13.0, 17.0)
    """Logits that the guidance classifier is asked to read, ascending."""
    clear: float = 0.8
    """Share of a direction's edits, in the middle of the slider, in which the others must then see what was wanted."""
    least: tuple[tuple[str, float], ...] = (
        *((f"{colour}=1", 4.5) for colour in ATTRIBUTE_SET.one_of[0]),
        ("Bald=1", 17.0),
    )
    """The logit that is asked of some changes, at least. In whole photos hair goes on beyond the crop as it was; and a
    head is bald to the guidance classifier sooner than to anybody else."""
    edits: int = 3
    """Photos per direction."""
    actor: tuple[float, ...] = (1.7, 1.35, 1.0)
    """How far the actor goes along its line, descending; see lc.identity."""
    optimiser: tuple[float, ...] = (1.7, 1.35, 1.0)
    """How far the optimiser does."""
    steps: int = 5
    """Places of the slider in the table."""
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Curve:
    """How far along the line, and the mean similarity at each; the last keeps the person best."""

    knob: tuple[float, ...]
    similarity: tuple[float, ...]

    def at(self, similarity: np.ndarray) -> tuple[float, ...]:
        """The points at which these similarities (K,) are reached."""
        # What noise lowers on the way up is levelled, and tilted by nothing to speak of, so that it can be inverted.
        rising = np.maximum.accumulate(self.similarity) + 1e-9 * np.arange(len(self.similarity))
        return tuple(float(value) for value in np.interp(similarity, rising, self.knob))


def lay_out(actor: Curve, optimiser: Curve, steps: int) -> Calibration:
    """The slider over the range of similarities that both backends reach.

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


def smallest(scales: Sequence[float], success: np.ndarray, seen: float) -> float:
    """The first scale at which the success (R,) is `seen`, or near the most that any gives.

    >>> smallest((0.5, 1.0, 1.5), np.array([0.2, 0.8, 1.0]), 0.9)
    1.25
    """
    rising = np.maximum.accumulate(success)
    enough = min(seen, float(rising[-1]) - 0.02)
    if rising[0] >= enough:
        return float(scales[0])
    after = int(np.argmax(rising >= enough))
    return float(np.interp(enough, rising[after - 1 : after + 1], scales[after - 1 : after + 1]))


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
    """Held-out photos, edited to points on the actor's line and compared with what they were."""

    def __init__(self, config: CalibrateConfig) -> None:
        self.editor, self.embedding = FaceEditor.load(config.weights, config.device), FaceEmbedding()
        names = load_celeba(config.celeba, config.part, config.limit).names[config.skip :]
        if len(names) < 2:
            raise SystemExit(f"--skip {config.skip} leaves no photos to calibrate with: lower it.")
        self.readings = editing.read_framed(self.editor, config.celeba, names)
        has = torch.tensor([[reading.attributes[name] >= 0.5 for name in ATTRIBUTES] for reading in self.readings])
        self.lacking = editing.lacking(has)
        self.chosen = {direction: rows[: config.edits] for direction, rows in self.lacking.items()}
        everyone = list(dict.fromkeys(row for rows in self.chosen.values() for row in rows))
        faces = self.embedding.crops(tensor([self.readings[row].reconstruction for row in everyone]))
        self.faces = dict(zip(everyone, faces, strict=True))
        # CelebA's people are in no order: nearly all pairs are of two.
        self.strangers = float(torch.pdist(faces).mean())

    @torch.inference_mode()
    def step_scales(self, config: CalibrateConfig, classifiers: Sequence[Classifier]) -> dict[str, float]:
        """Of each change, as a share of their mean: how large its step scale must be.

        Half-way between what was measured and one scale for all (the root): classifiers differ in what they need.
        """
        space, found = self._space({}), {}
        for change, readings, problem in self._problems(config, space, "step scales"):
            success = []
            for scale in config.step_scales:
                _, pictures = propose_corrected(space, problem, scale, space.tuning.correction_steps)
                success.append(self._seen(change, readings, pictures, classifiers))
            found[change] = smallest(config.step_scales, np.array(success), config.seen)
            tqdm.write(f"{change}: {found[change]:.2f} of {np.round(success, 2).tolist()}")
        mean = sum(found.values()) / len(found)
        return {change: round((value / mean) ** 0.5, 3) for change, value in found.items()}

    @torch.inference_mode()
    def target_margins(
        self, config: CalibrateConfig, classifiers: Sequence[Classifier], scales: Mapping[str, float]
    ) -> dict[str, float]:
        """The logit that guidance must read of each change that others see too seldom otherwise."""
        space, found = self._space(scales), {}
        scale = config.actor[len(config.actor) // 2]
        for change, readings, problem in self._problems(config, space, "target margins"):
            for logit in config.target_margins:
                wanted = dataclasses.replace(problem, target_margin=torch.full_like(problem.target_margin, logit))
                _, pictures = propose_corrected(space, wanted, scale, space.tuning.correction_steps)
                success = self._seen(change, readings, pictures, classifiers)
                if success >= config.clear:
                    break
            if logit > config.target_margins[0]:
                found[change] = logit
                tqdm.write(f"{change}: the guidance classifier must read {logit}, and {success:.2f} are seen")
        return found | {
            change: max(found.get(change, space.tuning.target_margin), logit) for change, logit in config.least
        }

    def _space(self, scales: Mapping[str, float]) -> LatentSpace:
        model = self.editor.model
        fresh = dataclasses.replace(model.calibration, step_scales=scales, target_margins={})
        return LatentSpace(dataclasses.replace(model, calibration=fresh))

    def _problems(
        self, config: CalibrateConfig, space: LatentSpace, title: str
    ) -> Iterator[tuple[str, list[Reading], Problem]]:
        """Each change, photos that lack it, and what is wanted of them."""
        for (name, wanted), rows in tqdm(self.lacking.items(), desc=title, leave=False):
            readings = [self.readings[row] for row in rows[: config.tried]]
            start = torch.stack([reading.z for reading in readings]).to(self.editor.device)
            yield editing.key((name, wanted)), readings, pose(space, start, constraints_of(space, {name: wanted}))

    def _seen(
        self, change: str, readings: Sequence[Reading], pictures: torch.Tensor, classifiers: Sequence[Classifier]
    ) -> float:
        """The share of a change that classifiers see in decoded faces (B, 3, 64, 64), put into their photos."""
        changes = ATTRIBUTE_SET.parse([change]).wanted
        steerer = self.editor.steerer
        steering = steerer.steering(readings, changes, pictures, steerer.layers(readings, changes))
        triples = zip(readings, pictures.cpu(), steering, strict=True)
        pasted = tensor([_pasted(*triple) for triple in triples]).to(self.editor.device)
        ((name, wanted),) = changes.items()
        read = torch.stack(
            [one.read(resized(pasted, one.config.image_size))[:, ATTRIBUTES.index(name)] for one in classifiers]
        )
        return float((read == bool(wanted)).float().mean())

    def at(self, calibration: Calibration, method: Method) -> tuple[np.ndarray, np.ndarray, float]:
        """Distances and similarities (N,) of the edits with a slider that stands still, and how many converged."""
        editor = FaceEditor(dataclasses.replace(self.editor.model, calibration=calibration))
        edits: list[Edit] = []
        rows: list[int] = []
        for batch in editing.make(editor, self.readings, self.chosen, 0.5, method):
            edits += batch.edits
            rows += batch.rows
        after = self.embedding.crops(tensor([edit.edited for edit in edits]))
        before = torch.stack([self.faces[row] for row in rows])
        similar = 1 - (after - before).norm(dim=1) / self.strangers
        converged = sum(edit.converged for edit in edits) / len(edits)
        return np.array([edit.z_distance for edit in edits]), similar.numpy(), converged


def _pasted(reading: Reading, picture: torch.Tensor, steering: Steering | None) -> Image.Image:
    """The face as a user gets it: (3, S, S) in [0, 1], put into the photo, cut out again."""
    (edited,) = to_pictures(picture[None])
    pasted = paste(reading.photo.rgb, edited, reading.aligned, reading.reconstruction, steering)
    return editing.cut(pasted, reading, reading.aligned.crop.width)


@program
def main() -> None:
    config = parse(CalibrateConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    forget_missing(config.weights, FILE)  # who removed it wants to begin with the defaults
    measurement = Measurement(config)
    before = measurement.editor.model.calibration
    scales, margins, uncorrected = before.step_scales, before.target_margins, before.uncorrected
    if config.calibration:
        classifiers = [load_guidance(folder).to(measurement.editor.device) for folder in config.calibration]
        check_calibration(measurement.editor.model, config.calibration, classifiers)
        scales = measurement.step_scales(config, classifiers)
        margins = measurement.target_margins(config, classifiers, scales)
    knobs: dict[Method, tuple[float, ...]] = {"actor": config.actor, "optimise": config.optimiser}
    curves: dict[Method, Curve] = {}
    distances, similarities = [], []
    for method, places in knobs.items():
        means = []
        for place in tqdm(places, desc=method, leave=False):
            still = {"actor": (place, place)} if method == "actor" else {"optimiser": (place, place)}
            distance, similarity, converged = measurement.at(
                Calibration(**still, step_scales=scales, target_margins=margins, uncorrected=uncorrected), method
            )
            distances.append(distance)
            similarities.append(similarity)
            means.append(float(similarity.mean()))
            print(
                f"{method} {place:5.2f}: similarity {means[-1]:.3f}, moved {distance.mean():.2f}, {converged:.2f} reach"
            )
        curves[method] = Curve(places, tuple(means))
    table = lay_out(curves["actor"], curves["optimise"], config.steps)
    x, y = similarity_by_distance(np.concatenate(distances), np.concatenate(similarities))
    table = dataclasses.replace(
        table,
        distance=tuple(x.tolist()),
        similarity=tuple(y.tolist()),
        step_scales=scales,
        target_margins=margins,
        uncorrected=uncorrected,
    )
    measured = {method: dataclasses.asdict(curve) for method, curve in curves.items()}
    edits = len(distances[0])
    save_calibration(config.weights, table, edits=edits, strangers=measurement.strangers, **measured)
    print(f"{config.weights / FILE}: {edits} edits per place; the slider: {table}")


if __name__ == "__main__":
    main()

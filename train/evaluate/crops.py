"""The tables of the model's own crops: held-out photos, read once, and rows of pictures made from them.

Everything goes through FaceEditor, as a user's photo would. What people get, the finished photo, is `finished`'s.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from lc.edit.actor import generate
from lc.edit.optimiser import rms
from lc.edit.problem import constraints_of, pose
from lc.edit.solve import trajectory
from lc.editor import Edit, FaceEditor, Method
from lc.generator import EncodingGenerator, Generator
from lc.invert import invert
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.data import centre, load_celeba
from train.evaluate import edits as editing
from train.evaluate.edits import recut, tensor
from train.evaluate.readers import Evaluators
from train.identity import SAME
from train.latents import DIRECTIONS
from train.metrics import attribute_scores, diversity, frechet_distance, gradient_energy, psnr

__all__ = ["SAME_PERSON_DIRECTIONS", "Evaluation", "Walk", "spread"]

Walk = Literal["none", "flow", "actor", "optimise"]
Columns = Mapping[str, Tensor]

_BATCH = 64  # pictures at once: many more take longer for each on a CPU

_SEVERAL = (2, 3, 4)  # changes at once

#: Edits after which it should still be the same person: those that leave sex, age and hat alone.
SAME_PERSON_DIRECTIONS: tuple[str, ...] = tuple(
    f"{name}={int(wanted)}" for name, wanted in DIRECTIONS if name not in ("Male", "Young", "Wearing_Hat")
)


def rounded(images: Tensor) -> Tensor:
    """What is left of decoded pictures when they are shown, on the CPU."""
    return (images.cpu().clamp(0, 1) * 255).round() / 255


class Evaluation:
    """The held-out photos, read once, and the rows made from them.

    Args:
        editor: what is measured.
        evaluators: what measures it.
        celeba, part, limit: the photos; see `train.data.load_celeba`.
    """

    def __init__(self, editor: FaceEditor, evaluators: Evaluators, celeba: Path, part: str, limit: int | None) -> None:
        self.editor, self.evaluators = editor, evaluators
        self.image_size = editor.model.generator.image_size
        crops = load_celeba(celeba, part, limit, image_size=self.image_size, margin=0)
        assert crops.labels is not None
        self.labels = crops.labels.bool()
        self.readings = editing.read_framed(editor, celeba, crops.names)
        self.photos = tensor([reading.aligned.crop for reading in self.readings])
        self.copies = tensor([reading.reconstruction for reading in self.readings])
        self.real = evaluators.features(self.photos)
        self.seen = evaluators.read(self.copies)
        self.real_diversity = diversity(self.real)
        self.faces, self.copied_faces = evaluators.embed(self.photos), evaluators.embed(self.copies)

    def row(self, images: Tensor) -> dict[str, Any]:
        """The figures that every row of pictures with the held-out photos' labels has."""
        features = self.evaluators.features(images)
        scores = attribute_scores(self.evaluators.read(images), self.labels, ATTRIBUTES)
        scores["frechet"] = frechet_distance(features, self.real)
        scores["diversity"] = diversity(features) / self.real_diversity
        return scores

    def reconstructions(self, decoder: EncodingGenerator | None = None) -> dict[str, Any]:
        """The photos passed through the model, or through another one."""
        images = self.copies if decoder is None else self._decode(decoder, self._inferred(decoder))
        row = self.row(images)
        row["psnr"] = float(psnr(images, self.photos).mean())
        row["gradient_energy"] = float((gradient_energy(images) / gradient_energy(self.photos)).mean())
        if self.faces is not None:
            faces = self.copied_faces if decoder is None else self.evaluators.embed(images)
            assert faces is not None
            row |= {name: float(value.mean()) for name, value in _person(faces, self.faces).items()}
        return row

    def frechet_floor(self, celeba: Path, part: str) -> float:
        """Real against real: the held-out photos against as many of another part."""
        crops = load_celeba(celeba, part, len(self.labels), image_size=self.image_size)
        return frechet_distance(self.evaluators.features(centre(crops.images, self.image_size)), self.real)

    def generated(
        self, seed: int, walk: Walk, identity: float = 0.0, decoder: Generator | None = None
    ) -> dict[str, Any]:
        """A face for each held-out photo's label vector.

        Args:
            seed: of the latents.
            walk: what brings a draw from N(0, I) to its label vector, if anything does.
            identity: place of the identity slider on that way.
            decoder: another decoder for the same latents.
        """
        model, generator = self.editor.model, torch.Generator().manual_seed(seed)
        z = torch.randn(len(self.labels), model.generator.latent, generator=generator).to(self.editor.device)
        begun = time.perf_counter()
        moved = z if walk == "none" else self._walk(z, walk, identity)
        images = self._decode(decoder or model.generator, moved)
        seconds = (time.perf_counter() - begun) / len(z)
        step = moved - z
        row = self.row(images)
        row["z_mse"] = float(step.square().mean())
        row["z_distance"] = float(rms(step, model.statistics.sigma_bar).mean())
        return {**row, "seconds": seconds}

    @torch.no_grad()
    def _walk(self, z: Tensor, walk: Walk, identity: float) -> Tensor:
        """All attributes wanted: by flow and actor as of FaceEditor.sample, by the optimiser as of an edit."""
        space, y, moved = self.editor.space, self.labels.float().to(z.device), []
        for rows, wanted in zip(z.split(_BATCH), y.split(_BATCH), strict=True):
            if walk == "flow":
                assert space.model.flow is not None
                moved.append(space.model.flow.draw(rows, wanted))
            elif walk == "actor":
                moved.append(generate(space, rows, wanted, identity))
            else:
                problem = pose(space, rows, constraints_of(space, dict.fromkeys(ATTRIBUTES, True)))
                attributes = dataclasses.replace(problem.attributes, wanted=wanted)
                *_, last = trajectory(space, dataclasses.replace(problem, attributes=attributes), identity)
                moved.append(last.z)
        return torch.cat(moved)

    def edits(self, method: Method, count: int, identity: float) -> dict[str, Columns]:
        """Edits in the twenty directions, as far as there are photos to edit: what is measured of each edit.

        Args:
            count: photos per direction, the first in whose reconstruction the reader does not see what is wanted.
            identity: place of the identity slider.
        """
        rows, title = editing.lacking(self.seen, count), f"edits, {method}, identity {identity:g}"
        directions: dict[str, Columns] = {}
        for batch in editing.make(self.editor, self.readings, rows, identity, method, title):
            asked = [dict([batch.direction])] * len(batch.rows)
            directions[editing.key(batch.direction)] = self._measured(batch.edits, torch.tensor(batch.rows), asked)
        return directions

    def several(self, method: Method, count: int, identity: float) -> dict[str, Any]:
        """Two to four attributes at once, drawn by chance, turned round in each of the first `count` photos.

        Returns:
            for "2", "3", "4" and "all": how many photos, the means of what `_measured` finds, "shown", the share of the
            changes that the reader sees, and "frechet".
        """
        draw = torch.Generator().manual_seed(0)
        asked = [_turned(seen, draw) for seen in self.seen[:count]]
        bar = tqdm(asked, desc="several changes", leave=False)
        edits = [self.editor.edit(self.readings[i], changes, identity, method) for i, changes in enumerate(bar)]
        columns, named = self._measured(edits, torch.arange(len(edits)), asked), _among(asked)
        number = named.sum(1)
        columns["shown"] = (columns["change"].abs() * named).sum(1) / number
        groups = {str(k): number == k for k in _SEVERAL} | {"all": number > 0}
        return {
            name: {
                "photos": int(rows.sum()),
                **_means({key: column[rows] for key, column in columns.items()}),
                "frechet": frechet_distance(columns["features"][rows], self.real),
            }
            for name, rows in groups.items()
            if rows.sum() > 1
        }

    def edits_row(self, edits: Mapping[str, Columns], parts: int = 1, count: int | None = None) -> dict[str, Any]:
        """The mean of directions of edits, and each direction's figures.

        Args:
            edits: see `edits`.
            parts: the photos are dealt out into so many, for the spread: an edit itself draws nothing by chance.
            count: only the first photos of each direction.
        """
        directions = {name: {k: v[:count] for k, v in columns.items()} for name, columns in edits.items()}
        figures = {name: _means(columns) for name, columns in directions.items()}
        result = _mean_of(list(figures.values()))
        dealt = [{k: v[part::parts] for k, v in c.items()} for c in directions.values() for part in range(parts)]
        by_part = [_mean_of([_means(c) for c in dealt[part::parts] if len(c["success"])]) for part in range(parts)]
        for name, value in spread([part for part in by_part if part]).items():
            if name.endswith("_spread"):
                result[name] = value
        return {
            **result,
            "frechet": frechet_distance(torch.cat([c["features"] for c in directions.values()]), self.real),
            "same_person_edits": _mean_of([row for name, row in figures.items() if name in SAME_PERSON_DIRECTIONS]),
            "leak": _leak({name: columns["change"] for name, columns in directions.items()}),
            "directions": {name: {"photos": len(directions[name]["success"]), **row} for name, row in figures.items()},
        }

    def _measured(self, edits: Sequence[Edit], rows: Tensor, asked: Sequence[Mapping[str, bool]]) -> dict[str, Tensor]:
        """What is measured of edits of the photos of `rows`, for which the changes `asked` were wanted: (N, ...).

        Success is that the reader sees all of them, held the share of what they neither name nor imply that it reads as
        before. The person is looked for in three ways: in the decoded face against the photo, which counts what the
        reconstruction lost too; against the reconstruction, which counts the edit alone; and, as "pasted", in the
        photo with the change put into it, which is what a user gets. Success is read off the latter too.
        """
        images = tensor([edit.edited for edit in edits])
        pasted = tensor([recut(edit) for edit in edits])
        before, after = self.seen[rows], self.evaluators.read(images)
        named, others = _among(asked), ~_among([ATTRIBUTE_SET.changes(changes).resolved for changes in asked])
        wanted = _among([[name for name, value in changes.items() if value] for changes in asked])
        columns = {
            "success": ((after == wanted) | ~named).all(1).double(),
            "success_pasted": ((self.evaluators.read(pasted) == wanted) | ~named).all(1).double(),
            "held": ((after == before) & others).sum(1).double() / others.sum(1),
            "converged": torch.tensor([edit.converged for edit in edits]).double(),
            "z_distance": torch.tensor([edit.z_distance for edit in edits]),
            "seconds": torch.tensor([edit.seconds for edit in edits]),
            "change": after.double() - before.double(),
            "features": self.evaluators.features(images),
        }
        faces, pasted_faces = self.evaluators.embed(images), self.evaluators.embed(pasted)
        if faces is not None and pasted_faces is not None:
            assert self.faces is not None
            assert self.copied_faces is not None
            for end, (seen, reference) in {
                "": (faces, self.faces),
                "_to_reconstruction": (faces, self.copied_faces),
                "_pasted": (pasted_faces, self.faces),
            }.items():
                columns |= {f"{key}{end}": value for key, value in _person(seen, reference[rows]).items()}
        return columns

    def _inferred(self, generator: EncodingGenerator) -> Tensor:
        parts, model, device = self.photos.split(_BATCH), self.editor.model, self.editor.device
        found = [invert(generator, part.to(device), model.tuning, perceptual=model.perceptual)[0] for part in parts]
        return torch.cat(found)

    @torch.no_grad()
    def _decode(self, decoder: Generator, z: Tensor) -> Tensor:
        return rounded(torch.cat([decoder.decode(part) for part in z.split(_BATCH)]))


def _person(faces: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """Distance of embeddings, and whether dlib's usual threshold calls it the same person: (N, 128) -> (N,) each."""
    distance = (faces - reference).norm(dim=1)
    return {"embedding_distance": distance, "same_person": (distance < SAME).double()}


def _among(names: Sequence[Collection[str]]) -> Tensor:
    """(N, 10) bool, True at the attributes that each row names."""
    return torch.tensor([[name in row for name in ATTRIBUTES] for row in names])


def _turned(seen: Tensor, draw: torch.Generator) -> dict[str, bool]:
    """Changes of several of the attributes that are `seen`, (10,) bool, none of which contradicts another."""
    number = _SEVERAL[int(torch.randint(len(_SEVERAL), (), generator=draw))]
    changes: dict[str, bool] = {}
    for i in torch.randperm(len(ATTRIBUTES), generator=draw).tolist():
        name, wanted = ATTRIBUTES[i], not bool(seen[i])
        at_odds = any(
            ATTRIBUTE_SET.changes({a: x}).resolved.get(b, y) != y
            for other, value in changes.items()
            for a, x, b, y in ((name, wanted, other, value), (other, value, name, wanted))
        )
        if len(changes) < number and not at_odds:
            changes[name] = wanted
    return changes


def _means(columns: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value.mean()) for name, value in columns.items() if value.ndim == 1}


def _mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


def _leak(changes: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """How setting an attribute moves what the reader sees of every attribute.

    Args:
        changes: for each direction, (N, 10) in {-1, 0, 1}: an attribute vanished, stayed as it was, or appeared.

    Returns:
        {edited: {read: share of edits}}: appeared minus vanished when switched on, and the reverse when switched off,
        the mean of the two. On the diagonal it is the success; elsewhere 0 means no leak, below 0 that it is edited
        the other way.
    """
    matrix = {}
    for name in ATTRIBUTES:
        there = [
            (1 if wanted else -1) * changes[key].mean(0)
            for wanted in (True, False)
            if (key := f"{name}={int(wanted)}") in changes
        ]
        if there:
            matrix[name] = dict(zip(ATTRIBUTES, torch.stack(there).mean(0).tolist(), strict=True))
    return matrix


def spread(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of every figure over seeds, and half the range as NAME_spread."""
    result: dict[str, Any] = {}
    for key, value in rows[0].items():
        if isinstance(value, Mapping):
            result[key] = spread([row[key] for row in rows])
        else:
            values = [row[key] for row in rows]
            result[key] = sum(values) / len(values)
            result[f"{key}_spread"] = (max(values) - min(values)) / 2
    return result

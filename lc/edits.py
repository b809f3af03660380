"""Edits of photos that were read: what is wanted of them, solved in latents and steered in their pixels.

Where all that is wanted is laid onto a photo, its result needs no latent: then that is solved when somebody asks what
became of it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from lc.attributes import Changes
from lc.constraints import Constraint, for_rows
from lc.crops import to_pictures, to_tensor
from lc.edit.optimiser import Step, rms
from lc.edit.problem import Problem, changes_of, pose, wanted_changes
from lc.edit.solve import act, still, trajectory
from lc.edit.space import LatentSpace
from lc.laid import Layer
from lc.later import Later, one_of
from lc.results import Edit, Outcome, Reading
from lc.steer import Steerer
from lc.witness import Witness

__all__ = ["Edits", "Task"]


@dataclass(frozen=True, eq=False)
class Task:
    """What is wanted of photos that go through the nets together.

    Attributes:
        readings: the photos.
        constraints: what is wanted; those that have rows have one per photo.
        changes: the attributes among them that the actor serves.
        others: the other constraints, by name.
        layers: what is laid onto each photo, by change.
        laid: the changes for which something is laid onto any photo of the batch, and not over what is drawn of them.
        preserve, style: see `lc.edit.problem.pose`.
    """

    readings: Sequence[Reading]
    constraints: Sequence[Constraint]
    changes: Changes
    others: Mapping[str, Constraint]
    layers: Sequence[Mapping[str, Layer]]
    laid: frozenset[str]
    preserve: Collection[str] | None
    style: int

    def covered(self, row: int) -> bool:
        """Whether what is laid onto a photo is all that is wanted of it."""
        shown = {name for name, layer in self.layers[row].items() if not layer.over}
        return not self.others and self.changes.wanted.keys() == shown

    def of(self, rows: Sequence[int]) -> Task:
        """The same of some of the photos; of all where there are `others`, for what the actor serves has no rows."""
        return replace(self, readings=[self.readings[row] for row in rows], layers=[self.layers[row] for row in rows])


class Edits:
    """Makes edits.

    Args:
        space: of the model.
        steerer: of the same.
        witness: reads finished photos, where there is one.
        correction_steps: see `lc.editor.FaceEditor`.
    """

    def __init__(self, space: LatentSpace, steerer: Steerer, witness: Witness | None, correction_steps: int) -> None:
        self._space, self._steerer, self._witness, self._steps = space, steerer, witness, correction_steps
        self._device = space.model.statistics.mean.device

    def __call__(
        self,
        readings: Sequence[Reading],
        constraints: Sequence[Constraint],
        identity: float,
        method: str,
        preserve: Collection[str] | None,
        style: int,
    ) -> list[Edit]:
        """The same edit of so many photos as go through the nets together, in their order; see `FaceEditor.edit`."""
        begun = time.perf_counter()
        task = self.task(readings, constraints, preserve, style, identity)
        drawn = (time.perf_counter() - begun) / len(readings)
        covered = [row for row in range(len(readings)) if task.covered(row)]
        others = [row for row in range(len(readings)) if not task.covered(row)]
        edits: dict[int, Edit] = {}
        for rows in (covered, others):
            if rows:
                part = task.of(rows)
                edits |= zip(rows, self._edits(part, self._later(part, identity, method), drawn), strict=True)
        return [edit for _, edit in sorted(edits.items())]

    def task(
        self,
        readings: Sequence[Reading],
        constraints: Sequence[Constraint],
        preserve: Collection[str] | None,
        style: int,
        identity: float = 0.5,
    ) -> Task:
        """What is wanted of photos, and what is laid onto them for it.

        Raises:
            UnknownAttributeError: a name in `preserve` is no attribute.
        """
        self._space.attributes.changes(dict.fromkeys(preserve or (), True))
        served, others = changes_of(self._space, constraints)
        changes = wanted_changes(self._space, served)
        layers = self._steerer.layers(readings, changes.wanted, style, identity)
        laid = frozenset(name for one in layers for name, layer in one.items() if not layer.over)
        return Task(readings, constraints, changes, others, layers, laid, preserve, style)

    def problem(self, task: Task) -> Problem:
        """What a task asks of latents."""
        z = torch.stack([reading.z for reading in task.readings]).to(self._device)
        pictures = to_tensor([reading.reconstruction for reading in task.readings], self._device)
        shifts, present = self._steerer.shifts(task.layers, task.laid), self._steerer.present(task.readings)
        return pose(self._space, z, task.constraints, task.preserve, pictures, task.style, shifts, present)

    def finished(self, task: Task, problem: Problem, step: Step, begun: float) -> list[Edit]:
        """The edits that a task's problem, solved since `begun`, comes to."""
        outcomes = self._outcomes(task, problem, step, begun)
        return self._edits(task, Later(lambda: outcomes))

    def _later(self, task: Task, identity: float, method: str) -> Later[Sequence[Outcome]]:
        """A task's outcomes, solved when they are asked for, in whatever mode of torch."""

        @torch.inference_mode(False)
        @torch.enable_grad()
        def solve() -> list[Outcome]:
            begun, problem = time.perf_counter(), self.problem(task)
            if problem.empty:
                step = still(problem)
            elif method == "actor":
                step = act(self._space, problem, identity, self._steps)
            else:
                *_, step = trajectory(self._space, problem, identity)
            return self._outcomes(task, problem, step, begun)

        return Later(solve)

    @torch.inference_mode()
    def _outcomes(self, task: Task, problem: Problem, step: Step, begun: float) -> list[Outcome]:
        distances = rms(step.z - problem.z, self._space.sigma_bar).tolist()
        decode, similar = self._space.model.generator.decode, self._space.model.calibration.similar
        pictures = to_pictures(decode(step.z) if step.pictures is None else step.pictures)
        if problem.empty:  # nothing is wanted: not even a rounding may tell the edit from its reconstruction
            pictures = [reading.reconstruction for reading in task.readings]
        under: Sequence[Image.Image | None] = [None] * len(pictures)
        if task.laid and not task.covered(0):
            under = to_pictures(decode(problem.without_laid(step.z)))
        after = self._space.probabilities(step.z)
        seconds = (time.perf_counter() - begun) / len(pictures)
        return [
            Outcome(
                edited=pictures[row],
                z_edited=step.z[row].cpu().clone(),
                after=after[row],
                z_distance=distances[row],
                similarity=similar(distances[row]),
                steps=int(step.taken[row]),
                converged=bool(step.done[row]),
                seconds=seconds,
                under=under[row],
            )
            for row in range(len(pictures))
        ]

    def _edits(self, task: Task, outcomes: Later[Sequence[Outcome]], drawn: float = 0.0) -> list[Edit]:
        """The edits of photos of which all or none are covered, with the seconds that each took to be drawn onto."""
        changes, readings = dict(task.changes.wanted), task.readings
        images = None
        if not task.covered(0):
            images = to_tensor([one.under or one.edited for one in outcomes()], self._device)
        begun = time.perf_counter()
        steering = self._steerer.steering(readings, changes, images, task.layers, task.others.values())
        warnings = self._warnings(task)
        beside = drawn + (time.perf_counter() - begun) / len(readings)
        return [
            Edit(
                reading=reading,
                changes=changes,
                outcome=one_of(outcomes, row),
                beside=beside,
                warning=warnings[row],
                constraints=tuple(for_rows(list(task.others.values()), row, 1, self._device)),
                steering=steering[row],
                witness=self._witness,
                style=task.style,
                upsampler=self._space.model.upsampler,
            )
            for row, reading in enumerate(readings)
        ]

    def _warnings(self, task: Task) -> list[str | None]:
        """What is to be said of each photo's edit, where attributes are edited."""
        before = torch.tensor([[one.attributes[name] for name in task.changes.among.names] for one in task.readings])
        target, edited = task.changes.apply(before)
        return [
            self._steerer.warning(reading, task.changes.wanted, target[row].tolist()) if edited[row].any() else None
            for row, reading in enumerate(task.readings)
        ]

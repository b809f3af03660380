"""Edits of photos that were read: what is wanted of them, solved in latents and steered in their pixels.

What is laid onto a photo, or is another colour of something in it, needs no latent to be seen: the generator draws the
rest of what is wanted, if there is any, and what became of the latent is solved when somebody asks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

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

_Outcomes: TypeAlias = Later[Sequence[Outcome]]


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
        shown: of each photo, the changes that are laid onto it so, or are another colour of something in it and nothing
            else: the generator has no part in them.
        preserve, style: see `lc.edit.problem.pose`.
    """

    readings: Sequence[Reading]
    constraints: Sequence[Constraint]
    changes: Changes
    others: Mapping[str, Constraint]
    layers: Sequence[Mapping[str, Layer]]
    laid: frozenset[str]
    shown: Sequence[frozenset[str]]
    preserve: Collection[str] | None
    style: int

    @property
    def covered(self) -> bool:
        """Whether the generator has no part in what is wanted of the photos, of which as much is shown of each."""
        return not self.others and self.changes.wanted.keys() == self.shown[0]

    def of(self, rows: Sequence[int]) -> Task:
        """The same of some of the photos; of all where there are `others`, for what the actor serves has no rows."""
        readings, layers = [self.readings[row] for row in rows], [self.layers[row] for row in rows]
        return replace(self, readings=readings, layers=layers, shown=[self.shown[row] for row in rows])

    def rest(self, space: LatentSpace) -> Task:
        """What is left for the generator to draw, where as much is shown of each photo."""
        served, others = changes_of(space, self.constraints)
        left = {name: one for name, one in served.items() if name not in self.shown[0]}
        return replace(
            self,
            constraints=[*left.values(), *others.values()],
            changes=wanted_changes(space, left),
            layers=[{} for _ in self.readings],
            laid=frozenset(),
            shown=[frozenset[str]() for _ in self.readings],
        )


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
        kinds = set(task.shown)
        if len(kinds) > 1 and task.others:  # which may have rows
            alone = (([one], for_rows(constraints, row, 1, self._device)) for row, one in enumerate(readings))
            return [edit for one in alone for edit in self(*one, identity, method, preserve, style)]
        edits: dict[int, Edit] = {}
        for shown in kinds:
            rows = [row for row, one in enumerate(task.shown) if one == shown]
            part = task.of(rows)
            outcomes = self._later(part, identity, method)
            edits |= zip(
                rows, self._edits(part, outcomes, self._drawn(part, outcomes, identity, method), drawn), strict=True
            )
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
        shown = [
            self._steerer.recoloured(reading, changes.wanted) | {name for name, one in on.items() if not one.over}
            for reading, on in zip(readings, layers, strict=True)
        ]
        return Task(readings, constraints, changes, others, layers, laid, shown, preserve, style)

    def problem(self, task: Task) -> Problem:
        """What a task asks of latents."""
        z = torch.stack([reading.z for reading in task.readings]).to(self._device)
        pictures = to_tensor([reading.reconstruction for reading in task.readings], self._device)
        shifts, present = self._steerer.shifts(task.layers, task.laid), self._steerer.present(task.readings)
        return pose(self._space, z, task.constraints, task.preserve, pictures, task.style, shifts, present)

    def walked(self, task: Task, problem: Problem, step: Step, identity: float, begun: float) -> Edit:
        """The edit that the problem of a task of one photo, descended since `begun`, comes to."""
        found: Sequence[Outcome] = self._outcomes(task, problem, step, begun)
        outcomes = Later(lambda: found)
        return self._edits(task, outcomes, self._drawn(task, outcomes, identity, "optimise"))[0]

    def _drawn(self, task: Task, outcomes: _Outcomes, identity: float, method: str) -> _Outcomes:
        """What the generator draws of a task, of which as much is shown of each photo."""
        if task.covered or not task.shown[0]:
            return outcomes
        return self._later(task.rest(self._space), identity, method)

    def _later(self, task: Task, identity: float, method: str) -> _Outcomes:
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
            )
            for row in range(len(pictures))
        ]

    def _edits(self, task: Task, outcomes: _Outcomes, drawings: _Outcomes, drawn: float = 0.0) -> list[Edit]:
        """The edits of photos of which as much is shown, with the seconds that each took to be drawn onto."""
        changes, readings = dict(task.changes.wanted), task.readings
        images = None
        if not task.covered:
            images = to_tensor([one.edited for one in drawings()], self._device)
        begun = time.perf_counter()
        steering = self._steerer.steering(readings, changes, images, task.layers, task.others.values())
        warnings = self._warnings(task)
        beside = drawn + (time.perf_counter() - begun) / len(readings)
        return [
            Edit(
                reading=reading,
                changes=changes,
                outcome=one_of(outcomes, row),
                drawing=one_of(drawings, row),
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
            self._steerer.warning(reading, task.changes.wanted, target[row].tolist(), painted)
            if edited[row].any()
            else None
            for row, (reading, painted) in enumerate(zip(task.readings, task.shown, strict=True))
        ]

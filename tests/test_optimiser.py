"""lc.edit.optimiser: the trajectory and its stop rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lc.constraints import Constraint, Evaluation, Point, evaluate
from lc.edit.optimiser import Step, optimise, rms

LATENT = 4
SIGMA = torch.tensor([0.5, 1.0, 1.0, 2.0])


@dataclass(frozen=True)
class Bowl:
    """A quadratic, met within `near` of its bottom."""

    bottom: Tensor  # (B, latent)
    weight: float = 1.0
    near: float = 0.1

    def evaluate(self, at: Point) -> Evaluation:
        energy = (at.z - self.bottom).square().sum(1)
        met = energy.detach() < self.near**2
        return Evaluation(energy, met, ~met)

    def rows(self, index: Tensor) -> Bowl:
        return Bowl(self.bottom[index], self.weight, self.near)


def energy(constraint: Constraint, z: Tensor) -> Tensor:
    return evaluate(constraint, z).energy


def moves(start: Tensor, constraints: dict[str, Constraint], **options: Any) -> Iterator[Step]:
    return optimise(start, constraints, SIGMA, **{"steps": 300, "rate": 0.1, "stride": 0.15, **options})


def last(start: Tensor, constraints: dict[str, Constraint], **options: Any) -> Step:
    *_, step = moves(start, constraints, **options)
    return step


points = st.lists(st.lists(st.floats(-2, 2, width=32), min_size=LATENT, max_size=LATENT), min_size=2, max_size=4)


@settings(max_examples=8, deadline=None)
@given(points)
def test_a_row_does_not_depend_on_the_others(rows: list[list[float]]) -> None:
    start, bottom = torch.tensor(rows), torch.linspace(-1, 1, LATENT).repeat(len(rows), 1)
    together = last(start, {"bowl": Bowl(bottom)}, steps=40)
    for i in range(len(rows)):
        alone = last(start[i : i + 1], {"bowl": Bowl(bottom[i : i + 1])}, steps=40)
        torch.testing.assert_close(alone.z[0], together.z[i], rtol=1e-6, atol=1e-6)
        assert (alone.taken[0], alone.done[0]) == (together.taken[i], together.done[i])


def test_the_trajectory_goes_down_to_the_bottom_and_stops() -> None:
    start, bottom = torch.zeros(3, LATENT), torch.tensor([[0.0] * 4, [1.0, -1.0, 0.5, 2.0], [0.3] * 4])
    steps = list(moves(start, {"bowl": Bowl(bottom)}))
    assert [step.index for step in steps] == list(range(len(steps)))
    assert len(steps) < 301  # met, so that it need not use all
    assert steps[-1].done.all()
    assert (energy(Bowl(bottom), steps[-1].z) < 0.1**2).all()
    energies = [step.energies["bowl"][1].item() for step in steps]
    assert energies == [energy(Bowl(bottom), step.z)[1].item() for step in steps]  # those of what is shown
    assert energies[:6] == sorted(energies[:6], reverse=True)
    assert energies[-1] < 0.01 * energies[0]


def test_a_row_that_is_there_does_not_move() -> None:
    start = torch.tensor([[0.0] * 4, [3.0] * 4])
    steps = list(moves(start, {"bowl": Bowl(torch.zeros(2, LATENT))}))
    assert steps[0].done.tolist() == [True, False]
    assert steps[-1].taken.tolist() == [0, steps[-1].index]
    assert all(torch.equal(step.z[0], start[0]) for step in steps)


def test_a_row_stands_still_once_it_is_done() -> None:
    start = torch.tensor([[0.5] * 4, [3.0] * 4])
    steps = list(moves(start, {"bowl": Bowl(torch.zeros(2, LATENT))}))
    arrival = next(step for step in steps if step.done[0])
    assert 0 < arrival.index < steps[-1].index
    assert torch.equal(arrival.z[0], steps[-1].z[0])
    assert steps[-1].taken[0] == arrival.index


def test_nothing_to_do_is_one_step() -> None:
    assert len(list(moves(torch.zeros(2, LATENT), {"bowl": Bowl(torch.zeros(2, LATENT))}))) == 1


def test_the_trajectory_ends_when_its_steps_are_used_up() -> None:
    step = last(torch.zeros(1, LATENT), {"bowl": Bowl(torch.full((1, LATENT), 99.0))}, steps=7)
    assert (step.index, step.taken.item(), step.done.item()) == (7, 7, False)


def test_a_step_is_in_units_of_sigma_bar() -> None:
    # Adam's first step has the same size in every dimension, whatever the slope.
    step = last(torch.zeros(1, LATENT), {"bowl": Bowl(torch.tensor([[9.0, 1.0, -5.0, 50.0]]))}, steps=1)
    torch.testing.assert_close(step.z[0], 0.1 * SIGMA * torch.tensor([1.0, 1.0, -1.0, 1.0]), rtol=1e-4, atol=1e-4)


@settings(max_examples=4, deadline=None)
@given(points, st.floats(0.1, 0.5), st.floats(0.05, 2.0))
def test_a_proposal_is_gone_to_in_even_strides_and_not_left_far(
    rows: list[list[float]], stride: float, radius: float
) -> None:
    start = torch.tensor(rows)
    proposal, bottom = start.flip(0) * 1.5, torch.full_like(start, 3.0)
    options = {"proposal": proposal, "stride": stride, "radius": radius, "steps": 75}
    path = list(moves(start, {"bowl": Bowl(bottom)}, **options))  # type: ignore[arg-type]
    ahead = torch.ceil(rms(proposal - start, SIGMA) / stride).long()
    for i in range(len(rows)):
        for before, after in itertools.pairwise(path[: int(ahead[i]) + 1]):
            assert rms(after.z - before.z, SIGMA)[i] <= stride * 1.01 + 1e-5
            assert not before.done[i]
        if ahead[i] < len(path):
            torch.testing.assert_close(path[int(ahead[i])].z[i], proposal[i], rtol=1e-4, atol=1e-4)
        assert all(rms(step.z - proposal, SIGMA)[i] <= radius * 1.01 for step in path[int(ahead[i]) :])
        alone = last(
            start[i : i + 1], {"bowl": Bowl(bottom[i : i + 1])}, **{**options, "proposal": proposal[i : i + 1]}
        )
        torch.testing.assert_close(alone.z[0], path[-1].z[i], rtol=1e-4, atol=1e-4)
        assert alone.taken[0] == path[-1].taken[i]


def test_the_trajectory_can_be_left_at_any_step() -> None:
    start = torch.zeros(1, LATENT)
    path = moves(start, {"bowl": Bowl(torch.full((1, LATENT), 2.0))})
    seen = [step.z for step in itertools.islice(path, 4)]
    kept = [z.clone() for z in seen]
    next(path)
    path.close()  # type: ignore[attr-defined]
    assert torch.equal(start, torch.zeros(1, LATENT))  # the caller's latent is not written to
    assert all(torch.equal(a, b) for a, b in zip(seen, kept, strict=True))  # nor what was already shown
    assert not torch.equal(seen[1], seen[3])


def test_the_trajectory_draws_nothing_by_chance_and_runs_without_gradients() -> None:
    constraints: dict[str, Constraint] = {"bowl": Bowl(torch.full((1, LATENT), 2.0))}
    with torch.no_grad():
        one = last(torch.zeros(1, LATENT), constraints, steps=20)
    assert torch.equal(one.z, last(torch.zeros(1, LATENT), constraints, steps=20).z)
    assert one.z.abs().sum() > 0


def test_weights_decide_between_constraints() -> None:
    left, right = torch.full((1, LATENT), -1.0), torch.full((1, LATENT), 1.0)

    def balance(weight: float) -> float:
        constraints: dict[str, Constraint] = {"left": Bowl(left, near=0), "right": Bowl(right, weight, near=0)}
        return last(torch.zeros(1, LATENT), constraints, steps=300).z.mean().item()

    # (w - 1) / (w + 1)
    assert [balance(weight) for weight in (0.0, 1.0, 3.0)] == pytest.approx([-1.0, 0.0, 0.5], abs=0.02)

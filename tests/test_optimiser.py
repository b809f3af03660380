"""lc.optimiser and lc.constraints: the walk, its stop rule, and the energies it goes down."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lc.constraints import Attributes, Constraint, Distance, Realism, total
from lc.critics import AttributeCritic, Critic, LatentStatistics, NetConfig, folded
from lc.optimiser import Step, optimise, rms

LATENT = 4
SIGMA = torch.tensor([0.5, 1.0, 1.0, 2.0])


@dataclass(frozen=True)
class Bowl:
    """A quadratic, met within `near` of its bottom."""

    bottom: Tensor  # (B, latent)
    weight: float = 1.0
    near: float = 0.1

    def judge(self, z: Tensor) -> tuple[Tensor, Tensor]:
        energy = (z - self.bottom).square().sum(1)
        return energy, energy.detach() < self.near**2

    def rows(self, index: Tensor) -> Bowl:
        return Bowl(self.bottom[index], self.weight, self.near)


def energy(constraint: Constraint, z: Tensor) -> Tensor:
    return constraint.judge(z)[0]


def met(constraint: Constraint, z: Tensor) -> Tensor:
    return constraint.judge(z)[1]


def last(start: Tensor, constraints: dict[str, Constraint], **options: Any) -> Step:
    *_, step = optimise(start, constraints, SIGMA, **options)
    return step


points = st.lists(st.lists(st.floats(-2, 2, width=32), min_size=LATENT, max_size=LATENT), min_size=2, max_size=5)


@settings(max_examples=25, deadline=None)
@given(points)
def test_a_row_does_not_depend_on_the_others(rows: list[list[float]]) -> None:
    start, bottom = torch.tensor(rows), torch.linspace(-1, 1, LATENT).repeat(len(rows), 1)
    together = last(start, {"bowl": Bowl(bottom)}, steps=60)
    for i in range(len(rows)):
        alone = last(start[i : i + 1], {"bowl": Bowl(bottom[i : i + 1])}, steps=60)
        torch.testing.assert_close(alone.z[0], together.z[i], rtol=1e-6, atol=1e-6)
        assert (alone.taken[0], alone.done[0]) == (together.taken[i], together.done[i])


def test_the_walk_goes_down_to_the_bottom_and_stops() -> None:
    start, bottom = torch.zeros(3, LATENT), torch.tensor([[0.0] * 4, [1.0, -1.0, 0.5, 2.0], [0.3] * 4])
    steps = list(optimise(start, {"bowl": Bowl(bottom)}, SIGMA))
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
    steps = list(optimise(start, {"bowl": Bowl(torch.zeros(2, LATENT))}, SIGMA))
    assert steps[0].done.tolist() == [True, False]
    assert steps[-1].taken.tolist() == [0, steps[-1].index]
    assert all(torch.equal(step.z[0], start[0]) for step in steps)


def test_a_row_stands_still_once_it_is_done() -> None:
    start = torch.tensor([[0.5] * 4, [3.0] * 4])
    steps = list(optimise(start, {"bowl": Bowl(torch.zeros(2, LATENT))}, SIGMA))
    arrival = next(step for step in steps if step.done[0])
    assert 0 < arrival.index < steps[-1].index
    assert torch.equal(arrival.z[0], steps[-1].z[0])
    assert steps[-1].taken[0] == arrival.index


def test_nothing_to_do_is_one_step() -> None:
    assert len(list(optimise(torch.zeros(2, LATENT), {"bowl": Bowl(torch.zeros(2, LATENT))}, SIGMA))) == 1


def test_the_walk_ends_when_its_steps_are_used_up() -> None:
    step = last(torch.zeros(1, LATENT), {"bowl": Bowl(torch.full((1, LATENT), 99.0))}, steps=7)
    assert (step.index, step.taken.item(), step.done.item()) == (7, 7, False)


def test_a_step_is_in_units_of_sigma_bar() -> None:
    # Adam's first step has the same size in every dimension, whatever the slope.
    step = last(torch.zeros(1, LATENT), {"bowl": Bowl(torch.tensor([[9.0, 1.0, -5.0, 50.0]]))}, steps=1, lr=0.1)
    torch.testing.assert_close(step.z[0], 0.1 * SIGMA * torch.tensor([1.0, 1.0, -1.0, 1.0]), rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(points, st.floats(0.05, 0.5), st.floats(0.05, 2.0))
def test_a_proposal_is_gone_to_in_even_strides_and_not_left_far(
    rows: list[list[float]], stride: float, radius: float
) -> None:
    start = torch.tensor(rows)
    proposal, bottom = start.flip(0) * 1.5, torch.full_like(start, 3.0)
    options = {"proposal": proposal, "stride": stride, "radius": radius, "steps": 150}
    walk = list(optimise(start, {"bowl": Bowl(bottom)}, SIGMA, **options))  # type: ignore[arg-type]
    ahead = torch.ceil(rms(proposal - start, SIGMA) / stride).long()
    for i in range(len(rows)):
        for before, after in itertools.pairwise(walk[: int(ahead[i]) + 1]):
            assert rms(after.z - before.z, SIGMA)[i] <= stride * 1.01 + 1e-5
            assert not before.done[i]
        if ahead[i] < len(walk):
            torch.testing.assert_close(walk[int(ahead[i])].z[i], proposal[i], rtol=1e-4, atol=1e-4)
        assert all(rms(step.z - proposal, SIGMA)[i] <= radius * 1.01 for step in walk[int(ahead[i]) :])
        alone = list(
            optimise(
                start[i : i + 1],
                {"bowl": Bowl(bottom[i : i + 1])},
                SIGMA,
                **{**options, "proposal": proposal[i : i + 1]},
            )
        )[-1]  # type: ignore[arg-type]
        torch.testing.assert_close(alone.z[0], walk[-1].z[i], rtol=1e-4, atol=1e-4)
        assert alone.taken[0] == walk[-1].taken[i]


def test_the_walk_can_be_left_at_any_step() -> None:
    start = torch.zeros(1, LATENT)
    walk = optimise(start, {"bowl": Bowl(torch.full((1, LATENT), 2.0))}, SIGMA)
    seen = [step.z for step in itertools.islice(walk, 4)]
    kept = [z.clone() for z in seen]
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert torch.equal(start, torch.zeros(1, LATENT))  # the caller's latent is not written to
    assert all(torch.equal(a, b) for a, b in zip(seen, kept, strict=True))  # nor what was already shown
    assert not torch.equal(seen[1], seen[3])


def test_the_walk_draws_nothing_by_chance_and_runs_without_gradients() -> None:
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


# --- constraints ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def critics() -> tuple[Critic, AttributeCritic]:
    torch.manual_seed(0)
    config = NetConfig(latent=LATENT, width=16, layers=2)
    return Critic(config).requires_grad_(False), AttributeCritic(config).requires_grad_(False)


def test_total_weighs_and_adds() -> None:
    z = torch.ones(2, LATENT)
    bowls: dict[str, Constraint] = {"a": Bowl(torch.zeros(2, LATENT), weight=0.5), "b": Bowl(2 * z, weight=2.0)}
    bowls["b"] = Bowl(2 * z, weight=2.0, near=9.0)
    summed, parts, there = total(bowls, z)
    assert there.tolist() == [False, False]  # all have to be met
    assert summed.tolist() == [0.5 * 4 + 2 * 4] * 2
    assert {name: part.tolist() for name, part in parts.items()} == {"a": [4.0, 4.0], "b": [4.0, 4.0]}


def test_distance_is_no_reason_to_go_on() -> None:
    home = Distance(torch.zeros(3, LATENT), SIGMA)
    assert met(home, torch.full((3, LATENT), 9.0)).all()
    assert energy(home, torch.zeros(3, LATENT)).tolist() == [0.0] * 3
    moved = torch.zeros(1, LATENT).index_fill(1, torch.tensor([0]), 1.0)
    assert energy(home.rows(torch.tensor([1])), moved).item() == pytest.approx(math.log(2) / 0.25 / LATENT)


def test_realism_is_met_above_its_level(critics: tuple[Critic, AttributeCritic]) -> None:
    z = torch.randn(64, LATENT, generator=torch.Generator().manual_seed(0))
    probability = torch.sigmoid(critics[0](z))[:, 0]
    level = probability.median().item()
    realism = Realism(critics[0], level=level)
    assert torch.equal(met(realism, z), probability > level)
    torch.testing.assert_close(energy(realism, z), -probability.log())


def test_attributes_are_met_when_those_pushed_are_there(critics: tuple[Critic, AttributeCritic]) -> None:
    critic = critics[1]
    z = torch.randn(1, LATENT, generator=torch.Generator().manual_seed(0))
    has = (critic(z) > 0).float()
    pushed = torch.zeros(1, 10, dtype=torch.bool)
    pushed[0, 3] = True
    wrong = has.clone()
    wrong[0, 3] = 1 - has[0, 3]
    assert met(Attributes(critic, has, pushed, margin=0.0), z).item()
    assert not met(Attributes(critic, wrong, pushed, margin=0.0), z).item()
    assert not met(Attributes(critic, has, pushed, margin=99.0), z).item()
    wrong_elsewhere = (1 - has).index_copy(1, torch.tensor([3]), has[:, 3:4])
    assert met(Attributes(critic, wrong_elsewhere, pushed, margin=0.0), z).item()  # what is held stops nothing


def test_a_strength_is_met_near_it_from_either_side(critics: tuple[Critic, AttributeCritic]) -> None:
    z = torch.randn(1, LATENT, generator=torch.Generator().manual_seed(0))
    read = torch.sigmoid(critics[1](z))
    pushed = torch.zeros(1, 10, dtype=torch.bool).index_fill(1, torch.tensor([3]), True)
    for off, near in ((0.04, True), (-0.04, True), (0.06, False), (-0.06, False)):
        assert met(Attributes(critics[1], read + off, pushed), z).item() is near


def test_folding_changes_no_logit(critics: tuple[Critic, AttributeCritic]) -> None:
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(7, LATENT, generator=draw)
    statistics = LatentStatistics(torch.randn(LATENT, generator=draw), torch.full((LATENT,), 2.0), SIGMA)
    config = NetConfig(latent=LATENT, width=16, layers=2, dropout=0.5)
    for net in (Critic(config), AttributeCritic(config)):
        net.whiten.fit(statistics)
        net.eval().requires_grad_(False)
        torch.testing.assert_close(folded(net)(z), net(z))


def test_held_attributes_weigh_less(critics: tuple[Critic, AttributeCritic]) -> None:
    critic, z = critics[1], torch.zeros(1, LATENT)
    target, pushed = torch.ones(1, 10), torch.zeros(1, 10, dtype=torch.bool)
    held = energy(Attributes(critic, target, pushed, hold=0.25), z)
    torch.testing.assert_close(held, 0.25 * energy(Attributes(critic, target, ~pushed, hold=0.25), z))


def test_a_selection_of_rows_is_judged_as_before(critics: tuple[Critic, AttributeCritic]) -> None:
    draw = torch.Generator().manual_seed(0)
    z, target = torch.randn(5, LATENT, generator=draw), torch.rand(5, 10, generator=draw).round()
    mask = torch.rand(5, 10, generator=draw) < 0.3
    index = torch.tensor([4, 1])
    constraints: list[Constraint] = [
        Attributes(critics[1], target, mask, margin=0.01, hold=0.7),
        Realism(critics[0], level=0.49),
        Distance(z.flip(0), SIGMA),
    ]
    for constraint in constraints:
        chosen = constraint.rows(index)
        torch.testing.assert_close(energy(chosen, z[index]), energy(constraint, z)[index])
        assert torch.equal(met(chosen, z[index]), met(constraint, z)[index])
        assert chosen.weight == constraint.weight


def test_energies_lead_where_they_are_met(critics: tuple[Critic, AttributeCritic]) -> None:
    z = torch.randn(4, LATENT, generator=torch.Generator().manual_seed(0))
    wanted = (critics[1](z)[:, :1] < 0).float().expand(4, 10)  # the opposite of what attribute 0 is
    mask = torch.zeros(4, 10, dtype=torch.bool).index_fill(1, torch.tensor([0]), True)
    attributes = Attributes(critics[1], wanted, mask, margin=0.0, hold=0.0)
    assert not met(attributes, z).any()
    assert last(z, {"attributes": attributes}, steps=300, lr=0.3).done.all()

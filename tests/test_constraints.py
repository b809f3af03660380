"""lc.constraints: one matrix of tests over every kind of constraint, and the laws of AND, OR and NOT."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lc.constraints import (
    And,
    Attribute,
    Attributes,
    Constraint,
    Distance,
    Not,
    Or,
    Point,
    Realism,
    Rule,
    Taught,
    evaluate,
    total,
)
from lc.edit.optimiser import optimise

LATENT, ATTRIBUTES, ROWS = 4, 3, 6
SIGMA = torch.tensor([0.5, 1.0, 1.0, 2.0])


def net(outputs: int, seed: int) -> nn.Module:
    """Random, not linear, and loud enough to be met and refuted."""
    torch.manual_seed(seed)
    last = nn.Linear(16, outputs)
    with torch.no_grad():
        last.weight.mul_(8)
    return nn.Sequential(nn.Linear(LATENT, 16), nn.LeakyReLU(0.5), last).requires_grad_(False)


CRITIC, REAL, LATER, DECODER = net(ATTRIBUTES, 0), net(1, 1), net(1, 2), net(12, 3)


def decode(z: Tensor) -> Tensor:
    """Pictures of 2x2 pixels."""
    return DECODER(z).sigmoid().unflatten(1, (3, 2, 2))


def brightness(pictures: Tensor) -> Tensor:
    return pictures.mean((1, 2, 3))


def latents(rows: int = ROWS, seed: int = 0) -> Tensor:
    return torch.randn(rows, LATENT, generator=torch.Generator().manual_seed(seed))


def group(rows: int) -> Attributes:
    """Each row wants two columns its own way; the third is of no weight."""
    wanted = (torch.arange(rows)[:, None] + torch.arange(ATTRIBUTES)) % 2
    edited = torch.tensor([True, True, False]).expand(rows, ATTRIBUTES)
    return Attributes(CRITIC, wanted.float(), edited, edited.float())


SMILE, HAT = Attribute(CRITIC, 0), Attribute(CRITIC, 1, wanted=0.0, margin=0.5)
BRIGHT = Rule(decode, brightness, level=0.5, scale=0.05, margin=1.0)
TAUGHT = Taught(LATER, threshold=0.1)

#: Every kind, for a number of rows.
KINDS: dict[str, Callable[[int], Constraint]] = {
    "attribute": lambda rows: SMILE,
    "attribute that is unwanted": lambda rows: HAT,
    "strength": lambda rows: Attribute(CRITIC, 2, wanted=0.6),
    "attributes": group,
    "realism": lambda rows: Realism(REAL, level=0.5),
    "distance": lambda rows: Distance(latents(rows, 7), SIGMA, limit=1.0),
    "taught": lambda rows: TAUGHT,
    "rule": lambda rows: BRIGHT,
    "and": lambda rows: And((SMILE, HAT)),
    "or": lambda rows: Or((SMILE, TAUGHT)),
    "not": lambda rows: Not(SMILE),
    "nested": lambda rows: Or((And((group(rows), Not(TAUGHT))), Not(Or((BRIGHT, HAT)))), weight=0.7),
}
every = pytest.mark.parametrize("make", KINDS.values(), ids=list(KINDS))


# --- the matrix ----------------------------------------------------------------------------------------------------


@every
def test_shapes_and_ranges(make: Callable[[int], Constraint]) -> None:
    for rows in (0, 1, ROWS):
        energy, met, refuted = evaluate(make(rows), latents(rows))
        assert energy.shape == met.shape == refuted.shape == (rows,)
        assert met.dtype == refuted.dtype == torch.bool
        assert energy.isfinite().all()
        assert (energy >= 0).all()
        assert not (met & refuted).any()
    assert make(ROWS).weight >= 0


@every
def test_the_energy_has_a_gradient_and_the_flags_have_none(make: Callable[[int], Constraint]) -> None:
    z = latents().requires_grad_(True)
    energy, met, _ = evaluate(make(ROWS), z)
    (gradient,) = torch.autograd.grad(energy.sum(), z)
    assert gradient.isfinite().all()
    assert (gradient != 0).any(1).all()
    assert not met.requires_grad


@every
def test_the_gradient_is_that_of_the_energy(make: Callable[[int], Constraint]) -> None:
    constraint, z = make(ROWS), latents().requires_grad_(True)
    (gradient,) = torch.autograd.grad(evaluate(constraint, z).energy.sum(), z)
    with torch.no_grad():
        step = 1e-2 * torch.nn.functional.normalize(latents(seed=5), dim=1)
        ahead, behind = (evaluate(constraint, z + sign * step).energy for sign in (1, -1))
    torch.testing.assert_close((ahead - behind) / 2, (gradient * step).sum(1), atol=1e-4, rtol=0.05)


@every
def test_a_row_depends_on_nothing_but_itself(make: Callable[[int], Constraint]) -> None:
    constraint, z = make(ROWS), latents()
    whole = evaluate(constraint, z)
    for index in (torch.tensor([4, 1]), torch.arange(ROWS).flip(0), torch.tensor([2])):
        chosen = constraint.rows(index)
        energy, met, refuted = evaluate(chosen, z[index])
        torch.testing.assert_close(energy, whole.energy[index])
        assert torch.equal(met, whole.met[index])
        assert torch.equal(refuted, whole.refuted[index])
        assert chosen.weight == constraint.weight


@every
def test_met_is_low_and_refuted_is_high(make: Callable[[int], Constraint]) -> None:
    rows = 1000
    energy, met, refuted = evaluate(make(rows), 2 * latents(rows))
    assert met.any()
    assert refuted.any()
    if make is KINDS["nested"]:  # each way to be met has its own height
        assert energy[met].mean() < energy[refuted].mean()
    else:
        assert energy[met].max() <= energy[refuted].min() + 0.02


@every
def test_descent_meets_it(make: Callable[[int], Constraint]) -> None:
    how = {"steps": 200, "rate": 0.1, "stride": 1.0}
    start = latents()
    *_, last = optimise(start, {"one": make(ROWS)}, SIGMA, **how)  # type: ignore[arg-type]
    assert last.done.all()
    assert evaluate(make(ROWS), last.z).met.all()


# --- single kinds --------------------------------------------------------------------------------------------------


def test_ten_attributes_are_the_and_of_ten() -> None:
    z, wanted = latents(), (1.0, 0.0, 0.3)
    one_by_one = And(tuple(Attribute(CRITIC, i, w, weight=0.5 + i, margin=0.2 * i) for i, w in enumerate(wanted)))
    together = Attributes(
        CRITIC,
        torch.tensor(wanted).expand(ROWS, -1),
        torch.ones(ROWS, ATTRIBUTES, dtype=torch.bool),
        torch.tensor([0.5, 1.5, 2.5]).expand(ROWS, -1),
        0.2 * torch.arange(ATTRIBUTES),
    )
    for a, b in zip(evaluate(one_by_one, z), evaluate(together, z), strict=True):
        torch.testing.assert_close(a, b)


def test_an_attribute_that_is_not_edited_stops_nothing() -> None:
    z = latents()
    wrong = (CRITIC(z) < 0).float()
    none = torch.zeros(ROWS, ATTRIBUTES, dtype=torch.bool)
    energy, met, refuted = evaluate(Attributes(CRITIC, wrong, none, torch.full_like(wrong, 0.25)), z)
    assert met.all()
    assert not refuted.any()
    whole = evaluate(Attributes(CRITIC, wrong, ~none, torch.ones_like(wrong)), z)
    torch.testing.assert_close(energy, 0.25 * whole.energy)
    assert not whole.met.any()


def test_a_strength_is_met_near_it_from_either_side() -> None:
    z = latents(1)
    read = torch.sigmoid(CRITIC(z))[0, 2].item()
    for off, near in ((0.04, True), (-0.04, True), (0.06, False), (-0.06, False)):
        found = evaluate(Attribute(CRITIC, 2, read + off), z)
        assert (found.met.item(), found.refuted.item()) == (near, not near)


def test_realism_is_met_above_its_level() -> None:
    z = latents(64)
    probability = torch.sigmoid(REAL(z))[:, 0]
    level = probability.median().item()
    energy, met, refuted = evaluate(Realism(REAL, level=level), z)
    assert torch.equal(met, probability > level)
    assert torch.equal(refuted, ~met)
    torch.testing.assert_close(energy, -probability.log())


def test_distance_is_no_reason_to_go_on_unless_it_has_a_limit() -> None:
    home, far = Distance(torch.zeros(3, LATENT), SIGMA), torch.full((3, LATENT), 9.0)
    assert evaluate(home, far).met.all()
    assert not evaluate(Not(home), far).met.any()
    assert evaluate(Not(replace(home, limit=1.0)), far).met.all()
    assert evaluate(home, torch.zeros(3, LATENT)).energy.tolist() == [0.0] * 3
    moved = torch.zeros(1, LATENT).index_fill(1, torch.tensor([0]), 1.0)
    away = evaluate(home.rows(torch.tensor([1])), moved).energy.item()
    assert away == pytest.approx(math.log(2) / 0.25 / LATENT)


@given(st.floats(0.05, 0.95))
def test_a_rule_is_met_from_its_level_on(level: float) -> None:
    z = latents(50)
    found = evaluate(Rule(decode, brightness, level, scale=0.1), z)
    assert torch.equal(found.met, (brightness(decode(z)) - level) / 0.1 > 0)


def test_a_rule_that_is_not_differentiable_is_evaluated_all_the_same() -> None:
    rule = Rule(decode, lambda pictures: (pictures > 0.5).float().mean((1, 2, 3)), level=0.4, scale=0.1)
    assert not evaluate(rule, latents().requires_grad_(True)).energy.requires_grad
    assert evaluate(rule, latents(100)).met.float().mean() not in (0, 1)


def test_a_net_is_run_once_whoever_asks() -> None:
    counts = {"critic": 0, "decode": 0}

    def critic(z: Tensor) -> Tensor:
        counts["critic"] += 1
        return CRITIC(z)

    def drawn(z: Tensor) -> Tensor:
        counts["decode"] += 1
        return decode(z)

    a, b, c = (Attribute(critic, i) for i in range(ATTRIBUTES))
    rules = Rule(drawn, brightness, 0.5, 0.1), Rule(drawn, lambda x: x.amax((1, 2, 3)), 0.5, 0.1)
    total({"tree": Or((And((a, Not(b))), c)), "a": a, "one": rules[0], "other": Not(rules[1])}, latents())
    assert counts == {"critic": 1, "decode": 1}
    at = Point(latents())
    assert at.run(critic) is at.run(critic)


# --- algebra -------------------------------------------------------------------------------------------------------

LEAVES = (  # of weight 1: under AND and OR others count more or less
    SMILE,
    HAT,
    TAUGHT,
    BRIGHT,
    Attribute(CRITIC, 2, 0.6),
    Realism(REAL, weight=1.0, level=0.5),
    Attribute(CRITIC, 1),
)
leaves = st.sampled_from(LEAVES)
trees: st.SearchStrategy[Constraint] = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.builds(Not, children),
        st.builds(lambda *parts: And(parts), children, children),
        st.builds(lambda *parts: Or(parts), children, children),
    ),
    max_leaves=4,
)
weights = st.floats(0, 10)
Z = 2 * latents(300, 9)


def same_truth(a: Constraint, b: Constraint) -> None:
    """Met and refuted alike, wherever."""
    one, other = evaluate(a, Z), evaluate(b, Z)
    assert torch.equal(one.met, other.met)
    assert torch.equal(one.refuted, other.refuted)


def same(a: Constraint, b: Constraint) -> None:
    same_truth(a, b)
    torch.testing.assert_close(evaluate(a, Z).energy, evaluate(b, Z).energy, atol=2e-5, rtol=2e-4)


@settings(deadline=None, max_examples=40)
@given(trees, trees, trees)
def test_the_laws_of_truth(a: Constraint, b: Constraint, c: Constraint) -> None:
    same_truth(Not(Not(a)), a)
    same_truth(Not(And((a, b))), Or((Not(a), Not(b))))  # De Morgan
    same_truth(Not(Or((a, b))), And((Not(a), Not(b))))
    for kind, dual in ((And, Or), (Or, And)):
        same_truth(kind((a, b)), kind((b, a)))
        same_truth(kind((a, kind((b, c)))), kind((kind((a, b)), c)))
        same_truth(kind((a, a)), a)
        same_truth(kind((a, dual((a, b)))), a)
        same_truth(kind((a, dual((b, c)))), dual((kind((a, b)), kind((a, c)))))


@settings(deadline=None, max_examples=40)
@given(trees, trees, trees)
def test_the_laws_of_energies(a: Constraint, b: Constraint, c: Constraint) -> None:
    for kind in (And, Or):
        same(kind((a, b, c)), kind((c, a, b)))
        same(kind((a,)), a)
    same(And((a, And((b, c)))), And((a, b, c)))
    same(Or((a, a)), a)
    one, other, either = (evaluate(x, Z).energy for x in (a, b, Or((a, b))))
    least = torch.minimum(one, other)
    assert (either >= least - 1e-5).all()
    assert (either <= least + math.log(2) + 1e-5).all()
    assert (evaluate(And((a, b)), Z).energy >= torch.maximum(one, other) - 1e-5).all()


@pytest.mark.parametrize("leaf", LEAVES, ids=range(len(LEAVES)))
def test_a_double_negation_is_nothing(leaf: Constraint) -> None:
    """Where its energy is not so low or so high that exp(-energy) rounds to 1 or to nothing."""
    energy, there = evaluate(leaf, Z).energy, evaluate(Not(Not(leaf)), Z).energy
    usual = (energy > 1e-3) & (energy < 8)
    assert usual.float().mean() > 0.3
    torch.testing.assert_close(there[usual], energy[usual], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("wanted", [0.0, 1.0])
def test_the_negation_of_an_attribute_is_that_attribute_unwanted(wanted: float) -> None:
    a, b = Not(Attribute(CRITIC, 0, wanted, margin=0.7)), Attribute(CRITIC, 0, 1 - wanted, margin=0.7)
    same_truth(a, b)
    torch.testing.assert_close(evaluate(a, Z).energy, evaluate(b, Z).energy, atol=1e-5, rtol=1e-3)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(leaves, weights), min_size=1, max_size=4))
def test_weights_count_in_sums(weighted: list[tuple[Constraint, float]]) -> None:
    parts = [replace(leaf, weight=weight) for leaf, weight in weighted]  # type: ignore[type-var]
    summed = sum(part.weight * evaluate(part, Z).energy for part in parts)
    torch.testing.assert_close(evaluate(And(tuple(parts)), Z).energy, summed)
    energy, each, met = total({str(i): part for i, part in enumerate(parts)}, Z)
    torch.testing.assert_close(energy, summed)
    assert torch.equal(met, evaluate(And(tuple(parts)), Z).met)
    torch.testing.assert_close(each["0"], evaluate(parts[0], Z).energy)  # its own, unweighted
    torch.testing.assert_close(evaluate(And(tuple(parts), weight=3.0), Z).energy, summed)  # so is a whole sum's


@settings(deadline=None)
@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_weights_are_shares_in_alternatives(a: float, b: float) -> None:
    one, other = replace(SMILE, weight=a), replace(HAT, weight=b)
    probabilities = [torch.exp(-evaluate(x, Z).energy) for x in (one, other)]
    mean = (a * probabilities[0] + b * probabilities[1]) / (a + b)
    torch.testing.assert_close(evaluate(Or((one, other)), Z).energy, -mean.log(), atol=1e-5, rtol=1e-4)
    scaled = Or((replace(one, weight=3 * a), replace(other, weight=3 * b)))
    torch.testing.assert_close(evaluate(scaled, Z).energy, evaluate(Or((one, other)), Z).energy)


def test_an_alternative_of_no_weight_leads_nowhere() -> None:
    z = latents().requires_grad_(True)
    (gradient,) = torch.autograd.grad(evaluate(Or((SMILE, replace(HAT, weight=0.0))), z).energy.sum(), z)
    (alone,) = torch.autograd.grad(evaluate(SMILE, z).energy.sum(), z)
    torch.testing.assert_close(gradient, alone)


def test_alternatives_lead_to_the_nearest() -> None:
    z = torch.tensor([[2.0], [-2.0]])
    left, right = Taught(lambda z: -z - 5), Taught(lambda z: z - 5)
    how = {"steps": 200, "rate": 0.1, "stride": 1.0}
    *_, last = optimise(z, {"either": Or((left, right))}, torch.ones(1), **how)  # type: ignore[arg-type]
    assert last.done.all()
    assert last.z[0] > 5.9
    assert last.z[1] < -5.9


@pytest.mark.parametrize("logit", [-200.0, -30.0, 0.0, 30.0, 200.0])
def test_far_from_the_boundary_nothing_overflows(logit: float) -> None:
    leaf = Taught(lambda z: z)
    for tree in (leaf, Not(leaf), Or((leaf, Not(leaf))), Not(Not(leaf)), Not(And((leaf, leaf)))):
        z = torch.tensor([[logit]], requires_grad=True)
        energy = evaluate(tree, z).energy
        assert energy.isfinite().all()
        assert torch.autograd.grad(energy.sum(), z)[0].isfinite().all()


def test_every_kind_is_in_the_matrix() -> None:
    kinds = {type(make(1)) for make in KINDS.values()}
    assert kinds == {And, Attribute, Attributes, Distance, Not, Or, Realism, Rule, Taught}

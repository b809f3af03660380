"""Edits and samples under any constraint, with the committed weights: the short form and the long form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_editor import crops, same
from torch import Tensor, nn

from lc.constraints import And, Attribute, Constraint, Distance, Not, Or, Realism, Rule, Taught, evaluate
from lc.edit.problem import changes_of, pose
from lc.editor import FaceEditor, Method, Reading
from lc.errors import LatentConstraintsError, UnknownAttributeError
from train.attributes import ATTRIBUTES

both = pytest.mark.parametrize("method", ["actor", "optimise"])


@pytest.fixture(scope="module")
def reading(editor: FaceEditor, astronaut: Path) -> Reading:
    return editor.read(astronaut)


def brightness(pictures: Tensor) -> Tensor:
    return pictures.mean((1, 2, 3))


def brighter(editor: FaceEditor, reading: Reading, by: float) -> Rule:
    """A picture that is brighter by so much of the range."""
    with torch.no_grad():
        before = float(brightness(editor.model.generator.decode(reading.z[None])))
    return Rule(editor.model.generator.decode, brightness, before + by, scale=0.01)


@pytest.fixture(scope="module")
def taught(editor: FaceEditor) -> Taught:
    """A logistic regression of latents, fitted to which generated faces have a bright left side."""
    z = torch.stack([sample.z for sample in editor.sample(100, seed=11)])
    with torch.no_grad():
        pictures = editor.model.generator.decode(z)
    side = pictures[..., : pictures.shape[-1] // 4].mean((1, 2, 3))
    label = (side > side.median()).float()
    mean, std = z.mean(0), z.std(0)
    critic = nn.Linear(z.shape[1], 1)
    nn.init.zeros_(critic.weight)
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.01, weight_decay=1e-2)
    for _ in range(100):
        loss = nn.functional.binary_cross_entropy_with_logits(critic((z - mean) / std)[:, 0], label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    critic.requires_grad_(False)
    return Taught(lambda z: critic((z - mean) / std))


# --- the short form and the long form ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Blond_Hair": True}, marks=pytest.mark.slow),
        {"Smiling": False, "Eyeglasses": True},
        {"Smiling": 0.6, "Male": True},
    ],
    ids=str,
)
def test_the_short_form_is_the_long_form(
    editor: FaceEditor, reading: Reading, changes: dict[str, bool | float], method: Method
) -> None:
    short = editor.edit(reading, changes, method=method)
    constraints = [editor.attribute(name, wanted) for name, wanted in changes.items()]
    for long in (
        editor.edit(reading, constraints=constraints, method=method),
        editor.edit(reading, constraints=[And(tuple(constraints))], method=method),
        editor.edit(reading, dict([next(iter(changes.items()))]), constraints=constraints[1:], method=method),
    ):
        assert torch.equal(short.z_edited, long.z_edited)
        assert same(short.edited, long.edited)
        assert long.changes == short.changes == changes
        assert (long.steps, long.converged, long.warning) == (short.steps, short.converged, short.warning)


@both
def test_a_negated_attribute_is_one_that_is_unwanted(editor: FaceEditor, reading: Reading, method: Method) -> None:
    short = editor.edit(reading, {"Smiling": False}, method=method)
    long = editor.edit(reading, constraints=[Not(editor.attribute("Smiling"))], method=method)
    assert torch.equal(short.z_edited, long.z_edited)


def test_samples_and_live_edits_have_both_forms(editor: FaceEditor, reading: Reading) -> None:
    constraints = [editor.attribute("Male", False), editor.attribute("Smiling", True)]
    changes = {"Male": False, "Smiling": True}
    for realism in (True, False):
        short, long = (
            editor.sample(2, *arguments, seed=3, constraints=given, realism=realism)
            for arguments, given in (((changes,), ()), ((), constraints))
        )
        assert all(torch.equal(a.z, b.z) and a.wanted == b.wanted for a, b in zip(short, long, strict=True))
    *_, live = editor.edit_live(reading, constraints=constraints, every=1000)
    assert live.edit is not None
    assert torch.equal(live.edit.z_edited, editor.edit(reading, changes, method="optimise").z_edited)


def test_preserving_nothing_leaves_the_rest_to_the_actor(editor: FaceEditor, reading: Reading) -> None:
    changes = {"Young": False}
    free, whole = (editor.edit(reading, changes, preserve=preserve) for preserve in ((), None))
    named = editor.edit(reading, changes, preserve=[name for name in ATTRIBUTES if name != "Young"])
    assert torch.equal(named.z_edited, whole.z_edited)
    assert not torch.allclose(free.z_edited, whole.z_edited)
    with pytest.raises(UnknownAttributeError):
        editor.edit(reading, changes, preserve=["Spectacles"])


def test_of_two_on_one_attribute_the_last_counts(editor: FaceEditor) -> None:
    served, others = changes_of(editor.space, [editor.attribute("Smiling", 0.2), editor.attribute("Smiling")])
    assert served["Smiling"].wanted == 1
    assert others == {}
    foreign = Attribute(lambda z: z, 3)  # another critic's column is no attribute of this model
    served, others = changes_of(editor.space, [foreign, foreign])
    assert (served, list(others)) == ({}, ["attribute", "attribute 2"])


def test_an_attribute_that_cannot_be_is_refused(editor: FaceEditor, reading: Reading) -> None:
    wrong = Attribute(editor.space.attribute_critic, 0, wanted=1.5)
    with pytest.raises(UnknownAttributeError):
        editor.edit(reading, constraints=[wrong])
    with pytest.raises(LatentConstraintsError, match="Smiling"):
        editor.sample(1, constraints=[editor.attribute("Smiling", 0.5)])


# --- what no actor was trained for ---------------------------------------------------------------------------------


@both
def test_a_rule_is_met(editor: FaceEditor, reading: Reading, method: Method) -> None:
    rule = brighter(editor, reading, 0.05)
    edit = editor.edit(reading, constraints=[rule], method=method)
    assert edit.converged
    assert evaluate(rule, edit.z_edited[None]).met.item()
    assert np.asarray(edit.edited, float).mean() > np.asarray(reading.reconstruction, float).mean() + 0.04 * 255
    assert (edit.changes, edit.constraints, edit.warning) == ({}, (rule,), None)
    kept = [name for name in ATTRIBUTES if (edit.after[name] > 0.5) == (edit.before[name] > 0.5)]
    assert len(kept) >= 9


@both
def test_a_rule_stands_beside_an_attribute(editor: FaceEditor, reading: Reading, method: Method) -> None:
    rule = Not(brighter(editor, reading, -0.03))  # darker
    edit = editor.edit(reading, {"Eyeglasses": True}, constraints=[rule], method=method)
    assert edit.converged
    assert edit.after["Eyeglasses"] > 0.5
    assert evaluate(rule, edit.z_edited[None]).met.item()


@both
def test_what_was_taught_is_met(editor: FaceEditor, reading: Reading, taught: Taught, method: Method) -> None:
    has = evaluate(taught, reading.z[None]).energy < 0.69
    wanted: Constraint = Not(taught) if has else taught
    edit = editor.edit(reading, constraints=[wanted], method=method)
    assert edit.converged
    assert not evaluate(wanted, reading.z[None]).met.item()
    assert evaluate(wanted, edit.z_edited[None]).met.item()


def test_alternatives_and_negations_are_met(editor: FaceEditor, reading: Reading) -> None:
    either = Or((editor.attribute("Eyeglasses"), brighter(editor, reading, 0.5)))  # the second is out of reach
    edit = editor.edit(reading, constraints=[either], method="optimise")
    assert edit.converged
    assert edit.after["Eyeglasses"] > 0.7
    neither = Not(Or((editor.attribute("Smiling"), editor.attribute("Eyeglasses"))))
    edit = editor.edit(reading, constraints=[neither], method="optimise")
    assert edit.converged
    assert edit.after["Smiling"] < 0.3
    assert edit.after["Eyeglasses"] < 0.3


def test_a_callers_own_distance_takes_the_place_of_the_default(editor: FaceEditor, reading: Reading) -> None:
    z, space = reading.z[None], editor.space
    mine: list[Constraint] = [Distance(z, space.sigma_bar, weight=100.0), Realism(space.critic, level=0.1)]
    names = ["attributes", "realism", "distance"]
    default, own = (pose(space, z, given).constraints(space, 0.5) for given in ([], mine))
    assert list(default) == list(own) == names
    assert [own["distance"], own["realism"]] == mine
    assert default["distance"].weight == editor.model.distance_weight(0.5)


def test_an_edit_of_an_edit_keeps_its_constraints(editor: FaceEditor, reading: Reading) -> None:
    rule = brighter(editor, reading, 0.04)
    first = editor.edit(reading, constraints=[rule])
    second = editor.edit(first, {"Smiling": False})
    assert torch.equal(second.z_edited, editor.edit(reading, {"Smiling": False}, constraints=[rule]).z_edited)
    third = editor.edit(second, constraints=[editor.attribute("Smiling", True)])
    assert third.changes == {"Smiling": True}
    assert third.constraints == (rule,)


def test_constraints_are_batched_and_may_have_rows(editor: FaceEditor) -> None:
    readings = [editor.read(crop, aligned=True) for crop in crops(2)]
    origin = torch.stack([reading.z for reading in readings])
    rule = brighter(editor, readings[0], 0.05)
    home = Distance(origin, editor.space.sigma_bar, weight=0.5)
    edits = editor.edit_many(readings, constraints=[rule, home])
    for i, edit in enumerate(edits):
        alone = editor.edit(readings[i], constraints=[rule, home.rows(torch.tensor([i]))])
        torch.testing.assert_close(alone.z_edited, edit.z_edited, atol=2e-2, rtol=0)
        assert torch.equal(edit.constraints[1].origin, origin[i : i + 1])  # type: ignore[attr-defined]


@pytest.mark.parametrize("realism", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_samples_meet_constraints(editor: FaceEditor, realism: bool) -> None:
    rule = Rule(editor.model.generator.decode, brightness, level=0.55, scale=0.01)
    plain, bright = (
        editor.sample(3, {"Smiling": True}, seed=2, constraints=given, realism=realism) for given in ((), (rule,))
    )
    met = [evaluate(rule, sample.z[None]).met.item() for sample in bright]
    assert sum(met) >= 2
    assert sum(evaluate(rule, sample.z[None]).met.item() for sample in plain) < sum(met)
    (alone,) = editor.sample(1, {"Smiling": True}, seed=2, constraints=(rule,), realism=realism)
    # Batches of another size round otherwise, and a long descent makes more of it: the same face, not the same bits.
    assert (alone.z - bright[0].z).norm() < 0.1 * (alone.z - bright[1].z).norm()

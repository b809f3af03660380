"""lc.edit: proposal, correction and trajectory, with the committed weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lc.attributes import Strength
from lc.edit.actor import propose, propose_corrected
from lc.edit.correct import correct
from lc.edit.optimiser import rms
from lc.edit.problem import Problem, constraints_of, pose
from lc.edit.solve import act, trajectory
from lc.edit.space import LatentSpace
from lc.editor import FaceEditor, Method
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES

CORRECTIONS = 3


def posed(editor: FaceEditor, z: Tensor, changes: Mapping[str, Strength]) -> Problem:
    return pose(editor.space, z, constraints_of(editor.space, changes))


def acted(editor: FaceEditor, problem: Problem, identity: float = 0.5) -> Tensor:
    return act(editor.space, problem, identity, CORRECTIONS).z


def test_correction_costs_no_distance_to_speak_of(editor: FaceEditor) -> None:
    space = editor.space
    z = torch.stack([sample.z for sample in editor.sample(6, {"Blond_Hair": False}, seed=5)])
    problem = posed(editor, z, {"Blond_Hair": True})
    with torch.inference_mode():
        proposal = propose(space, problem, 1.2)
        moved, pictures = correct(space, problem, proposal, CORRECTIONS)
        torch.testing.assert_close(pictures, editor.model.generator.decode(moved), atol=1e-4, rtol=0)
    assert (rms(moved - proposal, space.sigma_bar) < 0.6 * rms(proposal - z, space.sigma_bar)).all()


def test_an_edit_ends_where_photos_lie(editor: FaceEditor) -> None:
    """What lies further out is burnt, as bald women did."""
    space = editor.space
    z = torch.stack([sample.z for sample in editor.sample(6, {"Male": False, "Bald": False}, seed=5)])
    problem = posed(editor, z, {"Bald": True})
    with torch.inference_mode():
        corrected, _ = propose_corrected(space, problem, 1.5, CORRECTIONS)
        proposed, edited, before = (space.radius(x) for x in (propose(space, problem, 1.5), corrected, z))
    furthest = before.clamp_min(space.typical_radius)
    assert (proposed > furthest).any()
    assert (edited <= furthest * 1.001).all()


def test_what_the_actor_learned_from_photos_is_not_corrected(editor: FaceEditor) -> None:
    space = editor.space
    calibration = dataclasses.replace(space.model.calibration, uncorrected=("Smiling=1",))
    theirs = LatentSpace(dataclasses.replace(space.model, calibration=calibration))
    z = torch.stack([sample.z for sample in editor.sample(2, {"Smiling": False}, seed=5)])
    problem = pose(theirs, z, constraints_of(theirs, {"Smiling": True}))
    proposal = propose(theirs, problem, 1.2)
    assert torch.equal(correct(theirs, problem, proposal, CORRECTIONS)[0], proposal)


def test_a_second_change_is_corrected_from_where_the_first_led(editor: FaceEditor) -> None:
    """What the actor learned from photos is as strong beside another change as it is alone."""
    space, column = editor.space, ATTRIBUTES.index("Smiling")
    calibration = dataclasses.replace(space.model.calibration, uncorrected=("Smiling=1",))
    theirs = LatentSpace(dataclasses.replace(space.model, calibration=calibration))
    z = torch.stack([sample.z for sample in editor.sample(4, {"Smiling": False, "Eyeglasses": False}, seed=5)])
    alone, both = (
        pose(theirs, z, constraints_of(theirs, {"Smiling": True, **more})) for more in ({}, {"Young": False})
    )
    smiling = propose(theirs, alone, 1.2)
    corrected, _ = propose_corrected(theirs, both, 1.2, CORRECTIONS)
    assert not torch.equal(corrected, propose(theirs, both, 1.2))  # age is
    read = [theirs.model.guidance.beyond(theirs.model.generator.decode(one))[:, column] for one in (smiling, corrected)]
    assert read[1].mean() > read[0].mean() - 1
    assert (both.step_scale, both.several) == (calibration.step_scales["Young=0"], False)


def test_several_changes_at_once_ask_for_less_each(editor: FaceEditor) -> None:
    column = ATTRIBUTES.index("Bald")
    z = torch.zeros(1, editor.model.generator.latent)
    alone, unticked, two = (
        posed(editor, z, {"Bald": True, **more}).target_margin[column]
        for more in ({}, {"Brown_Hair": False}, {"Young": False})
    )
    margin = editor.model.calibration.target_margins["Bald=1"]
    assert alone == unticked == margin  # a bald head has no brown hair anyway
    assert two < alone


def test_several_changes_are_corrected_once_more(editor: FaceEditor) -> None:
    z = editor.sample(1, {"Young": True, "Eyeglasses": False}, seed=5)[0].z[None]
    space, problem = editor.space, posed(editor, z, {"Young": False, "Eyeglasses": True})
    one = dataclasses.replace(problem, several=False)
    proposal = propose(space, problem, 1.0).clone()
    thrice, twice = (correct(space, problem, proposal, steps)[0] for steps in (2, 1))
    torch.testing.assert_close(thrice, correct(space, one, proposal, 3)[0])
    assert not torch.equal(thrice, twice)
    assert torch.equal(correct(space, problem, proposal, 0)[0], proposal)


def test_correction_does_not_depend_on_the_faces_beside_it(editor: FaceEditor) -> None:
    z = torch.stack([sample.z for sample in editor.sample(5, {"Young": True}, seed=6)])
    together = acted(editor, posed(editor, z, {"Young": False}))
    alone = torch.cat([acted(editor, posed(editor, row[None], {"Young": False})) for row in z])
    torch.testing.assert_close(together, alone, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("method", ["actor", pytest.param("optimise", marks=pytest.mark.slow)])
def test_an_edit_changes_little_that_nobody_asked_for(editor: FaceEditor, method: Method) -> None:
    guide, decode = editor.model.guidance, editor.model.generator.decode
    assert guide is not None
    blind = FaceEditor(dataclasses.replace(editor.model, guidance=None))
    unasked, success = [], []
    for changes in ({"Young": False}, {"Blond_Hair": True}, {"Eyeglasses": True}, {"Young": False, "Eyeglasses": True}):
        samples = editor.sample(6, {name: not wanted for name, wanted in changes.items()}, seed=8)
        others = [i for i, other in enumerate(ATTRIBUTES) if other not in ATTRIBUTE_SET.changes(changes).resolved]
        problem = posed(editor, torch.stack([sample.z for sample in samples]), changes)
        moved = []
        for space in (blind.space, editor.space):
            *_, last = [act(space, problem, 0.5, CORRECTIONS)] if method == "actor" else trajectory(space, problem, 0.5)
            moved.append(last.z)
        with torch.inference_mode():
            before, *after = (guide.beyond(decode(z)) for z in (problem.z, *moved))
        unasked.append([float((x - before)[:, others].square().mean()) for x in after])
        named, wanted = [ATTRIBUTES.index(name) for name in changes], torch.tensor(list(changes.values()))
        success.append([float(((x[:, named] > 0) == wanted).float().mean()) for x in after])
    without, corrected = torch.tensor(unasked).mean(0)
    assert corrected < 0.9 * without
    without, corrected = torch.tensor(success).mean(0)
    assert corrected > without - 0.05  # step scales alone show nearly all


def test_what_must_be_plainer_is_drawn_plainer(editor: FaceEditor) -> None:
    guide = editor.model.guidance
    assert guide is not None
    z = torch.stack([sample.z for sample in editor.sample(4, {"Young": True}, seed=5)])
    seen = []
    for margins in ({}, {"Young=0": 9.0}, {"Young=1": 9.0}):
        calibration = dataclasses.replace(editor.model.calibration, target_margins=margins)
        other = FaceEditor(dataclasses.replace(editor.model, calibration=calibration))
        pictures = act(other.space, posed(other, z, {"Young": False}), 0.5, CORRECTIONS).pictures
        assert pictures is not None
        seen.append(guide.beyond(pictures)[:, ATTRIBUTES.index("Young")].mean())
    assert seen[1] < seen[0] - 1
    assert seen[2] == seen[0]  # that was said of another change


def test_a_strength_is_left_on_its_line(editor: FaceEditor) -> None:
    z = torch.stack([sample.z for sample in editor.sample(2, {"Smiling": False}, seed=5)])
    problem = posed(editor, z, {"Smiling": 0.6})
    torch.testing.assert_close(acted(editor, problem), propose(editor.space, problem, 1.0))


def test_several_changes_are_one_move_in_any_order(editor: FaceEditor) -> None:
    space = editor.space
    z = torch.stack([sample.z for sample in editor.sample(4, {"Young": True, "Blond_Hair": False}, seed=5)])
    changes = {"Young": False, "Blond_Hair": True}
    problems = [posed(editor, z, x) for x in (changes, dict(reversed(changes.items())), {"Blond_Hair": True})]
    with torch.inference_mode():
        found, backwards, first = (propose(space, problem, 1.2) for problem in problems)
        second = propose(space, posed(editor, first, {"Young": False}), 1.2)
    torch.testing.assert_close(found, backwards)
    # One after the other adds up to more than a face can bear.
    assert rms(found - z, space.sigma_bar).mean() < rms(second - z, space.sigma_bar).mean()


def test_what_was_set_is_not_undone_by_what_another_change_implies(editor: FaceEditor) -> None:
    z = torch.stack([sample.z for sample in editor.sample(1, {"Brown_Hair": False, "Wearing_Hat": False}, seed=5)])
    problem = posed(editor, z, {"Brown_Hair": True, "Wearing_Hat": True})
    brown = ATTRIBUTES.index("Brown_Hair")
    assert problem.target[0, brown] == 1
    assert problem.proposed[0, brown]

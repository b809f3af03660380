"""lc.moves: the jump and the walk, with the committed weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lc.attributes import ATTRIBUTES, resolve
from lc.editor import FaceEditor, Method
from lc.moves import LOOKS
from lc.optimiser import rms


def test_looking_costs_no_distance_to_speak_of(editor: FaceEditor) -> None:
    moves = editor.moves
    z = torch.stack([sample.z for sample in editor.sample(6, {"Blond_Hair": False}, seed=5)])
    goal = moves.goal(z, {"Blond_Hair": True})
    with torch.inference_mode():
        proposal = moves.propose(goal, 1.2)
        moved, pictures = moves.look(goal, proposal, LOOKS)
        torch.testing.assert_close(pictures, editor.model.generator.decode(moved), atol=1e-4, rtol=0)
    assert (rms(moved - proposal, moves.sigma_bar) < 0.6 * rms(proposal - z, moves.sigma_bar)).all()


def test_an_edit_ends_where_photos_lie(editor: FaceEditor) -> None:
    """What lies further out looks burnt, as bald women did."""
    moves = editor.moves
    z = torch.stack([sample.z for sample in editor.sample(6, {"Male": False, "Bald": False}, seed=5)])
    goal = moves.goal(z, {"Bald": True})
    with torch.inference_mode():
        proposed, edited, before = (
            moves.model.actor.whiten(x).norm(dim=1) for x in (moves.propose(goal, 1.5), moves.jump(goal, 1.5)[0], z)
        )
    furthest = before.clamp_min(moves.shell)
    assert (proposed > furthest).any()
    assert (edited <= furthest * 1.001).all()


def test_several_changes_at_once_ask_for_less_each(editor: FaceEditor) -> None:
    column = ATTRIBUTES.index("Bald")
    z = torch.zeros(1, editor.model.generator.latent)
    alone, unticked, two = (
        editor.moves.goal(z, {"Bald": True, **more}).shown[column]
        for more in ({}, {"Brown_Hair": False}, {"Smiling": False})
    )
    assert alone == unticked == editor.model.calibration.shown["Bald=1"]  # a bald head has no brown hair anyway
    assert two < alone


def test_several_changes_are_looked_at_once_more(editor: FaceEditor) -> None:
    z = editor.sample(1, {"Smiling": False, "Eyeglasses": False}, seed=5)[0].z[None]
    goal = editor.moves.goal(z, {"Smiling": True, "Eyeglasses": True})
    one = dataclasses.replace(goal, several=False)
    proposal = editor.moves.propose(goal, 1.0).clone()
    thrice, twice = (editor.moves.look(goal, proposal, looks)[0] for looks in (2, 1))
    torch.testing.assert_close(thrice, editor.moves.look(one, proposal, 3)[0])
    assert not torch.equal(thrice, twice)
    assert torch.equal(editor.moves.look(goal, proposal, 0)[0], proposal)


def test_a_look_does_not_depend_on_the_faces_beside_it(editor: FaceEditor) -> None:
    moves = editor.moves
    z = torch.stack([sample.z for sample in editor.sample(5, {"Young": True}, seed=6)])
    together = moves.act(moves.goal(z, {"Young": False}), 0.5).z
    alone = torch.cat([moves.act(moves.goal(row[None], {"Young": False}), 0.5).z for row in z])
    torch.testing.assert_close(together, alone, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_an_edit_changes_little_that_nobody_asked_for(editor: FaceEditor, method: Method) -> None:
    guide, decode = editor.model.guide, editor.model.generator.decode
    assert guide is not None
    blind = FaceEditor(dataclasses.replace(editor.model, guide=None))
    unasked, shown = [], []
    for changes in ({"Young": False}, {"Blond_Hair": True}, {"Eyeglasses": True}, {"Young": False, "Eyeglasses": True}):
        samples = editor.sample(6, {name: not wanted for name, wanted in changes.items()}, seed=8)
        others = [i for i, other in enumerate(ATTRIBUTES) if other not in resolve(changes)]
        goal = editor.moves.goal(torch.stack([sample.z for sample in samples]), changes)
        moved = []
        for moves in (blind.moves, editor.moves):
            *_, last = [moves.act(goal, 0.5)] if method == "actor" else moves.walk(goal, 0.5)
            moved.append(last.z)
        with torch.inference_mode():
            before, *after = (guide.beyond(decode(z)) for z in (goal.z, *moved))
        unasked.append([float((x - before)[:, others].square().mean()) for x in after])
        named, wanted = [ATTRIBUTES.index(name) for name in changes], torch.tensor(list(changes.values()))
        shown.append([float(((x[:, named] > 0) == wanted).float().mean()) for x in after])
    without, looked_at = torch.tensor(unasked).mean(0)
    assert looked_at < 0.9 * without
    without, looked_at = torch.tensor(shown).mean(0)
    assert looked_at >= without


def test_what_must_be_plainer_is_drawn_plainer(editor: FaceEditor) -> None:
    guide = editor.model.guide
    assert guide is not None
    z = torch.stack([sample.z for sample in editor.sample(4, {"Smiling": False}, seed=5)])
    seen = []
    for shown in ({}, {"Smiling=1": 9.0}, {"Smiling=0": 9.0}):
        calibration = dataclasses.replace(editor.model.calibration, shown=shown)
        moves = FaceEditor(dataclasses.replace(editor.model, calibration=calibration)).moves
        pictures = moves.act(moves.goal(z, {"Smiling": True}), 0.5).pictures
        assert pictures is not None
        seen.append(guide.beyond(pictures)[:, ATTRIBUTES.index("Smiling")].mean())
    assert seen[1] > seen[0] + 1
    assert seen[2] == seen[0]  # that was said of another change


def test_a_strength_is_left_on_its_line(editor: FaceEditor) -> None:
    z = torch.stack([sample.z for sample in editor.sample(2, {"Smiling": False}, seed=5)])
    goal = editor.moves.goal(z, {"Smiling": 0.6})
    torch.testing.assert_close(editor.moves.act(goal, 0.5).z, editor.moves.propose(goal, 1.0))


def test_several_changes_are_one_move_in_any_order(editor: FaceEditor) -> None:
    moves = editor.moves
    z = torch.stack([sample.z for sample in editor.sample(4, {"Smiling": False, "Eyeglasses": False}, seed=5)])
    changes = {"Smiling": True, "Eyeglasses": True}
    goals = [moves.goal(z, x) for x in (changes, dict(reversed(changes.items())), {"Eyeglasses": True})]
    with torch.inference_mode():
        found, backwards, first = (moves.propose(goal, 1.2) for goal in goals)
        second = moves.propose(moves.goal(first, {"Smiling": True}), 1.2)
    torch.testing.assert_close(found, backwards)
    # One after the other adds up to more than a face can bear.
    assert rms(found - z, moves.sigma_bar).mean() < rms(second - z, moves.sigma_bar).mean()


def test_what_was_set_is_not_undone_by_what_another_change_implies(editor: FaceEditor) -> None:
    z = torch.stack([sample.z for sample in editor.sample(1, {"Brown_Hair": False, "Wearing_Hat": False}, seed=5)])
    goal = editor.moves.goal(z, {"Brown_Hair": True, "Wearing_Hat": True})
    brown = ATTRIBUTES.index("Brown_Hair")
    assert goal.target[0, brown] == 1
    assert goal.pushed[0, brown]

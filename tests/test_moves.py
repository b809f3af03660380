"""lc.moves: the jump and the walk, with the committed weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lc.attributes import ATTRIBUTES, resolve
from lc.editor import FaceEditor, Method


@pytest.mark.parametrize("name", ["Smiling", "Eyeglasses"])
def test_a_walk_leaves_out_what_its_proposal_changes_slightly(editor: FaceEditor, name: str) -> None:
    moves, decode = editor.moves, editor.model.generator.decode
    z = torch.stack([sample.z for sample in editor.sample(4, {name: False}, seed=5)])
    goal = moves.goal(z, {name: True})
    *_, last = moves.walk(goal, 0.5)
    with torch.inference_mode():
        proposal = moves.propose(goal, editor.model.calibration.for_optimiser(0.5))
        before, proposed, walked = decode(z), decode(proposal), decode(last.z)
    asked, done = ((after - before).abs().mean(1) for after in (proposed, walked))
    slight = asked < 0.1 * asked.amax((1, 2), keepdim=True)
    strong = asked > 0.6 * asked.amax((1, 2), keepdim=True)
    assert done[slight].mean() < 0.9 * asked[slight].mean()
    assert done[strong].mean() > 0.8 * asked[strong].mean()
    assert last.done.all()


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_an_edit_changes_little_that_nobody_asked_for(editor: FaceEditor, method: Method) -> None:
    perceptual, decode = editor.model.perceptual, editor.model.generator.decode
    assert perceptual is not None
    blind = FaceEditor(dataclasses.replace(editor.model, perceptual=None))
    unasked, shown = [], []
    for name, wanted in (("Young", False), ("Blond_Hair", True), ("Eyeglasses", True)):
        samples = editor.sample(6, {name: not wanted}, seed=8)
        others = [i for i, other in enumerate(ATTRIBUTES) if other not in resolve({name: wanted})]
        goal = editor.moves.goal(torch.stack([sample.z for sample in samples]), {name: wanted})
        moved = []
        for moves in (blind.moves, editor.moves):
            *_, last = [moves.act(goal, 0.5)] if method == "actor" else moves.walk(goal, 0.5)
            moved.append(last.z)
        with torch.inference_mode():
            before, *after = (perceptual.beyond(decode(z)) for z in (goal.z, *moved))
        unasked.append([float((x - before)[:, others].square().mean()) for x in after])
        shown.append([float(((x[:, ATTRIBUTES.index(name)] > 0) == wanted).float().mean()) for x in after])
    without, looked_at = torch.tensor(unasked).mean(0)
    assert looked_at < 0.8 * without
    without, looked_at = torch.tensor(shown).mean(0)
    assert looked_at > without - 0.15


def test_a_strength_is_left_on_its_line(editor: FaceEditor) -> None:
    z = torch.stack([sample.z for sample in editor.sample(2, {"Smiling": False}, seed=5)])
    goal = editor.moves.goal(z, {"Smiling": 0.6})
    torch.testing.assert_close(editor.moves.act(goal, 0.5).z, editor.moves.propose(goal, 1.0))

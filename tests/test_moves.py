"""lc.moves: the jump and the walk, with the committed weights."""

from __future__ import annotations

import pytest
import torch

from lc.editor import FaceEditor


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
    assert done[slight].mean() < 0.8 * asked[slight].mean()
    assert done[strong].mean() > 0.8 * asked[strong].mean()
    assert last.done.all()

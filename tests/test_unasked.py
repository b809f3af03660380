"""lc.edits and lc.readings: what nobody asks for is not made, and what somebody asks for late is the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lc.__main__ import main
from lc.constraints import Distance
from lc.edit.actor import propose
from lc.editor import FaceEditor
from lc.errors import UnknownAttributeError
from lc.witness import Witness

ASTRONAUT = Path(__file__).parent.parent / "lc" / "ui" / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def fast(editor: FaceEditor) -> FaceEditor:
    return FaceEditor(editor.model, 0, 0)


@pytest.fixture
def passes(editor: FaceEditor, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pictures have gone through each net."""
    count: Counter[str] = Counter()
    model = editor.model
    nets = (model.generator, "encode"), (model.generator, "decode"), (model.parser, "parse"), (model.actor, "forward")
    for net, name in nets:
        run = getattr(net, name)

        def counted(x: torch.Tensor, *rest: object, name: str = name, run: object = run, **more: object) -> object:
            count[name] += len(x)
            return run(x, *rest, **more)  # type: ignore[operator]

        monkeypatch.setattr(net, name, counted)
    return count


def test_what_is_laid_onto_a_photo_takes_two_passes_and_no_more(fast: FaceEditor, passes: Counter[str]) -> None:
    edit = fast.edit(ASTRONAUT, {"Eyeglasses": True})
    assert edit.covered
    assert not np.array_equal(np.asarray(edit.result), np.asarray(edit.reading.photo.rgb))
    assert passes == {"encode": 1, "parse": 1}
    assert edit.z_distance > 0
    assert passes == {"encode": 3, "parse": 1, "decode": 2}  # with the photo's reconstruction


def test_another_colour_of_hair_takes_no_more_either(fast: FaceEditor, passes: Counter[str]) -> None:
    reading = fast.read(ASTRONAUT)
    blond, both = fast.edit(reading, {"Blond_Hair": True}), fast.edit(reading, {"Blond_Hair": True, "Eyeglasses": True})
    for edit in (blond, both):
        assert edit.covered
        assert not np.array_equal(np.asarray(edit.result), np.asarray(reading.photo.rgb))
    assert passes == {"encode": 1, "parse": 1}
    assert blond.steering is not None
    parts = blond.steering.found(64, 8)
    assert np.abs(parts.kept("hair") - parts.before["hair"])[8:-8, 8:-8].mean() < 0.02  # all hair stays hair
    assert not fast.edit(reading, {"Blond_Hair": 0.7}).covered
    assert not fast.edit(reading, {"Blond_Hair": True, "Smiling": False}).covered


def test_a_painted_bald_head_needs_nobody_like_it_in_the_training_data(fast: FaceEditor) -> None:
    reading = fast.read(ASTRONAUT)  # a woman
    assert fast.edit(reading, {"Bald": True}).warning is None
    drawn = fast.edit(reading, {"Bald": 0.9}).warning  # how much of one is the generator's
    assert drawn is not None
    assert "bald women" in drawn


def test_hair_that_has_no_such_colour_stays_when_that_is_taken_off(fast: FaceEditor) -> None:
    reading = fast.read(ASTRONAUT)
    read = {**reading.attributes, "Black_Hair": 0.02, "Brown_Hair": 0.9}
    photo = np.asarray(reading.photo.rgb)
    for name, changed in (("Black_Hair", False), ("Brown_Hair", True)):
        result = fast.edit(replace(reading, attributes=read), {name: False}).result
        assert np.array_equal(np.asarray(result), photo) != changed


def test_a_fast_edit_takes_each_pass_once(fast: FaceEditor, passes: Counter[str]) -> None:
    edit = fast.edit(ASTRONAUT, {"Smiling": False})
    assert not edit.covered
    edit.result, edit.after, edit.seconds  # noqa: B018
    assert passes == {"encode": 1, "decode": 2, "parse": 3, "forward": 1}


def test_what_is_asked_for_late_is_the_same(fast: FaceEditor) -> None:
    reading = fast.read(ASTRONAUT)
    early, late = (fast.edit(reading, {"Wearing_Hat": True}) for _ in range(2))
    outcome, picture = early.outcome(), early.result
    with torch.inference_mode():
        assert np.array_equal(np.asarray(late.result), np.asarray(picture))
        assert torch.equal(late.z_edited, outcome.z_edited)
    assert late.after == outcome.after == early.after
    assert late.edited is late.edited
    assert late.seconds > 0


def test_photos_that_something_is_laid_onto_and_others_go_together(fast: FaceEditor) -> None:
    """Nobody gets a second pair of glasses: the actor serves who wears some."""
    bare = fast.read(ASTRONAUT)
    worn = fast.read(fast.edit(bare, {"Eyeglasses": True}).result)
    other = fast.read(bare.photo.rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    readings = [bare, worn, other]
    together = fast.edit_many(readings, {"Eyeglasses": True})
    assert [edit.reading for edit in together] == readings
    assert [edit.covered for edit in together] == [True, False, True]
    for edit in together[::2]:
        alone = fast.edit(edit.reading, {"Eyeglasses": True})
        torch.testing.assert_close(edit.z_edited, alone.z_edited, atol=1e-3, rtol=1e-3)
        assert np.array_equal(np.asarray(edit.result), np.asarray(alone.result))
    problem = fast.edits.problem(fast.edits.task(readings, [fast.attribute("Eyeglasses")], None, 0))
    assert problem.proposed[:, fast.attributes.names.index("Eyeglasses")].tolist() == [False, True, False]
    by_actor = propose(fast.space, problem, fast.model.calibration.for_actor(0.5))[1]
    torch.testing.assert_close(together[1].z_edited, by_actor, atol=1e-3, rtol=1e-3)


def test_beside_other_constraints_each_photo_has_its_own(fast: FaceEditor) -> None:
    bare = fast.read(ASTRONAUT)
    worn = fast.read(fast.edit(bare, {"Eyeglasses": True}).result)
    near = Distance(torch.stack([bare.z, worn.z]), fast.space.sigma_bar, weight=3.0)
    together = fast.edit_many([bare, worn], {"Eyeglasses": True}, constraints=[near])
    assert [edit.reading for edit in together] == [bare, worn]
    for edit in together:
        own = replace(near, origin=edit.reading.z[None])
        alone = fast.edit(edit.reading, {"Eyeglasses": True}, constraints=[own])
        torch.testing.assert_close(edit.z_edited, alone.z_edited, atol=1e-3, rtol=1e-3)
        assert np.array_equal(np.asarray(edit.result), np.asarray(alone.result))


def test_a_mistyped_name_is_refused_at_once(fast: FaceEditor) -> None:
    with pytest.raises(UnknownAttributeError):
        fast.edit(ASTRONAUT, {"Eyeglasses": True}, preserve=["Spectacles"])


def test_the_witness_is_asked_only_for_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    look = Witness.look
    monkeypatch.setattr(Witness, "look", lambda *given: looks.append(given) or look(*given))  # type: ignore[func-returns-value]
    command = ["edit", str(ASTRONAUT), "--fast", "--set", "Smiling=0", "--out", str(tmp_path / "out")]
    assert main([*command]) == 0
    assert not looks
    assert main([*command, "--stages"]) == 0
    assert len(looks) == 2

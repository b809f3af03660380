"""lc.witness: what has come of an edit is read from the finished photo, by a net that took no part in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lc.editor import FaceEditor
from lc.weights import load_classifier
from lc.witness import Look, Seen

ASTRONAUT = Path(__file__).parent.parent / "lc" / "ui" / "examples" / "astronaut.jpg"


def test_the_witness_is_none_of_the_nets_that_make_edits(editor: FaceEditor) -> None:
    model = editor.model
    assert model.witness is not None
    first = next(model.witness.parameters())
    for other in (model.guidance, model.perceptual):
        assert other is not None
        weights = next(other.parameters())
        assert first.shape != weights.shape or not torch.equal(first, weights)


def test_the_witness_reads_the_photo_and_not_the_model(editor: FaceEditor) -> None:
    reading = editor.read(ASTRONAUT)
    nothing = editor.edit(reading, {})
    assert nothing.seen is not None
    assert nothing.seen.before == nothing.seen.after
    assert nothing.also_changed == ()
    glasses = editor.edit(reading, {"Eyeglasses": True})
    assert glasses.seen is not None
    others = [name for name in glasses.seen.before if name != "Eyeglasses"]
    assert [glasses.seen.before[name] for name in others] == [nothing.seen.before[name] for name in others]
    assert glasses.seen.after["Eyeglasses"] > glasses.seen.before["Eyeglasses"]
    assert glasses.seen is glasses.seen  # pasted and read once


@pytest.mark.parametrize("name", ["Wearing_Hat", "Bald"])
def test_what_is_plainly_there_is_seen_though_the_classifier_knows_no_such_thing(editor: FaceEditor, name: str) -> None:
    edit = editor.edit(editor.read(ASTRONAUT), {name: True})
    assert edit.seen is not None
    assert edit.seen.before[name] < 0.4
    assert edit.seen.after[name] > 0.5
    assert name not in edit.also_changed


def test_hair_of_another_colour_is_seen_by_its_pixels_too(editor: FaceEditor) -> None:
    witness = editor.witness
    assert witness is not None
    for name, others in (("Black_Hair", ("Brown_Hair", "Blond_Hair")), ("Brown_Hair", ("Black_Hair", "Blond_Hair"))):
        edit = editor.edit(editor.read(ASTRONAUT), {name: True})
        photo, aligned = edit.reading.photo, edit.reading.aligned
        looks = [witness.look(one.convert("RGB"), aligned, (name, *others)) for one in (photo.rgb, edit.result)]
        assert [look.shown[name] for look in looks] == [0, 1]
        assert all(looks[1].shown[other] == 0 for other in others)
        assert edit.seen is not None
        assert edit.seen.after[name] >= 0.5


def test_a_colour_that_was_there_before_is_seen_beside_other_changes(editor: FaceEditor) -> None:
    """The classifier knows blond women, and reads the same hair on a man otherwise."""
    edit = editor.edit(editor.read(ASTRONAUT), {"Blond_Hair": True, "Male": True})
    assert edit.seen is not None
    assert edit.seen.after["Blond_Hair"] >= 0.5


def test_a_bald_head_has_hair_of_no_colour(editor: FaceEditor) -> None:
    witness = editor.witness
    assert witness is not None
    edit = editor.edit(editor.read(ASTRONAUT), {"Bald": True})
    colours = [one.name for one in editor.attributes.attributes if one.colour]
    look = witness.look(edit.result.convert("RGB"), edit.reading.aligned, colours)
    assert [look.shown[name] for name in colours] == [0, 0, 0]


def test_pixels_say_that_a_colour_is_there_and_never_that_it_is_not() -> None:
    for before, after, seen in ((1.0, 1.0, True), (0.0, 1.0, True), (0.0, 0.0, False)):
        looks = (Look({"A": 0.2}, {"A": shown}, frozenset({"A"})) for shown in (before, after))
        assert (Seen.between(*looks).after["A"] >= 0.5) == seen
    plain = (Look({"A": 0.2}, {"A": 1.0}) for _ in range(2))
    assert Seen.between(*plain).after["A"] == 0.2


def test_what_a_change_implies_is_not_also_changed(editor: FaceEditor) -> None:
    edit = editor.edit(editor.read(ASTRONAUT), {"Blond_Hair": True})
    assert not {"Black_Hair", "Brown_Hair", "Blond_Hair"} & set(edit.also_changed)


def test_a_probability_that_hardly_moves_has_not_turned() -> None:
    seen = Seen({"A": 0.45, "B": 0.1, "C": 0.9}, {"A": 0.55, "B": 0.8, "C": 0.6})
    assert [name for name in seen.after if seen.turned(name)] == ["B"]


def test_weights_without_a_witness_say_nothing(tiny_editor: FaceEditor) -> None:
    reading = tiny_editor.read(ASTRONAUT)
    edit = tiny_editor.edit(reading, {"Smiling": True})
    assert edit.seen is None
    assert edit.also_changed == ()


def test_the_shipped_witness_is_the_evaluation_classifier(editor: FaceEditor) -> None:
    judges = load_classifier(Path(__file__).parent.parent / "weights" / "judges-64", "reader")
    assert editor.model.witness is not None
    assert torch.equal(judges.head[1].weight, editor.model.witness.head[1].weight)

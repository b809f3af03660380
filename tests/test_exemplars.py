"""lc.exemplars and what they are learned from: one thing is laid on, and nothing else changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from flat_faces import face
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import finish_here

from lc.editor import FaceEditor
from lc.errors import WeightsError
from lc.exemplars import Exemplars, ExemplarsConfig, Move, MoveConfig
from lc.faces.composites import glasses, hat, turned
from lc.weights import load_exemplars, save_config, save_module
from train.moves import add_moves
from train.pairs import explained, ridge

PERSON = face(150, hair=(20, 6, 76, 40), skin=(26, 30, 70, 90), eyes=(34, 42, 40, 45))


def test_glasses_are_laid_on_and_the_rest_stays() -> None:
    donor = face(90, skin=(26, 30, 70, 90), glasses=(30, 40, 66, 50))
    after = glasses(donor, PERSON)
    assert after is not None
    change = np.abs(after - PERSON.rgb).max(2)
    assert change[42:48, 44:62].mean() > 60
    assert change[56:].max() < 1
    assert change[:34].max() < 1
    assert glasses(donor, dataclasses.replace(donor)) is None  # who wears some gets no second pair


def test_a_hat_covers_the_hair_that_would_stand_out_over_it() -> None:
    donor = face(150, hat=(24, 8, 72, 36), skin=(28, 36, 68, 90))
    after = hat(donor, PERSON)
    assert after is not None
    assert np.abs(after[12:30, 30:66] - after[20, 48]).max() < 30  # one hat
    assert np.abs(after[50:] - PERSON.rgb[50:]).max() < 8


def test_a_turned_head_is_told() -> None:
    assert turned(face(150, skin=(40, 30, 90, 90))) > 0.1 > turned(face(150, skin=(24, 30, 72, 90)))


@given(seed=st.integers(0, 100))
@settings(max_examples=10)
def test_a_map_of_low_rank_is_found_again(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(400, 12, generator=chance)
    true = torch.randn(12, 3, generator=chance) @ torch.randn(3, 12, generator=chance)
    down, up = ridge(x, x @ true, 3, 1e-4)
    assert (down.shape, up.shape) == ((12, 3), (3, 12))
    assert explained(x @ down @ up, x @ true) > 0.99


def test_styles_go_round_and_add_what_they_are() -> None:
    move = Move(4, MoveConfig(styles=2, rank=1))
    move.styles = torch.tensor([[1.0, 0, 0, 0], [0, 2.0, 0, 0]])
    z = torch.zeros(1, 4)
    assert move(z, 1)[0].tolist() == [0, 2, 0, 0]
    assert torch.equal(move(z, 0), move(z, 2))


def test_moves_are_saved_beside_those_that_are_there(weights_copy: Path) -> None:
    assert load_exemplars(weights_copy) is None
    first, second = Move(24, MoveConfig(3, 2)), Move(24, MoveConfig(1, 0))
    first.styles = torch.randn(3, 24)
    add_moves(weights_copy, {"Eyeglasses=1": first})
    add_moves(weights_copy, {"Bald=1": second})
    found = load_exemplars(weights_copy)
    assert found is not None
    assert set(found.moves) == {"Eyeglasses=1", "Bald=1"}
    assert torch.allclose(found.moves["Eyeglasses=1"].styles, first.styles, atol=1e-2)
    assert found.get("Eyeglasses", False) is None
    save_config(weights_copy, exemplars={"latent": 24, "moves": {"Bald=1": {"styles": 0}}})
    with pytest.raises(WeightsError):
        load_exemplars(weights_copy)


def test_a_parser_and_a_witness_are_adopted_and_measured_colours_stay(weights_copy: Path, editor: FaceEditor) -> None:
    shipped = Path(__file__).parent.parent / "weights"
    save_config(weights_copy, attributes=editor.attributes.as_json())
    adopt = ["train.adopt", "--weights", str(weights_copy), "--parser", str(shipped / "celeba-64")]
    finish_here([*adopt, "--evaluators", str(shipped / "judges-64"), "--classifiers", str(shipped / "celeba-64")])
    adopted = FaceEditor.load(weights_copy, "cpu")
    assert adopted.model.parser is not None
    assert adopted.witness is not None
    assert adopted.model.guidance is not adopted.model.perceptual is not None
    assert adopted.attributes == editor.attributes  # colours and all


def test_a_move_takes_the_actors_place_and_styles_differ(weights_copy: Path) -> None:
    plain = FaceEditor.load(weights_copy, "cpu")
    sample = plain.sample(1, seed=3)[0]
    move = Move(24, MoveConfig(2, 0))
    move.styles = torch.eye(24)[:2] * 2
    has = sample.attributes["Eyeglasses"] >= 0.5
    exemplars = Exemplars(ExemplarsConfig(24, {f"Eyeglasses={int(not has)}": MoveConfig(2, 0)}))
    exemplars.moves[f"Eyeglasses={int(not has)}"] = move
    save_config(weights_copy, exemplars=dataclasses.asdict(exemplars.config))
    save_module(weights_copy, "exemplars", exemplars)
    editor = FaceEditor.load(weights_copy, "cpu")
    from lc.ui.session import reading_of

    reading = reading_of(sample)
    assert [editor.styles({"Eyeglasses": wanted}) for wanted in (not has, has)] == [2, 1]
    edits = [editor.edit(reading, {"Eyeglasses": not has}, style=k) for k in range(3)]
    moved = [edit.z_edited - reading.z for edit in edits]
    assert torch.allclose(moved[0], move.styles[0], atol=1e-3)
    assert torch.allclose(moved[1], move.styles[1], atol=1e-3)
    assert torch.allclose(moved[2], moved[0], atol=1e-4)
    again = editor.edit(edits[1], {"Smiling": sample.attributes["Smiling"] >= 0.5})
    assert again.style == 1  # another change keeps the form of the first
    further = editor.edit(reading, {"Eyeglasses": not has}, identity=0.0)
    assert (further.z_edited - reading.z).norm() > moved[0].norm()


def test_who_has_it_already_is_left_alone(editor: FaceEditor) -> None:
    from lc.ui.session import reading_of

    wearer = reading_of(editor.sample(1, {"Eyeglasses": True}, seed=1)[0])
    assert wearer.attributes["Eyeglasses"] > 0.5
    edit = editor.edit(wearer, {"Eyeglasses": True})
    assert torch.allclose(edit.z_edited, wearer.z, atol=1e-4)

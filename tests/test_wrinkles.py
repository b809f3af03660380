"""lc.faces.wrinkles: an older face folds where faces do, and nowhere else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flat_faces import changed, looking

from lc.editor import FaceEditor
from lc.faces.composites import Face
from lc.faces.wrinkles import wrinkles

# In CelebA's framing eyes are at (35, 50) and (61, 50) of 96, 26 apart, and a mouth about (48, 74).
PARTS = {"hair": (20, 6, 76, 20), "skin": (24, 20, 72, 92), "brows": (32, 40, 64, 43), "mouth": (40, 70, 56, 76)}


def person(skin: int = 200) -> Face:
    return looking(skin, **PARTS)


@pytest.mark.parametrize("skin", [60, 110, 210])
def test_a_face_folds_beside_its_mouth_under_its_eyes_and_over_its_brows(skin: int) -> None:
    onto = person(skin)
    change = changed(onto, wrinkles(onto)) / skin
    for rows, columns in (((66, 76), (35, 39)), ((66, 76), (57, 61)), ((54, 58), (32, 38)), ((32, 38), (40, 56))):
        fold = change[slice(*rows), slice(*columns)]
        assert fold.min() < -0.04
        assert fold.max() > 0  # skin stands out beside a fold
    assert np.abs(change).mean() < 0.02  # most of a face stays
    for name in ("eyes", "mouth", "hair", "background"):
        assert np.abs(change[onto.maps[name] > 0.5]).max() < 0.02


def test_both_sides_of_a_face_age_alike_and_the_same_every_time() -> None:
    change = changed(person(), wrinkles(person()))
    sides = change[44:80, 24:48], change[44:80, 48:72][:, ::-1]
    assert 0.75 < np.abs(sides[0]).sum() / np.abs(sides[1]).sum() < 1.33
    assert np.array_equal(change, changed(person(), wrinkles(person())))


def test_lines_are_finer_than_the_crop() -> None:
    layer = wrinkles(person())
    assert layer is not None
    cheek = layer[round(0.7 * len(layer)), : len(layer) // 2, 3]
    assert cheek.max() > 0.12
    assert 2 < (cheek > cheek.max() / 2).sum() < 0.03 * len(layer)


def test_a_head_that_looks_away_gets_none_and_glasses_hide_some() -> None:
    assert wrinkles(dataclasses.replace(person(), turn=0.8)) is None
    worn = person()
    for name, there in (("skin", 0), ("glasses", 1)):
        worn.maps[name][52:60, 28:44] = there
    assert np.abs(changed(worn, wrinkles(worn))[53:59, 29:43]).max() < 3


def test_older_has_lines_and_younger_none(editor: FaceEditor, astronaut: Path) -> None:
    reading = editor.read(astronaut)
    older, younger, hinted = (editor.edit(reading, {"Young": wanted}).steering for wanted in (False, True, 0.3))
    assert older is not None
    assert younger is not None
    assert hinted is not None
    assert len(older.laid) == 2  # and grey hair
    assert not older.alone
    assert not younger.laid
    assert not hinted.laid

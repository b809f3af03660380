"""lc.faces.beards: a beard grows where one does, in the person's own tone, and a shadow of one on who has none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flat_faces import changed, looking
from mapped import AFTER, ALIGNED, BEFORE, PHOTO
from PIL import Image

from lc.editor import FaceEditor, Reading
from lc.faces.beards import STUBBLE, STYLES, Style, beard
from lc.faces.blend import paste
from lc.faces.composites import Face
from lc.faces.steering import Steering
from lc.faces.tone import to_lab
from lc.parser import CLASSES

# In CelebA's framing eyes are at (35, 50) and (61, 50) of 96, and a mouth about (48, 74).
PARTS = {"hair": (20, 6, 76, 34), "skin": (26, 30, 70, 92), "brows": (32, 40, 64, 43), "mouth": (40, 70, 56, 76)}


def person(skin: int = 200) -> Face:
    return looking(skin, **PARTS)


@pytest.mark.parametrize("style", [*STYLES, STUBBLE])
def test_a_beard_is_about_a_mouth_and_on_a_chin_and_nowhere_else(style: Style) -> None:
    change = changed(person(), beard(person(), style))
    for place in (change[67:69, 43:53], change[82:86, 44:52], change[74:80, 57:60]):  # over the lip, chin, corners
        assert place.mean() < -25
    assert np.abs(change[:60, 38:58]).max() < 2  # nose and all above it
    assert np.abs(change[72:74, 43:53]).max() < 6  # lips
    assert np.abs(change[:, :22]).max() < 2  # what is beside the face, where a hair may stand out
    assert (change[76:80, 30:34].mean() < -25) == (style.cheeks > 0.5)


@pytest.mark.parametrize(("right", "grows"), [(77, True), (94, False)])
def test_it_goes_as_far_as_a_broad_cheek_and_not_down_a_neck(right: int, grows: bool) -> None:
    broad = person()
    for name, one in broad.maps.items():
        one[64:84, 70:right] = name == "skin"
    broad.rgb[64:84, 70:right] = broad.rgb[64:65, 66:67]
    change = changed(broad, beard(broad))
    assert (change[74:79, 71:74].mean() < -25) == grows
    assert np.abs(change[70:84, 78:]).max() < 6


def test_a_beard_has_the_tone_of_hair_and_is_darker_than_skin() -> None:
    dark, fair = person(), person()
    fair.rgb[fair.maps["hair"] > 0.5] = fair.rgb[fair.maps["brows"] > 0.5] = (170, 140, 90)
    assert changed(dark, beard(dark, 0))[80:86].min() < changed(fair, beard(fair, 0))[80:86].min() - 20
    assert changed(fair, beard(fair, 0))[80:86, 40:56].mean() < -15


def test_hairs_are_finer_than_the_crop_and_the_same_every_time() -> None:
    layer = beard(person())
    assert layer is not None
    assert np.array_equal(layer, beard(person()))
    side = len(layer)
    chin = layer[round(0.86 * side) : round(0.9 * side), round(0.46 * side) : round(0.54 * side)]
    assert chin[..., 0].std() > 3


def test_there_is_none_without_a_mouth_or_on_a_head_that_looks_away() -> None:
    hidden = person()
    hidden.maps["mouth"][:] = 0
    assert beard(hidden) is None
    assert beard(dataclasses.replace(person(), turn=0.8)) is None


def test_what_lies_before_a_face_has_no_beard() -> None:
    covered = person()
    covered.maps["skin"][78:, :] = 0
    covered.maps["cloth"][78:, :] = 1
    assert np.abs(changed(covered, beard(covered, 0))[82:]).max() < 2


def test_a_beard_that_is_asked_for_is_laid_on_and_has_forms(editor: FaceEditor, astronaut: Path) -> None:
    reading = editor.read(astronaut)
    assert editor.styles({"No_Beard": False}) == len(STYLES)
    assert editor.styles({"No_Beard": True}) == 1
    first, second = (editor.edit(reading, {"No_Beard": False}, style=style) for style in (0, 1))
    before = np.asarray(reading.photo.rgb, np.float32)
    pictures = [np.asarray(one.result, np.float32) for one in (first, second)]
    assert np.abs(pictures[0] - before).max() > 60
    assert np.abs(pictures[0] - pictures[1]).max() > 30
    eyes = int(reading.aligned.matrix[1] @ (32, 36, 1))
    assert np.array_equal(pictures[0][:eyes], before[:eyes])


def test_a_shadow_of_a_beard_is_for_who_has_none_and_was_not_asked_about_one(
    editor: FaceEditor, astronaut: Path
) -> None:
    reading = editor.read(astronaut)
    bearded = dataclasses.replace(reading, attributes={**reading.attributes, "No_Beard": 0.1})

    def laid(changes: dict[str, bool], person: Reading = reading) -> list[str]:
        (layers,) = editor.steerer.layers([person], changes)
        return list(layers)

    drawn = ["Male mouth", "Male eyes"]
    assert laid({"Male": True}) == [*drawn, "Male stubble"]
    assert laid({"Male": True}, bearded) == drawn
    assert laid({"Male": True, "No_Beard": True}) == drawn
    assert laid({"Male": True, "No_Beard": False}) == [*drawn, "No_Beard beard"]
    assert laid({"Male": True, "Eyeglasses": True}) == [*drawn, "Male stubble", "Eyeglasses"]
    man = dataclasses.replace(bearded, attributes={**bearded.attributes, "Male": 0.9})
    assert laid({"Male": False}, man) == ["Male no beard", *drawn]
    assert laid({"Male": False}) == drawn
    assert laid({"No_Beard": True}, man) == ["No_Beard no beard", "No_Beard mouth"]
    assert laid({"No_Beard": True}) == ["No_Beard mouth"]
    assert laid({"Eyeglasses": True}) == ["Eyeglasses"]


def test_who_is_shaved_gets_a_mouth_that_the_beard_hid(editor: FaceEditor, astronaut: Path) -> None:
    reading = editor.read(astronaut)
    bearded = dataclasses.replace(reading, attributes={**reading.attributes, "No_Beard": 0.1, "Male": 0.9})
    older = dataclasses.replace(reading, attributes={**reading.attributes, "Young": 0.1})
    for person, changes, own in (
        (bearded, {"No_Beard": True}, False),
        (bearded, {"Male": False}, False),
        (bearded, {"Young": True}, True),
        (older, {"Young": True}, True),  # lines that go are no beard
        (reading, {"Male": True}, True),
        (reading, {"No_Beard": False}, True),
        (reading, {"Male": True, "Smiling": False}, True),
    ):
        steering = editor.edit(person, changes).steering
        assert steering is not None
        assert steering.own_mouth == own
        assert steering.bearded == (person is bearded)


def test_what_goes_over_a_change_does_not_stand_for_it(editor: FaceEditor, astronaut: Path) -> None:
    for changes, layers in (({"Male": True}, 3), ({"No_Beard": False}, 1), ({"Smiling": False}, 1)):
        edit = editor.edit(editor.read(astronaut), changes)
        assert edit.steering is not None
        assert len(edit.steering.laid) == layers
        assert not edit.steering.alone
        assert "skin" in edit.steering.acts_on
        assert edit.steering.without is not None
        ((name, wanted),) = changes.items()
        assert (edit.after[name] > 0.5) == wanted


def test_a_mouth_that_is_spared_takes_on_colours_and_no_other_form() -> None:
    before, after = BEFORE.copy(), AFTER.copy()
    for maps, rows in ((before, slice(66, 72)), (after, slice(50, 56))):
        columns = slice(42, 54) if maps is before else slice(26, 38)
        maps[:, rows, columns] = 0
        maps[CLASSES.index("mouth"), rows, columns] = 255
    new = np.asarray(ALIGNED.crop).astype(int)
    new[50:56, 26:38, 0] += 30
    new[48:58:2, 20:44] = 20  # a moustache, in stripes
    edited = Image.fromarray(new.clip(0, 255).astype(np.uint8))
    was = np.asarray(PHOTO).astype(int)[66:72, 42:54]

    def mouth(edited: Image.Image, own: bool) -> np.ndarray:
        steering = Steering(CLASSES, before, after, {"skin", "mouth"}, own_mouth=own)
        return np.asarray(paste(PHOTO, edited, ALIGNED, ALIGNED.crop, steering)).astype(int)[66:72, 42:54]

    results = [mouth(edited, own) for own in (False, True)]
    stripes = [float(np.abs(np.diff((one - was).mean(2), axis=0)).mean()) for one in results]
    assert stripes[1] < 0.5 * stripes[0]
    assert (results[1] - was)[..., 0].mean() > (results[1] - was)[..., 2].mean() + 5
    new[50:56, 26:38] = (255, 0, 60)
    painted = [mouth(Image.fromarray(new.clip(0, 255).astype(np.uint8)), own) for own in (False, True)]
    red = [to_lab(one.astype(np.float32))[..., 1].mean() for one in (was, *painted)]
    assert red[1] > red[0] + 30
    assert 5 < red[2] - red[0] < 24  # as lipstick does


def test_a_beard_stays_where_a_face_only_gets_older() -> None:
    maps = BEFORE.copy()
    maps[:, 66:72, 42:54] = 0
    maps[CLASSES.index("mouth"), 66:72, 42:54] = 255
    lighter = np.asarray(ALIGNED.crop).astype(int)
    lighter[44:62, 20:44] += 60
    edited = Image.fromarray(lighter.clip(0, 255).astype(np.uint8))

    def change(bearded: bool) -> float:
        steering = Steering(CLASSES, maps, AFTER, {"skin", "mouth"}, own_mouth=True, bearded=bearded)
        found = np.asarray(paste(PHOTO, edited, ALIGNED, ALIGNED.crop, steering)).astype(int) - np.asarray(PHOTO)
        return float(np.abs(found[64:74, 42:54]).mean())

    assert change(bearded=True) < 0.2 * change(bearded=False)

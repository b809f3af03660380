"""lc.faces.layers, frames and hats: what is laid onto a photo is one thing, and nothing else changes."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from flat_faces import SIDE, face, looking
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lc.editor import FaceEditor
from lc.faces import frames as glasses
from lc.faces import hats
from lc.faces.align import TEMPLATE, turn_of
from lc.faces.composites import Face, Floats
from lc.faces.frames import frames, turn_by_skin
from lc.faces.hats import beanie
from lc.faces.heads import head_of
from lc.faces.layers import LAYERS, scalp
from lc.faces.scalps import _outline
from lc.parser import CLASSES
from lc.ui.session import reading_of

# In CelebA's framing the eyes are at (35, 50) and (61, 50) of 96.
PARTS = {"hair": (20, 6, 76, 40), "skin": (26, 30, 70, 90), "brows": (32, 40, 64, 43), "mouth": (40, 70, 56, 76)}
LOOKING = looking(170, **PARTS)


def with_layer(person: Face, layer: Floats | None) -> Floats:
    """The picture, (SIDE, SIDE, 3), with a layer on it."""
    assert layer is not None
    small = cv2.resize(layer, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(person.rgb + small[..., 3:] * (small[..., :3] - person.rgb))


@pytest.mark.parametrize("skin", [60, 110, 210])
def test_a_bald_head_has_the_persons_own_skin_and_what_is_behind_goes_on(skin: int) -> None:
    person = face(skin, hair=(12, 4, 84, 70), skin=(28, 34, 68, 84), brows=(32, 38, 64, 40), eyes=(34, 44, 40, 47))
    layer = scalp(person)
    assert layer is not None
    after = person.rgb + layer[..., 3:] * (layer[..., :3] - person.rgb)
    assert abs(float(np.median(after[16:30, 40:56])) - skin) < 20
    assert np.abs(after[8:70, [10, 11, 12, 13, 82, 83, 84, 85]] - 128).max() < 12  # no outline of hair is left
    assert np.abs(after[50:80, 36:60] - person.rgb[50:80, 36:60]).max() < 6
    assert np.abs(after[39, 36:60] - person.rgb[39, 36:60]).max() < 6  # the brows are the person's
    assert np.array_equal(layer, scalp(person))


def test_hair_that_hid_ears_and_neck_leaves_some() -> None:
    parts = {"hair": (8, 2, 88, 95), "skin": (28, 28, 68, 74), "brows": (32, 36, 64, 39), "eyes": (34, 44, 40, 47)}
    hidden = face(230, **parts)
    layer = scalp(hidden)
    assert layer is not None
    tone = (hidden.rgb + layer[..., 3:] * (layer[..., :3] - hidden.rgb)).mean(2)
    for ear in (tone[46:58, 17:24], tone[46:58, 72:79]):
        assert ear.max() > 150  # it has a rim
        assert ear.min() < 130  # and a hollow
    assert np.abs(tone[46:58, [11, 12, 13, 82, 83, 84]] - 128).max() < 6
    assert 145 < tone[84:92, 42:54].mean() < 200  # a neck, in the chin's shadow
    assert np.abs(tone[84:92, [11, 12, 13, 82, 83, 84]] - 128).max() < 6
    shown = dataclasses.replace(hidden, maps={**hidden.maps, "hair": hidden.maps["hair"].copy()})
    shown.maps["hair"][40:80, :28] = shown.maps["hair"][40:80, 68:] = 0
    own = scalp(shown)
    assert own is not None
    assert own[46:58, 19:22, 3].max() < 0.5  # ears that are seen are the photo's


def test_what_hangs_in_hair_or_down_from_it_goes_as_well() -> None:
    person = face(150, hair=(6, 4, 90, 74), skin=(28, 34, 68, 84), brows=(32, 38, 64, 40), eyes=(34, 44, 40, 47))
    taken_for_glasses, earring, curl = (slice(46, 50), slice(82, 87)), (slice(60, 65), slice(76, 81)), (74, 92, 78, 81)
    for where, name in ((taken_for_glasses, "glasses"), (earring, "cloth")):
        for kind, values in person.maps.items():
            values[where] = kind == name
        person.rgb[where] = 250
    top, bottom, left, right = curl
    thin = slice(top, bottom), slice(left, right)
    person.rgb[thin], person.maps["hair"][thin], person.maps["background"][thin] = 30, 0.4, 0.6
    layer = scalp(person)
    assert layer is not None
    after = person.rgb + layer[..., 3:] * (layer[..., :3] - person.rgb)
    for where in (taken_for_glasses, earring, thin):
        assert np.abs(after[where] - 128).mean() < 40  # there may be an ear, and there was 98 or 122


def test_a_bald_head_reaches_the_ears_beside_it() -> None:
    """Hair over and before ears hid what lies between them and the head, which is no background."""
    person = face(200, hair=(6, 4, 90, 62), skin=(26, 30, 70, 84), brows=(32, 40, 64, 42), eyes=(34, 46, 40, 50))
    for left in (8, 82):
        ear = slice(48, 64), slice(left, left + 6)
        lobe = slice(58, 62), slice(min(left, 66), max(left + 6, 30))  # by which it hangs together with the face
        for where in (ear, lobe):
            person.rgb[where] = 200
            for name, values in person.maps.items():
                values[where] = name == "skin"
    layer = scalp(person)
    assert layer is not None
    after = (person.rgb + layer[..., 3:] * (layer[..., :3] - person.rgb)).mean(2)
    assert after[50:58, 14:82].min() > 145  # from ear to ear there is skin, and nothing of the wall of 128
    assert np.abs(after[20:40, [8, 9, 86, 87]] - 128).max() < 6


@pytest.mark.parametrize("turn", [-0.3, 0.3])
def test_who_looks_aside_shows_the_back_of_the_head(turn: float) -> None:
    person = face(200, hair=(4, 4, 92, 90), skin=(30, 34, 66, 84), brows=(32, 40, 64, 42), eyes=(34, 46, 40, 50))
    layer = scalp(dataclasses.replace(person, turn=turn))
    assert layer is not None
    bald = layer[36, :, 0] > 145
    left, right = 48 - np.flatnonzero(bald)[0], np.flatnonzero(bald)[-1] - 48
    assert (left - right) * turn > 0
    assert abs(left - right) > 4


def test_single_hairs_before_a_wall_go_with_the_hair() -> None:
    person = face(200, hair=(20, 6, 76, 60), skin=(28, 34, 68, 84), brows=(32, 40, 64, 42), eyes=(34, 46, 40, 50))
    person.rgb[10:50, 81] = 90  # which the parser calls background
    layer = scalp(person)
    assert layer is not None
    after = person.rgb + layer[..., 3:] * (layer[..., :3] - person.rgb)
    assert np.abs(after[12:48, 81] - 128).max() < 12


def test_where_no_face_is_found_none_is_made_bald() -> None:
    assert scalp(face(150, hair=(4, 4, 92, 60))) is None


@pytest.mark.parametrize("turn", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("left", [0, SIDE - 14])
def test_a_head_at_the_border_of_a_picture_is_drawn_as_far_as_it_is_seen(left: int, turn: float) -> None:
    person = face(200, hair=(left, 10, left + 14, 40), skin=(left, 34, left + 14, 84))
    layer = scalp(dataclasses.replace(person, turn=turn))
    assert layer is None or np.isfinite(layer).all()
    narrow = np.zeros((SIDE, SIDE), bool)
    narrow[40:80, 0 if left == 0 else SIDE - 1] = True
    head = head_of(person, narrow)
    assert _outline(narrow, head, turn).shape == (SIDE, SIDE)


def test_where_hair_fills_the_picture_its_corners_tell_what_is_behind() -> None:
    parts = {"skin": (28, 34, 68, 84), "brows": (32, 40, 64, 42), "eyes": (34, 46, 40, 50)}
    assert scalp(face(200, hair=(0, 0, SIDE, SIDE), **parts)) is None
    person = face(200, hair=(0, 0, SIDE, SIDE), **parts)
    for corner in ((slice(0, 6), slice(0, 6)), (slice(0, 6), slice(90, SIDE))):
        person.rgb[corner] = 128
        for name, values in person.maps.items():
            values[corner] = name == "background"
    layer = scalp(person)
    assert layer is not None
    assert np.abs(layer[10:30, 6:14, :3] - 128).max() < 12  # no hair


@given(boxes=st.dictionaries(st.sampled_from(CLASSES), st.tuples(*[st.integers(0, SIDE)] * 4), max_size=6))
@settings(max_examples=30)
def test_whatever_a_parser_finds_a_layer_covers_between_nothing_and_all(boxes: dict[str, tuple[int, ...]]) -> None:
    person = face(150, skin=(30, 30, 66, 66))
    for name, (left, top, right, bottom) in boxes.items():
        for other in CLASSES:
            person.maps[other][top:bottom, left:right] = other == name
    for overlay in LAYERS.values():
        layer = overlay.make(person, 1)
        if layer is None:
            continue
        assert np.isfinite(layer).all()
        assert layer.shape[0] == layer.shape[1] >= SIDE
        assert layer.shape[2] in (4, 7)
        assert layer[..., :4].min() >= 0
        assert layer[..., 3].max() <= 1 + 1e-5
        assert layer[..., :3].max() <= 255 + 1e-3
        assert np.abs(layer[..., 4:]).max(initial=0) <= 255 + 1e-3


def test_a_bald_head_is_lit_from_where_the_face_is() -> None:
    person = face(150, hair=(20, 6, 76, 40), skin=(26, 34, 70, 90), eyes=(34, 44, 40, 47))
    lit = np.linspace(-40, 40, SIDE, dtype=np.float32)[None, :, None] * person.maps["skin"][..., None]
    layer = scalp(dataclasses.replace(person, rgb=person.rgb + lit))
    assert layer is not None
    assert layer[22, 54:62, 0].mean() > layer[22, 34:42, 0].mean() + 10


@pytest.mark.parametrize("style", range(len(glasses.STYLES)))
def test_glasses_have_rims_about_both_eyes_and_nothing_else_changes(style: int) -> None:
    change = np.abs(with_layer(LOOKING, frames(LOOKING, style)) - LOOKING.rgb).mean(2)
    for x in (35, 61):
        across, down = change[50, x - 14 : x + 15], change[36:66, x]
        for side in (across[:14], across[15:], down[:14], down[18:]):
            assert side.max() > 25  # a rim to the left, to the right, above and below
        dark = glasses.STYLES[style].lens[0] > 0.5
        assert (change[57, x] > 40) == dark
    assert change[68:].max() < 1
    assert change[:34].max() < 1


def test_glasses_are_drawn_no_finer_than_the_photo_shows() -> None:
    """A small photo's take a fraction of the time, and look the same."""
    fine, coarse = (frames(dataclasses.replace(LOOKING, detail=detail)) for detail in (8.0, 1.1))
    assert fine is not None
    assert coarse is not None
    assert (len(fine), len(coarse)) == (4 * SIDE, 2 * SIDE)
    covered = [cv2.resize(one[..., 3], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in (fine, coarse)]
    assert 0.95 < covered[1].mean() / covered[0].mean() < 1.05
    assert np.abs(covered[0] - covered[1]).mean() < 0.2 * covered[0].mean()
    assert np.abs(with_layer(LOOKING, fine) - with_layer(LOOKING, coarse)).mean() < 1


def test_glasses_follow_the_eyes_and_the_turn_of_the_head() -> None:
    moved = Face(np.roll(LOOKING.rgb, 4, 0), {name: np.roll(one, 4, 0) for name, one in LOOKING.maps.items()})
    first, second = frames(LOOKING), frames(moved)
    assert first is not None
    assert second is not None
    rows = [float((one[..., 3].sum(1) * np.arange(len(one))).sum() / one[..., 3].sum()) for one in (first, second)]
    assert 2.5 * 4 < rows[1] - rows[0] < 4.5 * 4  # of four times as many pixels; few pixels of eyes are half believed
    to_the_left = {**LOOKING.maps, "skin": np.roll(LOOKING.maps["skin"], 8, 1)}
    turned = frames(dataclasses.replace(LOOKING, maps=to_the_left))
    assert turned is not None
    middle = turned.shape[1] // 2
    assert turned[:, middle:, 3].sum() > 1.05 * turned[:, :middle, 3].sum()  # that temple is seen
    away = {**LOOKING.maps, "skin": np.roll(LOOKING.maps["skin"], 26, 1)}
    assert frames(dataclasses.replace(LOOKING, maps=away)) is None


def test_hair_over_half_a_face_does_not_turn_its_glasses_where_the_nose_is_seen() -> None:
    """Hair hides a cheek as a turn of the head would: where landmarks are known, the nose says which it is."""
    hidden = {**LOOKING.maps, "skin": LOOKING.maps["skin"].copy()}
    hidden["skin"][:, :42] = 0
    half = dataclasses.replace(LOOKING, maps=hidden)
    assert abs(turn_by_skin(half)) > 0.3
    straight = turn_of(TEMPLATE)
    assert abs(straight) < 0.05
    layer = frames(dataclasses.replace(half, turn=straight))
    assert layer is not None
    middle = layer.shape[1] // 2
    assert abs(layer[:, middle:, 3].sum() / layer[:, :middle, 3].sum() - 1) < 0.1


def test_a_nose_to_the_right_is_a_head_turned_to_the_right() -> None:
    moved = TEMPLATE + np.array([[0, 0], [0, 0], [10, 0], [0, 0], [0, 0]])
    assert turn_of(moved) > 0.2
    assert turn_of(moved * (-1, 1)) == pytest.approx(-turn_of(moved))
    assert turn_of(np.zeros((5, 2))) == 0


def test_what_is_laid_onto_many_photos_is_what_is_laid_onto_each(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    other = editor.read(reading.photo.rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    drawn = reading_of(editor.sample(1, seed=1)[0])  # of which nothing is parsed
    changes = {"Eyeglasses": True, "Wearing_Hat": True, "Brown_Hair": True}
    both = editor.steerer.layers([reading, drawn, other], changes)
    assert both[1] == {}
    for found, one in zip(both[::2], (reading, other), strict=True):
        (alone,) = editor.steerer.layers([one], changes)
        assert list(found) == list(alone) == ["Wearing_Hat", "Eyeglasses"]
        for name, layer in alone.items():
            assert np.array_equal(found[name].pixels, layer.pixels)
            torch.testing.assert_close(found[name].shift, layer.shift, atol=1e-3, rtol=1e-3)


def test_who_wears_glasses_or_a_hat_gets_no_second_one() -> None:
    worn = {**LOOKING.maps, "glasses": np.zeros_like(LOOKING.rgb[..., 0])}
    worn["glasses"][46:56, 28:68] = 1
    assert frames(dataclasses.replace(LOOKING, maps=worn)) is None
    assert beanie(face(170, hat=(20, 6, 76, 40), skin=(26, 40, 70, 90), eyes=(32, 48, 38, 52))) is None


def test_a_fringe_falls_over_glasses() -> None:
    fringe = {name: one.copy() for name, one in LOOKING.maps.items()}
    for name, one in fringe.items():
        one[30:60, 20:48] = name == "hair"
    layer = frames(dataclasses.replace(LOOKING, maps=fringe))
    assert layer is not None
    half = layer.shape[1] // 2
    assert layer[:, half + 20 :, 3].max() > 0.9
    assert layer[: layer.shape[0] * 58 // 96, : half - 20, 3].max() < 0.2


@pytest.mark.parametrize("style", range(len(hats.COLOURS)))
def test_a_hat_covers_the_crown_and_leaves_the_face(style: int) -> None:
    after = with_layer(LOOKING, beanie(LOOKING, style))
    crown = after[14:32, 36:60].reshape(-1, 3).mean(0)
    colour = np.array(hats.COLOURS[style], np.float32)
    assert np.abs(crown / crown.sum() - colour / colour.sum()).max() < 0.03
    assert np.abs(after[46:] - LOOKING.rgb[46:])[:, 30:66].max() < 8
    assert np.abs(after[40:46, 40:56] - LOOKING.rgb[40:46, 40:56]).max() < 90  # no more than its shadow


def test_hair_that_stands_out_over_a_hat_gives_way_and_long_hair_stays() -> None:
    long = face(170, hair=(16, 0, 80, 96), skin=(30, 34, 66, 84), eyes=(33, 48, 38, 52))
    after = with_layer(long, beanie(long))
    assert np.abs(after[60:, 18:28] - long.rgb[60:, 18:28]).max() < 2
    assert np.abs(after[2:12, [18, 20, 75, 77]] - 128).max() < 25  # what is behind


@pytest.mark.parametrize(("name", "rows"), [("Eyeglasses", slice(0, 22)), ("Wearing_Hat", slice(60, 64))])
def test_what_is_laid_on_is_seen_in_the_photo_and_has_styles(editor: FaceEditor, name: str, rows: slice) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    edits = [editor.edit(reading, {name: True}, style=style) for style in range(2)]
    pictures = [np.asarray(one.result, np.float32) for one in edits]
    before = np.asarray(reading.photo.rgb, np.float32)
    assert np.abs(pictures[0] - before).max() > 60
    assert np.abs(pictures[0] - pictures[1]).max() > 40
    matrix = reading.aligned.matrix
    top, bottom = (int(matrix[1] @ (32, row, 1)) for row in (rows.start, rows.stop))
    left, right = (int(matrix[0] @ (column, 32, 1)) for column in (16, 48))
    assert np.array_equal(pictures[0][top:bottom, left:right], before[top:bottom, left:right])


def test_forms_are_counted_by_what_is_laid_on_or_else_learned(editor: FaceEditor) -> None:
    styles, colours = len(glasses.STYLES), len(hats.COLOURS)
    assert editor.styles({"Eyeglasses": True}) == editor.styles({"Eyeglasses": True, "Smiling": True}) == styles > 1
    assert editor.styles({"Wearing_Hat": True}) == colours > 1
    assert editor.styles({"Eyeglasses": True, "Wearing_Hat": True}) == math.lcm(styles, colours)
    for one in ({}, {"Bald": True}, {"Smiling": True}, {"Eyeglasses": False}, {"Eyeglasses": 0.6}):
        assert editor.styles(one) == 1  # taken off, or only hinted at: there is one form
    made_up = editor.edit(reading_of(editor.sample(1, {"Eyeglasses": False}, seed=1)[0]), {"Eyeglasses": True})
    exemplars = editor.model.exemplars
    move = exemplars.get("Eyeglasses", True) if exemplars else None
    assert editor.styles(made_up) == (len(move.styles) if move else 1)  # nothing is laid onto a face that was drawn


def test_a_change_beside_glasses_acts_as_it_does_without_them(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    both, one = (
        np.asarray(editor.edit(reading, changes).result, np.float32)
        for changes in ({"Eyeglasses": True, "Smiling": False}, {"Smiling": False})
    )
    matrix = reading.aligned.matrix
    left, top = (int(value) for value in matrix @ (22, 44, 1))
    right, bottom = (int(value) for value in matrix @ (42, 56, 1))
    mouths = [picture[top:bottom, left:right] for picture in (both, one, np.asarray(reading.photo.rgb, np.float32))]
    assert np.abs(mouths[1] - mouths[2]).mean() > 3
    assert np.abs(mouths[0] - mouths[1]).mean() < 0.6 * np.abs(mouths[1] - mouths[2]).mean()


def test_hair_is_no_hat_where_none_is_worn(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    assert reading.attributes["Wearing_Hat"] < 0.2
    assert reading.maps is not None
    assert not reading.maps[CLASSES.index("hat"), :70].any()
    change = np.asarray(editor.edit(reading, {"Black_Hair": True}).result, int) - np.asarray(reading.photo.rgb, int)
    matrix = reading.aligned.matrix
    left, top = (int(value) for value in matrix @ (24, 4, 1))
    right, bottom = (int(value) for value in matrix @ (40, 12, 1))
    assert (change[top:bottom, left:right].mean(2) < -20).mean() > 0.8  # the crown too


def test_what_is_told_to_be_no_hat_is_hair_or_what_is_behind(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    hair, hat, background = (CLASSES.index(name) for name in ("hair", "hat", "background"))
    maps = np.zeros((len(CLASSES), 192, 192), np.uint8)
    maps[hat], maps[hair, :, :96], maps[background, :, 96:] = 155, 100, 100
    editor.steerer._bared(maps, {**reading.attributes, "Wearing_Hat": 0.05, "Eyeglasses": 0.05})
    assert not maps[hat, :70].any()
    assert maps[hair, :70, :96].min() > 240
    assert maps[hair, :70, 96:].max() < 15
    assert maps[background, :70, 96:].min() > 240
    assert (maps[hat, 160:] == 155).all()  # a brow is no place for a hat

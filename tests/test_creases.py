"""lc.faces.creases and what a change spares: faces age by their own lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped import AFTER, BEFORE, MATRIX
from PIL import Image

from lc.attributes import Attribute, AttributeSet
from lc.faces import Aligned, paste
from lc.faces.steering import Steering
from lc.parser import CLASSES
from lc.steer import steering_of


def lined(light: int = 140, depth: int = 20) -> tuple[Image.Image, np.ndarray]:
    """A photo whose face has lines across the forehead, the cheeks and the nose, and where they are."""
    rgb = np.full((96, 96, 3), light, np.uint8)
    lines = np.zeros((96, 96), bool)
    lines[44:76:6, 38:58] = True
    rgb[lines] = light - depth
    return Image.fromarray(rgb), lines


def aged(photo: Image.Image, creases: float, nose: tuple[float, float] | None = None) -> np.ndarray:
    """The change of every pixel where an edit changes next to nothing but the lines, (96, 96)."""
    aligned = Aligned(photo.crop((16, 16, 80, 80)), MATRIX, 1.0)
    old = np.asarray(aligned.crop)
    new = old.copy()
    new[0, 0] += 1  # an edit that changes nothing at all is none
    steering = Steering(CLASSES, BEFORE, AFTER, {"skin"}, creases=creases, nose=nose)
    result = paste(photo, Image.fromarray(new), aligned, Image.fromarray(old), steering)
    return (np.asarray(result, np.int32) - np.asarray(photo, np.int32))[..., 1]


@settings(max_examples=15, deadline=None)
@given(creases=st.floats(-0.9, 2.0), light=st.integers(60, 220))
def test_lines_of_the_skin_go_deeper_or_fainter_and_nothing_else_changes(creases: float, light: int) -> None:
    photo, lines = lined(light, round(0.06 * light))
    change = aged(photo, creases)
    at = change[lines].mean() / (0.06 * light)
    assert -at == pytest.approx(0.85 * creases, abs=0.35)  # in parts of their depth
    skin = np.zeros_like(lines)
    skin[40:80, 34:62] = True
    assert np.abs(change[~skin]).max() <= 1
    assert np.abs(change[skin & ~lines]).mean() <= 0.5 * np.abs(change[lines]).mean() + 1


def test_a_nose_that_is_spared_stays() -> None:
    photo, lines = lined()
    all_over, spared = aged(photo, 2.0), aged(photo, 2.0, (0.5, 0.65))
    nose = np.zeros_like(lines)
    nose[55:59, 46:50] = True
    assert np.abs(all_over[nose & lines]).min() > 10
    assert np.abs(spared[nose]).max() <= 1
    assert np.array_equal(spared[44:46], all_over[44:46])


def test_lines_and_noses_are_for_the_attributes_to_say() -> None:
    age = Attribute("Young", "Young", acts_on=("skin",), spares=("nose",), creases=(2.0, -0.6))
    hair = Attribute("Blond", "Blond", acts_on=("hair",), recolours="hair")
    attributes = AttributeSet((age, Attribute("Smile", "Smile", acts_on=("skin",)), hair))

    def found(**changes: bool | float) -> Steering:
        return steering_of(attributes, CLASSES, changes, (BEFORE, AFTER, None), {}, nose=(0.5, 0.7))

    assert (found(Young=False).creases, found(Young=True).creases) == (2.0, -0.6)
    assert found(Young=0.25).creases == 1.0
    assert found(Young=0.5).creases == 0.0
    assert found(Young=True).nose == (0.5, 0.7)
    assert found(Young=True, Smile=True).nose is None  # a smile widens it
    assert found(Young=True, Smile=True).creases == -0.6
    assert found(Young=True, Blond=True).nose == (0.5, 0.7)
    assert AttributeSet.of(attributes.as_json()) == attributes

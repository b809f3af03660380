"""lc.faces.greys: years turn hair grey, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from flat_faces import SIDE, looking

from lc.faces.composites import Face
from lc.faces.greys import greys

PARTS = {"hair": (20, 4, 76, 34), "skin": (26, 30, 70, 92), "brows": (32, 40, 64, 43), "mouth": (40, 70, 56, 76)}


def added(onto: Face) -> np.ndarray:
    """What is added to a picture, (96, 96, 3), in grey levels."""
    layer = greys(onto)
    assert layer is not None
    assert not layer[..., :4].any()
    return cv2.resize(layer[..., 4:], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("tone", [90, 200])
def test_dark_hair_gets_lighter_most_of_all_beside_the_face(tone: int) -> None:
    change = added(looking(tone, **PARTS))
    beside, top = change[24:30, 24:72].mean(), change[6:12, 24:72].mean()
    assert beside > 10
    assert top < 0.8 * beside
    assert np.abs(change[36:]).max() < 3  # the face
    assert np.abs(change[:, :18]).max() < 3  # what is behind
    assert 30 + change.max() < tone + 40  # in the light of the skin


def test_red_hair_loses_its_colour() -> None:
    onto = looking(200, **PARTS)
    onto.rgb[onto.maps["hair"] > 0.5] = (150, 80, 40)
    near = (onto.rgb + added(onto))[24:30, 24:72].mean((0, 1))
    assert near[0] - near[2] < 0.85 * (150 - 40)


def test_hair_that_is_lighter_than_skin_stays_as_light() -> None:
    onto = looking(120, **PARTS)
    onto.rgb[onto.maps["hair"] > 0.5] = (235, 232, 228)
    assert np.abs(added(onto)).max() < 12


def test_in_a_photo_out_of_focus_strands_are_too() -> None:
    sharp = looking(200, **PARTS)
    blurred = replace(sharp, rgb=cv2.GaussianBlur(sharp.rgb, (0, 0), 4.0))
    inside = slice(8, 30), slice(26, 70)
    steepness = [np.abs(np.diff(added(one)[inside], axis=1)).mean() for one in (sharp, blurred)]
    assert steepness[1] < 0.6 * steepness[0]


def test_without_hair_there_is_none_and_a_hat_is_no_hair() -> None:
    assert greys(looking(200, skin=(26, 20, 70, 92))) is None
    worn = looking(200, **{**{name: box for name, box in PARTS.items() if name != "hair"}, "hat": PARTS["hair"]})
    assert greys(worn) is None

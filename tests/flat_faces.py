"""Faces of flat parts, for what works on a picture and its maps."""

from __future__ import annotations

import cv2
import numpy as np

from lc.faces.composites import Face, Floats
from lc.parser import CLASSES

SIDE = 96


def face(tone: int, /, **boxes: tuple[int, int, int, int]) -> Face:
    """A flat face on grey with these parts (left, top, right, bottom), each of another brightness."""
    rgb = np.full((SIDE, SIDE, 3), 128, np.float32)
    maps = {name: np.zeros((SIDE, SIDE), np.float32) for name in CLASSES}
    maps["background"][:] = 1
    light = {"skin": tone, "hair": 30, "hat": 60, "glasses": 10, "eyes": 20, "brows": 40, "mouth": 90}
    noise = np.random.default_rng(tone).integers(-3, 4, (SIDE, SIDE, 1))
    for name, (left, top, right, bottom) in boxes.items():
        for one in maps.values():
            one[top:bottom, left:right] = 0
        maps[name][top:bottom, left:right] = 1
        rgb[top:bottom, left:right] = light[name] + noise[top:bottom, left:right]
    return Face(rgb, maps)


def looking(tone: int, /, **boxes: tuple[int, int, int, int]) -> Face:
    """The same with both eyes where they are in CelebA's framing: at (35, 50) and (61, 50) of 96."""
    found = face(tone, **boxes, eyes=(32, 48, 38, 52))
    for name, there in (("skin", 0), ("eyes", 1)):  # the other eye
        found.maps[name][48:52, 58:64] = there
    return found


def changed(onto: Face, layer: Floats | None) -> Floats:
    """What a layer changes of a picture, (SIDE, SIDE), in grey levels."""
    assert layer is not None
    small = cv2.resize(layer, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray((small[..., 3:] * (small[..., :3] - onto.rgb)).mean(2))

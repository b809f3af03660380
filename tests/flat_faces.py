"""Faces of flat parts, for what works on a picture and its maps."""

from __future__ import annotations

import numpy as np

from lc.faces.composites import Face
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

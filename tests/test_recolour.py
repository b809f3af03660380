"""lc.faces.recolour: hair of another colour, to its last strand and no further."""

from __future__ import annotations

import numpy as np
import pytest
from mapped import MATRIX, maps
from PIL import Image

from lc.colour import Colour
from lc.faces import Aligned, paste
from lc.faces.filters import blurred
from lc.faces.steering import Steering
from lc.parser import CLASSES

SIDE = 96
HAIR, SKIN, WALL = (np.array(colour, np.float32) for colour in ((18, 15, 14), (214, 168, 142), (198, 205, 210)))
BLOND = Colour((66.0, 6.0, 26.0), (4.0, 2.0, 2.0), 6.0)
#: Hair above a face before a wall, as a parser sees them: in pixels, and with edges as soft as it has.
BEFORE = np.stack([blurred(one, 1.0) for one in maps(SIDE, hair=(28, 20, 68, 44), skin=(32, 44, 64, 84)) / 255.0])


def scene(strand: float = 0.0, shadow: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A photo, (96, 96, 3), and how much of each pixel is hair; where the parser sees that, but for a `strand` over the
    face, of so much hair; a `shadow` on the wall leaves so much of its light."""
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[20:44, 28:68] = 1
    alpha = blurred(alpha, 1.2)
    alpha[44:49, 46] = np.maximum(alpha[44:49, 46], strand)
    behind = np.empty((SIDE, SIDE, 3), np.float32)
    behind[:] = WALL
    behind[20:44, 68:80] *= shadow
    behind[44:84, 32:64] = SKIN
    return alpha[..., None] * HAIR + (1 - alpha[..., None]) * behind, alpha


def lightened(picture: np.ndarray) -> np.ndarray:
    """The photo with blond hair, (96, 96, 3)."""
    photo = Image.fromarray(np.rint(picture).astype(np.uint8))
    aligned = Aligned(photo.crop((16, 16, 80, 80)), MATRIX, 1.0)
    before = np.rint(255 * BEFORE).astype(np.uint8)
    steering = Steering(CLASSES, before, before[:, 16:80, 16:80], {"hair"}, "hair", BLOND, alone=True)
    return np.asarray(paste(photo, aligned.crop, aligned, aligned.crop, steering), np.float32)


def test_a_pixel_that_is_part_hair_gets_its_part_of_the_colour() -> None:
    """Neither a dark line nor a bright one is left about the hair."""
    picture, alpha = scene()
    after = lightened(picture)
    new = np.median(after[26:38, 34:62], axis=(0, 1))
    assert new[0] > 140
    true = picture + alpha[..., None] * (new - HAIR)
    edges = (alpha > 0.02) & (alpha < 0.98)
    edges[:18] = edges[:, :26] = edges[:, 70:] = edges[46:] = False
    assert edges.sum() > 300
    away = (after - true).mean(2)[edges]
    assert np.abs(away).mean() < 18
    assert np.abs(away).max() < 45


@pytest.mark.parametrize("strand", [0.8, 1.0])
def test_a_strand_over_the_face_goes_with_the_hair(strand: float) -> None:
    picture, _ = scene(strand=strand)
    assert (lightened(picture) - picture)[45:47, 46].mean() > 45


@pytest.mark.parametrize("shadow", [0.6, 0.75, 0.9])
def test_a_shadow_on_the_wall_stays_one(shadow: float) -> None:
    picture, _ = scene(shadow=shadow)
    change = np.abs(lightened(picture) - picture)
    assert change[24:40, 72:80].max() < 12
    assert change[24:40, 82:].max() < 3

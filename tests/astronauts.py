"""The astronaut of the examples, where her eyes are, and how to compare pictures of her."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

ASTRONAUT = Path(__file__).parent.parent / "lc" / "ui" / "examples" / "astronaut.jpg"
EYES = np.array([[204.4, 100.9], [246.8, 103.5]])  # the astronaut's, in her own 512x512 photo
BICUBIC = Image.Resampling.BICUBIC


def gray(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64)


def turned_back(points: np.ndarray, turned: Image.Image, upright: Image.Image, degrees: float) -> np.ndarray:
    """Coordinates in `upright.rotate(degrees, expand=True)` as coordinates in `upright`."""
    angle = math.radians(degrees)
    back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (points - np.array(turned.size) / 2) @ back.T + np.array(upright.size) / 2


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[a, -b, x], [b, a, y]])


def similarities(low: float, high: float, reach: float) -> st.SearchStrategy[np.ndarray]:
    shift = st.floats(-reach, reach)
    return st.builds(similarity, st.floats(low, high), st.floats(-180, 180), shift, shift)

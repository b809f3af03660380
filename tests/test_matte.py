"""lc.faces.matte: a part told from what is around it by its colours."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lc.faces.matte import matted

SIDE = 96


def scene(wall: tuple[int, int, int], hair: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Hair in the middle of a wall, which a parser is unsure of to its right."""
    chance = np.random.default_rng(0)
    rgb = np.empty((SIDE, SIDE, 3), np.float32)
    rgb[:] = wall
    rgb[24:72, 24:56] = hair
    probability = np.zeros((SIDE, SIDE), np.float32)
    probability[24:72, 24:56] = 0.97
    probability[24:72, 56:80] = 0.7
    return probability, (rgb + chance.normal(0, 2, rgb.shape)).clip(0, 255).astype(np.float32)


def test_a_dark_wall_is_told_from_dark_hair() -> None:
    probability, rgb = scene((38, 14, 10), (6, 6, 7))
    found = matted(probability, rgb)
    assert found[30:66, 62:78].max() < 0.2
    assert (found[24:72, 24:56] == probability[24:72, 24:56]).all()


def test_in_the_light_the_parser_is_believed() -> None:
    probability, rgb = scene((200, 190, 180), (150, 120, 80))
    assert np.abs(matted(probability, rgb) - probability).max() < 0.01


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_a_part_is_never_more_probable_than_it_was(seed: int) -> None:
    chance = np.random.default_rng(seed)
    probability = chance.random((SIDE, SIDE)).astype(np.float32) ** int(chance.integers(1, 6))
    rgb = chance.integers(0, 256, (SIDE, SIDE, 3)).astype(np.float32)
    found = matted(probability, rgb)
    assert (found <= probability + 1e-6).all()
    assert (found >= 0).all()
    assert np.array_equal(found, matted(probability, rgb))

"""lc.faces.tone: another colour, the same strands; one tint stays one tint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc.colour import Colour
from lc.faces.tone import Transfer, tint_of, to_lab, to_rgb, transfer

BLOND = Colour((53.0, 8.0, 21.0), (13.0, 5.0, 8.0), 16.0)


def strands(light: float, contrast: float, seed: int = 0) -> np.ndarray:
    """Hair-like stripes: (32, 32, 3), RGB."""
    chance = np.random.default_rng(seed)
    lab = np.zeros((32, 32, 3), np.float32)
    lab[..., 0] = light + contrast * chance.standard_normal(32)[None]
    lab[..., 1:] = 4
    return to_rgb(lab)


def test_lab_and_back_is_the_same_picture() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.float32)
    assert np.abs(to_rgb(to_lab(rgb)) - rgb).max() < 1


@given(lab=st.tuples(st.floats(0, 100), st.floats(-60, 60), st.floats(-60, 60)))
def test_the_nearest_colour_lies_within_the_range_and_in_it_nothing_moves(lab: tuple[float, float, float]) -> None:
    def distance(point: tuple[float, ...]) -> float:
        return float(
            np.sqrt(np.mean([((p - m) / s) ** 2 for p, m, s in zip(point, BLOND.mean, BLOND.spread, strict=True)]))
        )

    nearest = BLOND.nearest(lab)
    assert distance(nearest) <= 1 + 1e-6
    if distance(lab) <= 1:
        assert nearest == pytest.approx(lab)


def test_dark_hair_becomes_blond_and_keeps_the_order_of_its_strands() -> None:
    dark = strands(18, 3)
    everywhere = np.ones((32, 32), np.float32)
    blond = transfer(dark, strands(40, 5), strands(20, 3), everywhere, BLOND).apply(dark, dark)
    before, after = to_lab(dark), to_lab(blond)
    assert abs(np.median(after[..., 0]) - 53) < 16
    assert np.median(after[..., 2]) > 8  # from 4
    order = np.argsort(before[0, :, 0])
    assert (np.diff(after[0, order, 0]) > -0.5).all()
    assert after[..., 0].std() > before[..., 0].std()  # blond hair has more contrast than black


def test_light_hair_gets_lighter_to_be_seen_as_blond_and_no_white() -> None:
    everywhere, none = np.ones((32, 32), np.float32), strands(50, 3)
    for light, wanted in ((20, 38), (45, 61), (64, 68), (80, 70)):
        found = transfer(strands(light, 3), none, none, everywhere, BLOND)
        assert found.target[0] == pytest.approx(wanted, abs=3)
        assert 0.05 < found.target[2] / found.target[0] < 0.45


def test_a_colour_is_gone_to_a_little_further_than_its_range_begins() -> None:
    everywhere, none = np.ones((32, 32), np.float32), strands(50, 3)
    found = transfer(strands(12, 3), none, none, everywhere, BLOND)
    nearest = np.array(BLOND.nearest(found.source.tolist()))
    assert np.all(np.abs(found.target - found.source) > np.abs(nearest - found.source))
    assert np.abs(found.target - nearest).max() < 5


def test_without_a_known_colour_the_shift_is_the_models() -> None:
    photo = strands(30, 3, seed=1)
    found = transfer(photo, strands(60, 3), strands(20, 3), np.ones((32, 32), np.float32), None)
    assert found.target[0] - found.source[0] == pytest.approx(40, abs=1.5)


def test_what_shines_through_dark_strands_does_not_turn_white() -> None:
    black = Transfer(np.array([8.0, 1, 2], np.float32), np.array([60.0, 6, 22], np.float32), 2.0)
    lights = np.linspace(8, 70, 63, dtype=np.float32)
    lab = np.stack([lights, np.full(63, 8, np.float32), np.full(63, 8, np.float32)], 1)[None]
    after = to_lab(black.apply(to_rgb(lab), to_rgb(lab)))[0, :, 0]
    assert (np.diff(after) > -0.2).all()  # what was lighter is
    assert after[lights < 50].max() < 90
    assert after[5] - after[0] > 7  # and strands have the contrast of blond hair


def test_a_transfer_to_itself_changes_nothing() -> None:
    photo = strands(40, 4)
    lab = to_lab(photo).reshape(-1, 3)
    mean = lab.mean(0)
    same = Transfer(mean, mean, 1.0).apply(photo, photo)
    assert np.abs(to_lab(same)[..., 0] - to_lab(photo)[..., 0]).max() < 1


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.1, 1.0, 0.75)])
def test_what_is_put_into_a_photo_of_one_tint_takes_it(tint: tuple[float, float, float]) -> None:
    grey = np.random.default_rng(3).integers(30, 200, (48, 48, 1)).astype(np.float32)
    photo = (grey * np.array(tint, np.float32)).clip(0, 255)
    found = tint_of(photo)
    assert found.part == 1
    purple = photo.copy()
    purple[10:20, 10:20] = (140, 40, 160)
    result = found.apply(purple, np.ones((48, 48, 1), np.float32))
    wanted = to_lab(photo)
    spot, like = to_lab(result)[10:20, 10:20], wanted[..., 1:].reshape(-1, 2)
    assert np.abs(spot[..., 1:] - like.mean(0)).max() < 6
    assert np.abs(result[30:] - photo[30:]).max() < 4


def test_a_colour_photo_has_no_tint() -> None:
    assert tint_of(np.random.default_rng(3).integers(0, 256, (48, 48, 3)).astype(np.float32)).part == 0


def test_a_tint_goes_on_level_beyond_the_light_that_it_was_found_in() -> None:
    """The highlights of a photo that was dull as a small crop have no colours that nobody saw."""
    dull = np.random.default_rng(0).normal(110, 2, (64, 64, 3)).clip(0, 255).astype(np.float32)
    tint = tint_of(dull)
    assert tint.part == 1
    bright = np.full((8, 8, 3), 235, np.float32)
    found = tint.apply(bright, np.ones((8, 8, 1), np.float32))
    assert np.abs(found - bright).max() < 8


def test_a_few_lights_in_dark_hair_do_not_keep_it_dark() -> None:
    dark = strands(10, 3)
    dark[:, ::8] = 190  # an eighth of it shines
    blond = transfer(dark, strands(40, 5), strands(20, 3), np.ones((32, 32), np.float32), BLOND).apply(dark, dark)
    assert abs(np.median(to_lab(blond)[..., 0]) - BLOND.mean[0]) < 16


def test_lights_of_blond_hair_are_none_on_black_hair() -> None:
    blond = strands(60, 14)
    black = Colour((8.0, 1.0, 1.0), (3.0, 1.0, 1.0), 8.0)
    found = transfer(blond, strands(10, 3), strands(50, 8), np.ones((32, 32), np.float32), black).apply(blond, blond)
    light = to_lab(found)[..., 0]
    assert np.quantile(light, 0.95) - np.median(light) < 0.75 * (
        np.quantile(to_lab(blond)[..., 0], 0.95) - np.median(to_lab(blond)[..., 0])
    )

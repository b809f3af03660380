"""lc.faces.blend: the edit goes into the photo, and nothing else changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astronauts import ASTRONAUT, BICUBIC, gray, similarities, similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lc.faces import Aligned, align, detector, paste, read_photo
from lc.faces.align import warp
from lc.faces.blend import REACH as SHARE

REACH = 64 * SHARE  # in pixels of these tests' crops


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return read_photo(ASTRONAUT).rgb


@pytest.fixture(scope="module")
def aligned(astronaut: Image.Image) -> Aligned:
    return align(astronaut, detector().detect(astronaut)[0].landmarks, 64)


def framed(photo: Image.Image, matrix: np.ndarray) -> Aligned:
    return Aligned(warp(photo, matrix, 64), matrix, math.hypot(matrix[0, 0], matrix[1, 0]))


def away(photo: Image.Image, aligned: Aligned, reach: float) -> np.ndarray:
    """(h, w), whether a pixel lies more than `reach` crop pixels outside the crop."""
    y, x = np.mgrid[: photo.height, : photo.width] + 0.5
    inside = np.linalg.solve(aligned.matrix[:, :2], np.stack([x.ravel(), y.ravel()]) - aligned.matrix[:, 2:])
    return ((inside < -reach) | (inside > 64 + reach)).any(0).reshape(photo.height, photo.width)


@given(matrix=similarities(0.3, 6, 400))
@settings(deadline=None, max_examples=12)
def test_nothing_changes_outside_and_nothing_without_an_edit(matrix: np.ndarray) -> None:
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (400, 450, 3), dtype=np.uint8))
    aligned = framed(photo, matrix)
    assert np.array_equal(gray(paste(photo, aligned.crop, aligned, aligned.crop)), gray(photo))
    for reconstruction, reach in ((aligned.crop, REACH), (None, 0)):
        edited = paste(photo, ImageOps.invert(aligned.crop), aligned, reconstruction)
        outside = away(photo, aligned, reach)
        assert np.array_equal(gray(edited)[outside], gray(photo)[outside])


@given(matrix=similarities(0.5, 20, 300), level=st.integers(-120, 120).filter(lambda value: abs(value) > 20))
@settings(deadline=None, max_examples=6)
def test_a_shift_of_tone_arrives_where_the_crop_came_from(matrix: np.ndarray, level: int) -> None:
    """Whatever the turn, the size and the place; strips of a large face meet without a seam."""
    photo = Image.new("RGB", (500, 700), (128, 128, 128))
    crop = Image.new("RGB", (64, 64), (128, 128, 128))
    aligned = Aligned(crop, matrix, math.hypot(matrix[0, 0], matrix[1, 0]))
    result = gray(paste(photo, crop.point(lambda value: value + level), aligned, crop))
    deep = ~away(photo, aligned, -4)
    assert np.abs(result[deep] - 128 - level).max(initial=0) <= 1
    assert np.abs(result[away(photo, aligned, REACH)] - 128).max(initial=0) == 0


def test_the_border_of_a_change_is_soft(astronaut: Image.Image, aligned: Aligned) -> None:
    flat = Image.new("RGB", astronaut.size, (100, 100, 100))
    for reconstruction in (Image.new("RGB", (64, 64)), None):
        lit = gray(paste(flat, Image.new("RGB", (64, 64), "white"), aligned, reconstruction))[..., 0]
        assert lit.max() == 255
        assert max(np.abs(np.diff(lit, axis=axis)).max() for axis in (0, 1)) < 25


def test_the_whole_crop_is_put_in(astronaut: Image.Image, aligned: Aligned) -> None:
    blue = paste(astronaut, Image.new("RGB", (64, 64), "blue"), aligned)
    assert np.abs(gray(warp(blue, aligned.matrix, 64)) - (0, 0, 255))[12:52, 12:52].mean() < 1


def test_a_shift_of_tone_keeps_the_texture(astronaut: Image.Image, aligned: Aligned) -> None:
    """Without a reconstruction, the blurred crop takes its place."""
    photo, noise = grainy(astronaut)
    aligned = Aligned(aligned.crop, aligned.matrix * 3, aligned.scale * 3)
    darker = aligned.crop.point(lambda value: max(value, 30) - 30)
    change = (gray(paste(photo, darker, aligned, aligned.crop)) - gray(photo))[patch(aligned, 32, 36)]
    assert abs(np.median(change) + 30) <= 1
    assert change.std() < 2
    assert (gray(paste(photo, darker, aligned)) - gray(photo))[patch(aligned, 32, 36)].std() > 0.8 * noise


def grainy(photo: Image.Image) -> tuple[Image.Image, float]:
    """Three times the size, with grain, and its standard deviation."""
    large = gray(photo.resize((3 * photo.width, 3 * photo.height), BICUBIC))
    noise = np.random.default_rng(0).normal(0, 12, (*large.shape[:2], 1))
    return Image.fromarray((large + noise).clip(0, 255).astype(np.uint8)), 12.0


def patch(aligned: Aligned, x: float, y: float, reach: float = 6) -> tuple[slice, slice]:
    """The photo's rows and columns around a place of the crop."""
    centre = aligned.matrix @ (x, y, 1)
    (left, top), (right, bottom) = ((centre + sign * reach * aligned.scale).astype(int) for sign in (-1, 1))
    return slice(top, bottom), slice(left, right)


def stripes(vertical: bool) -> Image.Image:
    """A flat face with dark stripes in the middle of it, as glasses or teeth are: matter, not tone."""
    picture = np.full((64, 64, 3), 170, np.uint8)
    middle = picture[22:42, 22:42]
    (middle.swapaxes(0, 1) if vertical else middle)[2::6] = 20
    (middle.swapaxes(0, 1) if vertical else middle)[3::6] = 20
    return Image.fromarray(picture)


def test_replaced_matter_does_not_shine_through_and_has_the_photos_grain() -> None:
    """Adding the difference leaves a ghost wherever the photo is sharper than its reconstruction, as all photos are."""
    old, new = stripes(vertical=True), stripes(vertical=False)
    sharp = gray(old.resize((512, 512), Image.Resampling.NEAREST))
    sharp = np.where(sharp < 100, 20, 170)  # edges that no 64x64 picture holds
    noise = np.random.default_rng(0).normal(0, 5, (512, 512, 1))
    photo = Image.fromarray((sharp + noise).clip(0, 255).astype(np.uint8))
    aligned = framed(photo, similarity(8, 0, 0, 0))
    result = gray(paste(photo, new, aligned, old))[..., 1]
    middle = result[patch(aligned, 32, 32, 7)]
    # Old stripes stand upright: they would show in the means of the columns.
    assert middle.mean(0).std() < 0.15 * middle.mean(1).std()
    added = (sharp + gray(new.resize((512, 512), BICUBIC)) - gray(old.resize((512, 512), BICUBIC))).clip(0, 255)
    ghost = added[..., 1][patch(aligned, 32, 32, 7)]
    assert middle.mean(0).std() < 0.5 * ghost.mean(0).std()
    along = np.diff(middle, axis=1).std() / np.sqrt(2)  # along the new stripes there is nothing but grain
    assert 2.5 < along < 6.5


def test_a_soft_change_follows_the_photos_edges() -> None:
    """A change that the model blurs across an edge of the photo is drawn to one side of it."""
    photo = Image.new("RGB", (512, 512), (60, 60, 60))
    photo.paste((190, 190, 190), (256, 0, 512, 512))
    aligned = framed(photo, similarity(8, 0, 0, 0))
    ramp = 40 / (1 + np.exp(-(np.arange(64) - 31.5) / 1.2))  # 40 levels more on the right, over five pixels
    shift = np.repeat(np.tile(ramp, (64, 1))[..., None], 3, 2)
    edited = Image.fromarray((gray(aligned.crop) + shift).clip(0, 255).round().astype(np.uint8))
    change = (gray(paste(photo, edited, aligned, aligned.crop)) - gray(photo))[256, :, 0]
    plain = np.interp(np.arange(512), np.arange(64) * 8 + 4, ramp)
    assert change[258] - change[253] > 2 * (plain[258] - plain[253])


@pytest.mark.parametrize("size", [32, 128, 256])
def test_a_crop_of_another_resolution_is_blended_over_the_same_parts_of_the_face(
    astronaut: Image.Image, size: int
) -> None:
    landmarks = detector().detect(astronaut)[0].landmarks
    small, other = align(astronaut, landmarks, 64), align(astronaut, landmarks, size)

    def blended(aligned: Aligned, side: int) -> np.ndarray:
        """With a bright patch on the forehead and past the crop's top, drawn at the crop's own resolution."""
        y, x = (np.mgrid[:side, :side] + 0.5) / side
        patch = 70 * np.exp(-(((x - 0.5) / 0.25) ** 2 + ((y - 0.1) / 0.2) ** 2) * 2)
        edited = (gray(aligned.crop) + patch[..., None]).clip(0, 255).astype(np.uint8)
        return gray(paste(astronaut, Image.fromarray(edited), aligned, aligned.crop)) - gray(astronaut)

    one, two = blended(small, 64), blended(other, size)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.95
    assert np.abs(one - two).mean() < 0.15 * np.abs(one).mean()
    assert abs((one != 0).mean() / (two != 0).mean() - 1) < 0.2


def test_a_canvas_is_used_again_for_its_own_photo_only(astronaut: Image.Image, aligned: Aligned) -> None:
    edited = ImageOps.invert(aligned.crop)
    first = gray(paste(astronaut, edited, aligned, aligned.crop))
    dark = astronaut.point(lambda value: value // 3)
    assert not np.array_equal(gray(paste(dark, edited, aligned, aligned.crop)), first)
    assert np.array_equal(gray(paste(astronaut, edited, aligned, aligned.crop)), first)
    assert np.array_equal(gray(paste(astronaut.copy(), edited, aligned, aligned.crop)), first)  # sampled anew


def test_a_crease_of_the_old_face_is_gone_with_it() -> None:
    """Lines about a smile are finer than the generator draws: they would stay as grain."""
    chance = np.random.default_rng(0)
    flat = np.full((512, 512, 3), 170.0) + chance.normal(0, 3, (512, 512, 1))
    flat[:, 254:257] -= 25  # a line down the middle of what is replaced
    photo = Image.fromarray(flat.clip(0, 255).astype(np.uint8))
    aligned = framed(photo, similarity(8, 0, 0, 0))
    result = gray(paste(photo, stripes(vertical=False), aligned, Image.new("RGB", (64, 64), (170, 170, 170))))[..., 1]
    middle = result[patch(aligned, 32, 32, 7)]
    columns = middle.mean(0)
    assert np.ptp(columns) < 6
    assert np.diff(middle, axis=1).std() / np.sqrt(2) > 1.5  # its grain is not


def test_matter_is_looked_over_with_the_changed_photo_around_it() -> None:
    old, new = stripes(vertical=True), stripes(vertical=False)
    photo = old.resize((512, 512), Image.Resampling.BICUBIC)
    aligned = framed(photo, similarity(8, 0, 0, 0))
    seen: list[tuple[np.ndarray, ...]] = []

    def finish(picture: np.ndarray, around: np.ndarray, missing: np.ndarray) -> np.ndarray:
        seen.append((picture, around, missing))
        return np.full_like(picture, 200.0)

    result = gray(paste(photo, new, aligned, old, finish=finish))
    ((picture, around, missing),) = seen
    assert picture.shape == around.shape == (64, 64, 3)
    assert missing.shape == (64, 64)
    assert missing[24:40, 24:40].min() > 0.9
    assert missing[:10].max() < 0.1
    assert np.abs(around[:10] - gray(old)[:10]).max() < 3
    assert np.abs(result[patch(aligned, 32, 32, 5)] - 200).max() < 12
    assert paste(photo, old, aligned, old, finish=finish).tobytes() == photo.tobytes()
    assert len(seen) == 1  # nothing is replaced

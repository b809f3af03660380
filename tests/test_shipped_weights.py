"""The weights that ship: what they must be able to do, on a photo that is in no training set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lc.editor import DEFAULT_WEIGHTS, FaceEditor, Method, Reading
from train.evaluate.report import write_report
from train.provenance import ROOT
from train.runs import PROVENANCE

FOLDERS = [DEFAULT_WEIGHTS, DEFAULT_WEIGHTS.parent / "celeba-128"]


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def shipped(request: pytest.FixtureRequest, editor: FaceEditor) -> FaceEditor:
    """An editor of each: the one that all tests share, where it is that."""
    return editor if request.param == DEFAULT_WEIGHTS else FaceEditor.load(request.param, device="cpu")


@pytest.fixture(scope="module")
def reading(shipped: FaceEditor, astronaut: Path) -> Reading:
    return shipped.read(astronaut)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_files_fit_into_plain_git_and_hold_no_pickle(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 10e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".png", ".jpg"}


def test_the_folder_says_how_it_was_made() -> None:
    """In the form that recipes write; what nobody noted is null, and not left out."""
    found = json.loads((DEFAULT_WEIGHTS / PROVENANCE).read_text())
    keys = {"recipe", "stage", "settings", "git", "versions", "machine", "minutes", "cpu_minutes"}
    assert all(keys <= record.keys() for record in found["stages"])
    assert all((ROOT / record["recipe"]).is_file() for record in found["stages"])
    programs = [stage["run"] for record in found["stages"] for stage in record["settings"].values()]
    assert {"train.vae", "train.critics", "train.distil", "train.calibrate"} <= set(programs)
    assert "unknown" in found["note"]


def test_the_card_is_a_page_and_says_what_was_measured(tmp_path: Path) -> None:
    """Written once more from evaluation.json, card and tables stay as they are."""
    names = ("README.md", "evaluation.md", "evaluation.json")
    for name in names:
        shutil.copy(DEFAULT_WEIGHTS / name, tmp_path)
    write_report(tmp_path, json.loads((tmp_path / "evaluation.json").read_text()))
    for name in names:
        assert (tmp_path / name).read_text() == (DEFAULT_WEIGHTS / name).read_text()
    assert len((tmp_path / "README.md").read_text().splitlines()) <= 100


def test_the_astronaut_is_read_as_she_is(reading: Reading) -> None:
    attributes = reading.attributes
    assert all(attributes[name] < 0.5 for name in ("Bald", "Eyeglasses", "Male", "Wearing_Hat"))
    assert all(attributes[name] > 0.5 for name in ("No_Beard", "Smiling"))


def test_the_reconstruction_resembles_the_photo(reading: Reading) -> None:
    photo, copy = (np.asarray(image, float) for image in (reading.aligned.crop, reading.reconstruction))
    assert 10 * np.log10(255**2 / np.square(photo - copy).mean()) > 18  # dB; a grey picture has about 12


@pytest.mark.parametrize("method", ["actor", "optimise"])
@pytest.mark.parametrize(("name", "wanted"), [("Eyeglasses", True), ("Smiling", False), ("Male", True)])
def test_an_edit_does_what_was_asked(
    shipped: FaceEditor, reading: Reading, name: str, wanted: bool, method: Method
) -> None:
    edit = shipped.edit(reading, {name: wanted}, method=method)
    assert (edit.after[name] > 0.5) == wanted
    assert edit.converged
    assert edit.seconds < 30


def test_keeping_the_person_means_moving_less(shipped: FaceEditor, reading: Reading) -> None:
    far, near = (shipped.edit(reading, {"Male": True}, identity).z_distance for identity in (0.0, 1.0))
    assert near < far


def test_samples_show_what_was_asked_and_differ(shipped: FaceEditor) -> None:
    samples = shipped.sample(16, {"Smiling": True, "Male": False})
    assert np.mean([sample.attributes["Smiling"] > 0.5 and sample.attributes["Male"] < 0.5 for sample in samples]) > 0.8
    pictures = np.stack([np.asarray(sample.image, float) for sample in samples])
    assert pictures.std(axis=0).mean() > 20  # grey levels between faces at one pixel: they are not one face

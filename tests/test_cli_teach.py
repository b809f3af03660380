"""`python -m lc teach`, and --use, --require, --forbid and --any."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lc import taught_actor
from lc.__main__ import main
from lc.editor import FaceEditor
from lc.taught import load_taught
from lc.weights import load_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, celeba: Path) -> Path:
    root = tmp_path_factory.mktemp("taught")
    photos = sorted((celeba / "img_align_celeba").iterdir())
    for name, chosen in (("with", photos[:8]), ("without", photos[8:16])):
        (root / name).mkdir()
        for photo in chosen:
            shutil.copy(photo, root / name)
    return root


@pytest.fixture(scope="module")
def bangs(folders: Path, contrasted_weights: Path) -> Path:
    out = folders / "bangs.safetensors"
    sides = ["--with", str(folders / "with"), "--without", str(folders / "without"), "--aligned"]
    assert main(["teach", "Bangs", *sides, "--out", str(out), "--weights", str(contrasted_weights)]) == 0
    return out


def photo(folders: Path) -> str:
    return str(sorted((folders / "with").iterdir())[0])


def test_teaching_says_how_well_it_went(
    folders: Path, contrasted_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "bangs.safetensors"
    arguments = ["teach", "Bangs", "--with", str(folders / "with"), "--aligned", "--out", str(out)]
    assert main([*arguments, "--weights", str(contrasted_weights)]) == 0
    assert "balanced accuracy" in capsys.readouterr().out
    assert out.exists()


@pytest.mark.parametrize(
    "asked",
    [
        ["--set", "Bangs=1"],
        ["--set", "Bangs=1", "Smiling=1"],
        ["--set", "bangs=0.6", "--method", "optimise"],
        ["--require", "Bangs", "--forbid", "Smiling"],
        ["--any", "Bangs,Smiling=0"],
        ["--require", "warmer", "--forbid", "Bangs"],
    ],
)
def test_edits_take_it(folders: Path, bangs: Path, contrasted_weights: Path, tmp_path: Path, asked: list[str]) -> None:
    out = tmp_path / "edited.png"
    arguments = ["edit", photo(folders), "--aligned", "--stages", "--use", str(bangs), *asked]
    assert main([*arguments, "--out", str(out), "--weights", str(contrasted_weights)]) == 0
    assert json.loads(out.with_suffix(".json").read_text())["z_distance"] > 0


def test_a_folder_is_as_good_as_its_files(bangs: Path, contrasted_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    shutil.copy(bangs, tmp_path / "more" / "bangs.safetensors")
    pictures = []
    for use in (bangs, tmp_path / "more"):
        out = tmp_path / f"{use.stem}.png"
        asked = ["--count", "2", "--use", str(use), "--require", "Bangs", "--weights", str(contrasted_weights)]
        assert main(["sample", *asked, "--out", str(out)]) == 0
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]


def test_samples_take_rules_and_groups(bangs: Path, contrasted_weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.png"
    asked = ["--use", str(bangs), "--any", "Bangs,Smiling", "--require", "cooler", "--forbid", "Male"]
    assert main(["sample", "--count", "3", *asked, "--out", str(out), "--weights", str(contrasted_weights)]) == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--require", "wamer"], "Nothing is called 'wamer'"),
        (["--require", "darker_hair"], "no face parser"),
        (["--any", "Smiling"], "names one only"),
        (["--forbid", "Smiling=x"], "Write 'Smiling=x'"),
        (["--use", "nowhere.safetensors"], "missing"),
        (["--use", "docs"], "holds no taught attribute"),
        (["--set", "Bangs=1"], "no attribute 'Bangs'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    folders: Path,
    contrasted_weights: Path,
    tmp_path: Path,
    asked: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "edited.png"
    arguments = ["edit", photo(folders), "--aligned", *asked, "--out", str(out), "--weights", str(contrasted_weights)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_an_actor_is_trained_where_asked_for(
    folders: Path,
    contrasted_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(taught_actor, "STEPS", 3)
    out, model = tmp_path / "bangs.safetensors", load_model(contrasted_weights, "cpu")
    arguments = ["teach", "Bangs", "--with", str(folders / "with"), "--aligned", "--actor", "--out", str(out)]
    assert main([*arguments, "--weights", str(contrasted_weights)]) == 0
    said = capsys.readouterr()
    assert "balanced accuracy" in said.out
    assert "3/3" in said.err
    assert load_taught(out, model).actor is not None
    edited = ["edit", photo(folders), "--aligned", "--use", str(out), "--set", "Bangs=1", "Smiling=1"]
    assert main([*edited, "--out", str(tmp_path / "edited.png"), "--weights", str(contrasted_weights)]) == 0


def test_what_was_taught_outlives_an_interruption_of_its_actors_training(
    folders: Path, contrasted_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FaceEditor, "train_actor", interrupted)
    out = tmp_path / "bangs.safetensors"
    arguments = ["teach", "Bangs", "--with", str(folders / "with"), "--aligned", "--actor", "--out", str(out)]
    assert main([*arguments, "--weights", str(contrasted_weights)]) == 130
    assert load_taught(out, load_model(contrasted_weights, "cpu")).actor is None


def test_a_file_of_another_ending_is_refused(folders: Path, contrasted_weights: Path, tmp_path: Path) -> None:
    arguments = ["teach", "Bangs", "--with", str(folders / "with"), "--out", str(tmp_path / "bangs.pt")]
    assert main([*arguments, "--weights", str(contrasted_weights)]) == 2

"""python -m lc: what it writes, prints and exits with."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lc.__main__ import main
from lc.editor import FaceEditor
from train.attributes import ATTRIBUTES

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "lc"]


@pytest.fixture
def lc(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command in this process, with the tiny weights, and return its exit code."""
    monkeypatch.setenv("LC_WEIGHTS", str(tiny_weights))

    def run(*arguments: object) -> int:
        try:
            return main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's own
            return int(stop.code or 0)

    return run


@pytest.fixture
def shipped(lc: Callable[..., int], editor: FaceEditor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The same with the committed weights, which are loaded once for all tests."""
    monkeypatch.setattr("lc.editor.load_model", lambda *place: editor.model)
    return lc


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A folder of three pictures in CelebA's framing."""
    folder = tmp_path / "crops"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (3, 5, 4, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).resize((89, 109), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg")
    return folder


@pytest.fixture
def faceless(tmp_path: Path) -> Path:
    Image.new("RGB", (120, 120), "gray").save(tmp_path / "wall.png")
    return tmp_path / "wall.png"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


# --- edit ----------------------------------------------------------------------------------------------------------


def test_one_photo_to_one_file(lc: Callable[..., int], astronaut: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "edited.png"
    assert lc("edit", astronaut, "--set", "Eyeglasses=1", "--out", out) == 0
    assert names(out.parent) == ["edited.png"]
    assert Image.open(out).size == Image.open(astronaut).size
    assert "Edited with Latent Constraints" in Image.open(out).text.values()


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp", ".tif", ".bmp"])
def test_other_picture_formats(lc: Callable[..., int], astronaut: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"edited{suffix}"
    assert lc("edit", astronaut, "--out", out) == 0
    assert Image.open(out).size == Image.open(astronaut).size


def test_no_change_gives_the_photo_back(lc: Callable[..., int], astronaut: Path, tmp_path: Path) -> None:
    assert lc("edit", astronaut, "--blend", "change", "--out", tmp_path / "out") == 0
    assert np.array_equal(pixels(tmp_path / "out" / "astronaut.png"), pixels(astronaut))


def test_setting_nothing_shows_the_reconstruction(lc: Callable[..., int], crops: Path, tmp_path: Path) -> None:
    assert lc("edit", crops / "0.jpg", "--aligned", "--stages", "--out", tmp_path / "out") == 0
    out = tmp_path / "out"
    assert np.array_equal(pixels(out / "0.reconstruction.png"), pixels(out / "0.edited.png"))
    middle = pixels(out / "0.png")[40:70, 30:60].astype(int)
    photo = pixels(crops / "0.jpg")[40:70, 30:60].astype(int)
    assert np.abs(middle - photo).mean() > 5  # an untrained model's reconstruction is nothing like the photo


def test_stages(lc: Callable[..., int], astronaut: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--set", "Male=1", "young=0", "--identity", "0.25", "--method", "optimise", "--seed", "7"]
    assert lc("edit", astronaut, *arguments, "--stages", "--out", out) == 0
    stages = ["aligned", "reconstruction", "edited"]
    assert names(out) == sorted([*(f"astronaut.{stage}.png" for stage in stages), "astronaut.json", "astronaut.png"])
    assert {Image.open(out / f"astronaut.{stage}.png").size for stage in stages} == {(64, 64)}
    figures = json.loads((out / "astronaut.json").read_text())
    assert figures["set"] == {"Male": True, "Young": False}
    assert (figures["identity"], figures["method"], figures["seed"]) == (0.25, "optimise", 7)
    assert list(figures["before"]) == list(figures["after"]) == list(ATTRIBUTES)
    assert len(figures["face_box"]) == 4
    assert isinstance(figures["converged"], bool)
    assert figures["z_distance"] > 0
    assert figures["steps"] >= 0
    assert figures["seconds"] > 0
    assert "warning" in figures


def test_a_seed_is_taken_and_changes_no_edit(lc: Callable[..., int], crops: Path, tmp_path: Path) -> None:
    photo = (crops / "0.jpg", "--aligned", "--set", "Male=1")
    for seed in (0, 7):
        assert lc("edit", *photo, "--seed", seed, "--out", tmp_path / f"{seed}.png") == 0
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "7.png").read_bytes()


def test_stages_go_beside_a_single_file(lc: Callable[..., int], astronaut: Path, tmp_path: Path) -> None:
    assert lc("edit", astronaut, "--stages", "--out", tmp_path / "out" / "me.jpg") == 0
    expected = ["me.aligned.png", "me.edited.png", "me.jpg", "me.json", "me.reconstruction.png"]
    assert names(tmp_path / "out") == expected


def test_a_folder(lc: Callable[..., int], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lc("edit", crops, "--aligned", "--set", "Smiling=1", "--out", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["0.png", "1.png", "2.png"]
    printed = capsys.readouterr()
    assert "3/3" in printed.err
    assert printed.out == ""
    # Each result is its own photo's, and the same as when edited alone.
    for i in range(3):
        assert lc("edit", crops / f"{i}.jpg", "--aligned", "--set", "Smiling=1", "--out", tmp_path / "one.png") == 0
        difference = pixels(tmp_path / "one.png").astype(int) - pixels(tmp_path / "out" / f"{i}.png")
        assert np.abs(difference).max() <= 1


def test_inputs_may_stand_anywhere(lc: Callable[..., int], crops: Path, tmp_path: Path) -> None:
    a, b, c = (crops / f"{i}.jpg" for i in range(3))
    out = tmp_path / "out"
    assert lc("edit", a, "--aligned", b, "--set", "Bald=1", "Male=1", c, "--set", "Young=0", "--out", out) == 0
    assert names(out) == ["0.png", "1.png", "2.png"]
    assert lc("edit", "--aligned", "--out", out / "more", "--set", "Bald=0", "--stages", a) == 0
    assert json.loads((out / "more" / "0.json").read_text())["set"] == {"Bald": False}


def test_equal_stems_do_not_overwrite_one_another(lc: Callable[..., int], crops: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(crops, twin)
    shutil.copy(crops / "1.jpg", twin / "0-2.jpg")
    shutil.copy(crops / "1.jpg", twin / "0.edited.jpg")
    assert lc("edit", crops, twin, crops / "0.jpg", "--aligned", "--stages", "--out", tmp_path / "out") == 0
    written = names(tmp_path / "out")
    assert len(written) == 5 * 9
    inputs = [json.loads(path.read_text())["input"] for path in (tmp_path / "out").glob("*.json")]
    assert sorted(inputs) == sorted(map(str, [*crops.iterdir(), *twin.iterdir(), crops / "0.jpg"]))


def test_the_originals_are_spared(lc: Callable[..., int], crops: Path) -> None:
    Image.open(crops / "0.jpg").save(crops / "face.png")
    before = (crops / "face.png").read_bytes()
    assert lc("edit", crops / "face.png", "--aligned", "--out", crops) == 0
    assert (crops / "face.png").read_bytes() == before
    assert (crops / "face-2.png").exists()


def test_what_cannot_be_used_is_named_and_the_rest_done(
    lc: Callable[..., int], astronaut: Path, faceless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.jpg").write_bytes(astronaut.read_bytes()[:5000])
    inputs = [faceless, tmp_path / "notes.txt", astronaut, tmp_path / "cut.jpg"]
    assert lc("edit", *inputs, "--set", "Male=1", "--out", tmp_path / "out") == 3
    assert names(tmp_path / "out") == ["astronaut.png"]
    errors = capsys.readouterr().err
    assert all(name in errors for name in ("wall.png", "notes.txt", "cut.jpg", "No face was found"))
    assert "Traceback" not in errors


def test_a_rare_combination_is_warned_of_and_done(
    lc: Callable[..., int], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lc("edit", crops, "--aligned", "--set", "Bald=1", "Blond_Hair=1", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err.count("almost no bald people with blond hair") == 1


def test_another_face_can_be_chosen(
    shipped: Callable[..., int], two_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, part in ((1, np.s_[:, :450]), (2, np.s_[:, 530:])):
        out = tmp_path / f"{number}.png"
        chosen = ["--face", number, "--set", "Smiling=0"]
        assert shipped("edit", two_faces, *chosen, "--out", out) == 0
        changed = (pixels(out) != pixels(two_faces)).any(2)
        assert changed.any()
        changed[part] = False
        assert not changed.any()
    assert shipped("edit", two_faces, "--face", 3, "--out", tmp_path / "3.png") == 3
    assert "2 face(s): there is no face 3" in capsys.readouterr().err
    assert shipped("describe", two_faces, "--face", 2) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["face_box"] == line["face_boxes"][1]


# --- sample --------------------------------------------------------------------------------------------------------


def test_samples_are_numbered_and_repeat(shipped: Callable[..., int], tmp_path: Path) -> None:
    # An untrained encoder sees the same in every picture.
    how = ["--count", 3, "--set", "Male=0"]
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert shipped("sample", *how, "--seed", seed, "--out", tmp_path / folder) == 0
        assert names(tmp_path / folder) == ["0000.png", "0001.png", "0002.png"]
    a, b, c = (pixels(tmp_path / folder / "0001.png") for folder in "abc")
    assert a.shape == (128, 128, 3)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_samples_as_a_grid(lc: Callable[..., int], tmp_path: Path) -> None:
    assert lc("sample", "--count", 5, "--out", tmp_path / "x" / "grid.png") == 0
    assert lc("sample", "--count", 5, "--out", tmp_path / "single") == 0
    grid = pixels(tmp_path / "x" / "grid.png")
    assert grid.shape == (2 * 64, 3 * 64, 3)
    assert np.array_equal(grid[64:, 64:128], pixels(tmp_path / "single" / "0004.png"))


def test_samples_without_realism_differ(lc: Callable[..., int], tmp_path: Path) -> None:
    assert lc("sample", "--count", 1, "--out", tmp_path / "with.png") == 0
    assert lc("sample", "--count", 1, "--no-realism", "--set", "Male=1", "--out", tmp_path / "without.png") == 0
    assert not np.array_equal(pixels(tmp_path / "with.png"), pixels(tmp_path / "without.png"))


# --- describe ------------------------------------------------------------------------------------------------------


def test_describe_prints_a_line_of_json_per_photo(
    lc: Callable[..., int], astronaut: Path, faceless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lc("describe", astronaut, faceless, astronaut) == 3
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert len(lines) == 2
    assert lines[0]["input"] == str(astronaut)
    assert lines[0]["faces"] == 1
    left, top, right, bottom = lines[0]["face_box"]
    assert all(left < x < right and top < y < bottom for x, y in lines[0]["landmarks"])
    assert list(lines[0]["attributes"]) == list(ATTRIBUTES)
    # One photo twice, yet rows of a batch may meet another order of additions: equal but for rounding.
    assert lines[0].pop("attributes") == pytest.approx(lines[1].pop("attributes"), abs=1e-5)
    assert lines[0] == lines[1]
    assert "wall.png" in printed.err


def test_fast_is_rougher(shipped: Callable[..., int], astronaut: Path, tmp_path: Path) -> None:
    for way, options in (("fast", ["--fast"]), ("as always", [])):
        command = ("edit", astronaut, "--set", "Young=0", *options, "--out", tmp_path / f"{way}.png")
        assert shipped(*command) == 0
    fast, careful, photo = map(pixels, (tmp_path / "fast.png", tmp_path / "as always.png", astronaut))
    assert not np.array_equal(fast, careful)
    assert not np.array_equal(fast, photo)


def test_describe_aligned(lc: Callable[..., int], crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lc("describe", "--aligned", crops) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["input"]).name for line in lines] == ["0.jpg", "1.jpg", "2.jpg"]
    assert all((line["faces"], line["face_box"], line["landmarks"]) == (0, None, None) for line in lines)


# --- usage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "dance",
        "edit PHOTO",
        "edit --out OUT",
        "edit PHOTO --set Spectacles=1 --out OUT",
        "edit PHOTO --set Male --out OUT",
        "edit PHOTO --set Male=2 --out OUT",
        "edit PHOTO --identity 1.5 --out OUT",
        "edit PHOTO --identity nan --out OUT",
        "edit PHOTO --identity x --out OUT",
        "edit PHOTO --method magic --out OUT",
        "edit PHOTO --device abacus --out OUT",
        *(f"edit PHOTO --identity {value} --out OUT" for value in ("inf", "-1", "1e999", "''", "0,5")),
        *(f"edit PHOTO --set Smiling={value} --out OUT" for value in ("nan", "inf", "-1", "1e999", "''", "2", "0,5")),
        *(f"edit PHOTO --face {value} --out OUT" for value in ("nan", "inf", "-1", "1e99", "''", "9" * 99)),
        *(
            f"sample --seed {value} --count 1 --out OUT"
            for value in ("nan", "inf", "-1", "''", 2**63, "9" * 5000, "1e3")
        ),
        *(f"sample --count {value} --out OUT" for value in ("nan", "inf", "-1", "''", "9" * 99, 10**6)),
        "edit PHOTO --seed -1 --out OUT",
        "edit PHOTO --face 0 --out OUT",
        "edit PHOTO --face first --out OUT",
        "edit PHOTO --blend paint --out OUT",
        "edit PHOTO --bogus --out OUT",
        "edit PHOTO --weights OUT/nothing --out OUT",
        "edit PHOTO missing.jpg --out OUT",
        "edit --set Male=1 missing.jpg --out OUT",
        "edit EMPTY --out OUT",
        "edit PHOTO --out OUT/result.txt",
        "edit PHOTO --out PHOTO/inside",
        "edit PHOTO PHOTO --out OUT/two.png",
        "sample --out OUT",
        "sample --count 0 --out OUT",
        "sample --count many --out OUT",
        "sample --count 1 --set Spectacles=1 --out OUT",
        "sample --count 1 --out OUT/result.mp4",
        "sample --count 1 --out OUT PHOTO",
        "describe",
        "describe missing.jpg",
        "describe PHOTO --set Male=1",
    ],
)
def test_wrong_usage_is_one_sentence(
    lc: Callable[..., int], astronaut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    (tmp_path / "empty").mkdir()
    for word, path in (("PHOTO", astronaut), ("OUT", tmp_path / "out"), ("EMPTY", tmp_path / "empty")):
        arguments = arguments.replace(word, str(path))
    assert lc(*("" if word == "''" else word.replace("''", "") for word in arguments.split())) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", [0, 2**44, 2**63 - 1])
def test_every_seed_has_its_face(lc: Callable[..., int], tmp_path: Path, seed: int) -> None:
    for i, other in enumerate((seed, seed ^ 4096)):
        assert lc("sample", "--count", 1, "--seed", other, "--out", tmp_path / f"{i}.png", "--no-realism") == 0
    assert not np.array_equal(pixels(tmp_path / "0.png"), pixels(tmp_path / "1.png"))


def test_a_folder_may_have_a_dot_in_its_name(lc: Callable[..., int], tmp_path: Path) -> None:
    assert lc("sample", "--count", 1, "--out", tmp_path / "identity-0.5") == 0
    assert names(tmp_path / "identity-0.5") == ["0000.png"]


def test_the_option_wins_over_the_environment(
    lc: Callable[..., int], tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_WEIGHTS", str(tmp_path / "nothing"))
    assert lc("sample", "--count", 1, "--out", tmp_path / "out") == 2
    assert lc("sample", "--count", 1, "--weights", tiny_weights, "--device", "cpu", "--out", tmp_path / "out") == 0


# --- the process ---------------------------------------------------------------------------------------------------


def test_help_does_not_wait_for_torch() -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint({"torch", "numpy", "PIL", "gradio"})
    assert all(command in done.stdout for command in ("edit", "sample", "describe"))


def test_an_interrupt_is_quiet(tiny_weights: Path, astronaut: Path, tmp_path: Path) -> None:
    photos = [str(astronaut)] * 3_000  # not done while an interrupt that got lost is waited for
    process = subprocess.Popen(
        [*COMMAND, "edit", *photos, "--weights", str(tiny_weights), "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background of a script inherits a deaf ear to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(4):  # as people do: one that comes while a library imports another can be lost in its "except:"
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, errors = process.communicate(timeout=20)
                break
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors

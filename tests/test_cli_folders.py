"""python -m lc on folders, odd names and full disks: nothing is lost, and everything is said."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image
from test_cli import crops, lc, names  # noqa: F401, fixtures

from lc import cli

# ruff: noqa: F811, for fixtures that are imported


def said(capsys: pytest.CaptureFixture[str]) -> str:
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return errors


# --- results in folders of photos ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["edited", "../crops/edited", "./edited/", "link"])
def test_results_are_not_edited_again(lc: Callable[..., int], crops: Path, spelling: str) -> None:
    (crops.parent / "link").symlink_to(crops / "edited")
    (crops / "edited").mkdir()
    out = crops.parent / "link" if spelling == "link" else f"{crops}/{spelling}"
    for _ in range(2):
        assert lc("edit", crops, "--aligned", "--stages", "--set", "Male=1", "--out", out) == 0
        assert len(names(crops / "edited")) == 3 * 5


def test_results_beside_their_photos_are_not_edited_again(
    lc: Callable[..., int], crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert lc("edit", crops, "--aligned", "--stages", "--set", "Male=1", "--out", crops) == 0
        assert len(names(crops)) == 3 + 3 * 5
    assert "holds 12 result(s) of earlier edits" in said(capsys)
    # As a shell expands photos/*, the folder of results among them.
    (crops / "edited").mkdir()
    for _ in range(2):
        assert lc("edit", *sorted(crops.glob("*.jpg")), crops / "edited", "--aligned", "--out", crops / "edited") == 0
        assert names(crops / "edited") == ["0.png", "1.png", "2.png"]
    assert lc("edit", crops / "edited", "--aligned", "--out", crops / "edited") == 2
    assert "name those to edit again" in said(capsys)
    assert lc("edit", crops / "edited" / "0.png", "--aligned", "--out", crops / "edited") == 0


# --- what is left out ----------------------------------------------------------------------------------------------


def test_what_looks_like_a_photo_and_is_left_out_is_named(
    lc: Callable[..., int], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("phone.HEIC", "a.cr2", "b.cr2", "c.cr2", "d.cr2", "notes.txt", ".hidden.heic"):
        (crops / name).write_bytes(b"anything")
    (crops / "broken.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(crops / "pipe.jpg")
    assert lc("edit", crops, "--aligned", "--out", tmp_path / "out") == 3
    assert names(tmp_path / "out") == ["0.png", "1.png", "2.png"]
    errors = said(capsys)
    lines = [line for line in errors.splitlines() if str(crops) in line]
    assert len(lines) == 4
    assert sum("phone.HEIC: HEIC files cannot be read here" in line for line in lines) == 1
    assert sum("c.cr2 and 1 more: CR2 files" in line for line in lines) == 1
    assert sum("broken.jpg: the link leads nowhere." in line for line in lines) == 1
    assert sum("pipe.jpg: a pipe" in line for line in lines) == 1
    assert "notes.txt" not in errors
    assert ".hidden" not in errors


def test_a_folder_of_nothing_readable_is_no_success(
    lc: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "a.heic").write_bytes(b"anything")
    assert lc("edit", tmp_path / "phone", "--out", tmp_path / "out") == 3
    assert lc("describe", tmp_path / "phone") == 3
    assert said(capsys).count("a.heic: HEIC files cannot be read here") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero"])
def test_what_is_no_file_is_refused(
    lc: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "photo.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    else:
        path = Path(kind)
    codes: list[int] = []
    for command in (["describe"], ["edit", "--out", tmp_path / "out.png"]):
        thread = threading.Thread(target=lambda command=command: codes.append(lc(*command, path)), daemon=True)
        thread.start()
        thread.join(20)
    assert codes == [2, 2], "it hangs"
    assert said(capsys).count("is no photo") == 2


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.jpgg", "x.pn", "x.jepg", "x.TIFFF", "x.docx", "x.heic", "x.results"])
def test_a_slip_in_the_name_of_a_picture_makes_no_folder(
    lc: Callable[..., int], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert lc("edit", crops / "0.jpg", "--aligned", "--out", tmp_path / name) == 2
    assert "neither a folder nor a picture" in said(capsys)
    assert not (tmp_path / name).exists()
    assert lc("edit", crops / "0.jpg", "--aligned", "--out", f"{tmp_path / name}/") == 0
    assert names(tmp_path / name) == ["0.png"]
    assert lc("edit", crops / "1.jpg", "--aligned", "--out", tmp_path / name) == 0  # it is there now


@pytest.mark.parametrize("name", ["identity-0.5", "v1.2.3", "photos.edited", "2024.01.31"])
def test_folders_may_have_dots(lc: Callable[..., int], crops: Path, tmp_path: Path, name: str) -> None:
    assert lc("edit", crops, "--aligned", "--out", tmp_path / name) == 0
    assert names(tmp_path / name) == ["0.png", "1.png", "2.png"]


def test_a_name_that_is_too_long_costs_that_photo_only(
    lc: Callable[..., int], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(crops / "0.jpg", crops / f"{'x' * 251}.jpg")
    assert lc("edit", crops, "--aligned", "--stages", "--out", tmp_path / "out") == 3
    assert [name for name in names(tmp_path / "out") if "x" not in name].count("2.json") == 1
    assert len([line for line in said(capsys).splitlines() if "its result cannot be called" in line]) == 1


# --- disks ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_sentence_and_leaves_the_photo(
    lc: Callable[..., int], crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = crops / "0.jpg"
    before = photo.read_bytes()
    commands = [
        ("edit", photo, "--aligned", "--out", photo),
        ("edit", crops, "--aligned", "--stages", "--out", tmp_path / "out"),
        ("sample", "--count", 9, "--out", tmp_path / "made"),
        ("sample", "--count", 9, "--out", tmp_path / "grid.png"),
    ]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for command in commands:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            code = lc(*command)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert code == 2
        sentences = [line for line in said(capsys).splitlines() if "cannot be written" in line]
        assert len(sentences) == 1
        assert str(command[-1]) in sentences[0]
    assert photo.read_bytes() == before
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != crops]
    assert names(crops) == ["0.jpg", "1.jpg", "2.jpg"]


def test_more_exif_than_a_jpeg_holds_leaves_the_only_photo(
    lc: Callable[..., int], crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(70_000)
    photo = crops / "photo.jpg"
    with Image.open(crops / "0.jpg") as image:
        image.save(photo, "PNG", exif=exif.tobytes())  # as messengers name them
    before = photo.read_bytes()
    assert lc("edit", photo, "--aligned", "--set", "Male=1", "--out", photo) == 3
    assert photo.read_bytes() == before
    assert "a JPEG holds 64" in said(capsys)
    assert lc("edit", photo, "--aligned", "--set", "Male=1", "--out", crops / "photo.png") == 0


def test_editing_in_place_keeps_permissions_and_links(lc: Callable[..., int], crops: Path) -> None:
    (crops / "0.jpg").chmod(0o640)
    (crops / "link.jpg").symlink_to("0.jpg")
    before = (crops / "0.jpg").read_bytes()
    assert lc("edit", crops / "link.jpg", "--aligned", "--out", crops / "link.jpg") == 0
    assert (crops / "link.jpg").is_symlink()
    assert (crops / "0.jpg").read_bytes() != before
    assert (crops / "0.jpg").stat().st_mode & 0o777 == 0o640


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("megapixels", "most"), [([108] * 12, 1), ([12] * 40, 8), ([108, 12, 12, 200, 12] * 3, 8), ([0.04] * 300, 64)]
)
def test_photos_are_held_by_pixels(monkeypatch: pytest.MonkeyPatch, megapixels: list[float], most: int) -> None:
    """At no time are more photos held than fit, a photo that fits nowhere is alone, and all come in order."""
    pixels = [int(1e6 * value) for value in megapixels]
    monkeypatch.setattr(cli, "count_pixels", lambda path: pixels[int(path.name)])
    monkeypatch.setattr(cli, "_WORKERS", 4)
    alive: set[int] = set()
    lock = threading.Lock()
    peaks: list[int] = []

    def work(batch: Sequence[tuple[int, Path]]) -> list[int]:
        indices = [index for index, _ in batch]
        assert indices == [int(path.name) for _, path in batch]
        for index in indices:
            with lock:
                alive.add(index)
                assert len(alive) == 1 or sum(pixels[i] for i in alive) <= 100e6
                peaks.append(len(alive))
            time.sleep(0.002)
        with lock:
            alive.difference_update(indices)
        return indices

    cores = torch.get_num_threads()
    batches = list(cli._in_batches(work, [Path(str(i)) for i in range(len(pixels))]))
    assert [index for batch in batches for index in batch] == list(range(len(pixels)))
    assert max(map(len, batches)) <= 16
    assert max(peaks) <= most
    assert torch.get_num_threads() == cores


def test_what_goes_wrong_in_a_batch_ends_the_others() -> None:
    begun: list[int] = []

    def work(batch: Sequence[tuple[int, Path]]) -> None:
        begun.append(batch[0][0])
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(cli._in_batches(work, [Path(str(i)) for i in range(1000)]))
    assert len(begun) < 20

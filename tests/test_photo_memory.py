"""What a photo takes in memory, and which files are opened at all."""

from __future__ import annotations

import gc
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from lc.errors import PhotoError
from lc.faces import open_photo, photo, read_photo


def jpeg(side: int, quality: int = 60) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_a_size_is_known_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    file = io.BytesIO()
    Image.new("RGB", (60, 40)).save(file, "JPEG", exif=exif)
    monkeypatch.setattr(photo, "decoded", lambda image: pytest.fail("decoded"))
    opened = open_photo(file.getvalue())
    assert opened.size == (40, 60)
    assert opened.format == "JPEG"
    monkeypatch.undo()
    assert opened.rgb.size == opened.size


def test_a_photo_keeps_its_file_and_not_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "_RECENT", photo._Recent(limit=4 * 300 * 300 * 2))  # room for two of these
    photos = [read_photo(jpeg(300)) for _ in range(5)]
    gc.collect()
    assert [one._recent is not None for one in photos] == [False, False, False, True, True]
    assert all(one.nbytes < 20_000 for one in photos)
    first = photos[0].rgb
    assert first.tobytes() == photos[4].rgb.tobytes()
    assert photos[3]._recent is None  # the one used longest ago made room


def test_pixels_that_do_not_fit_are_decoded_once_while_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "_RECENT", photo._Recent(limit=0))
    large = read_photo(jpeg(300))
    assert large.rgb is not large.rgb
    with large.held():
        assert large.rgb is large.rgb


@pytest.mark.parametrize("name", ["cut.jpg", "empty.jpg", "drawing.jpg"])
def test_what_a_file_is_called_does_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / "photo.svg").write_bytes(jpeg(100))
    assert read_photo(tmp_path / "photo.svg").format == "JPEG"
    contents = {
        "cut.jpg": jpeg(100)[:600],
        "empty.jpg": b"",
        "drawing.jpg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(PhotoError, match=name):
        read_photo(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(PhotoError, match="pipe or a device"):
            read_photo(path)

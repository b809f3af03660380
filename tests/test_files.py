"""lc.files: a file is the old one or the new one, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from lc.files import append_text, whole, write_bytes, write_json, write_text

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True, params=["without a name", "with a hidden name"])
def drafts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of draft, for only Linux has those without a name."""
    if request.param == "with a hidden name":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@contextlib.contextmanager
def full(room: int) -> Iterator[None]:
    """No file of this process can grow beyond `room` bytes. Not a fixture: pytest's own log would meet the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\0\1")
    write_text(tmp_path / "b", "Grüße")
    write_json(tmp_path / "c", {"path": Path("x")})
    assert (tmp_path / "a").read_bytes() == b"\0\1"
    assert (tmp_path / "b").read_text(encoding="utf-8") == "Grüße"
    assert json.loads((tmp_path / "c").read_text()) == {"path": "x"}
    assert sorted(path.name for path in tmp_path.iterdir()) == list("abc")


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "note", "old")

    def fail() -> None:
        with whole(tmp_path / "note") as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["note"]
    assert (tmp_path / "note").read_text() == "old"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_old_permissions_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "note"
    path.write_text("old")
    path.chmod(mode)
    write_text(path, "new")
    assert path.stat().st_mode & 0o7777 == mode
    assert path.read_text() == "new"


def test_a_new_file_gets_the_permissions_of_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "note", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "note").stat().st_mode & 0o7777 == 0o640


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "real")
    (tmp_path / "dangling").symlink_to("far/new")
    for name in ("link", "dangling"):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "far" / "real").read_text() == (tmp_path / "far" / "new").read_text() == "new"


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("folder", "pipe", "loop", "missing/file"):
        with pytest.raises(OSError, match=name.partition("/")[0]) as caught:
            write_text(tmp_path / name, "new")
        assert caught.value.filename == str(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "loop", "pipe"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_protected_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("old")
    (tmp_path / "note").chmod(0o444)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "note", "new")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "other", "new")
    tmp_path.chmod(0o755)
    assert caught.value.filename == str(tmp_path / "other")


def picture(path: Path) -> None:
    with whole(path) as file:
        Image.effect_noise((400, 300), 90).convert("RGB").save(file, "JPEG", quality=95)


def checkpoint(path: Path) -> None:
    with whole(path) as file:
        torch.save({"x": torch.rand(40_000)}, file)


@pytest.mark.parametrize("write", [picture, checkpoint, lambda path: write_bytes(path, bytes(90_000))])
@pytest.mark.parametrize("room", [0, 1, 70_001, 80_000])
def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path: Path, write: Callable[[Path], None], room: int) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with full(room), pytest.raises(OSError, match="result") as caught:
        write(path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_line_is_appended_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    append_text(path, "step,loss\n")
    append_text(path, "1,0.5\n")
    with full(20), pytest.raises(OSError, match=r"log\.csv"):
        append_text(path, "2,0.25\n")
    assert path.read_text() == "step,loss\n1,0.5\n"

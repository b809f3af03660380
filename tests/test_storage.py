"""The app's own folder, and what is remembered of visitors."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lc.editor import Edit, Reading
from lc.errors import PhotoError
from lc.faces import Aligned, photo, read_photo
from lc.results import Outcome

pytest.importorskip("gradio")

from lc.ui import handlers, shown
from lc.ui.events import Events
from lc.ui.session import Session
from lc.ui.shown import Shown
from lc.ui.storage import Folder, sweep_dead
from lc.ui.unread import Unread
from lc.ui.visitors import ForgottenError, Visitors

ROOT = Path(__file__).parent.parent


def add(folder: Folder, name: str = "photo.jpg", data: bytes = b"data") -> str:
    path = folder.new_upload() / name
    path.write_bytes(data)
    folder.add_upload(str(path))
    return str(path)


def test_only_uploads_are_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with Folder(60, tmp_path) as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        path = add(folder)
        with folder.open_upload({"path": path, "url": "http://127.0.0.1/"}) as file:
            assert file.read() == b"data"
        result = folder.write(b"result", "result.png")
        assert folder.serves(result)
        assert folder.serves(path)
        bad: list[Any] = [None, path, [path], {}, {"path": None}, {"path": ["x"]}, {"path": 3}, {"path": result}]
        places = [str(tmp_path / "secret"), "/dev/zero", f"{path}/", path.replace("/upload-", "//upload-"), f"{path}\0"]
        bad += [{"path": place} for place in [*places, f"{folder.path}/upload-x/../{path[len(str(folder.path)) :]}"]]
        for upload in bad:
            with pytest.raises(PhotoError, match="not here"):
                folder.open_upload(upload)
        for place in (*places, str(folder.path / "server.lock")):
            assert not folder.serves(place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_an_upload_that_became_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with Folder(60, tmp_path) as folder:
        link, pipe = add(folder), add(folder)
        os.unlink(link)
        os.symlink(tmp_path / "secret", link)
        os.unlink(pipe)
        os.mkfifo(pipe)
        for path in (link, pipe):
            with pytest.raises(PhotoError, match="not here"):
                folder.open_upload({"path": path})


def test_everything_goes_by_age_but_the_first_paint(tmp_path: Path) -> None:
    with Folder(60, tmp_path) as folder:
        first = folder.write(b"first", "first.jpg")
        folder.keep_all()
        add(folder)
        folder.write(b"result", "result.png")
        (folder.path / "stray").mkdir()
        (folder.path / "stray" / "tmp0").write_bytes(b"")  # nobody has registered it
        (folder.path / "empty").mkdir()
        folder.sweep()
        assert len(list(folder.path.rglob("*"))) == 10
        folder.sweep(time.time() + 61)
        left = sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file())
        assert left == sorted(["server.lock", os.path.relpath(first, folder.path)])
        time.sleep(0.02)
        folder.sweep(time.time() + 61)
        assert len(list(folder.path.iterdir())) == 2
        assert not folder._uploads
        assert folder.serves(first)
    assert list(tmp_path.iterdir()) == []


def test_a_result_shown_again_counts_as_new(tmp_path: Path) -> None:
    with Folder(0.2, tmp_path) as folder:
        path = folder.write(b"result", "result.png")
        time.sleep(0.25)
        assert folder.write(b"result", "result.png") == path
        folder.sweep()
        assert folder.serves(path)
        time.sleep(0.25)
        folder.sweep()
        assert not folder.refresh(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of this kind")
def test_a_killed_servers_folder_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from lc.ui.storage import Folder\n"
        "folder = Folder(60, Path(sys.argv[1])); folder.write(b'x', 'x'); print(folder.path, flush=True)\n"
        "time.sleep(60)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    path = Path(server.stdout.readline().strip())
    with Folder(60, tmp_path) as living:
        assert path.is_dir()
        server.send_signal(signal.SIGKILL)
        server.wait()
        sweep_dead(tmp_path)
        assert not path.exists()
        assert living.path.is_dir()


def session_of(nbytes: int) -> Session:
    """A session that says that it takes so much memory."""

    @dataclasses.dataclass(frozen=True, eq=False)
    class Sized(Session):
        @property
        def nbytes(self) -> int:
            return nbytes

    reading: Any = SimpleNamespace(photo=SimpleNamespace(size=(64, 64)))
    return Sized(reading, None, ())


def test_sessions_are_bounded_by_bytes_and_the_oldest_go_first() -> None:
    opening = session_of(1)
    visitors = Visitors(opening, limit=100)
    assert visitors.session("new") is opening
    kept = [session_of(40) for _ in range(3)]
    visitors.keep_session("a", kept[0])
    visitors.keep_session("b", kept[1])
    assert visitors.session("a") is kept[0]  # used later than b
    visitors.keep_session("c", kept[2])
    assert visitors.nbytes == 80
    with pytest.raises(ForgottenError, match="choose a photo"):
        visitors.session("b")
    assert (visitors.session("a"), visitors.session("c")) == (kept[0], kept[2])
    visitors.keep_session("b", kept[1])  # who chooses a photo again is welcome
    assert visitors.session("b") is kept[1]
    visitors.keep_session("d", session_of(500))
    assert visitors.nbytes == 500


def test_visitors_are_forgotten_after_an_hour() -> None:
    visitors = Visitors(None, limit=100)
    visitors.keep_session("a", session_of(1))
    visitors.sweep(time.monotonic() + 3500)
    assert visitors.session("a") is not None
    visitors.sweep(time.monotonic() + 3700)
    with pytest.raises(ForgottenError):
        visitors.session("a")


def test_a_session_holds_no_full_size_picture(tmp_path: Path) -> None:
    """What is reachable from a session of a large photo is its file and pictures of a few dozen kB."""
    path = tmp_path / "large.jpg"
    Image.new("RGB", (6000, 6000)).save(path)
    large = read_photo(path)
    small = Image.new("RGB", (64, 64))
    reading = Reading(large, [], None, Aligned(small, np.eye(2, 3), 1.0), None, lambda: small, {})  # type: ignore[arg-type]
    outcome = Outcome(small, None, {}, 0.0, None, 0, True, 0.0)  # type: ignore[arg-type]
    edit = Edit(reading, {}, lambda: outcome, lambda: outcome, 0.0, None)
    assert edit.result.size == (6000, 6000)
    gc.collect()
    assert not [
        image for image in gc.get_objects() if issubclass(type(image), Image.Image) and image.size == (6000, 6000)
    ]
    assert large.nbytes == path.stat().st_size
    assert photo._RECENT._limit < 6000 * 6000 * 4


def test_who_was_forgotten_reads_a_sentence(tmp_path: Path) -> None:
    visitors = Visitors(None, limit=100)
    events, request = Events(visitors), SimpleNamespace(session_hash="a")

    def look(session: Session | None) -> Shown:
        return Shown(session=session, status="seen")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers.gr, "Warning", lambda text: None)
        status = Shown._fields.index("status") - 1
        seen, begun = events.wrap(look, shown.failed), events.wrap(look, shown.failed, begins=True)
        visitors.keep_session("a", session_of(60))
        assert seen(request)[status] == "seen"
        visitors.keep_session("b", session_of(60))
        assert "not kept any more" in seen(request)[status]
        visitors.keep_made("a", [])  # faces do not bring the photo back
        assert "not kept any more" in seen(request)[status]
        assert begun(request)[status] == "seen"

        def broken(session: Session | None) -> Shown:
            raise RuntimeError("a mistake of ours")

        assert "went wrong" in events.wrap(broken, shown.failed)(SimpleNamespace(session_hash="b"))[status]


def test_answers_that_nobody_fetches_are_dropped() -> None:
    ended: list[str] = []

    async def clean_events(session_hash: str) -> None:
        ended.append(session_hash)

    pending = {"silent": 1, "listens": 2}
    queue: Any = type("Queue", (), {})()
    queue.clean_events, queue.pending_event_ids_session = clean_events, {}
    queue.pending_messages_per_session = pending
    unread = Unread(queue, patience=0.05)
    unread.called("silent")
    unread.called("listens")
    asyncio.run(unread.drop())
    assert len(pending) == 2
    with unread.listening("listens"):
        time.sleep(0.1)
        asyncio.run(unread.drop())
        assert (list(pending), ended) == (["listens"], ["silent"])
    time.sleep(0.1)
    asyncio.run(unread.drop())
    assert not pending

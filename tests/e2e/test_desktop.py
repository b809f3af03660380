"""`python app.py --desktop` under Xvfb: a real window, steered by keys as a person would."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

connect = pytest.importorskip("websockets.sync.client", reason="websockets is not installed").connect

ROOT = Path(__file__).resolve().parents[2]
_MISSING = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
_MISSING += [name for name in ("webview", "qtpy") if importlib.util.find_spec(name) is None]
if _MISSING and os.environ.get("LC_REQUIRE_BROWSER"):
    raise RuntimeError(f"LC_REQUIRE_BROWSER is set, and these are missing: {_MISSING}")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_MISSING), reason=f"missing: {_MISSING}")]


def until(true: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


class Page:
    """The page in the window, by Chromium's protocol, of which a window's browser knows too little for Playwright.

    Args:
        port: where it listens.
        app: the program.
    """

    def __init__(self, port: str, app: subprocess.Popen[bytes]) -> None:
        def find() -> str | None:
            assert app.poll() is None, "app.py ended"
            try:
                pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False).json()
            except httpx.HTTPError:
                return None
            return next((one["webSocketDebuggerUrl"] for one in pages if one["url"].startswith("http")), None)

        self._socket = connect(until(find), max_size=None)

    def does(self, script: str) -> Any:
        """Run a line in the page, as if somebody had clicked; its value."""
        parameters = {"expression": script, "userGesture": True, "returnByValue": True}
        self._socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": parameters}))
        while (answer := json.loads(self._socket.recv(60))).get("id") != 1:
            pass
        return answer["result"]["result"].get("value")

    def wait(self, script: str) -> None:
        """Until it is true."""
        until(lambda: self.does(f"Boolean({script})"))


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of programs on a screen of their own."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as number:
        display = f":{number.readline().strip()}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # The window's browser runs as root where the tests do, which its sandbox does not.
    flags = {"QTWEBENGINE_DISABLE_SANDBOX": "1", "QTWEBENGINE_REMOTE_DEBUGGING": port, "TMPDIR": str(tmp_path)}
    yield {**os.environ, **flags, "DISPLAY": display}
    server.terminate()
    server.wait(20)


def typed(screen: dict[str, str], dialog: str, path: Path) -> None:
    """Answer a file dialog with a path."""

    def tool(*arguments: str) -> list[str]:
        done = subprocess.run(["xdotool", *arguments], env=screen, capture_output=True, text=True)
        return done.stdout.split()

    (window, *_) = until(lambda: tool("search", "--onlyvisible", "--name", dialog))
    tool("windowfocus", "--sync", window)
    time.sleep(1)
    tool("key", "ctrl+a")
    tool("type", "--delay", "20", str(path))
    tool("key", "Return")


def test_a_window_opens_a_photo_saves_it_and_ends_cleanly(
    screen: dict[str, str], astronaut: Path, tmp_path: Path
) -> None:
    photo, saved = tmp_path / "mine.png", tmp_path / "out.png"
    with Image.open(astronaut) as image:
        image.resize((400, 400)).save(photo)
    command = [sys.executable, "app.py", "--desktop", "--device", "cpu"]
    with (tmp_path / "log").open("w") as log:
        app = subprocess.Popen(command, cwd=ROOT, env=screen, stdout=log, stderr=subprocess.STDOUT)
    try:
        page = Page(screen["QTWEBENGINE_REMOTE_DEBUGGING"], app)
        page.wait("document.querySelector('.lc-tile img[src]') && window.pywebview?.api?.save")
        assert page.does("location.href").startswith("http://127.0.0.1:")
        page.does("document.querySelector('.lc-actions input').click()")
        typed(screen, "Open", photo)
        page.wait("lc.state.name === 'mine.png'")
        page.does("document.querySelector('[data-do=export]').click()")
        typed(screen, "Save", saved)
        until(saved.exists)
        with Image.open(saved) as image:
            assert (image.format, image.size) == ("PNG", (400, 400))
        app.send_signal(signal.SIGTERM)
        assert app.wait(30) == 0
        assert not list(tmp_path.glob("latent-constraints-*"))
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        app.kill()

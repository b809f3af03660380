"""The real page in Chromium, served by `python app.py`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from driving import PATIENCE  # noqa: E402 - needs playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None and os.environ.get("LC_REQUIRE_BROWSER"):
    raise RuntimeError("LC_REQUIRE_BROWSER is set, and there is no chromium on the path")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser, a server and another test share two cores: what is late once is tried again."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2))
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no chromium on the path: apt-get install chromium"))


class Served(NamedTuple):
    """A server that runs."""

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Served]:
    """The page, served by a process of its own; the folder takes its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "app.py", "--port", str(port), "--device", "cpu", *flags]
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 300
        while "http" not in log.read_text():
            assert server.poll() is None, f"app.py ended: {log.read_text()}"
            assert time.monotonic() < deadline, "app.py does not start"
            time.sleep(0.1)
        yield Served(f"http://127.0.0.1:{port}/", server)
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("app")) as one:
        yield one


@pytest.fixture(scope="session")
def german(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page in German; it starts where a test asks for it."""
    with serving(tmp_path_factory.mktemp("german"), "--language", "de") as one:
        yield one


@pytest.fixture
def language() -> str:
    """Of the page; a test that names another has that in its parameters."""
    return "en"


@pytest.fixture
def address(language: str, request: pytest.FixtureRequest) -> str:
    served: Served = request.getfixturevalue({"en": "served", "de": "german"}[language])
    return served.address


@pytest.fixture(scope="module")  # an event loop runs as long as Playwright does, and other files want their own
def browser() -> Iterator[sync_api.Browser]:
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """A fresh visitor. Whatever the test does, the console stays clean and nothing is asked from outside."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    outside: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    local = (address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else outside.append(request.url))
    page.goto(address)
    page.wait_for_selector(".lc-tile img[src]")
    yield page
    assert not outside
    # A reload cuts the streams that are open, which Gradio's client reports.
    cut = ("BodyStreamBuffer was aborted", "Connection errored out", "signal is aborted")
    assert not [one for one in complaints if not any(part in one for part in cut)]
    page.close()

"""The page, served by `python app.py` and opened in Chromium: what programs that look at it share."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["ROOT", "opened"]

ROOT = Path(__file__).resolve().parents[1]

_STARTING, _ENDING = 300, 20  # seconds that the server has for it


@contextmanager
def opened(port: int, address: str | None = None) -> Iterator[tuple[str, Browser]]:
    """The page's address and a browser for the length of a `with` block.

    Args:
        port: for the page.
        address: of a page that is served already; None: serve it.

    Raises:
        SystemExit: the page does not start, and why.
    """
    from playwright.sync_api import sync_playwright

    with _served(port) if address is None else nullcontext(address) as place, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield place, chromium
        chromium.close()


@contextmanager
def _served(port: int) -> Iterator[str]:
    command = [sys.executable, "app.py", "--port", str(port), "--device", "cpu"]
    with tempfile.TemporaryFile("w+") as log:  # a pipe that nobody reads would fill up, and stop the server
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(_ENDING)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _address(server: subprocess.Popen[bytes], log: IO[str]) -> str:
    """What the server prints once it serves. Raises SystemExit where it ends or takes too long."""
    deadline = time.monotonic() + _STARTING
    while time.monotonic() < deadline:
        log.seek(0)
        said = log.read()
        if address := re.search(r"The page is at (\S+)\n", said):
            return address[1]
        if server.poll() is not None:
            raise SystemExit(f"The page does not start: {said.strip() or 'app.py ended and said nothing'}")
        time.sleep(0.1)
    raise SystemExit(f"Waited {_STARTING} seconds for app.py to print its address: is the machine busy?")

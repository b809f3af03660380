"""The page, served by `python app.py` and opened in Chromium: what programs that look at it share."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["ROOT", "opened"]

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def opened(port: int, address: str | None = None) -> Iterator[tuple[str, Browser]]:
    """The page's address and a browser for the length of a `with` block.

    Args:
        port: for the page.
        address: of a page that is served already; None: serve it.

    Raises:
        SystemExit: the page does not start; it has said why.
    """
    from playwright.sync_api import sync_playwright

    with _served(port) if address is None else nullcontext(address) as place, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield place, chromium
        chromium.close()


@contextmanager
def _served(port: int) -> Iterator[str]:
    command = [sys.executable, "app.py", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = re.search(r"http\S+", server.stdout.readline())
        if address is None:
            raise SystemExit("The page does not start: see the message above.")
        yield address[0]
    finally:
        server.terminate()
        server.wait(20)

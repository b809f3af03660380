"""The page in a window of its own, by pywebview, which is an optional requirement: `pip install 'pywebview[qt6]'`.

The window keeps nothing on disk, for its address is another one at each start. Files are chosen by the window's own
dialog, and saved by one that is asked for here: not every browser that pywebview drives has one.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from lc.errors import LatentConstraintsError
from lc.files import write_bytes
from lc.ui.texts import text

__all__ = ["check", "show"]

_SIZE, _SMALLEST = (1280, 940), (390, 640)  # pixels

# What the page saves, it saves by a link; a click on one asks for a place instead.
_SAVING = """document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[download]");
  if (!link) return;
  event.preventDefault();
  window.pywebview.api.save(link.href, link.download);
}, true);"""


def check() -> None:
    """Whether a window can be had here, as far as can be told before there is one.

    Raises:
        LatentConstraintsError: pywebview or a screen is missing.
    """
    try:
        import webview  # noqa: F401
    except ImportError as error:
        raise LatentConstraintsError(text("desktop.missing")) from error
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise LatentConstraintsError(text("desktop.screen"))


class _Saver:
    """What the page in the window may call.

    Args:
        address: of the page: nothing else is fetched.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._window: Any = None

    def save(self, address: str, name: str) -> None:
        """Ask where to save a file of the page, and save it there.

        Args:
            address: of the file.
            name: what it is called unless somebody calls it otherwise.
        """
        import webview

        if not address.startswith(self._address):
            return
        chosen = self._window.create_file_dialog(webview.FileDialog.SAVE, save_filename=Path(name).name)
        if chosen:
            path = chosen if isinstance(chosen, str) else chosen[0]
            with urllib.request.urlopen(address) as answer:
                write_bytes(Path(path), answer.read())


def show(address: str) -> None:
    """Show the page until its window is closed or the program is told to end. For the main thread.

    Args:
        address: of the page, on this machine.

    Raises:
        LatentConstraintsError: pywebview finds nothing here that could show a page.
    """
    import webview

    saver = _Saver(address)
    window = webview.create_window(
        text("page.title"), address, js_api=saver, width=_SIZE[0], height=_SIZE[1], min_size=_SMALLEST
    )
    assert window is not None  # it is so where a listener forbids it, and there is none
    saver._window = window
    window.events.loaded += lambda: window.evaluate_js(_SAVING)
    # From a thread: the handler may run inside the window's own loop.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=window.destroy).start())
    logging.getLogger("pywebview").setLevel(
        logging.CRITICAL
    )  # it writes a traceback for each browser that is not there
    qt = sys.platform.startswith("linux") and importlib.util.find_spec("qtpy") is not None
    try:
        webview.start(gui="qt" if qt else None)
    except webview.errors.WebViewException as error:
        raise LatentConstraintsError(text("desktop.missing")) from error

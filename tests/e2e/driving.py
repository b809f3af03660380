"""What the page's tests do and look at: what is on the stage, and how it gets there."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lc.ui.texts import texts

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PATIENCE = 40_000  # milliseconds: a machine that also trains is slow
PHONE = {"width": 390, "height": 844}

#: For tests of the page in another language; a second server runs for it, so they are not among the quick ones.
GERMAN = pytest.param("de", marks=pytest.mark.slow)
TABS = ("page.edit_tab", "page.random_tab", "page.teach_tab", "page.card_tab")  # by the names of their titles


def open_tab(page: sync_api.Page, name: str, language: str = "en") -> None:
    """Open a tab by the name of its title, see lc/ui/texts."""
    page.get_by_role("tab", name=texts(language)[name], exact=True).click()


def entry(page: sync_api.Page) -> list[object]:
    """Which entry of the history is on show, and what is on in it."""
    return list(page.evaluate("[lc.state.at, lc.state.serial, [...lc.state.boxes].sort().join()]"))


def after(page: sync_api.Page) -> str:
    """The address of the edited picture: it is the picture itself, or holds a hash of it."""
    return str(page.evaluate("lc.state.after"))


def act(page: sync_api.Page, do: Callable[[], object]) -> str:
    """Do something, and wait for the picture that comes of it."""
    old = page.evaluate("lc.state.serial")
    do()
    page.wait_for_function("old => lc.state.serial !== old && !lc.state.walking", arg=old)
    return after(page)


def picture(page: sync_api.Page, name: str = "after") -> np.ndarray:
    """One of the stage's pictures, "before" or "after", as the browser has it: (h, w, 3)."""
    script = """async (picture) => {
      const reader = new FileReader(), blob = await (await fetch(picture.src)).blob();
      return new Promise((resolve) => { reader.onload = () => resolve(reader.result); reader.readAsDataURL(blob); });
    }"""
    data = page.locator(f".lc-{name}").first.evaluate(script)
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def tile(page: sync_api.Page, name: str) -> sync_api.Locator:
    return page.locator(f"[data-name={name}]")


def upload(page: sync_api.Page, path: Path) -> None:
    act(page, lambda: page.locator(".lc-actions input[type=file]").set_input_files(path))


def status(page: sync_api.Page) -> str:
    return page.locator("#status").inner_text()


def differs(one: bytes, other: bytes) -> float:
    """The mean difference of two screenshots, in grey levels; a pixel more or less of size does not count."""
    first, second = (Image.open(io.BytesIO(data)).convert("L") for data in (one, other))
    pictures = [np.asarray(image, dtype=float) for image in (first, second.resize(first.size))]
    return float(np.abs(pictures[0] - pictures[1]).mean())

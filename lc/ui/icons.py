"""What a device needs to install the page: a manifest and icons, drawn here. Served by the door, and nothing else is.

The icon is the page's one idea: a face, and a line that parts before from after.
"""

from __future__ import annotations

import io
import json
from functools import cache

from PIL import Image, ImageDraw

from lc.ui.texts import text

__all__ = ["HEAD", "INSTALLED", "icon", "installed"]

_SIDES = (192, 512)  # pixels, those that browsers ask for
_FINER = 4  # drawn at so many times the size, for smooth edges
_TEAL, _DARK, _SKIN, _LINE = "#0f766e", "#134e4a", "#f1f5f9", "#ffffff"

#: Paths that `installed` answers.
INSTALLED = frozenset({"/manifest.json", "/favicon.ico", *(f"/icon-{side}.png" for side in _SIDES)})

#: For the page's head.
HEAD = '<meta name="theme-color" content="#0f766e"><link rel="apple-touch-icon" href="icon-192.png">'


@cache
def icon(side: int) -> bytes:
    """The icon as a PNG of `side` pixels, filled to its edges: systems cut it to their own shape."""
    size = side * _FINER
    picture = Image.new("RGB", (size, size), _DARK)
    draw = ImageDraw.Draw(picture)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        return left * size, top * size, right * size, bottom * size

    draw.rectangle(box(0.5, 0, 1, 1), fill=_TEAL)
    draw.ellipse(box(0.28, 0.2, 0.72, 0.8), fill=_SKIN)
    for x in (0.42, 0.58):
        draw.ellipse(box(x - 0.03, 0.42, x + 0.03, 0.48), fill=_DARK)
    width = round(0.03 * size)
    draw.line([(0.42 * size, 0.64 * size), (0.5 * size, 0.64 * size)], fill=_DARK, width=width)
    draw.arc(box(0.38, 0.5, 0.62, 0.68), 0, 90, fill=_DARK, width=width)
    draw.rectangle(box(0.492, 0, 0.508, 1), fill=_LINE)
    file = io.BytesIO()
    picture.resize((side, side), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def installed(path: str) -> tuple[bytes, str]:
    """The body and the media type of one of `INSTALLED`."""
    if path == "/manifest.json":
        return _manifest(), "application/manifest+json"
    return icon(
        _SIDES[0] if path == "/favicon.ico" else int(path.removeprefix("/icon-").removesuffix(".png"))
    ), "image/png"


def _manifest() -> bytes:
    icons = [
        {"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png", "purpose": purpose}
        for side in _SIDES
        for purpose in ("any", "maskable")
    ]
    described = {
        "name": text("page.title"),
        "short_name": text("page.title"),
        "lang": text("page.language"),
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f8fafc",
        "theme_color": _TEAL,
        "icons": icons,
    }
    return json.dumps(described).encode()

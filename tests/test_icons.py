"""What a device gets that installs the page."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

pytest.importorskip("gradio")

from lc.ui.icons import INSTALLED, installed


def test_the_manifest_names_icons_that_are_there() -> None:
    body, kind = installed("/manifest.json")
    assert kind == "application/manifest+json"
    manifest = json.loads(body)
    assert {"name", "short_name", "start_url", "display", "theme_color"} <= manifest.keys()
    assert {(one["sizes"], one["purpose"]) for one in manifest["icons"]} >= {
        ("192x192", "any"),
        ("512x512", "maskable"),
    }
    for one in manifest["icons"]:
        assert f"/{one['src']}" in INSTALLED
        picture, kind = installed(f"/{one['src']}")
        assert kind == "image/png"
        with Image.open(io.BytesIO(picture)) as image:
            assert f"{image.width}x{image.height}" == one["sizes"]
            # Before and after: two halves of two colours, to the edges, for systems cut icons to their own shape.
            assert image.getpixel((0, 0)) != image.getpixel((image.width - 1, 0))

"""Takes README's pictures of the page in Chromium: `python -m benchmarks.page_pictures`. They show the astronaut."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.browser import ROOT, opened

#: Of each picture: width and height of the window, and light or dark.
PICTURES = {"page": (1280, 900, "light"), "page-dark": (1280, 900, "dark"), "page-phone": (390, 844, "light")}


def main() -> None:
    """Serve the page, open it in each way, and write docs/NAME.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7869, help="for the page (default: %(default)s)")
    arguments = parser.parse_args()
    with opened(arguments.port) as (address, chromium):
        for name, (width, height, theme) in PICTURES.items():
            page = chromium.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
            page.goto(f"{address}?__theme={theme}")
            page.wait_for_selector(".lc-tile img[src]")
            page.wait_for_timeout(1000)  # pictures fade in
            page.screenshot(path=arguments.out / f"{name}.png")
            page.close()


if __name__ == "__main__":
    main()

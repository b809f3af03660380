"""What a visitor waits for, measured in Chromium: `python -m benchmarks.page_speed`.

Each wait is timed inside the browser, from the tap, the key or the file to the moment at which the new picture is
decoded and two frames have been drawn since. Several rounds; what is printed are medians, beside what was aimed at.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.browser import ROOT, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: What is measured: words, and the aim, in milliseconds but for the last.
AIMS = {
    "tap": ("tap to picture", 300.0),
    "slider": ("slider to picture", 400.0),
    "photo": ("new photo to picture", None),
    "tiles": ("new photo to ten tiles", 3000.0),
    "first": ("server's answer to first edited face", 2000.0),
    "shift": ("cumulative layout shift", 0.05),
}

# Before the page's own programs run: sums up layout shifts, and notes when the first edited face is to be seen.
_WATCH = """
window.shifts = 0;
new PerformanceObserver((list) => list.getEntries().forEach((one) => {
  if (!one.hadRecentInput) window.shifts += one.value;
})).observe({ type: "layout-shift", buffered: true });
const look = () => {
  const picture = document.querySelector(".lc-after");
  if (!picture?.complete || !picture.naturalWidth) return requestAnimationFrame(look);
  requestAnimationFrame(() => requestAnimationFrame(() => {
    window.first = performance.now() - performance.getEntriesByType("navigation")[0].responseStart;
  }));
};
requestAnimationFrame(look);
"""

# Does something, and waits until another picture stands on the stage; milliseconds.
_TIMED = """([kind, name]) => new Promise((resolve) => {
  const picture = document.querySelector(".lc-after"), old = picture.src, begun = performance.now();
  const seen = new MutationObserver(async () => {
    if (picture.src === old) return;
    seen.disconnect();
    await picture.decode();
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begun)));
  });
  seen.observe(picture, { attributes: true });
  if (kind === "tap") document.querySelector(`[data-name=${name}]`).click();
  else {
    const slider = document.querySelector(`[data-slider=${name}]`);
    slider.value = Number(slider.value) > 0.7 ? 0.55 : Number(slider.value) + 0.05;
    slider.dispatchEvent(new Event("change", { bubbles: true }));
  }
})"""

# Notes when another face is on the stage and when all of its tiles are; begins as soon as a file is chosen.
_FILLING = """() => {
  const picture = document.querySelector(".lc-after"), old = picture.src;
  window.filling = new Promise((resolve) => {
    document.querySelector(".lc-actions input[type=file]").addEventListener("change", () => {
      const begun = performance.now();
      let photo = 0;
      const look = () => {
        if (!photo && picture.src !== old && picture.complete) photo = performance.now() - begun;
        const left = [...document.querySelectorAll(".lc-tile img")].filter((one) => one.hidden || !one.complete);
        if (photo && !left.length) resolve([photo, performance.now() - begun]);
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, { once: true });
  });
}"""


def main() -> None:
    """Measure, print a table, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="of each (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7868, help="for the page (default: %(default)s)")
    parser.add_argument("--address", help="of a page that is served already, such as http://127.0.0.1:7860/")
    parser.add_argument("--photos", type=Path, nargs="*", help="new photos (default: the page's examples)")
    parser.add_argument("--json", type=Path, help="write every figure there")
    arguments = parser.parse_args()
    photos = arguments.photos or sorted((ROOT / "lc" / "ui" / "examples").iterdir())
    with opened(arguments.port, arguments.address) as (address, chromium):
        measured = measure(chromium, address, photos, arguments.rounds)
    for name, values in measured.items():
        words, aim = AIMS[name]
        digits = 3 if name == "shift" else 0
        ordered = sorted(values)
        print(
            f"{words}: median {statistics.median(ordered):.{digits}f}, best {ordered[0]:.{digits}f}, "
            f"nine in ten within {ordered[int(0.9 * (len(ordered) - 1))]:.{digits}f}, aim {aim or '-'}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def measure(chromium: Browser, address: str, photos: list[Path], rounds: int) -> dict[str, list[float]]:
    """Milliseconds by what was waited for; the layout shift is a number without a unit, one for each visit."""
    measured: dict[str, list[float]] = {name: [] for name in AIMS}
    for _ in range(rounds):
        page = _visit(chromium, address)
        measured["first"].append(page.evaluate("window.first"))
        measured["shift"].append(page.evaluate("window.shifts"))
        page.close()
    page = _visit(chromium, address)
    names = page.evaluate("[...document.querySelectorAll('[data-name]')].map((tile) => tile.dataset.name)")
    _timed(page, "tap", names[0])
    for i in range(rounds):
        # On and off in turn is what people do; the same edit is never asked for twice.
        measured["tap"].append(_timed(page, "tap", names[i % len(names)]))
    page.locator("[data-do=reset]").click()
    page.wait_for_function("lc.state.at > 0 && !lc.state.boxes.some((box) => !lc.state.seen.includes(box))")
    _timed(page, "tap", names[0])
    for i in range(rounds):
        measured["slider"].append(_timed(page, "slider", ("strength", "identity")[i % 2]))
    for i in range(rounds):
        page.evaluate(_FILLING)
        page.locator(".lc-actions input[type=file]").set_input_files(photos[i % len(photos)])
        photo, tiles = page.evaluate("window.filling")
        measured["photo"].append(photo)
        measured["tiles"].append(tiles)
    measured["shift"].append(page.evaluate("window.shifts"))
    page.close()
    return measured


def _visit(chromium: Browser, address: str) -> Page:
    page = chromium.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.add_init_script(_WATCH)
    page.goto(address)
    page.wait_for_function("window.first")
    page.wait_for_selector(".lc-tile img[src]")
    return page


def _timed(page: Page, kind: str, name: str) -> float:
    value: Any = page.evaluate(_TIMED, [kind, name])
    page.wait_for_timeout(150)  # what follows the picture
    return float(value)


if __name__ == "__main__":
    main()

"""What a visitor waits for, measured in Chromium: `python -m benchmarks.page_speed`.

Each wait is timed inside the browser, from the tap, the key or the file to the moment at which the new picture is
decoded and two frames have been drawn since. Several rounds; what is printed are medians, beside what was aimed at.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

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
    "ready": ("server's answer to a page that can be used", None),
    "shift": ("cumulative layout shift", 0.05),
}

# Before the page's own programs run: sums up layout shifts, and notes when the first edited face is to be
# seen, and when it stands on the stage.
_WATCH = """
window.shifts = 0;
new PerformanceObserver((list) => list.getEntries().forEach((one) => {
  if (!one.hadRecentInput) window.shifts += one.value;
})).observe({ type: "layout-shift", buffered: true });
const look = () => {
  const early = document.querySelector("#lc-first img"), stage = document.querySelector(".lc-after");
  const note = (name) => requestAnimationFrame(() => requestAnimationFrame(() => {
    window[name] ??= performance.now() - performance.getEntriesByType("navigation")[0].responseStart;
  }));
  const drawn = (picture) => picture?.complete && picture.naturalWidth;
  if (drawn(early) || drawn(stage)) note("first");
  if (drawn(stage) && !early) note("ready");
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""

# Does something, and says when the picture that answers it stands on the stage: milliseconds, a sentence where the page
# refuses, or nothing where it has waited in vain. An answer has a serial of its own, whether or not its picture differs
# from the last. The browser says so by itself: asked again and again, it would have less time for what is measured.
_TIMED = """([kind, name, patience]) => new Promise((done) => {
  const picture = document.querySelector(".lc-after"), old = lc.state.serial, begun = performance.now();
  setTimeout(done, patience, null);
  const hear = async () => {
    const fault = document.querySelector(".lc-fault");
    if (lc.state.serial === old && fault.hidden) return;
    lc.hear.splice(lc.hear.indexOf(hear), 1);
    if (!fault.hidden) return done(fault.textContent);
    await picture.decode();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));
  };
  lc.hear.push(hear);
  if (kind === "tap") document.querySelector(`[data-name=${name}]`).click();
  else if (kind === "reset") document.querySelector("[data-do=reset]").click();
  else {
    const slider = document.querySelector(`[data-slider=${name}]`);
    slider.value = Number(slider.value) > 0.7 ? 0.55 : Number(slider.value) + 0.05;
    slider.dispatchEvent(new Event("change", { bubbles: true }));
  }
})"""

# Notes when another face is on the stage and when the tiles of its attributes are; begins as soon as a file is chosen.
# Tiles under "More changes" stay empty until somebody opens that.
_FILLING = """() => {
  const picture = document.querySelector(".lc-after"), old = lc.state.serial;
  window.photo = window.tiles = window.refused = 0;
  document.querySelector(".lc-actions input[type=file]").addEventListener("change", () => {
    const begun = performance.now();
    const look = () => {
      const fault = document.querySelector(".lc-fault");
      if (!fault.hidden) return window.refused = fault.textContent;
      if (!window.photo && lc.state.serial !== old && picture.complete) window.photo = performance.now() - begun;
      const left = [...document.querySelectorAll("[data-name] img")].filter((one) => one.hidden || !one.complete);
      if (window.photo && !left.length) return window.tiles = performance.now() - begun;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, { once: true });
}"""

_PATIENCE = 60.0  # seconds that any one wait may take


def main() -> None:
    """Measure, print a table, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="of each (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7868, help="for the page (default: %(default)s)")
    parser.add_argument("--address", help="of a page that is served already, such as http://127.0.0.1:7860/")
    parser.add_argument("--photos", type=Path, nargs="*", help="new photos (default: the page's examples)")
    parser.add_argument("--json", type=Path, help="write every figure there")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds has to be 1 or more")
    photos = arguments.photos or sorted((ROOT / "lc" / "ui" / "examples").iterdir())
    measured: dict[str, list[float]] = {name: [] for name in AIMS}
    try:
        with opened(arguments.port, arguments.address) as (address, chromium):
            for part in (_visits, _edits, _photos):
                for name, values in part(chromium, address, photos, arguments.rounds).items():
                    measured[name] += values
                    if name != "shift":
                        _print(name, measured[name])
        _print("shift", measured["shift"])
    finally:  # what was measured before something went wrong is worth keeping
        if arguments.json:
            arguments.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def _print(name: str, values: list[float]) -> None:
    words, aim = AIMS[name]
    digits = 3 if name == "shift" else 0
    ordered = sorted(values)
    print(
        f"{words}: median {statistics.median(ordered):.{digits}f}, best {ordered[0]:.{digits}f}, "
        f"nine in ten within {ordered[int(0.9 * (len(ordered) - 1))]:.{digits}f}, aim {aim or '-'}",
        flush=True,
    )


def _visits(chromium: Browser, address: str, photos: list[Path], rounds: int) -> dict[str, list[float]]:
    """First paints, in milliseconds, and layout shifts, each of a new visitor."""
    firsts, usable, shifts = [], [], []
    for _ in range(rounds):
        page = _visit(chromium, address)
        firsts.append(float(page.evaluate("window.first")))
        usable.append(float(page.evaluate("window.ready")))
        shifts.append(float(page.evaluate("window.shifts")))
        page.close()
    return {"first": firsts, "ready": usable, "shift": shifts}


def _edits(chromium: Browser, address: str, photos: list[Path], rounds: int) -> dict[str, list[float]]:
    """Taps and sliders, in milliseconds, and how much the page shifted meanwhile."""
    page = _visit(chromium, address)
    names = page.evaluate("[...document.querySelectorAll('[data-name]')].map((tile) => tile.dataset.name)")
    _timed(page, "tap", names[0])
    # On and off in turn is what people do; the same edit is never asked for twice.
    taps = [_timed(page, "tap", names[i % len(names)]) for i in range(rounds)]
    _timed(page, "reset", "")
    _timed(page, "tap", names[0])
    sliders = [_timed(page, "slider", ("strength", "identity")[i % 2]) for i in range(rounds)]
    shift = float(page.evaluate("window.shifts"))
    page.close()
    return {"tap": taps, "slider": sliders, "shift": [shift]}


def _photos(chromium: Browser, address: str, photos: list[Path], rounds: int) -> dict[str, list[float]]:
    """From a chosen file to its face on the stage and to the tiles of all attributes, in milliseconds."""
    page = _visit(chromium, address)
    pictures, tiles = [], []
    for i in range(rounds):
        photo = photos[i % len(photos)]
        page.evaluate(_FILLING)
        page.locator(".lc-actions input[type=file]").set_input_files(photo)
        pictures.append(_wait(page, "window.photo", f"{photo.name} on the stage"))
        tiles.append(_wait(page, "window.tiles", f"the tiles of {photo.name}"))
    shift = float(page.evaluate("window.shifts"))
    page.close()
    return {"photo": pictures, "tiles": tiles, "shift": [shift]}


def _visit(chromium: Browser, address: str) -> Page:
    from playwright.sync_api import Error

    page = chromium.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(1000 * _PATIENCE)
    page.add_init_script(_WATCH)
    try:
        page.goto(address)
    except Error as error:
        raise SystemExit(f"Waited for {address} to answer in vain: {error.message.splitlines()[0]}") from error
    _wait(page, "window.first", "the first edited face")
    _wait(page, "window.ready", "the stage")
    _wait(page, "document.querySelectorAll('[data-name] img[src]').length", "the first tile")
    return page


def _timed(page: Page, kind: str, name: str) -> float:
    value = page.evaluate(_TIMED, [kind, name, 1000 * _PATIENCE])
    if not isinstance(value, float | int):
        said = f"and the page said: {value}" if value else f"{_PATIENCE:.0f} seconds"
        raise SystemExit(f"Waited for the picture after {kind} {name}, {said}")
    page.wait_for_timeout(150)  # what follows the picture
    return float(value)


def _wait(page: Page, value: str, what: str) -> float:
    """A number in the page once it is there. Raises SystemExit where the page refuses, or takes too long.

    Args:
        page: the page.
        value: what is evaluated there: 0 or undefined as long as there is nothing.
        what: what is waited for, in words.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        refused, number = page.evaluate(f"[window.refused, {value}]")
        if refused:
            raise SystemExit(f"Waited for {what}, and the page said: {refused}")
        if number:
            return float(number)
        page.wait_for_timeout(20)
    raise SystemExit(f"Waited {_PATIENCE:.0f} seconds for {what} in vain.")


if __name__ == "__main__":
    main()

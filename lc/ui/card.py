"""How good it is: three plain figures of what was measured on the weights, a picture of each change, what more of it
costs, and the whole model card."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import math
import mimetypes
import re
from html import escape
from pathlib import Path
from typing import Any

from lc.attributes import AttributeSet
from lc.ui.storage import Folder
from lc.ui.texts import text
from lc.ui.views import change

__all__ = ["PICTURES", "changes", "curve", "figures", "model_card"]

#: The folder of the weights folder with a picture of each change, see benchmarks/card_pictures.py.
PICTURES = "changes"


def figures(weights: Path) -> str:
    """The three figures that matter to who edits a photo, of finished photos at the default setting, from the weights'
    evaluation.json; those that are there."""
    try:
        measured = json.loads((weights / "evaluation.json").read_text(encoding="utf-8"))["finished"]["places"]["0.5"]
        rows = [direction["all"] for direction in measured["directions"].values()]
        said = [
            # By the strictest there is: nets from elsewhere, else pixels, else the classifier kept for evaluation.
            (_mean(rows, ("outside", "masks", "evaluation")), text("card.shows")),
            (measured["same_person"]["all"].get("same_person"), text("card.person")),
            (_mean(rows, ("held",)), text("card.rest")),
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f'<p class="lc-note">{escape(text("card.none"))}</p>'
    known = [(value, words) for value, words in said if isinstance(value, float)]
    shown = "".join(f"<li><b>{value:.0%}</b><span>{escape(words)}</span></li>" for value, words in known)
    return f'<ul class="lc-figures">{shown}</ul><p class="lc-note">{escape(text("card.note"))}</p>'


def _mean(rows: list[dict[str, Any]], names: tuple[str, ...]) -> float | None:
    """Of what each direction's edits measured, the first of these names that was: the mean over all edits."""
    known = []
    for row in rows:
        value = next((row[name] for name in names if name in row), None)
        if value is not None:
            known.append((row["edits"], value))
    edits = sum(count for count, _ in known)
    return sum(count * value for count, value in known) / edits if edits else None


def changes(weights: Path, attributes: AttributeSet, folder: Folder) -> str:
    """What each change looks like, as a rule and at worst: pictures of the weights folder, before and after.

    Args:
        weights: see `figures`; empty where it holds no such pictures.
        attributes: which the model knows.
        folder: from where the browser fetches them.
    """
    shown = []
    for one, wanted in itertools.product(attributes.attributes, (True, False)):
        pictures, words = "", change(attributes, one.name, wanted)
        for place, said in (("typical", text("card.typical")), ("worst", text("card.worst"))):
            with contextlib.suppress(OSError):
                path = weights / PICTURES / f"{one.name}-{wanted:d}-{place}.jpg"
                address = folder.write(path.read_bytes(), path.name)
                alt = text("card.picture", title=words, place=said)
                pictures += (
                    f'<span data-words="{escape(said)}"><img loading="lazy" width="400" height="200" '
                    f'alt="{escape(alt)}" src="gradio_api/file={escape(address)}"></span>'
                )
        if pictures:
            shown.append(f"<figure><figcaption>{escape(words)}</figcaption><div>{pictures}</div></figure>")
    if not shown:
        return ""
    return f'<h2>{escape(text("card.changes"))}</h2><div class="lc-pairs">{"".join(shown)}</div>'


def curve(weights: Path) -> str:
    """How often a change is seen against how often the person is, over the identity slider, as a drawing; empty where
    that was not measured."""
    try:
        sweep = json.loads((weights / "evaluation.json").read_text(encoding="utf-8"))["sweep"]
        rows = sorted((float(place), row) for place, row in sweep.items())
        known = [(float(row["same_person_pasted"]), float(row["success_pasted"])) for _, row in rows]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    if len(known) < 2:
        return ""
    low = min(math.floor(20 * min(min(pair) for pair in known)) / 20, 0.95)  # the next lower twentieth

    def place(value: float, size: int) -> float:
        return size * (value - low) / (1 - low)

    dots = [(60 + place(person, 320), 190 - place(seen, 160)) for person, seen in known]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    labels = [
        _label(dots[0][0] + 10, dots[0][1] - 8, text("edit.identity_high")),
        _label(dots[-1][0] - 10, dots[-1][1] + 18, text("edit.identity_low"), "end"),
        *(_label(52, y, f"{value:.0%}", "end") for y, value in ((30, 1), (194, low))),
        *(_label(x, 208, f"{value:.0%}", "middle") for x, value in ((60, low), (380, 1))),
        _label(225, 230, text("card.curve_person"), "middle"),
        _label(66, 14, text("card.curve_seen")),
    ]
    said = text("card.curve_said", first_person=known[0][0], first=known[0][1], person=known[-1][0], last=known[-1][1])
    drawn = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>' for x, y in dots) + "".join(labels)
    return (
        f'<h2>{escape(text("card.curve"))}</h2><svg class="lc-curve" viewBox="0 0 400 240" role="img" '
        f'aria-label="{escape(said)}"><path d="M60 20V190H390"/><polyline points="{line}"/>{drawn}</svg>'
    )


def _label(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def model_card(weights: Path) -> str:
    """The weights' README.md without its front matter and below it evaluation.md with all tables, if there is one;
    their local pictures are put into the text."""
    try:
        card = (weights / "README.md").read_text(encoding="utf-8")
    except OSError:
        return text("page.no_card")
    card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    with contextlib.suppress(OSError):
        card += "\n\n" + (weights / "evaluation.md").read_text(encoding="utf-8")

    def inline(match: re.Match[str]) -> str:
        picture = (weights / match[2]).resolve()
        kind = mimetypes.guess_type(picture.name)[0] or ""
        if not picture.is_relative_to(weights.resolve()) or not picture.is_file() or not kind.startswith("image/"):
            return match[0][1:]  # a link: no picture is fetched from outside
        return f"![{match[1]}](data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()})"

    return re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", inline, card)

"""How good it is: three plain figures of what was measured on the weights, and the whole model card."""

from __future__ import annotations

import base64
import contextlib
import json
import mimetypes
import re
from html import escape
from pathlib import Path
from typing import Any

from lc.ui.texts import text

__all__ = ["figures", "model_card"]


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

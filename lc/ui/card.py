"""How good it is: three plain figures of what was measured on the weights, and the whole model card."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
from html import escape
from pathlib import Path

from lc.ui.texts import text

__all__ = ["figures", "model_card"]


def figures(weights: Path) -> str:
    """The three figures that matter to who edits a photo, from the weights' evaluation.json; those that are there."""
    try:
        measured = json.loads((weights / "evaluation.json").read_text(encoding="utf-8"))["edits_actor"]
    except (OSError, ValueError, KeyError):
        return f'<p class="lc-note">{escape(text("card.none"))}</p>'
    said = [
        ("success_pasted", text("card.shows")),
        ("same_person_pasted", text("card.person")),
        ("held", text("card.rest")),
    ]
    known = [(measured[name], words) for name, words in said if isinstance(measured.get(name), float)]
    shown = "".join(f"<li><b>{value:.0%}</b><span>{escape(words)}</span></li>" for value, words in known)
    return f'<ul class="lc-figures">{shown}</ul><p class="lc-note">{escape(text("card.note"))}</p>'


def model_card(weights: Path) -> str:
    """The weights' README.md without its front matter, its local pictures put into the text."""
    try:
        card = (weights / "README.md").read_text(encoding="utf-8")
    except OSError:
        return text("page.no_card")
    card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)

    def inline(match: re.Match[str]) -> str:
        picture = (weights / match[2]).resolve()
        kind = mimetypes.guess_type(picture.name)[0] or ""
        if not picture.is_relative_to(weights.resolve()) or not picture.is_file() or not kind.startswith("image/"):
            return match[0][1:]  # a link: no picture is fetched from outside
        return f"![{match[1]}](data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()})"

    return re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", inline, card)

"""The stage and the tiles: two components of HTML whose programs for the browser lie in assets/.

What they show comes from stage.py; what somebody does there comes back as an event of its own name, whose values the
browser takes from where the program has put them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from lc.attributes import AttributeSet
from lc.errors import LatentConstraintsError
from lc.ui.texts import text, translated

__all__ = ["ASSETS", "TILES", "component", "given", "packed", "program", "stage", "tiles", "warn"]

ASSETS = Path(__file__).parent / "assets"

#: Tiles have a queue of their own: nobody's tap waits until others' tiles are all made.
TILES: dict[str, Any] = {"concurrency_id": "tiles"}


def given(name: str) -> str:
    """A function for the browser: the values for an event, as the stage's program has left them."""
    return f"(...rest) => window.lc.given[{name!r}] ?? rest"


def stage(view: dict[str, Any] | None, examples: Sequence[Path]) -> gr.HTML:
    """The photo, large, with all that acts on it.

    Args:
        view: see `lc.ui.stage.Stage.view`; None where there is nothing to begin with.
        examples: pictures to try.
    """
    shown = [{"path": str(path), "name": text("photo.example", number=i + 1)} for i, path in enumerate(examples)]
    return component("stage", packed(view), _stage_labels(), "keeping", "gestures", examples=shown)


def tiles(made: dict[str, Any] | None, attributes: AttributeSet) -> gr.HTML:
    """A tile for each attribute, the two sliders and the method.

    Args:
        made: the thumbnails there are already, and of which face.
        attributes: which the model knows.
    """
    known = [
        {
            "name": one.name,
            "title": one.title,
            "on": one.on,
            "off": one.off,
            "excludes": attributes.excluded_by(one.name) if not one.inverted else [],
        }
        for one in sorted(attributes.attributes, key=lambda one: one.name not in attributes.opening)
    ]
    return component("tiles", packed(made), _tile_labels(), attributes=known)


def component(name: str, value: Any, labels: dict[str, str], *more: str, **details: Any) -> gr.HTML:
    """A component of HTML whose program for the browser is assets/NAME.js.

    Args:
        name: also the element's id.
        value: what it shows first.
        labels: what it says.
        more: files of assets/ with which the program goes on.
        details: what else the program knows, by name.
    """
    # In the program itself: a value that comes before a tab was ever opened leaves nothing of the other properties, and
    # Gradio compares and copies all properties whenever one changes.
    fixed = json.dumps({"labels": labels, **details}, ensure_ascii=False)
    whole = program("common", name, *more).replace("FIXED", fixed)
    return gr.HTML(
        value,
        elem_id=name,
        html_template='<div class="lc-root"></div>',
        js_on_load=whole,
        apply_default_css=False,
    )


def packed(value: Any) -> Any:
    """A dictionary as JSON in one string, which Gradio's programs compare and copy at once, where they go through all
    that a dictionary holds, several times for each message; all else as it is, an update of Gradio's own too."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) and "__type__" not in value else value


def warn(error: LatentConstraintsError) -> None:
    """For what has no place of its own to say it."""
    gr.Warning(translated(error))


def program(*names: str) -> str:
    """One program for the browser of files of assets/ in their order."""
    return "\n".join((ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in names)


def _stage_labels() -> dict[str, str]:
    return {
        "stage": text("stage.name"),
        "before": text("edit.before"),
        "after": text("edit.after"),
        "divider": text("stage.divider"),
        "whole": text("stage.whole"),
        "close": text("stage.close"),
        "drop": text("stage.drop"),
        "hold": text("stage.hold"),
        "upload": text("stage.upload"),
        "camera": text("stage.camera"),
        "snap": text("stage.snap"),
        "no_camera": text("stage.no_camera"),
        "no_upload": text("stage.no_upload"),
        "cancel": text("stage.cancel"),
        "another": text("edit.another"),
        "undo": text("edit.undo"),
        "redo": text("edit.redo"),
        "reset": text("edit.reset"),
        "download": text("edit.download"),
        "kind": text("edit.kind"),
        "history": text("edit.history"),
        "entry": text("edit.entry", number="{number}"),
        "examples": text("photo.examples"),
        "details": text("status.details"),
        "restoring": text("stage.restoring"),
        "link": text("stage.link"),
        "copied": text("stage.copied"),
    }


def _tile_labels() -> dict[str, str]:
    return {
        "tiles": text("tiles.name"),
        "yes": text("tiles.yes"),
        "no": text("tiles.no"),
        "identity": text("edit.identity"),
        "identity_low": text("edit.identity_low"),
        "identity_high": text("edit.identity_high"),
        "identity_still": text("edit.identity_still"),
        "strength": text("edit.strength"),
        "strength_low": text("edit.strength_low"),
        "strength_high": text("edit.strength_high"),
        "method": text("edit.method"),
        "actor": text("edit.actor"),
        "optimise": text("edit.optimise"),
        "stop": text("edit.stop"),
        "film": text("edit.film"),
    }

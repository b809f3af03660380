"""The tab "Random faces": its one component, and which event leads to which handler."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lc.attributes import AttributeSet
from lc.ui import desk
from lc.ui import shown as editing_tab
from lc.ui.events import Events
from lc.ui.making import MOST_SHOWN, MakingHandlers, failed
from lc.ui.texts import text

__all__ = ["random_tab", "wire"]


def random_tab(attributes: AttributeSet) -> gr.HTML:
    """The component."""
    labels = {
        "intro": text("random.intro"),
        "asked": text("random.asked"),
        "more": text("more.more"),
        "any": text("random.any"),
        "yes": text("random.yes"),
        "no": text("random.no"),
        "either": text("more.either"),
        "lone": text("status.lone"),
        "count": text("random.count"),
        "seed": text("random.seed"),
        "dice": text("random.dice"),
        "realism": text("random.realism"),
        "on": text("random.on"),
        "off": text("random.off"),
        "both_ways": text("random.both_ways"),
        "plain": text("random.plain"),
        "make": text("random.make"),
        "faces": text("random.faces"),
        "face": text("face.name", number="{number}"),
        "holds": text("random.holds"),
        "lacks": text("random.lacks"),
        "edit": text("random.edit"),
        "save": text("edit.download"),
        "morph": text("random.morph"),
        "morph_hint": text("random.morph_hint"),
        "between": text("random.between"),
        "film": text("edit.film"),
    }
    known = [{"name": one.name, "title": one.title} for one in attributes.attributes]
    return desk.component("random", None, labels, attributes=known, most=MOST_SHOWN)


def wire(
    handlers: MakingHandlers,
    events: Events,
    random: gr.HTML,
    tabs: gr.Tabs,
    shown: list[Any],
    private: dict[str, Any],
    model: dict[str, Any],
    save: str,
) -> None:
    """Which event leads to which handler.

    Args:
        handlers: of this tab.
        events: see events.py.
        random: the component.
        tabs: of the page.
        shown: what the first tab's events fill.
        private: what every event of the page has.
        model: what those have that wait for the model.
        save: a function for the browser that saves a file.
    """
    count, seed, realism = gr.Number(visible=False), gr.Textbox(visible=False), gr.Textbox(visible=False)
    asked, first, second = gr.JSON(visible=False), gr.Number(visible=False), gr.Number(visible=False)
    slow: dict[str, Any] = {**private, **model}
    make = events.wrap(handlers.make, failed)
    random.make(make, [count, seed, realism, asked], random, js=desk.given("make"), api_name="make", **slow)
    morph = events.wrap(handlers.morph, failed)
    random.morph(morph, [first, second], random, js=desk.given("morph"), api_name="morph", **slow)
    edit = events.wrap(handlers.choose_face_to_edit, lambda error: (gr.skip(), editing_tab.failed(error)))
    js = desk.given("edit_face")
    random.edit_face(edit, [first], [tabs, *shown], js=js, api_name="choose_face_to_edit", **slow)
    file = gr.File(visible=False)
    for listen, handler, inputs in (
        (random.save_face, handlers.save_face, [first]),
        (random.save_morph, handlers.save_morph, [first, second]),
    ):
        name = handler.__name__
        done = listen(events.wrap(handler, desk.warn), inputs, file, js=desk.given(name), api_name=name, **slow)
        done.then(None, file, None, js=save)

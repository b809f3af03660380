"""The tab "Teach it", and the tiles that it and the rules add to the first tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lc.attributes import AttributeSet
from lc.teach import MOST
from lc.ui import desk
from lc.ui.events import Events
from lc.ui.teaching import AT_ONCE, TeachingHandlers, failed
from lc.ui.texts import text
from lc.ui.training import TrainingHandlers, failed_training

__all__ = ["more_tiles", "teach_tab", "wire"]


def more_tiles(handlers: TeachingHandlers, attributes: AttributeSet) -> gr.HTML:
    """The tiles of what was taught and of rules, and what must, must not or is one of several."""
    labels = {
        "taught": text("more.taught"),
        "more": text("more.more"),
        "colour": text("more.colour"),
        "modes": text("more.modes"),
        "modes_hint": text("more.modes_hint"),
        "any": text("more.any"),
        "require": text("more.require"),
        "forbid": text("more.forbid"),
        "either": text("more.either"),
        "no_upload": text("teach.no_upload"),
    }
    known = [{"name": one.name, "title": one.title} for one in attributes.attributes]
    return desk.component("more", handlers.more(()), labels, attributes=known)


def teach_tab() -> gr.HTML:
    """The tab's one component."""
    labels = {
        "intro": text("teach.intro"),
        "name": text("teach.name"),
        "example": text("teach.example"),
        "with": text("teach.with"),
        "with_hint": text("teach.with_hint"),
        "without": text("teach.without"),
        "without_hint": text("teach.without_hint"),
        "choose": text("teach.choose"),
        "drop": text("teach.drop"),
        "drop_one": text("teach.drop_one"),
        "teach": text("teach.teach"),
        "clear": text("teach.clear"),
        "use": text("teach.use"),
        "cancel": text("stage.cancel"),
        "progress": text("teach.progress"),
        "reading": text("teach.reading", done="{done}", count="{count}"),
        "learning": text("teach.learning"),
        "too_many": text("teach.too_many", count="{count}", most="{most}"),
        "no_upload": text("teach.no_upload"),
        "details": text("status.details"),
        "try": text("teach.try"),
        "save": text("teach.save"),
        "forget": text("teach.forget"),
        "turn": text("teach.turn"),
        "training": text("teach.training"),
        "trained": text("teach.trained"),
    }
    return desk.component("teach", None, labels, most=MOST, at_once=AT_ONCE)


def wire(
    handlers: TeachingHandlers,
    training: TrainingHandlers,
    events: Events,
    teach: gr.HTML,
    more: gr.HTML,
    tabs: gr.Tabs,
    private: dict[str, Any],
    model: dict[str, Any],
    save: str,
) -> None:
    """Which event leads to which handler.

    Args:
        handlers: of this tab.
        training: of what goes on behind it.
        events: see events.py.
        teach, more: the components.
        tabs: of the page.
        private: what every event of the page has.
        model: what those have that wait for the model.
        save: a function for the browser that saves a file.
    """
    files, side = gr.File(visible=False, file_count="multiple"), gr.Textbox(visible=False)
    place, name, names = gr.Number(visible=False), gr.Textbox(visible=False), gr.JSON(visible=False)
    shown = [teach, more]

    def on(listen: Any, handler: Any, inputs: Any = None, slow: bool = False, **queue: Any) -> None:
        function = events.wrap(handler, failed, begins=True)
        js = desk.given(handler.__name__) if inputs else None
        options = {"api_name": handler.__name__, "js": js, **private, **(model if slow else {}), **queue}
        listen(function, inputs, shown, **options)

    on(teach.look_at, handlers.look_at, [files, side], slow=True)
    on(teach.take_away, handlers.take_away, [side, place])
    on(teach.clear, handlers.clear)
    on(teach.teach, handlers.teach, [name], slow=True)
    on(teach.forget_taught, handlers.forget_taught, [name])
    on(more.use_taught, handlers.use_taught, [files], slow=True)
    on(more.fill_more, handlers.fill_more, [names], slow=True, **desk.TILES)
    cancel = events.wrap(handlers.cancel_teaching, desk.warn)
    teach.cancel_teaching(cancel, None, None, api_name="cancel_teaching", queue=False, **private)
    teach.try_taught(events.wrap(handlers.try_taught, desk.warn), None, tabs, api_name="try_taught", **private)
    _wire_training(training, events, teach, [teach, more], private)
    file = gr.File(visible=False)
    saved = events.wrap(handlers.save_taught, desk.warn)
    js = desk.given("save_taught")
    teach.save_taught(saved, name, file, js=js, api_name="save_taught", **private).then(None, file, None, js=save)


def _wire_training(
    handlers: TrainingHandlers, events: Events, teach: gr.HTML, shown: list[gr.HTML], private: dict[str, Any]
) -> None:
    name, asked = gr.Textbox(visible=False), gr.Number(visible=False)
    # A queue of its own, one at a time for the whole server: nothing that visitors wait for stands behind it.
    alone: dict[str, Any] = {"concurrency_id": "background", "concurrency_limit": 1, **private}
    train = events.wrap(handlers.train_actor, failed_training, background=True)
    js = desk.given("train_actor")
    teach.train_actor(train, [name, asked], shown, js=js, api_name="train_actor", **alone)
    cancel, js = events.wrap(handlers.cancel_training, desk.warn), desk.given("cancel_training")
    teach.cancel_training(cancel, asked, None, js=js, api_name="cancel_training", queue=False, **private)

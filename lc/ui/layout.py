"""The page: which components there are, and which event leads to which handler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lc.editor import FaceEditor
from lc.ui import desk, random_tab, teach_tab
from lc.ui.card import changes, curve, figures, model_card
from lc.ui.events import Events
from lc.ui.handlers import EditHandlers
from lc.ui.making import Endpoints, MakingHandlers
from lc.ui.photos import EXAMPLES
from lc.ui.session import Session
from lc.ui.settings import Settings, bytes_of
from lc.ui.shown import Shown, failed
from lc.ui.storage import Folder
from lc.ui.teaching import TeachingHandlers
from lc.ui.texts import text, titled, use
from lc.ui.training import TrainingHandlers
from lc.ui.visitors import Visitors

__all__ = ["build_page"]

# A file component cannot be clicked by code before it has its new value: this gets the value itself.
_SAVE = """(file) => { if (!file) return;
  const link = document.createElement("a");
  link.href = file.url; link.download = file.orig_name || "edited.png";
  document.body.append(link); link.click(); link.remove(); }"""

# Every value is checked by the handlers and by the door: Gradio's own checks end in a traceback, or open a file.
_RAW: dict[str, Any] = {"preprocess": False}
_PRIVATE: dict[str, Any] = {"api_visibility": "private", **_RAW}
# Of the stage, which itself shows that something runs, and asks again before an answer is there. Where Gradio knows
# components to show progress on, it copies all that they hold at each message, and counts time in them at each frame
# from then on, whether or not that is seen.
_EVENT: dict[str, Any] = {"trigger_mode": "multiple", "show_progress": "hidden", "show_progress_on": [], **_PRIVATE}


def build_page(editor: FaceEditor, weights: Path, settings: Settings, folder: Folder) -> tuple[gr.Blocks, Visitors]:
    """All of it, ready to launch behind a `Door`.

    Args:
        editor: shared by all visitors.
        weights: the local folder it was loaded from, for its model card.
        settings: see settings.py.
        folder: for uploads and results; GRADIO_TEMP_DIR has to be its path.

    Returns:
        The page, and what it remembers of its visitors.

    Raises:
        LatentConstraintsError: the page does not speak the language.
    """
    use(settings.language)
    model = replace(editor.model, attributes=titled(editor.attributes))
    editor = FaceEditor(model, editor.inversion_steps, editor.correction_steps)
    gr.set_static_paths(EXAMPLES)  # else Gradio serves them only where they lie below the working directory
    editing = EditHandlers(editor, folder)
    making, teaching = MakingHandlers(editor, editing), TeachingHandlers(editing)
    session, first = editing.opening()
    visitors = Visitors(session, bytes_of(settings.session_memory))
    events = Events(visitors)
    # What is slow shares the model's queue; what is quick must not wait behind it.
    slow: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": settings.concurrency}
    page = gr.Blocks(title=text("page.title"), analytics_enabled=False)
    with page:
        gr.Markdown(text("page.intro"), elem_classes="lc-intro")
        with gr.Tabs() as tabs:
            with gr.Tab(text("page.edit_tab"), id="edit"):
                shown, more = _edit_tab(editing, teaching, events, session, first, slow)
            with gr.Tab(text("page.random_tab"), id="random"):
                random = random_tab.random_tab(editor.attributes)
            with gr.Tab(text("page.teach_tab"), id="teach"):
                teach = teach_tab.teach_tab()
            with gr.Tab(text("page.card_tab"), id="card"):
                gr.HTML(figures(weights), elem_id="figures", padding=False)
                gr.HTML(changes(weights, editor.attributes, folder) + curve(weights), elem_id="shows", padding=False)
                with gr.Accordion(text("card.whole"), open=False):
                    gr.Markdown(model_card(weights), elem_classes="lc-card")
        random_tab.wire(making, events, random, tabs, shown, _EVENT, slow, _SAVE)
        training = TrainingHandlers(teaching, events.busy)
        teach_tab.wire(teaching, training, events, teach, more, tabs, _EVENT, slow, _SAVE)
        gr.Markdown(text("page.footer", pixels=model.generator.image_size), elem_classes="lc-footer")
        _endpoints(Endpoints(editor, folder), slow)

    def close(request: gr.Request) -> None:
        """End what a visitor who left has running: edits, and the training of an actor."""
        editing.running.close(request)
        training.close(request)

    _on_closing(page, events.wrap(close, desk.warn))
    folder.keep_all()
    return page, visitors


def _edit_tab(
    handlers: EditHandlers,
    teaching: TeachingHandlers,
    events: Events,
    session: Session | None,
    first: Shown,
    model: dict[str, Any],
) -> tuple[list[Any], gr.HTML]:
    """Returns the components that `Shown` fills, in its order; its session is the server's and has none. And the tiles
    of what was taught and of rules."""
    with gr.Column(elem_id="desk"):
        with gr.Column(elem_id="desk-stage", min_width=0):
            stage = desk.stage(_initial(first.stage), handlers.examples)
            status = gr.HTML(_initial(first.status), elem_id="status", padding=False)
        with gr.Column(elem_id="desk-tiles", min_width=0):
            tiles = desk.tiles(_initial(first.tiles), handlers.editor.attributes)
            more = teach_tab.more_tiles(teaching, handlers.editor.attributes)
    shown = [stage, status, tiles]
    _wire_photo(handlers, events, stage, shown, model)
    _wire_edits(handlers, events, stage, tiles, shown, model)
    return shown, more


def _initial(value: Any) -> Any:
    """The value to start with; a field that is left as it is starts empty."""
    return None if value == gr.skip() else value


def _wire_photo(
    handlers: EditHandlers, events: Events, stage: gr.HTML, shown: list[Any], model: dict[str, Any]
) -> None:
    def on(handler: Any, begins: bool = False) -> dict[str, Any]:
        function = events.wrap(handler, failed, begins=begins)
        name = handler.__name__
        return {"fn": function, "outputs": shown, "api_name": name, "js": desk.given(name), **_EVENT, **model}

    photo, source, kept = gr.File(visible=False), gr.Textbox(visible=False), gr.JSON(visible=False)
    choice = gr.Textbox(visible=False)
    stage.open_upload(inputs=photo, **on(handlers.open_upload, begins=True))
    stage.open_example(inputs=None, **{**on(handlers.open_example, begins=True), "js": None})
    stage.restore(inputs=[photo, source, kept], **on(handlers.restore, begins=True))
    stage.choose_face(inputs=choice, **on(handlers.choose_face))


def _wire_edits(
    handlers: EditHandlers, events: Events, stage: gr.HTML, tiles: gr.HTML, shown: list[Any], model: dict[str, Any]
) -> None:
    wrap = events.wrap
    quick: dict[str, Any] = {"queue": False, **_EVENT}
    asked, more, style = gr.Number(0, visible=False), gr.JSON(visible=False), gr.Number(0, visible=False)
    values = [
        gr.JSON(visible=False),
        *(gr.Number(visible=False) for _ in range(2)),
        gr.Textbox(visible=False),
        asked,
        more,
        style,
    ]
    # First, so that what runs for an older wish makes way; this never queues.
    warn = desk.warn
    stage.cancel(wrap(handlers.running.cancel, warn), asked, None, js=desk.given("cancel"), api_name="cancel", **quick)
    stage.leave(wrap(handlers.running.leave, warn), asked, None, js=desk.given("leave"), api_name="leave", **quick)
    stage.stop(wrap(handlers.running.stop, warn), None, None, api_name="stop", **quick)
    change = wrap(handlers.change, failed)
    stage.change_wish(change, values, shown, js=desk.given("change"), api_name="change", **_EVENT, **model)
    tiles.fill(wrap(handlers.fill, failed), None, shown, api_name="fill", **_EVENT, **{**model, **desk.TILES})
    for listen, handler in (
        (stage.undo, handlers.undo),
        (stage.redo, handlers.redo),
        (stage.reset, handlers.reset),
        (stage.go, handlers.go),
    ):
        listen(wrap(handler, failed), None, shown, api_name=handler.__name__, **_EVENT)
    file, kind = gr.File(visible=False), gr.Textbox(visible=False)
    for listen, saved, inputs in ((stage.export, handlers.export, kind), (stage.film, handlers.film, None)):
        js = desk.given(saved.__name__) if inputs else None
        done = listen(wrap(saved, desk.warn), inputs, file, js=js, api_name=saved.__name__, **_EVENT)
        done.then(None, file, None, js=_SAVE)


def _on_closing(page: gr.Blocks, function: Any) -> None:
    """Call a function when a visitor closes the page, which Gradio would list among those for programs."""
    page.unload(function)
    listener = max(page.fns.values(), key=lambda one: one._id)
    listener.api_name, listener.api_visibility, listener.queue = function.__name__, "private", True


def _endpoints(handlers: Endpoints, model: dict[str, Any]) -> None:
    """The page's own events carry a session; programs get these, on components that nobody sees."""
    with gr.Column(visible=False):
        photo = gr.File(label="photo", type="filepath")
        changes = gr.JSON(label="changes")
        identity = gr.Slider(0, 1, 0.5, label="identity")
        method = gr.Radio(["actor", "optimise"], value="actor", label="method")
        face = gr.Number(0, label="face", precision=0)
        style = gr.Number(0, label="style", precision=0)
        count = gr.Number(4, label="count", precision=0)
        seed = gr.Number(0, label="seed", precision=0)
        realism = gr.Checkbox(True, label="realism")
        result = gr.Image(label="result", type="filepath", format="png")
        report = gr.JSON(label="report")
        files = gr.File(label="faces", file_count="multiple")
        trigger = gr.Button()
    public: dict[str, Any] = {"api_visibility": "public", **_RAW, **model}
    trigger.click(handlers.describe, [photo, face], report, api_name="describe", **public)
    inputs = [photo, changes, identity, method, face, style]
    trigger.click(handlers.edit, inputs, [result, report], api_name="edit", **public)
    trigger.click(handlers.sample, [count, changes, seed, realism], [files, report], api_name="sample", **public)

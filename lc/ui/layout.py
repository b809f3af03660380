"""The page: which components there are, and which event leads to which handler."""

from __future__ import annotations

import base64
import mimetypes
import re
from pathlib import Path
from typing import Any

import gradio as gr

from lc.attributes import ATTRIBUTES, DISPLAY_NAMES
from lc.editor import FaceEditor
from lc.ui.handlers import EXAMPLES, EditHandlers, Shown
from lc.ui.making import ANY, Endpoints, Faces, MakingHandlers
from lc.ui.session import Session
from lc.ui.settings import Settings

__all__ = ["build_page", "model_card"]

_TEXTS = Path(__file__).parent / "texts"
_BOXES = [(DISPLAY_NAMES[name], name) for name in ATTRIBUTES]
_KINDS = [("PNG", "PNG"), ("JPEG", "JPEG"), ("WebP", "WEBP")]
_METHODS = [("Actor: instant", "actor"), ("Optimiser: watch it walk", "optimise")]
_SWEEP, _AGE = 600, 3000  # seconds: every ten minutes files older than fifty go, so none is an hour old

# A file component cannot be clicked by code before it has its new value: this gets the value itself.
_SAVE = """(file) => { if (!file) return;
  const link = document.createElement("a");
  link.href = file.url; link.download = file.orig_name || "edited.png";
  document.body.append(link); link.click(); link.remove(); }"""

# The browser's clock tells an older wish from a newer one.
_STAMP = "(boxes, identity, strength, method, _, ...rest) => [boxes, identity, strength, method, Date.now(), ...rest]"


def build_page(editor: FaceEditor, weights: Path, settings: Settings) -> gr.Blocks:
    """All of it, ready to launch.

    Args:
        editor: shared by all visitors.
        weights: the local folder it was loaded from, for its model card.
        settings: see settings.py.
    """
    gr.set_static_paths(EXAMPLES)  # else Gradio serves them only where they lie below the working directory
    editing = EditHandlers(editor)
    making = MakingHandlers(editor, editing)
    # What is slow shares the model's queue; what is quick must not wait behind it.
    model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": settings.concurrency}
    page = gr.Blocks(title="Edit a face by ticking boxes", analytics_enabled=False, delete_cache=(_SWEEP, _AGE))
    with page:
        gr.Markdown(_text("intro"), elem_classes="lc-intro")
        with gr.Tabs() as tabs:
            with gr.Tab("Edit a photo", id="edit"):
                shown = _edit_tab(editing, model)
            with gr.Tab("Random faces", id="random") as random_tab:
                _random_tab(making, random_tab, tabs, shown, model)
            with gr.Tab("How good is it", id="card"):
                gr.Markdown(model_card(weights), elem_classes="lc-card")
        gr.Markdown(_text("footer"), elem_classes="lc-footer")
        _endpoints(Endpoints(editor), model)
    return page


def _edit_tab(handlers: EditHandlers, model: dict[str, Any]) -> list[Any]:
    """Returns the components that `Shown` fills, in its order."""
    session, first = handlers.opening()
    fields: dict[str, Any] = {"session": gr.State(session)}
    # Four pieces that page.css lays out: in two columns, or on a phone with the picture on top.
    with gr.Column(elem_id="desk"):
        with gr.Column(elem_id="desk-photo", min_width=0):
            row = _photo_piece(handlers, fields, session)
        with gr.Column(elem_id="desk-boxes", min_width=0):
            _boxes_piece(fields, session)
        with gr.Column(elem_id="desk-result", min_width=0):
            buttons = _result_piece(fields, first, session)
        with gr.Column(elem_id="desk-more", min_width=0):
            fields["stages"] = gr.HTML(_initial(first.stages), elem_id="stages", padding=False)
            fields["bars"] = gr.HTML(_initial(first.bars), elem_id="bars", padding=False)
    shown = [fields[name] for name in Shown._fields]
    _wire_photo(handlers, fields, shown, row, model)
    _wire_edits(handlers, fields, shown, buttons, model)
    return shown


def _initial(value: Any) -> Any:
    """The value to start with; a field that is left as it is starts empty."""
    return None if isinstance(value, dict) else value


def _photo_piece(handlers: EditHandlers, fields: dict[str, Any], session: Session | None) -> gr.Gallery:
    fields["photo"] = gr.Image(
        session.source if session else None,
        label="Your photo",
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        height=230,
        buttons=[],
        elem_id="photo",
    )
    row = gr.Gallery(
        [(str(path), path.stem.replace("-", " ")) for path in handlers.examples],
        label="Or try one of these",
        columns=8,
        allow_preview=False,
        object_fit="cover",
        height="auto",
        buttons=[],
        interactive=False,
        elem_id="examples",
        elem_classes="lc-gallery",
    )
    with gr.Group(visible=False) as fields["faces"]:
        fields["outline"] = gr.Image(
            label="Several faces: click the one to edit",
            elem_id="outline",
            interactive=False,
            type="pil",
            buttons=[],
            format="jpeg",
        )
        fields["choice"] = gr.Radio([], label="Which face", elem_id="choice")
    return row


def _boxes_piece(fields: dict[str, Any], session: Session | None) -> None:
    fields["boxes"] = gr.CheckboxGroup(
        _BOXES,
        value=list(session.now.boxes) if session else [],
        label="Attributes",
        info="Ticked as the model sees the photo. Change one and the face follows.",
        elem_id="boxes",
    )
    fields["identity"] = gr.Slider(
        0, 1, 0.5, step=0.05, label="Keep the person", info=_text("identity"), elem_id="identity", buttons=[]
    )
    fields["strength"] = gr.Slider(
        0.55, 1, 1, step=0.05, label="How much", info=_text("strength"), elem_id="strength", buttons=[]
    )
    fields["method"] = gr.Radio(_METHODS, value="actor", label="Method", elem_id="method")


def _result_piece(fields: dict[str, Any], first: Shown, session: Session | None) -> dict[str, gr.Button]:
    fields["pair"] = gr.ImageSlider(
        _initial(first.pair),
        label="Before and after",
        interactive=False,
        max_height=520,
        buttons=["fullscreen"],
        elem_id="pair",
        elem_classes="lc-calm",
    )
    fields["status"] = gr.HTML(_initial(first.status), elem_id="status", padding=False)
    with gr.Row(elem_id="actions"):
        can_undo = session is not None and session.can_undo
        fields["undo"] = gr.Button("Undo", size="sm", min_width=70, interactive=can_undo)
        fields["redo"] = gr.Button("Redo", size="sm", min_width=70, interactive=False)
        buttons = {
            "reset": gr.Button("Reset", size="sm", min_width=70),
            "stop": gr.Button("Stop", size="sm", min_width=70, variant="stop", visible=False, elem_id="stop"),
            "download": gr.Button("Download", size="sm", min_width=90, variant="primary"),
        }
        fields["kind"] = gr.Dropdown(
            _KINDS, value="PNG", show_label=False, label="File format", container=False, min_width=90, elem_id="kind"
        )
    fields["trace"] = gr.HTML("", elem_id="trace", padding=False)
    fields["film"] = gr.Button("Save the walk", size="sm", visible=False, elem_id="film")
    return buttons


def _wire_photo(
    handlers: EditHandlers, fields: dict[str, Any], shown: list[Any], row: gr.Gallery, model: dict[str, Any]
) -> None:
    photo, session = fields["photo"], fields["session"]
    common: dict[str, Any] = {
        "outputs": shown,
        "show_progress_on": fields["pair"],
        "api_visibility": "private",
        **model,
    }
    # Not `input`, which also fires when the photo is removed, and then with the photo as it was (Gradio 6.31).
    photo.upload(handlers.open_upload, [photo, session], preprocess=False, api_name="open_upload", **common)
    row.select(handlers.open_example, [session], api_name="open_example", **common)
    fields["choice"].input(handlers.choose_face, [fields["choice"], session], api_name="choose_face", **common)
    fields["outline"].select(handlers.click_face, [session], api_name="click_face", **common)


def _wire_edits(
    handlers: EditHandlers,
    fields: dict[str, Any],
    shown: list[Any],
    buttons: dict[str, gr.Button],
    model: dict[str, Any],
) -> None:
    session, method, pair = fields["session"], fields["method"], fields["pair"]
    private: dict[str, Any] = {"api_visibility": "private"}
    triggers = [fields["boxes"].input, fields["identity"].release, fields["strength"].release, method.input]
    asked = gr.Number(0, visible=False)
    wish = [fields["boxes"], fields["identity"], fields["strength"], method, asked]
    # First, so that a walk for an older wish makes way; this never queues.
    gr.on(
        triggers,
        handlers.overtake,
        wish,
        None,
        js=_STAMP,
        api_name="overtake",
        trigger_mode="multiple",
        queue=False,
        **private,
    )
    gr.on(
        triggers,
        handlers.change,
        [*wish, session],
        shown,
        js=_STAMP,
        api_name="change",
        trigger_mode="always_last",
        show_progress_on=pair,
        **private,
        **model,
    )
    method.change(
        handlers.show_stop,
        method,
        buttons["stop"],
        api_name="show_stop",
        queue=False,
        **private,
    )
    buttons["stop"].click(handlers.stop, None, None, api_name="stop", queue=False, **private)
    for button, handler in (
        (fields["undo"], handlers.undo),
        (fields["redo"], handlers.redo),
        (buttons["reset"], handlers.reset),
    ):
        button.click(handler, session, shown, api_name=handler.__name__, show_progress_on=pair, **private)
    file = gr.File(visible=False)
    saved = buttons["download"].click(
        handlers.export, [fields["kind"], session], file, api_name="export", show_progress_on=pair, **private
    )
    saved.then(None, file, None, js=_SAVE)
    filmed = fields["film"].click(handlers.film, session, file, api_name="film", show_progress_on=pair, **private)
    filmed.then(None, file, None, js=_SAVE)


def _random_tab(handlers: MakingHandlers, tab: gr.Tab, tabs: gr.Tabs, shown: list[Any], model: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"made": gr.State([]), "chosen": gr.State(0)}
    gr.Markdown(_text("random"))
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            wishes, buttons = _wishes_piece()
        with gr.Column(scale=7, min_width=300):
            _faces_piece(fields, buttons)
    private: dict[str, Any] = {"api_visibility": "private"}
    faces, gallery = [fields[name] for name in Faces._fields], fields["gallery"]
    making: dict[str, Any] = {"show_progress_on": gallery, **private, **model}
    buttons["make"].click(handlers.make, wishes, faces, api_name="make", **making)
    drawn = buttons["dice"].click(handlers.new_seed, None, wishes[1], api_name="new_seed", queue=False, **private)
    drawn.then(handlers.make, wishes, faces, api_name="make_anew", **making)
    tab.select(handlers.greet, [fields["made"], *wishes], faces, api_name="greet", **making)
    gallery.select(handlers.choose, None, fields["chosen"], api_name="choose", queue=False, **private)
    made = fields["made"]
    buttons["edit"].click(
        handlers.edit_one, [made, fields["chosen"]], [tabs, *shown], api_name="edit_one", **private, **model
    )
    ends = [made, fields["first"], fields["second"]]
    buttons["walk"].click(handlers.walk, ends, fields["between"], api_name="walk", **private, **model)


def _wishes_piece() -> tuple[list[Any], dict[str, gr.Button]]:
    """The inputs of `make`, in its order, and the first two buttons."""
    with gr.Group(elem_id="choices"):
        choices = [
            gr.Radio([ANY, "yes", "no"], value=ANY, label=DISPLAY_NAMES[name], elem_classes="lc-three")
            for name in ATTRIBUTES
        ]
    count = gr.Slider(1, 24, 8, step=1, label="How many", buttons=[], elem_id="count")
    with gr.Row(equal_height=True):
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=110, elem_id="seed")
        realism = gr.Checkbox(True, label="Realism", info="Off: any latent will do", min_width=150, elem_id="realism")
    with gr.Row(elem_id="tools"):
        buttons = {
            "make": gr.Button("Make faces", variant="primary", size="md", min_width=120),
            "dice": gr.Button("Randomise", size="md", min_width=120),
        }
    return [count, seed, realism, *choices], buttons


def _faces_piece(fields: dict[str, Any], buttons: dict[str, gr.Button]) -> None:
    look: dict[str, Any] = {
        "allow_preview": False,
        "object_fit": "cover",
        "height": "auto",
        "buttons": [],
        "interactive": False,
        "elem_classes": ["lc-calm", "lc-gallery"],
    }
    fields["status"] = gr.HTML("", elem_id="made-status", padding=False)
    fields["gallery"] = gr.Gallery(label="Made-up faces: click one", elem_id="faces", **look)
    buttons["edit"] = gr.Button("Edit this one", size="md", elem_id="edit-one")
    with gr.Row(equal_height=True):
        fields["first"] = gr.Dropdown([], label="From", min_width=110)
        fields["second"] = gr.Dropdown([], label="To", min_width=110)
    buttons["walk"] = gr.Button("Show the faces between", size="md")
    fields["between"] = gr.Gallery(label="Between the two", elem_id="between", visible=False, **look)


def _endpoints(handlers: Endpoints, model: dict[str, Any]) -> None:
    """The page's own events carry a session; programs get these, on components that nobody sees."""
    with gr.Column(visible=False):
        photo = gr.File(label="photo", type="filepath")
        changes = gr.JSON(label="changes")
        identity = gr.Slider(0, 1, 0.5, label="identity")
        method = gr.Radio(["actor", "optimise"], value="actor", label="method")
        face = gr.Number(0, label="face", precision=0)
        count = gr.Number(4, label="count", precision=0)
        seed = gr.Number(0, label="seed", precision=0)
        realism = gr.Checkbox(True, label="realism")
        result = gr.Image(label="result", type="filepath", format="png")
        report = gr.JSON(label="report")
        files = gr.File(label="faces", file_count="multiple")
        trigger = gr.Button()
    public: dict[str, Any] = {"api_visibility": "public", **model}
    trigger.click(handlers.describe, [photo, face], report, api_name="describe", **public)
    inputs = [photo, changes, identity, method, face]
    trigger.click(handlers.edit, inputs, [result, report], api_name="edit", **public)
    trigger.click(handlers.sample, [count, changes, seed, realism], [files, report], api_name="sample", **public)


def model_card(weights: Path) -> str:
    """The weights' README.md without its front matter, its local pictures put into the text."""
    try:
        card = (weights / "README.md").read_text(encoding="utf-8")
    except OSError:
        return _text("no_card")
    card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)

    def inline(match: re.Match[str]) -> str:
        picture = (weights / match[2]).resolve()
        kind = mimetypes.guess_type(picture.name)[0] or ""
        if not picture.is_relative_to(weights.resolve()) or not picture.is_file() or not kind.startswith("image/"):
            return match[0][1:]  # a link: no picture is fetched from outside
        return f"![{match[1]}](data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()})"

    return re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", inline, card)


def _text(name: str) -> str:
    return (_TEXTS / f"{name}.md").read_text(encoding="utf-8").strip()

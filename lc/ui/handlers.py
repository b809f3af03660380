"""What the first tab does when something is clicked: functions from inputs and the session to what the page shows.

None of them raises what a visitor can put right: it becomes a sentence, and the picture on show stays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gradio as gr
from PIL import Image

from lc.attributes import AttributeSet
from lc.editor import FaceEditor, Method, Progress, Reading
from lc.errors import LatentConstraintsError
from lc.faces import Photo, PictureFormat, on_white, paste, read_photo
from lc.ui import inputs, views
from lc.ui.pictures import Pictures
from lc.ui.session import Moment, Session, boxes_seen, changes_of, tick
from lc.ui.storage import Folder
from lc.ui.texts import text

__all__ = ["EXAMPLES", "METHODS", "EditHandlers", "Shown", "examples", "failed"]

EXAMPLES = Path(__file__).parent / "examples"

_BROWSERS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # formats that they show
_KINDS: tuple[PictureFormat, ...] = ("PNG", "JPEG", "WEBP")
METHODS: tuple[Method, ...] = ("actor", "optimise")
_LIVE_PIXELS = 2_000_000  # photos up to this size are pasted anew for each of them

#: What an event leaves as it is.
_SKIP: Any = gr.skip()
Update: TypeAlias = Any  # a value, or gr.update(...)
Wish: TypeAlias = tuple[frozenset[str], float, float, Method]  # boxes, identity, strength, method


class Shown(NamedTuple):
    """One field per output of the first tab, in the order in which layout.py lists them."""

    session: Update = _SKIP
    photo: Update = _SKIP
    boxes: Update = _SKIP
    pair: Update = _SKIP
    stages: Update = _SKIP
    bars: Update = _SKIP
    status: Update = _SKIP
    trace: Update = _SKIP
    undo: Update = _SKIP
    redo: Update = _SKIP
    identity: Update = _SKIP
    method: Update = _SKIP
    strength: Update = _SKIP
    film: Update = _SKIP
    faces: Update = _SKIP
    outline: Update = _SKIP
    choice: Update = _SKIP


def examples() -> list[Path]:
    """The pictures that ship with the page; photos before made-up faces."""
    kinds = (".jpg", ".jpeg", ".png", ".webp")
    found = [path for path in EXAMPLES.iterdir() if path.suffix.lower() in kinds] if EXAMPLES.is_dir() else []
    return sorted(found, key=lambda path: (path.name.startswith("face-"), path.name))


@dataclass(frozen=True)
class _Walk:
    """A walk that runs: what it is for, when the browser asked for it, and how to end it."""

    wish: Wish
    asked: float
    stopped: threading.Event = field(default_factory=threading.Event)  # keep the face as it is
    overtaken: threading.Event = field(default_factory=threading.Event)  # the visitor wants another one by now

    def ends(self) -> bool:
        return self.stopped.is_set() or self.overtaken.is_set()


class EditHandlers:
    """The first tab's events, around one editor that all visitors share.

    Args:
        editor: the editor.
        folder: where uploads are, and results go.
    """

    def __init__(self, editor: FaceEditor, folder: Folder) -> None:
        self.editor, self.folder, self.pictures = editor, folder, Pictures(folder)
        self.examples = examples()
        self._walks: dict[str, _Walk] = {}

    # --- a photo comes in ------------------------------------------------------------------------------------------

    def opening(self) -> tuple[Session | None, Shown]:
        """What the first paint shows: the first example, already edited; nothing where there is no example."""
        if not self.examples:
            return None, Shown()
        source = str(self.examples[0])
        session = self._begin(self.editor.read(source), source)
        # Something that everybody sees at a glance, and that this face does not have yet.
        attributes, boxes = self.editor.attributes, session.now.boxes
        glance = attributes.opening or attributes.names
        new = next((name for name in glance if name not in boxes), glance[-1])
        session = session.add(self._moment(session.reading, tick(attributes, boxes, [*boxes, new])))
        return session, self._full(session)

    def open_upload(self, upload: dict[str, Any] | None, session: Session | None) -> Shown:
        """Read an uploaded, snapped or pasted photo and tick the boxes of what it shows.

        Args:
            upload: Gradio's description of the file, as it came: Gradio's own decoding would fail without a sentence.
            session: the visitor's.
        """
        if not upload:
            return Shown()
        try:
            with self.folder.open_upload(upload) as file:
                return self._open(read_photo(file), str(upload["path"]))
        except LatentConstraintsError as error:
            kept = session.source if session and session.source and Path(session.source).exists() else None
            return failed(error)._replace(photo=kept)

    def open_example(self, event: gr.SelectData) -> Shown:
        """Read the example picture that was clicked."""
        if not isinstance(event.index, int) or not 0 <= event.index < len(self.examples):
            raise LatentConstraintsError(text("photo.no_example"))
        path = self.examples[event.index]
        return self._open(read_photo(path), str(path))

    def open_sample(self, reading: Reading) -> Shown:
        """Take a made-up face to this tab."""
        return self._full(self._begin(reading, self.pictures.photo(reading.photo)))

    def choose_face(self, choice: str | None, session: Session | None) -> Shown:
        """Edit another face of the same photo.

        Args:
            choice: "Face 2" is the second largest.
            session: the visitor's.
        """
        if session is None or not choice:
            return Shown()
        return self._take_face(inputs.face_name(choice), session)

    def click_face(self, session: Session | None, event: gr.SelectData) -> Shown:
        """Edit the face nearest to a click on the outlined photo."""
        if session is None or len(session.reading.faces) < 2:
            return Shown()
        ratio = views.outline_ratio(session.reading.photo.size)
        x, y = inputs.place(event.index)
        return self._take_face(views.face_at(session.reading.faces, x * ratio, y * ratio), session)

    def _open(self, photo: Photo, path: str) -> Shown:
        with photo.held():
            reading = self.editor.read(photo)
            # What a browser cannot show, and what Gradio would take for a drawing by its name, is shown as a JPEG.
            shows = photo.format in _BROWSERS and not path.lower().endswith(".svg")
            return self._full(self._begin(reading, path if shows else self.pictures.photo(photo)))

    def _take_face(self, number: int, session: Session) -> Shown:
        old = session.reading
        try:
            face, aligned = self.editor.take(old.photo, old.faces, number)
        except LatentConstraintsError as error:
            return self._chosen(old, failed(error))
        reading = self.editor.read_located([(old.photo, old.faces, face, aligned)])[0]
        return self._full(self._begin(reading, session.source))

    def _begin(self, reading: Reading, source: str | None) -> Session:
        return Session(reading, source, (self._moment(reading, boxes_seen(self.editor.attributes, reading)),))

    def _moment(
        self,
        reading: Reading,
        boxes: tuple[str, ...],
        identity: float = 0.5,
        strength: float = 1.0,
        method: Method = "actor",
    ) -> Moment:
        edit = self.editor.edit(reading, changes_of(self.editor.attributes, reading, boxes, strength), identity, method)
        return Moment(boxes, identity, method, edit, strength)

    # --- it is edited ----------------------------------------------------------------------------------------------

    def change(
        self,
        boxes: list[str],
        identity: float,
        strength: float,
        method: Method,
        asked: float,
        session: Session | None,
        request: gr.Request,
    ) -> Iterator[Shown]:
        """Edit the photo to what the boxes, the sliders and the method say now; the optimiser shows its way.

        Args:
            boxes: the attributes ticked.
            identity: 0 satisfies the boxes, 1 keeps the person.
            strength: how far each change goes, 1 all the way.
            method: actor or optimise.
            asked: milliseconds by the browser's clock.
            session: the visitor's.
            request: tells visitors apart, for Stop.
        """
        if session is None:
            yield Shown(status=views.fault(text("photo.first")))
            return
        try:
            wish = boxes, identity, strength, method = _checked(
                self.editor.attributes, boxes, identity, strength, method
            )
            wanted = tick(self.editor.attributes, session.now.boxes, boxes)
            corrected = _SKIP if set(wanted) == set(boxes) else list(wanted)
            if method == "optimise" and changes_of(self.editor.attributes, session.reading, wanted):
                walk = _Walk(_wish(*wish), inputs.moment(asked))
                for shown in self._walk(session, wanted, walk, str(request.session_hash)):
                    yield shown._replace(boxes=corrected)
            else:
                moment = self._moment(session.reading, wanted, identity, strength, method)
                yield self._edited(session.add(moment))._replace(boxes=corrected, trace="")
        except LatentConstraintsError as error:
            yield failed(error)._replace(boxes=list(session.now.boxes))

    def _walk(self, session: Session, boxes: tuple[str, ...], walk: _Walk, visitor: str) -> Iterator[Shown]:
        """One picture per step. A walk that is overtaken leaves nothing behind."""
        self._walks[visitor] = walk
        energies: list[Mapping[str, float]] = []
        faces: list[Image.Image] = []
        reading, (_, identity, strength, method) = session.reading, walk.wish
        changes = changes_of(self.editor.attributes, reading, boxes, strength)
        try:
            for progress in self.editor.edit_live(reading, changes, identity, stop=walk.ends):
                if walk.overtaken.is_set():
                    # Gradio empties every output of a handler that ends before it has said anything.
                    yield Shown()
                    return
                energies.append(progress.energies)
                if progress.preview is not None:
                    faces.append(progress.preview)
                if progress.edit is not None:
                    session = session.add(Moment(boxes, identity, method, progress.edit, strength), faces)
                    yield self._edited(session)._replace(trace=views.trace(energies))
                elif progress.preview is not None:
                    yield self._on_the_way(reading, progress, energies)
        finally:
            if self._walks.get(visitor) is walk:
                del self._walks[visitor]

    def overtake(
        self, boxes: list[str], identity: float, strength: float, method: Method, asked: float, request: gr.Request
    ) -> None:
        """End a walk at once when its visitor wants something else, so that the new wish need not wait behind it.

        Args:
            boxes, identity, strength, method, asked, request: see `change`.
        """
        walk = self._walks.get(str(request.session_hash))
        wish = _wish(*_checked(self.editor.attributes, boxes, identity, strength, method))
        # The wish that a walk is for reaches this too, and messages may arrive out of order.
        if walk and inputs.moment(asked) > walk.asked and wish != walk.wish:
            walk.overtaken.set()

    def stop(self, request: gr.Request) -> None:
        """End the optimiser's walk at the face it has reached."""
        if walk := self._walks.get(str(request.session_hash)):
            walk.stopped.set()

    def film(self, session: Session | None) -> str | None:
        """Write the optimiser's way to the latest edit as an animated WebP file."""
        if session is None or not session.walk:
            gr.Warning(text("edit.no_film"))
            return None
        return self.pictures.film(session.walk, session.reading.photo.name)

    def show_stop(self, method: Method) -> Update:
        """Only a walk can be stopped."""
        return gr.update(visible=method == "optimise")

    # --- back and forth --------------------------------------------------------------------------------------------

    def undo(self, session: Session | None) -> Shown:
        """Show the edit before this one, with its boxes and slider."""
        return self._settled(session.move(-1)) if session else Shown()

    def redo(self, session: Session | None) -> Shown:
        """Show the edit that was undone."""
        return self._settled(session.move(1)) if session else Shown()

    def reset(self, session: Session | None) -> Shown:
        """Show the photo as it was read; undo leads back."""
        return self._settled(session.add(session.moments[0])) if session else Shown()

    def export(self, kind: PictureFormat, session: Session | None) -> str | None:
        """Write the edited photo at its full size, with what the upload's file says of it.

        Args:
            kind: PNG, which keeps every pixel, JPEG or WEBP.
            session: the visitor's.
        """
        if session is None:
            return None
        with session.reading.photo.held():
            return self.pictures.edited(session.now.edit, inputs.choice(kind, text("edit.kind"), _KINDS))

    # --- what is shown ---------------------------------------------------------------------------------------------

    def _full(self, session: Session) -> Shown:
        """Everything, for a photo that has just come in."""
        with session.reading.photo.held():
            return self._chosen(session.reading, self._settled(session)._replace(photo=session.source))

    def _chosen(self, reading: Reading, shown: Shown) -> Shown:
        """The outlined faces, with the one that is being edited marked."""
        several = len(reading.faces) > 1
        names = inputs.face_names(len(reading.faces))
        chosen = next((n for (_, n), face in zip(names, reading.faces, strict=True) if face is reading.face), None)
        return shown._replace(
            faces=gr.update(visible=several),
            outline=self.pictures.jpeg(views.outlined(reading)) if several else None,
            choice=gr.update(choices=names, value=chosen),
        )

    def _settled(self, session: Session) -> Shown:
        """An edit and the settings that led to it."""
        now = session.now
        return self._edited(session)._replace(
            boxes=list(now.boxes), identity=now.identity, strength=now.strength, method=now.method, trace=""
        )

    def _edited(self, session: Session) -> Shown:
        """An edit; the boxes and the slider stay as the visitor has left them."""
        reading, edit = session.reading, session.now.edit
        wanted = changes_of(self.editor.attributes, reading, session.now.boxes)
        with reading.photo.held():
            after = reading.photo.to_srgb(on_white(edit.result))
            pair = self.pictures.photo(reading.photo), self.pictures.jpeg(after)
        return Shown(
            session=session,
            pair=pair,
            stages=views.stages(reading, edit.edited),
            bars=views.bars(self.editor.attributes, edit.before, edit.after, wanted),
            film=gr.update(visible=bool(session.walk)),
            status=views.status(session.now, bool(wanted)),
            undo=gr.update(interactive=session.can_undo),
            redo=gr.update(interactive=session.can_redo),
        )

    def _on_the_way(self, reading: Reading, progress: Progress, energies: Sequence[Mapping[str, float]]) -> Shown:
        assert progress.preview is not None
        width, height = reading.photo.size
        pair = _SKIP
        if width * height <= _LIVE_PIXELS:
            after = paste(reading.photo.rgb, progress.preview, reading.aligned, reading.reconstruction)
            pair = self.pictures.photo(reading.photo), self.pictures.jpeg(after)
        return Shown(
            pair=pair,
            stages=views.stages(reading, progress.preview),
            status=views.walking(progress.index),
            trace=views.trace(energies),
        )


def _checked(
    attributes: AttributeSet, boxes: object, identity: object, strength: object, method: object
) -> tuple[list[str], float, float, Method]:
    """What the boxes, the sliders and the method say. Raises LatentConstraintsError."""
    return (
        inputs.boxes(boxes, attributes),
        inputs.share(identity, text("edit.identity")),
        inputs.share(strength, text("edit.strength"), 0.5),
        inputs.choice(method, text("edit.method"), METHODS),
    )


def _wish(boxes: Sequence[str], identity: float, strength: float, method: Method) -> Wish:
    return frozenset(boxes), float(identity), float(strength), method


def failed(error: LatentConstraintsError) -> Shown:
    """A sentence instead of what was asked for; everything else stays."""
    gr.Warning(str(error))
    return Shown(status=views.fault(str(error)))

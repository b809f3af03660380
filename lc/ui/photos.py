"""How a photo comes to the first tab: the opening, uploads, examples, what a browser has kept, another face of it.

None of this raises what a visitor can put right: it becomes a sentence, and the picture on show stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.errors import LatentConstraintsError
from lc.faces import Photo, read_photo
from lc.results import Located
from lc.taught import TaughtAttribute
from lc.ui import inputs
from lc.ui.filling import Filling, shows, toggled
from lc.ui.pictures import Pictures
from lc.ui.running import Running
from lc.ui.session import Moment, Session, boxes_seen, changes_of, tick
from lc.ui.shown import Showing, Shown
from lc.ui.stage import Stage
from lc.ui.storage import Folder
from lc.ui.texts import text
from lc.ui.wishes import More, Wishes

__all__ = ["EXAMPLES", "PhotoHandlers", "examples"]

EXAMPLES = Path(__file__).parent / "examples"


def examples() -> list[Path]:
    """The pictures that ship with the page; photos before made-up faces."""
    kinds = (".jpg", ".jpeg", ".png", ".webp")
    found = [path for path in EXAMPLES.iterdir() if path.suffix.lower() in kinds] if EXAMPLES.is_dir() else []
    return sorted(found, key=lambda path: (path.name.startswith("face-"), path.name))


class PhotoHandlers:
    """The first tab's events that bring a face, around one editor that all visitors share.

    Args:
        editor: the editor.
        folder: where uploads are, and results go.
    """

    def __init__(self, editor: FaceEditor, folder: Folder) -> None:
        self.editor, self.folder, self.pictures = editor, folder, Pictures(folder)
        self.stage = Stage(self.pictures, editor.attributes)
        self.examples, self.wishes = examples(), Wishes(editor)
        self.running = Running()
        self._filling = Filling(editor, self.stage, self.running)
        self._showing = Showing(editor.attributes, self.stage, self.wishes)

    def opening(self) -> tuple[Session | None, Shown]:
        """What the first paint shows: the first example, already edited; nothing where there is no example."""
        if not self.examples:
            return None, Shown()
        path = self.examples[0]
        session = self._begin(self.editor.read(str(path)), path.name)
        attributes, boxes = self.editor.attributes, session.now.boxes
        # What everybody sees at a glance; the page goes through them until somebody does something.
        glance = (attributes.opening or attributes.names)[:3]
        loop = [self._moment(session.reading, tick(attributes, boxes, toggled(boxes, name))) for name in glance]
        loop.sort(key=lambda moment: not _seen(moment.edit))  # what the photo does not show comes last
        turns = [session.add(moment) for moment in loop]
        session = turns[0]
        tiles: dict[str, Any] = {}
        for batch in self._filling.batches(session):
            tiles |= batch
        shown = self._showing.full(session)
        loops = [[self.stage.after(one.now.edit), self._showing.said(one)] for one in turns]
        # A file, as is all that every visitor's browser may keep.
        stage = {**shown.stage, "after": loops[0][0], "loop": loops}
        return session, shown._replace(stage=stage, tiles={**shown.tiles, "tiles": tiles})

    def open_upload(self, upload: dict[str, Any] | None, request: gr.Request) -> Shown:
        """Read an uploaded, snapped, dropped or pasted photo.

        Args:
            upload: Gradio's description of the file, as it came: Gradio's own decoding would fail without a sentence.
            request: tells visitors apart.
        """
        self.running.end(request)
        if not upload:
            return Shown()
        with self.folder.open_upload(upload) as file:
            return self._open(read_photo(file), None)

    def open_example(self, event: gr.SelectData, request: gr.Request) -> Shown:
        """Read the example picture that was clicked."""
        self.running.end(request)
        path = self.examples[inputs.whole(event.index, text("photo.examples"), 0, len(self.examples) - 1)]
        return self._open(read_photo(path), path.name)

    def open_sample(self, reading: Reading, request: gr.Request) -> Shown:
        """Take a made-up face to this tab."""
        self.running.end(request)
        return self._showing.full(self._begin(reading, None))

    def restore(
        self,
        upload: dict[str, Any] | None,
        source: str | None,
        kept: object,
        request: gr.Request,
        taught: Sequence[TaughtAttribute] = (),
    ) -> Shown:
        """Bring back what the browser has kept: a photo or an example, and the edits of its faces.

        Args:
            upload: the photo, uploaded again; None for an example.
            source: the example's name.
            kept: see `Session.kept`.
            request: tells visitors apart.
            taught: the visitor's; wishes for what is not there any more are dropped.
        """
        self.running.end(request)
        if upload:
            with self.folder.open_upload(upload) as file:
                photo, source = read_photo(file), None
        else:
            path = next((path for path in self.examples if path.name == source), None)
            if path is None:
                raise LatentConstraintsError(text("photo.gone"))
            photo = read_photo(path)
        with photo.held():
            session = self._begin(self.editor.read(photo), source)
            for face in inputs.kept(kept, self.editor.attributes):
                session = self._turned(session, face.number)
                more = self.wishes.checked(face.more, taught, lenient=True)
                if set(face.boxes) != set(session.now.boxes) or more:
                    session = session.add(
                        self._moment(
                            session.reading, face.boxes, face.identity, face.strength, "actor", more, taught, face.style
                        )
                    )
            return self._showing.full(session)

    def choose_face(self, choice: str | None, session: Session | None, request: gr.Request) -> Shown:
        """Edit another face of the same photo; each keeps its own edits.

        Args:
            choice: "Face 2" is the second largest.
            session, request: the visitor's.
        """
        self.running.end(request)
        if session is None or not choice:
            return Shown()
        number = inputs.face_name(choice)
        if number == session.number:
            return Shown()
        return self._showing.full(self._turned(session, number))

    def _open(self, photo: Photo, source: str | None) -> Shown:
        with photo.held():
            return self._showing.full(self._begin(self.editor.read(photo), source))

    def _turned(self, session: Session, number: int) -> Session:
        """The session with another face in hand. Raises as `FaceEditor.take` does."""
        if number == session.number:
            return session
        parked = dict(session.park())
        if number in parked:
            return replace(parked.pop(number), parked=parked)
        old = session.reading
        face, aligned = self.editor.take(old.photo, old.faces, number)
        reading = self.editor.read_located([Located(old.photo, old.faces, face, aligned)])[0]
        return replace(self._begin(reading, session.source), parked=parked)

    def _begin(self, reading: Reading, source: str | None) -> Session:
        return Session(reading, source, (self._moment(reading, boxes_seen(self.editor.attributes, reading)),))

    def _moment(
        self,
        reading: Reading,
        boxes: tuple[str, ...],
        identity: float = 0.5,
        strength: float = 1.0,
        method: Method = "actor",
        more: More | None = None,
        taught: Sequence[TaughtAttribute] = (),
        style: int = 0,
    ) -> Moment:
        changes, more = changes_of(self.editor.attributes, reading, boxes, strength), more or {}
        edit = self.editor.edit(
            reading,
            changes,
            identity,
            method,
            constraints=self.wishes.constraints(more, taught, reading.z, strength),
            preserve=self.wishes.preserved(more),
            style=style,
        )
        return Moment(boxes, identity, method, edit, strength, more, tuple(taught), style)


def _seen(edit: Edit) -> bool:
    return shows(edit, edit.seen.after if edit.seen else edit.after)

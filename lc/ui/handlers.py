"""What the first tab does when something is clicked: functions from inputs and the session to what the page shows.

None of them raises what a visitor can put right: it becomes a sentence, and the picture on show stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gradio as gr
from PIL import Image

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.errors import LatentConstraintsError
from lc.faces import Photo, PictureFormat, read_photo
from lc.results import Located
from lc.taught import TaughtAttribute
from lc.ui import inputs, views
from lc.ui.filling import Filling, shows, toggled
from lc.ui.pictures import Pictures
from lc.ui.running import Latest, Running
from lc.ui.session import Moment, Session, boxes_seen, changes_of, tick
from lc.ui.stage import Stage, finished
from lc.ui.storage import Folder
from lc.ui.texts import text
from lc.ui.wishes import More, Wishes

__all__ = ["EXAMPLES", "METHODS", "EditHandlers", "Shown", "examples", "failed"]

EXAMPLES = Path(__file__).parent / "examples"

_KINDS: tuple[PictureFormat, ...] = ("PNG", "JPEG", "WEBP")
METHODS: tuple[Method, ...] = ("actor", "optimise")

#: What an event leaves as it is.
_SKIP: Any = gr.skip()
Update: TypeAlias = Any  # a value, or gr.update(...)


class Shown(NamedTuple):
    """One field per output of the first tab, in the order in which layout.py lists them."""

    session: Update = _SKIP
    stage: Update = _SKIP
    status: Update = _SKIP
    tiles: Update = _SKIP


def examples() -> list[Path]:
    """The pictures that ship with the page; photos before made-up faces."""
    kinds = (".jpg", ".jpeg", ".png", ".webp")
    found = [path for path in EXAMPLES.iterdir() if path.suffix.lower() in kinds] if EXAMPLES.is_dir() else []
    return sorted(found, key=lambda path: (path.name.startswith("face-"), path.name))


class EditHandlers:
    """The first tab's events, around one editor that all visitors share.

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

    # --- a photo comes in ------------------------------------------------------------------------------------------

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
        shown = self._full(session)
        loops = [[self.stage.after(one.now.edit), self._said(one)] for one in turns]
        return session, shown._replace(stage={**shown.stage, "loop": loops}, tiles={**shown.tiles, "tiles": tiles})

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
        return self._full(self._begin(reading, None))

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
                            session.reading, face.boxes, face.identity, face.strength, "actor", more=more, taught=taught
                        )
                    )
            return self._full(session)

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
        return self._full(self._turned(session, number))

    def _open(self, photo: Photo, source: str | None) -> Shown:
        with photo.held():
            return self._full(self._begin(self.editor.read(photo), source))

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
    ) -> Moment:
        changes, more = changes_of(self.editor.attributes, reading, boxes, strength), more or {}
        edit = self.editor.edit(
            reading,
            changes,
            identity,
            method,
            constraints=self.wishes.constraints(more, taught, reading.z, strength),
            preserve=self.wishes.preserved(more),
        )
        return Moment(boxes, identity, method, edit, strength, more, tuple(taught))

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
        more: object = None,
        taught: Sequence[TaughtAttribute] = (),
    ) -> Iterator[Shown]:
        """Edit the photo to what the tiles, the sliders and the method say now; the optimiser shows its way.

        Args:
            boxes: the attributes that are on.
            identity: 0 satisfies the boxes, 1 keeps the person.
            strength: how far each change goes, 1 all the way.
            method: actor or optimise.
            asked: milliseconds by the browser's clock.
            session: the visitor's.
            request: tells visitors apart.
            more: wishes beyond the boxes, see wishes.py.
            taught: the visitor's.
        """
        if session is None:
            yield Shown(status=views.fault(text("photo.first")))
            return
        boxes = inputs.boxes(boxes, self.editor.attributes)
        identity = inputs.share(identity, text("edit.identity"))
        strength = inputs.share(strength, text("edit.strength"), 0.5)
        method = inputs.choice(method, text("edit.method"), METHODS)
        latest = self.running.latest(request)
        wishes = self.wishes.checked(more, taught)
        mine = inputs.moment(asked) or latest.asked
        if mine < latest.asked:  # something newer waits behind this
            yield Shown()
            return
        latest.asked = mine
        latest.stopped.clear()
        wanted = tick(self.editor.attributes, session.now.boxes, boxes)
        now = session.now
        if (wanted, identity, strength, method, wishes) == (
            now.boxes,
            now.identity,
            now.strength,
            now.method,
            now.more,
        ):
            yield from self._answer(session, mine, latest)  # asked for twice: nothing to add to the history
            return
        if method == "optimise" and (wishes or changes_of(self.editor.attributes, session.reading, wanted)):
            wish = Moment(wanted, identity, method, session.now.edit, strength, wishes, tuple(taught))
            yield from self._walk(session, wish, latest, mine)
            return
        moment = self._moment(session.reading, wanted, identity, strength, method, wishes, taught)
        # Whoever asked for something else meanwhile does not see this, nor find it in the history.
        if mine >= latest.asked:
            yield from self._answer(session.add(moment), mine, latest)
        else:
            yield Shown()

    def _walk(self, session: Session, wish: Moment, latest: Latest, mine: float) -> Iterator[Shown]:
        """One picture per step. A walk that was cancelled leaves nothing behind."""
        energies: list[Mapping[str, float]] = []
        faces: list[Image.Image] = []
        changes = changes_of(self.editor.attributes, session.reading, wish.boxes, wish.strength)

        def ends() -> bool:
            return latest.stopped.is_set() or latest.asked > mine

        constraints = self.wishes.constraints(wish.more, wish.taught, session.reading.z, wish.strength)
        walk = self.editor.edit_live(
            session.reading,
            changes,
            wish.identity,
            constraints=constraints,
            preserve=self.wishes.preserved(wish.more),
            stop=ends,
        )
        for progress in walk:
            if latest.asked > mine:
                # Gradio empties every output of a handler that ends before it has said anything.
                yield Shown()
                return
            energies.append(progress.energies)
            if progress.preview is not None:
                faces.append(progress.preview)
            if progress.edit is not None:
                session = session.add(replace(wish, edit=progress.edit), faces)
                yield from self._answer(session, mine, latest, energies=views.trace(energies))
            elif progress.preview is not None:
                stage = self.stage.on_the_way(session, progress.preview, energies, mine)
                yield Shown(stage=stage, status=views.walking(progress.index))

    def film(self, session: Session | None) -> str | None:
        """Write the optimiser's way to the latest edit as an animated WebP file, of the whole head."""
        if session is None or not session.walk:
            gr.Warning(text("edit.no_film"))
            return None
        faces = [self.stage.blended(session.reading, face, 2.0, 320) for face in session.walk]
        return self.pictures.film(faces, session.photo.name)

    # --- what each change would look like --------------------------------------------------------------------------

    def fill(self, session: Session | None, request: gr.Request) -> Iterator[Shown]:
        """Make the tiles: this face with each change alone, some at a time.

        Args:
            session: the visitor's.
            request: tells visitors apart: another face ends the tiles of the one before.
        """
        for tiles in self._filling.fill(session, request):
            yield Shown() if tiles is None else Shown(tiles=tiles)

    # --- back and forth --------------------------------------------------------------------------------------------

    def undo(self, session: Session | None, request: gr.Request) -> Shown:
        """Show the edit before this one, with its settings."""
        self.running.end(request)
        return self._edited(session.move(-1)) if session else Shown()

    def redo(self, session: Session | None, request: gr.Request) -> Shown:
        """Show the edit that was undone."""
        self.running.end(request)
        return self._edited(session.move(1)) if session else Shown()

    def reset(self, session: Session | None, request: gr.Request) -> Shown:
        """Show the photo as it was read; undo leads back."""
        self.running.end(request)
        return self._edited(session.add(session.moments[0])) if session else Shown()

    def go(self, session: Session | None, event: gr.SelectData, request: gr.Request) -> Shown:
        """Show the edit of the history that was clicked."""
        self.running.end(request)
        if session is None:
            return Shown()
        return self._edited(session.go(inputs.whole(event.index, text("edit.history"), 0, len(session.moments) - 1)))

    def export(self, kind: PictureFormat, session: Session | None) -> str | None:
        """Write the edited photo at its full size, all of its faces, with what the upload's file says of it.

        Args:
            kind: PNG, which keeps every pixel, JPEG or WEBP.
            session: the visitor's.
        """
        if session is None:
            return None
        with session.photo.held():
            kind = inputs.choice(kind, text("edit.kind"), _KINDS)
            return self.pictures.finished(finished(session), session.photo, kind)

    # --- what is shown ---------------------------------------------------------------------------------------------

    def _full(self, session: Session) -> Shown:
        """Everything, for a face that has just come in."""
        return self._edited(session)._replace(tiles=self._filling.empty(session))

    def _edited(self, session: Session, asked: float = 0) -> Shown:
        """An edit and the settings that led to it."""
        with session.now.edit.held():
            return self._pictured(session, asked)._replace(status=self._said(session))

    def _answer(self, session: Session, asked: float, latest: Latest, **more: Any) -> Iterator[Shown]:
        """As `_edited`, the picture first: what is read in it comes after, where it is still on show.

        Args:
            session: the visitor's.
            asked: see `Stage.view`.
            latest: what the visitor asks for meanwhile.
            more: further values for the stage.
        """
        with session.now.edit.held():
            shown = self._pictured(session, asked)
            yield shown._replace(stage={**shown.stage, **more})
            yield Shown(status=self._said(session)) if asked >= latest.asked else Shown()

    def _pictured(self, session: Session, asked: float) -> Shown:
        attributes, now = self.editor.attributes, session.now
        more = {
            "source": session.source,
            "serial": time.monotonic(),
            "details": views.details(attributes, now, changes_of(attributes, session.reading, now.boxes)),
        }
        return Shown(session=session, stage={**self.stage.view(session, asked), **more})

    def _said(self, session: Session) -> str:
        attributes, now = self.editor.attributes, session.now
        wanted = changes_of(attributes, session.reading, now.boxes)
        return views.status(attributes, now, wanted, self.wishes.seen(now.edit, now.more, now.taught))


def _seen(edit: Edit) -> bool:
    return shows(edit, edit.seen.after if edit.seen else edit.after)


def failed(error: LatentConstraintsError) -> Shown:
    """A sentence instead of what was asked for; everything else stays."""
    return Shown(stage={"failed": str(error), "serial": time.monotonic()}, status=views.fault(str(error)))

"""What the first tab does when something is clicked: functions from inputs and the session to what the page shows.

None of them raises what a visitor can put right: it becomes a sentence, and the picture on show stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import gradio as gr
from PIL import Image

from lc.editor import Method
from lc.faces import PictureFormat
from lc.taught import TaughtAttribute
from lc.ui import inputs, views
from lc.ui.photos import PhotoHandlers
from lc.ui.running import Latest
from lc.ui.session import Moment, Session, changes_of, tick
from lc.ui.shown import Shown
from lc.ui.stage import finished
from lc.ui.texts import text

__all__ = ["METHODS", "EditHandlers"]

_KINDS: tuple[PictureFormat, ...] = ("PNG", "JPEG", "WEBP")
METHODS: tuple[Method, ...] = ("actor", "optimise")


class EditHandlers(PhotoHandlers):
    """All of the first tab's events: those that bring a face, and here those that edit it."""

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
        style: object = 0,
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
            style: which of several forms, of glasses say, from 0.
        """
        if session is None:
            yield Shown(status=views.fault(text("photo.first")))
            return
        boxes = inputs.boxes(boxes, self.editor.attributes)
        identity = inputs.share(identity, text("edit.identity"))
        strength = inputs.share(strength, text("edit.strength"), 0.5)
        method = inputs.choice(method, text("edit.method"), METHODS)
        form = inputs.style(style, text("edit.another"))
        latest = self.running.latest(request)
        wishes = self.wishes.checked(more, taught)
        mine = inputs.moment(asked) or latest.asked
        if mine < latest.asked:  # something newer waits behind this
            yield Shown()
            return
        latest.asked = mine
        latest.stopped.clear()
        wanted = tick(self.editor.attributes, session.now.boxes, boxes)
        wish = Moment(wanted, identity, method, session.now.edit, strength, wishes, tuple(taught), form)
        yield from self._fulfilled(session, wish, latest, mine)

    def _fulfilled(self, session: Session, wish: Moment, latest: Latest, mine: float) -> Iterator[Shown]:
        """A wish, whose edit is still the one before, made and shown, by whichever way takes least."""
        if wish.settings() == session.now.settings():
            yield from self._showing.answer(session, mine, latest)  # asked for twice: nothing to add to the history
        elif wish.method == "optimise" and (
            wish.more or changes_of(self.editor.attributes, session.reading, wish.boxes)
        ):
            yield from self._walk(session, wish, latest, mine)
        else:
            with self.running.edits.working():
                moment = self._made(session, wish)
                # Whoever asked for something else meanwhile does not see this, nor find it in the history.
                if mine < latest.asked:
                    answers = iter([Shown()])
                else:
                    answers = self._showing.answer(session.add(moment), mine, latest)
                first = next(answers)
            yield first
            yield from answers

    def _made(self, session: Session, wish: Moment) -> Moment:
        """A wish with its edit: the one that the history has of it, or a new one."""
        for moment in session.moments:
            if moment.settings() == wish.settings() and moment.taught == wish.taught:
                return moment
        return self._moment(
            session.reading,
            wish.boxes,
            wish.identity,
            wish.strength,
            wish.method,
            wish.more,
            wish.taught,
            wish.style,
        )

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
            style=wish.style,
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
                yield from self._showing.answer(session, mine, latest, energies=views.trace(energies))
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
        return self._showing.edited(session.move(-1)) if session else Shown()

    def redo(self, session: Session | None, request: gr.Request) -> Shown:
        """Show the edit that was undone."""
        self.running.end(request)
        return self._showing.edited(session.move(1)) if session else Shown()

    def reset(self, session: Session | None, request: gr.Request) -> Shown:
        """Show the photo as it was read; undo leads back."""
        self.running.end(request)
        return self._showing.edited(session.add(session.moments[0])) if session else Shown()

    def go(self, session: Session | None, event: gr.SelectData, request: gr.Request) -> Shown:
        """Show the edit of the history that was clicked."""
        self.running.end(request)
        if session is None:
            return Shown()
        return self._showing.edited(
            session.go(inputs.whole(event.index, text("edit.history"), 0, len(session.moments) - 1))
        )

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

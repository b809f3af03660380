"""The tiles: a face with each change alone, as thumbnails that come some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from lc.editor import Edit, FaceEditor
from lc.ui.running import Running
from lc.ui.session import Session, changes_of, tick
from lc.ui.stage import Stage
from lc.ui.texts import text

__all__ = ["Filling", "shows", "toggled"]

_BATCH = 3  # tiles that are sent together


class Filling:
    """Makes them.

    Args:
        editor: whose weights are used.
        stage: draws them.
        running: tells when nobody waits for them any more.
    """

    def __init__(self, editor: FaceEditor, stage: Stage, running: Running) -> None:
        self._stage, self._running = stage, running
        # The actor's proposal as it is: a thumbnail does not show what correction adds.
        self._quick = FaceEditor(editor.model, editor.inversion_steps, 0)

    def fill(self, session: Session | None, request: gr.Request) -> Iterator[dict[str, Any] | None]:
        """All tiles so far, again and again; None where another face has ended them.

        Args:
            session: the visitor's.
            request: tells visitors apart.
        """
        if session is None:
            yield None
            return
        latest = self._running.latest(request)
        latest.reading = session.reading
        made: dict[str, Any] = {}
        for batch in self.batches(session, lambda: latest.reading is session.reading):
            made |= batch
            yield {**self.empty(session), "tiles": dict(made)}
        if latest.reading is not session.reading:
            yield None

    def batches(self, session: Session, wanted: Callable[[], bool] = lambda: True) -> Iterator[dict[str, Any]]:
        """Attribute name -> its picture as data, and a word where the change may not look real.

        Args:
            session: the visitor's.
            wanted: asked before each tile; False ends them.
        """
        attributes, reading, seen = self._quick.attributes, session.reading, session.moments[0].boxes
        batch: dict[str, Any] = {}
        for name in attributes.names:
            self._running.give_way()
            if not wanted():
                return
            changes = changes_of(attributes, reading, tick(attributes, seen, toggled(seen, name)))
            edit = self._quick.edit(reading, changes, 0.5)
            image, read = self._stage.tile(edit)
            batch[name] = {"image": image, "note": _note(edit, read)}
            if len(batch) == _BATCH:
                yield batch
                batch = {}
        yield batch

    @staticmethod
    def empty(session: Session) -> dict[str, Any]:
        """No tiles yet, of the face in hand."""
        return {"face_key": session.key, "tiles": {}}


def toggled(boxes: Sequence[str], name: str) -> list[str]:
    """The boxes with one of them switched."""
    return [box for box in boxes if box != name] if name in boxes else [*boxes, name]


def shows(edit: Edit, read: Mapping[str, float]) -> bool:
    """Whether all that was asked for is what is read."""
    return all((read[name] >= 0.5) == (value >= 0.5) for name, value in edit.changes.items() if name in read)


def _note(edit: Edit, read: Mapping[str, float]) -> str:
    """Why a change may not look real on this face; empty where nothing says so."""
    if edit.warning:
        return text("tiles.rare")
    return "" if shows(edit, read) else text("tiles.faint")

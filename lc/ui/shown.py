"""What the first tab shows: the outputs of its events, and how they are made of a visitor's session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import gradio as gr

from lc.attributes import AttributeSet
from lc.errors import LatentConstraintsError
from lc.ui import views
from lc.ui.filling import Filling
from lc.ui.running import Latest
from lc.ui.session import Session, changes_of
from lc.ui.stage import Stage
from lc.ui.texts import translated
from lc.ui.wishes import Wishes

__all__ = ["Showing", "Shown", "Update", "failed"]

#: What an event leaves as it is.
_SKIP: Any = gr.skip()
Update: TypeAlias = Any  # a value, or gr.update(...)


class Shown(NamedTuple):
    """One field per output of the first tab, in the order in which layout.py lists them."""

    session: Update = _SKIP
    stage: Update = _SKIP
    status: Update = _SKIP
    tiles: Update = _SKIP


class Showing:
    """Makes `Shown` of sessions.

    Args:
        attributes: which the model knows.
        stage: draws the pictures.
        wishes: says what is seen of wishes beyond the attributes.
    """

    def __init__(self, attributes: AttributeSet, stage: Stage, wishes: Wishes) -> None:
        self._attributes, self._stage, self._wishes = attributes, stage, wishes

    def full(self, session: Session) -> Shown:
        """Everything, for a face that has just come in."""
        return self.edited(session)._replace(tiles=Filling.empty(session))

    def edited(self, session: Session, asked: float = 0) -> Shown:
        """An edit and the settings that led to it."""
        with session.now.edit.held():
            shown = self._pictured(session, asked)
            return shown._replace(stage=self._detailed(shown, session), status=self.said(session))

    def answer(self, session: Session, asked: float, latest: Latest, **more: Any) -> Iterator[Shown]:
        """As `edited`, the picture first: what is read in it and how it was made come after, where it is still on show.

        Args:
            session: the visitor's.
            asked: see `Stage.view`.
            latest: what the visitor asks for meanwhile.
            more: further values for the stage.
        """
        with session.now.edit.held():
            shown = self._pictured(session, asked)
            shown = shown._replace(stage={**shown.stage, **more})
            yield shown
            yield Shown(status=self.said(session)) if latest.rests(asked) else Shown()
            yield Shown(stage=self._detailed(shown, session)) if asked >= latest.asked else Shown()

    def said(self, session: Session) -> str:
        """The line under the stage."""
        now = session.now
        wanted = changes_of(self._attributes, session.reading, now.boxes)
        return views.status(self._attributes, now, wanted, self._wishes.seen(now.edit, now.more, now.taught))

    def _pictured(self, session: Session, asked: float) -> Shown:
        now = session.now
        more = {
            "source": session.source,
            "styles": self._wishes.editor.styles(now.edit),
            # All of the edit is drawn onto the photo, whatever the identity slider says.
            "drawn": now.edit.covered,
            "serial": time.monotonic(),
        }
        return Shown(session=session, stage={**self._stage.view(session, asked), **more})

    def _detailed(self, shown: Shown, session: Session) -> dict[str, Any]:
        """The same view of the stage with how its edit was made: what no picture waits for."""
        wanted = changes_of(self._attributes, session.reading, session.now.boxes)
        return {**shown.stage, "details": views.details(self._attributes, session.now, wanted)}


def failed(error: LatentConstraintsError) -> Shown:
    """A sentence instead of what was asked for; everything else stays."""
    return Shown(stage={"failed": translated(error), "serial": time.monotonic()}, status=views.fault(translated(error)))

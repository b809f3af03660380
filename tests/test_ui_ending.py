"""Whatever changes the state ends what runs for an older wish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio")
from visiting import VISITOR, is_skip, merged, start, uploaded

from lc.ui.handlers import EditHandlers
from lc.ui.session import Session
from lc.ui.storage import Folder

CANCELLERS: dict[str, Callable[[EditHandlers, Session, dict[str, Any]], Any]] = {
    "cancel": lambda handlers, session, upload: handlers.running.cancel(120, VISITOR),
    "undo": lambda handlers, session, upload: handlers.undo(session, VISITOR),
    "redo": lambda handlers, session, upload: handlers.redo(session, VISITOR),
    "reset": lambda handlers, session, upload: handlers.reset(session, VISITOR),
    "history": lambda handlers, session, upload: handlers.go(session, SimpleNamespace(index=0), VISITOR),
    "example": lambda handlers, session, upload: handlers.open_example(SimpleNamespace(index=0), VISITOR),
    "upload": lambda handlers, session, upload: handlers.open_upload(upload, VISITOR),
    "face": lambda handlers, session, upload: handlers.choose_face("Face 1", session, VISITOR),
    "sample": lambda handlers, session, upload: handlers.open_sample(session.reading, VISITOR),
    "restore": lambda handlers, session, upload: handlers.restore(upload, None, session.kept(), VISITOR),
    "method": lambda handlers, session, upload: list(
        start(handlers, session, set(session.now.boxes) ^ {"Young"}, "actor", asked=120)
    ),
    "tab": lambda handlers, session, upload: handlers.running.leave(120, VISITOR),
    "closing": lambda handlers, session, upload: handlers.running.close(VISITOR),
    "another wish": lambda handlers, session, upload: list(start(handlers, session, set(), "actor", asked=120)),
}


@pytest.mark.parametrize("what", CANCELLERS)
def test_whatever_changes_the_state_ends_a_walk(
    handlers: EditHandlers, session: Session, folder: Folder, astronaut: Path, what: str
) -> None:
    walk = start(handlers, session, set(session.now.boxes) ^ {"Young"}, "optimise", asked=100)
    next(walk)
    handlers.running.cancel(90, VISITOR)  # one that was late on its way
    assert not is_skip(next(walk).status)
    CANCELLERS[what](handlers, session, uploaded(folder, astronaut))
    assert all(is_skip(field) for shown in walk for field in shown)  # no picture, no edit to undo


def test_a_wish_that_a_newer_one_has_overtaken_is_left_out(handlers: EditHandlers, session: Session) -> None:
    handlers.running.cancel(200, VISITOR)
    (shown,) = start(handlers, session, set(), "actor", asked=150)
    assert all(map(is_skip, shown))
    shown = merged(start(handlers, session, set(), "actor", asked=200))
    assert not is_skip(shown.session)


def test_who_taps_on_is_told_nothing_of_the_edit_before(handlers: EditHandlers, session: Session) -> None:
    wish = set(session.now.boxes) ^ {"Young"}
    answers = start(handlers, session, wish, "actor", asked=100)
    assert not is_skip(next(answers).stage)
    soon = Timer(0.02, handlers.running.cancel, (120, VISITOR))  # while the picture has just come
    soon.start()
    assert all(is_skip(field) for shown in answers for field in shown)
    soon.join()
    _, words, details = start(handlers, session, wish, "actor", asked=140)
    assert not is_skip(words.status)
    assert "details" in details.stage


def test_another_tab_and_closing_end_the_tiles(handlers: EditHandlers, session: Session) -> None:
    for end in (lambda: handlers.running.leave(1, VISITOR), lambda: handlers.running.close(VISITOR)):
        filling = handlers.fill(session, VISITOR)
        assert not is_skip(next(filling).tiles)
        end()
        assert all(is_skip(shown.tiles) for shown in filling)


def test_a_photo_still_comes_in_where_somebody_turns_to_another_tab(
    handlers: EditHandlers, folder: Folder, astronaut: Path
) -> None:
    handlers.running.leave(1e12, VISITOR)
    shown = handlers.open_upload(uploaded(folder, astronaut), VISITOR)
    assert isinstance(shown.session, Session)
    assert shown.stage["asked"] == 0  # which no browser takes for too old

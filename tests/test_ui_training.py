"""Actors of what was taught, trained in the background of the page."""

from __future__ import annotations

import dataclasses
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from lc import taught_actor
from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError

gr = pytest.importorskip("gradio")

from visiting import VISITOR  # noqa: E402 - needs gradio, as do those below

from lc.ui import training as ui_training  # noqa: E402
from lc.ui.events import Events  # noqa: E402
from lc.ui.handlers import EditHandlers  # noqa: E402
from lc.ui.running import Busy  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402
from lc.ui.teaching import TeachingHandlers  # noqa: E402
from lc.ui.training import TrainingHandlers, failed_training  # noqa: E402
from lc.ui.visitors import Visitors  # noqa: E402


@pytest.fixture
def handlers(contrasted_editor: FaceEditor, folder: Folder) -> TeachingHandlers:
    return TeachingHandlers(EditHandlers(contrasted_editor, folder))


@pytest.fixture
def practice(handlers: TeachingHandlers, monkeypatch: pytest.MonkeyPatch) -> TrainingHandlers:
    monkeypatch.setattr(taught_actor, "STEPS", 5)
    monkeypatch.setattr(ui_training, "_SAID", 0.0)
    return TrainingHandlers(handlers, Busy())


def test_an_actor_is_trained_while_something_else_is_taught(practice: TrainingHandlers, taught: list[Any]) -> None:
    mine = list(taught)
    steps = practice.train_actor("Red_face", 7, lambda: mine, VISITOR)
    first = next(steps)
    assert first.view["training"] == {"name": "Red_face", "done": 0, "total": 5}
    assert first.taught == gr.skip()
    other = dataclasses.replace(taught[0], name="Other")
    mine.append(other)
    *said, last = steps
    assert [one.view["training"]["done"] for one in said] == [1, 2, 3, 4]
    assert [one.name for one in last.taught] == ["Red_face", "Other"]
    assert last.taught[0].actor is not None
    assert last.taught[1] is other
    assert [one["actor"] for one in last.view["taught"]] == [True, False]
    assert last.view["training"]["total"] == 0
    assert [entry["name"] for entry in last.more["entries"]][:2] == ["Red_face", "Other"]
    assert "with" not in last.view  # the photos on show are not its business


def test_cancelling_ends_a_training_and_those_that_wait_for_it(practice: TrainingHandlers, taught: list[Any]) -> None:
    steps = practice.train_actor("Red_face", 7, lambda: taught, VISITOR)
    next(steps)
    practice.cancel_training(9, VISITOR)
    for left in (steps, practice.train_actor("Red_face", 8, lambda: taught, VISITOR)):
        (last,) = left
        assert last.view["training"] == {"name": "Red_face", "done": 0, "total": 0}
        assert last.taught == gr.skip()
    *_, again = practice.train_actor("Red_face", 10, lambda: taught, VISITOR)
    assert again.taught[0].actor is not None


def test_another_visitor_cancels_nothing_of_mine(practice: TrainingHandlers, taught: list[Any]) -> None:
    steps = practice.train_actor("Red_face", 7, lambda: taught, VISITOR)
    practice.cancel_training(9, SimpleNamespace(session_hash="other"))  # type: ignore[arg-type]
    *_, last = steps
    assert last.taught[0].actor is not None


@pytest.mark.parametrize("again", [False, True])
def test_what_is_forgotten_or_taught_anew_is_trained_no_further(
    practice: TrainingHandlers, taught: list[Any], again: bool
) -> None:
    mine = list(taught)
    steps = practice.train_actor("Red_face", 7, lambda: mine, VISITOR)
    next(steps)
    mine[:] = [dataclasses.replace(taught[0])] if again else []
    (last,) = steps
    assert last.taught == gr.skip()
    assert last.view["training"]["total"] == 0


def test_a_closed_page_ends_its_training(practice: TrainingHandlers, taught: list[Any]) -> None:
    steps = practice.train_actor("Red_face", 2e12, lambda: taught, VISITOR)
    next(steps)
    practice.close(VISITOR)
    (last,) = steps
    assert last.taught == gr.skip()


def test_what_is_gone_is_a_sentence(practice: TrainingHandlers) -> None:
    with pytest.raises(LatentConstraintsError, match="not here any more"):
        next(practice.train_actor("Red_face", 7, lambda: (), VISITOR))
    view = failed_training(LatentConstraintsError("Sorry.")).view
    assert view["failed"] == "Sorry."
    assert view["training"]["total"] == 0


def test_what_visitors_wait_for_goes_first() -> None:
    busy, began = Busy(), time.monotonic()
    busy.wait(60)
    assert time.monotonic() - began < 30
    with busy.working():
        began = time.monotonic()
        busy.wait(0.2)
        assert time.monotonic() - began >= 0.19  # so long at most
        waiting = threading.Thread(target=busy.wait, args=(60,))
        waiting.start()
    waiting.join(30)
    assert not waiting.is_alive()


def test_the_visitors_latest_is_kept_and_its_actor_edits(
    practice: TrainingHandlers, handlers: TeachingHandlers, taught: list[Any]
) -> None:
    visitors = Visitors(None, 100_000_000)
    visitors.keep_taught("visitor", taught)
    events = Events(visitors)
    train = events.wrap(practice.train_actor, failed_training, background=True)
    said = train(VISITOR, "Red_face", 7)
    next(said)
    assert visitors.taught("visitor")[0].actor is None
    *_, (view, more) = said
    assert view["training"]["total"] == 0
    assert more["entries"][0]["name"] == "Red_face"
    (kept,) = visitors.taught("visitor")
    assert kept.actor is not None
    (wish,) = handlers.wishes.constraints({"Red_face": "require"}, [kept])
    assert wish.actor is kept.actor  # type: ignore[attr-defined]

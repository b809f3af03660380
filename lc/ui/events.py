"""Between Gradio and the handlers: what the server remembers of a visitor goes in, what changed is remembered."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import gradio as gr

from lc.errors import LatentConstraintsError
from lc.memory import LARGE, trim
from lc.ui.desk import packed
from lc.ui.lessons import Lesson
from lc.ui.making import Faces
from lc.ui.running import Busy
from lc.ui.session import Session
from lc.ui.shown import Shown
from lc.ui.teaching import Teaching
from lc.ui.texts import text
from lc.ui.visitors import ForgottenError, Visitors

__all__ = ["Events"]

_LOG = logging.getLogger(__name__)

Handler = Callable[..., Any]
Failed = Callable[[LatentConstraintsError], Any]


class Events:
    """Makes functions for Gradio of handlers, by their parameters: `session`, `made`, `taught` and `lesson` are the
    visitor's, `now` gives what is taught at any later time, `request` and `event` are Gradio's, the others are the
    values of the event's inputs in their order.

    A `Shown` or `Faces` comes back without its first field, which is remembered and not shown, a `Teaching` without its
    first two; the others of a `Shown` as the browser takes them, see `lc.ui.desk.packed`. What a handler raises becomes
    a sentence: nobody is shown an "Error".

    Args:
        visitors: what is remembered.

    Attributes:
        busy: while a handler runs for a visitor who waits for it.
    """

    def __init__(self, visitors: Visitors) -> None:
        self._visitors, self.busy = visitors, Busy()

    def wrap(
        self, handler: Handler, failed: Failed, *, begins: bool = False, background: bool = False
    ) -> Callable[..., Any]:
        """The function for Gradio.

        Args:
            handler: a method of the handlers.
            failed: what is shown for an error.
            begins: the handler does without what was remembered: a photo is being chosen, or faces are being made.
            background: nobody waits for it.
        """

        def answer(request: gr.Request, values: Sequence[Any], event: Any = None) -> Iterator[Any]:
            with nullcontext() if background else self.busy.working():
                yield from self._answers(handler, failed, begins, request, values, event)

        if inspect.isgeneratorfunction(handler):

            def run(request: gr.Request, *values: Any) -> Any:
                yield from answer(request, values)

        elif "event" in inspect.signature(handler).parameters:

            def run(request: gr.Request, event: gr.SelectData, *values: Any) -> Any:  # type: ignore[misc]
                (result,) = answer(request, values, event)
                return result

        else:

            def run(request: gr.Request, *values: Any) -> Any:
                (result,) = answer(request, values)
                return result

        run.__name__, run.__doc__ = handler.__name__, handler.__doc__
        return run

    def _answers(
        self, handler: Handler, failed: Failed, begins: bool, request: gr.Request, values: Sequence[Any], event: Any
    ) -> Iterator[Any]:
        """What a handler returns, or each thing that it yields, as Gradio's outputs."""
        visitor = str(request.session_hash)
        special: dict[str, Any] = {"request": request, "event": event}
        pixels = 0
        try:
            names = inspect.signature(handler).parameters
            if "session" in names:
                special["session"] = _remembered(self._visitors.session, visitor, begins)
            if "made" in names:
                special["made"] = _remembered(self._visitors.made, visitor, begins) or []
            if "taught" in names:
                special["taught"] = _remembered(self._visitors.taught, visitor, begins) or ()
            if "now" in names:
                special["now"] = partial(self._visitors.taught, visitor)
            if "lesson" in names:
                special["lesson"] = _remembered(self._visitors.lesson, visitor, begins) or Lesson()
            result = handler(*_arguments(names, special, values))
            for item in result if inspect.isgenerator(result) else [result]:
                pixels = max(pixels, _pixels(item))
                yield self._outputs(item, visitor)
        except LatentConstraintsError as error:
            yield self._outputs(failed(error), visitor)
        except Exception:
            _LOG.exception("%s failed", handler.__name__)
            yield self._outputs(failed(LatentConstraintsError(text("page.broken"))), visitor)
        finally:
            if pixels > LARGE:
                trim()

    def _outputs(self, item: Any, visitor: str) -> Any:
        if isinstance(item, Shown):
            if isinstance(item.session, Session):
                self._visitors.keep_session(visitor, item.session)
            return [packed(value) for value in item[1:]]
        if isinstance(item, Faces):
            if isinstance(item.made, list):
                self._visitors.keep_made(visitor, item.made)
            return item.view
        if isinstance(item, Teaching):
            if isinstance(item.lesson, Lesson):
                self._visitors.keep_lesson(visitor, item.lesson)
            if isinstance(item.taught, list):
                self._visitors.keep_taught(visitor, item.taught)
            return list(item[2:])
        if isinstance(item, tuple) and isinstance(item[-1], Shown):
            return [*item[:-1], *self._outputs(item[-1], visitor)]
        return item


def _remembered(find: Callable[[str], Any], visitor: str, begins: bool) -> Any:
    try:
        return find(visitor)
    except ForgottenError:
        if begins:
            return None
        raise


def _arguments(names: Any, special: dict[str, Any], values: Sequence[Any]) -> list[Any]:
    """A handler's arguments in their order."""
    given, arguments = iter(values), []
    for name, parameter in names.items():
        if name in special:
            arguments.append(special[name])
        elif parameter.kind is parameter.VAR_POSITIONAL:
            arguments += given
        else:
            arguments.append(next(given))
    return arguments


def _pixels(item: Any) -> int:
    """Of the photo that was worked on."""
    shown = item[-1] if isinstance(item, tuple) and item and isinstance(item[-1], Shown) else item
    if not isinstance(shown, Shown) or not isinstance(shown.session, Session):
        return 0
    width, height = shown.session.reading.photo.size
    return width * height

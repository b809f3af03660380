"""What goes on behind the tab "Teach it": the actor of something taught is trained, while the visitor uses the page.

One is trained at a time, of whichever visitor; the others wait for their turn. What visitors wait for goes first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import gradio as gr

from lc.errors import LatentConstraintsError
from lc.taught import TaughtAttribute
from lc.taught_actor import training
from lc.ui import inputs
from lc.ui.running import Busy
from lc.ui.teaching import Teaching, TeachingHandlers, named
from lc.ui.texts import translated

__all__ = ["Now", "TrainingHandlers", "failed_training"]

Now: TypeAlias = Callable[[], Sequence[TaughtAttribute]]

_VISITORS = 1000  # of whom is known that they cancelled
_SAID = 1.0  # seconds between two messages of how far it is
_YIELDS = 2.0  # seconds that a step waits at most for what visitors wait for


class TrainingHandlers:
    """The events.

    Args:
        teaching: the tab's.
        busy: says when visitors wait for something.
    """

    def __init__(self, teaching: TeachingHandlers, busy: Busy) -> None:
        self._teaching, self._busy = teaching, busy
        self._cancelled: OrderedDict[str, float] = OrderedDict()

    def train_actor(self, name: str, asked: float, now: Now, request: gr.Request) -> Iterator[Teaching]:
        """Train the actor of something taught, and use it from then on.

        It ends without a result once it is cancelled, or once what it is for was forgotten or taught anew.

        Args:
            name: which.
            asked: milliseconds by the browser's clock.
            now: what the visitor has taught, at any time.
            request: tells visitors apart.
        """
        one, since = named(name, now()), inputs.moment(asked)
        said = 0.0
        for step in training(self._teaching.editor.space, one):
            if self._is_cancelled(request, since) or not any(other is one for other in now()):
                break
            if step.taught is not None:
                kept = [step.taught if other is one else other for other in now()]
                yield self._teaching.with_actor(kept, _progress(name))
                return
            if time.monotonic() - said > _SAID:
                said = time.monotonic()
                yield Teaching(view=_progress(name, step.done, step.total))
            self._busy.wait(_YIELDS)
        yield Teaching(view=_progress(name))

    def cancel_training(self, asked: float, request: gr.Request) -> None:
        """End the training of an actor that was asked for up to now; what was taught stays as it is.

        Args:
            asked: milliseconds by the browser's clock.
            request: tells visitors apart.
        """
        visitor = str(request.session_hash)
        self._cancelled[visitor] = max(self._cancelled.get(visitor, 0.0), inputs.moment(asked))
        self._cancelled.move_to_end(visitor)
        while len(self._cancelled) > _VISITORS:
            self._cancelled.popitem(last=False)

    def close(self, request: gr.Request) -> None:
        """End what is trained for a visitor whose page was closed."""
        self.cancel_training(_LATE, request)

    def _is_cancelled(self, request: gr.Request, asked: float) -> bool:
        return asked <= self._cancelled.get(str(request.session_hash), -1.0)


_LATE = 1e14  # milliseconds, after every question


def _progress(name: str, done: int = 0, total: int = 0) -> dict[str, Any]:
    """How far a training is; at its end, `total` is 0."""
    return {"training": {"name": name, "done": done, "total": total}, "serial": time.monotonic()}


def failed_training(error: LatentConstraintsError) -> Teaching:
    """A sentence, and no training goes on."""
    return Teaching(view={**_progress(""), "failed": translated(error)})

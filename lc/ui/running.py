"""What runs for each visitor, and how it ends: everything that changes the state ends what runs for an older wish."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import gradio as gr

from lc.editor import Reading
from lc.ui import inputs

__all__ = ["Busy", "Latest", "Running"]

_VISITORS = 1000  # of whom is known what they asked for last
_PATIENCE = 1.0  # seconds that a tile waits for edits, at most: where many people edit, tiles come too


class Busy:
    """Whether visitors wait for something, which goes before what nobody waits for."""

    def __init__(self) -> None:
        self._count, self._changed = 0, threading.Condition()

    @contextmanager
    def working(self) -> Iterator[None]:
        """While somebody waits."""
        with self._changed:
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until nobody waits, but so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)


@dataclass(eq=False)
class Latest:
    """What a visitor asked for last, by the browser's clock, and how to end what still runs for an older wish."""

    asked: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)  # keep the face as it is
    reading: Reading | None = None  # whose tiles are being made

    def rests(self, asked: float, seconds: float = 0.1) -> bool:
        """Whether nothing newer than `asked` is wanted for so long. Who taps on waits for no word of the last edit."""
        end = time.monotonic() + seconds
        while asked >= self.asked:
            if time.monotonic() >= end:
                return True
            time.sleep(0.01)
        return False


class Running:
    """The latest wish of each visitor; of those who were here longest ago, none."""

    def __init__(self) -> None:
        self._visitors: OrderedDict[str, Latest] = OrderedDict()
        self.edits = Busy()

    def give_way(self) -> None:
        """Wait while somebody's edit is being made: it comes before what nobody has tapped yet."""
        self.edits.wait(_PATIENCE)

    def latest(self, request: gr.Request) -> Latest:
        """What the visitor asked for last."""
        visitor = str(request.session_hash)
        latest = self._visitors.setdefault(visitor, Latest())
        self._visitors.move_to_end(visitor)
        while len(self._visitors) > _VISITORS:
            self._visitors.popitem(last=False)
        return latest

    def end(self, request: gr.Request) -> None:
        """End what still runs, whatever the browser's clock says: the state changes now."""
        self.latest(request).asked += 0.001

    def cancel(self, asked: float, request: gr.Request) -> None:
        """End at once what still runs for an older wish of the same visitor: something else is on its way.

        Args:
            asked: milliseconds by the browser's clock.
            request: tells visitors apart.
        """
        latest = self.latest(request)
        latest.asked = max(latest.asked, inputs.moment(asked))

    def leave(self, asked: float, request: gr.Request) -> None:
        """End edits and tiles that are on their way: the visitor turns to another tab. A photo still comes in.

        Args:
            asked: milliseconds by the browser's clock.
            request: tells visitors apart.
        """
        self.cancel(asked, request)
        self.latest(request).reading = None

    def close(self, request: gr.Request) -> None:
        """End all that runs for a visitor whose page was closed."""
        self.end(request)
        self.latest(request).reading = None

    def stop(self, request: gr.Request) -> None:
        """End the optimiser's way at the face it has reached, and keep that."""
        self.latest(request).stopped.set()

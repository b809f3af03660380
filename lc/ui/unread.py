"""Answers that nobody fetches: Gradio would keep them, megabytes for a walk, until two thousand visitors later."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from gradio.queueing import Queue

__all__ = ["Unread"]


class Unread:
    """Drops the answers to calls whose session has not listened for a while. For the server's own thread.

    Args:
        queue: Gradio's.
        patience: seconds; a page listens at once.
    """

    def __init__(self, queue: Queue, patience: float = 60.0) -> None:
        self._queue, self._patience = queue, patience
        self._since: OrderedDict[str, float] = OrderedDict()  # when a session called or listened last, oldest first
        self._listening: Counter[str] = Counter()

    def called(self, session: str) -> None:
        """A session has made a call, so it is about to listen."""
        self._since[session] = time.monotonic()
        self._since.move_to_end(session)

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """A session listens for the length of a `with` block."""
        self._listening[session] += 1
        try:
            yield
        finally:
            self._listening -= Counter([session])
            self.called(session)

    async def drop(self) -> None:
        """End the calls of the sessions that do not listen, and forget what was answered."""
        while self._since and next(iter(self._since.values())) < time.monotonic() - self._patience:
            session, _ = self._since.popitem(last=False)
            if session in self._listening:
                continue  # comes back once it no longer listens
            await self._queue.clean_events(session_hash=session)
            self._queue.pending_messages_per_session.pop(session, None)
            self._queue.pending_event_ids_session.pop(session, None)

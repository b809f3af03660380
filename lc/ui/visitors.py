"""What the server remembers of its visitors, up to so many bytes in all."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lc.errors import LatentConstraintsError
from lc.results import Sample
from lc.taught import TaughtAttribute
from lc.ui.lessons import Lesson
from lc.ui.session import Session
from lc.ui.texts import text

__all__ = ["ForgottenError", "Visitors"]

_IDLE = 3600.0  # seconds after which nothing of a visitor is left, on disk or in memory
_TOMBSTONES = 10_000  # visitors of whom is known that they were here
_SAMPLE = 20_000  # bytes of a sample: its picture, its latent and its probabilities


class ForgottenError(LatentConstraintsError):
    """Somebody comes back whose photo or faces have made room for others'."""

    def __init__(self) -> None:
        super().__init__(text("page.forgotten"))


@dataclass(frozen=True, eq=False)
class _Visit:
    session: Session | None = None
    made: tuple[Sample, ...] = ()
    taught: tuple[TaughtAttribute, ...] = ()
    lesson: Lesson = field(default_factory=Lesson)
    lost: bool = False  # there was a session, and it made room
    used: float = 0.0

    @property
    def nbytes(self) -> int:
        taught = sum(one.nbytes for one in self.taught)
        return (self.session.nbytes if self.session else 0) + _SAMPLE * len(self.made) + taught + self.lesson.nbytes


class Visitors:
    """Sessions and generated faces by visitor; who was here longest ago makes room first. Safe to share by threads.

    Args:
        opening: the session that everybody starts with, which costs nothing for each.
        limit: bytes in all.
    """

    def __init__(self, opening: Session | None, limit: int) -> None:
        self.opening, self._limit = opening, limit
        self._lock = threading.Lock()
        self._visits: OrderedDict[str, _Visit] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()

    def session(self, visitor: str) -> Session | None:
        """A visitor's photo and edits, or the opening ones.

        Raises:
            ForgottenError: they made room for others'.
        """
        visit = self._get(visitor)
        if visit.session is None and visit.lost:
            raise ForgottenError()
        return visit.session or self.opening

    def made(self, visitor: str) -> Sequence[Sample]:
        """The faces generated for a visitor. Raises as `session` does."""
        return self._get(visitor).made

    def taught(self, visitor: str) -> Sequence[TaughtAttribute]:
        """What a visitor has taught. Raises as `session` does."""
        return self._get(visitor).taught

    def lesson(self, visitor: str) -> Lesson:
        """The photos that a visitor teaches with. Raises as `session` does."""
        return self._get(visitor).lesson

    def keep_session(self, visitor: str, session: Session) -> None:
        """Remember the latest state of a visitor's edits."""
        self._put(visitor, session=session)

    def keep_made(self, visitor: str, made: Sequence[Sample]) -> None:
        """Remember the faces generated for a visitor."""
        self._put(visitor, made=tuple(made))

    def keep_taught(self, visitor: str, taught: Sequence[TaughtAttribute]) -> None:
        """Remember what a visitor has taught."""
        self._put(visitor, taught=tuple(taught))

    def keep_lesson(self, visitor: str, lesson: Lesson) -> None:
        """Remember the photos that a visitor teaches with."""
        self._put(visitor, lesson=lesson)

    @property
    def nbytes(self) -> int:
        """Of all visits."""
        with self._lock:
            return sum(visit.nbytes for visit in self._visits.values())

    def sweep(self, now: float | None = None) -> None:
        """Forget who has not been here for an hour.

        Args:
            now: seconds of `time.monotonic`; None: the clock's.
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            while self._visits and next(iter(self._visits.values())).used < now - _IDLE:
                self._forget_first()

    def _get(self, visitor: str) -> _Visit:
        with self._lock:
            if visitor in self._gone:
                raise ForgottenError()
            if visitor not in self._visits:
                return _Visit()
            self._visits[visitor] = replace(self._visits[visitor], used=time.monotonic())
            self._visits.move_to_end(visitor)
            return self._visits[visitor]

    def _put(self, visitor: str, **changes: object) -> None:
        with self._lock:
            lost = visitor in self._gone
            self._gone.pop(visitor, None)
            visit = self._visits.pop(visitor, _Visit(lost=lost))
            self._visits[visitor] = replace(visit, used=time.monotonic(), **changes)  # type: ignore[arg-type]
            # The one who has just come is kept, however large: it is being looked at.
            total = sum(visit.nbytes for visit in self._visits.values())
            while total > self._limit and len(self._visits) > 1:
                total -= self._forget_first().nbytes

    def _forget_first(self) -> _Visit:
        visitor, visit = self._visits.popitem(last=False)
        self._gone[visitor] = None
        while len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        return visit

"""A visitor of the page, for tests of its handlers: what comes in, and what stands there in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

gr = pytest.importorskip("gradio")

from lc.ui.handlers import EditHandlers  # noqa: E402 - needs gradio, as do those below
from lc.ui.session import Session  # noqa: E402
from lc.ui.shown import Shown  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402

VISITOR: Any = SimpleNamespace(session_hash="visitor")


def uploaded(folder: Folder, path: Path) -> dict[str, Any]:
    """A file as Gradio describes it once it has come through the door."""
    arrived = folder.new_upload() / path.name
    arrived.write_bytes(path.read_bytes())
    folder.add_upload(str(arrived))
    return {"path": str(arrived), "meta": {"_type": "gradio.FileData"}}


def start(
    handlers: EditHandlers,
    session: Session | None,
    boxes: set[str],
    method: Any,
    strength: float = 1.0,
    asked: float = 0,
) -> Iterator[Shown]:
    return handlers.change(sorted(boxes), 0.5, strength, method, asked, session, VISITOR)


def change(handlers: EditHandlers, session: Session | None, boxes: set[str], method: Any = "actor") -> list[Shown]:
    return [merged(start(handlers, session, boxes, method))]


def merged(shown: Iterator[Shown]) -> Shown:
    """What stands there in the end."""
    rows = list(shown)
    return Shown(
        *(
            next((field for field in reversed(column) if not is_skip(field)), column[0])
            for column in zip(*rows, strict=True)
        )
    )


def is_skip(value: object) -> bool:
    return isinstance(value, dict) and value == gr.skip()

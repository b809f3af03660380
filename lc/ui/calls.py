"""What a request may ask of the page's functions, and with what: every payload passes here, and is written anew.

Gradio takes a function by its number whether it is listed or not, hands on fields that only its own programs are meant
to send, and looks for files in anything that has a `path`. Here only the known fields of a call go on, its function
exists and fits the way it was called, a file is an upload that is still here, and nothing else has a path or a URL.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction

from lc.ui.storage import Folder
from lc.ui.texts import text

__all__ = ["SESSION", "Calls", "RefusedError"]

#: What a browser's or program's session may be called.
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")

_DEPTH, _ITEMS, _TEXT, _FILES = (
    8,
    1000,
    10_000,
    12,
)  # of one value: what it may be nested, hold, how long a text in it may be; how many files


class RefusedError(Exception):
    """A request that goes no further.

    Args:
        status: HTTP's.
        sentence: what is wrong, for a person.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Calls:
    """The check.

    Args:
        page: whose functions are called.
        folder: where uploads lie.
    """

    def __init__(self, page: gr.Blocks, folder: Folder) -> None:
        self._page, self._folder = page, folder

    def joined(self, body: dict[str, Any]) -> dict[str, Any]:
        """A call through the queue by a function's number, as the page makes it. Raises RefusedError."""
        function = self._numbered(body.get("fn_index"))
        return self._call(function, body, _session(body.get("session_hash")))

    def direct(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A call past the queue, which only the page's quick functions take. Raises RefusedError."""
        number = body.get("fn_index")
        function = self._public(name) if number is None else self._numbered(number)
        if function.queue:
            raise RefusedError(404, text("refused.queue"))
        session = body.get("session_hash")
        return self._call(function, body, None if session is None else _session(session))

    def named(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A program's call of a public function by its name, with a list of values. Raises RefusedError."""
        session = body.get("session_hash")
        call = self._call(self._public(name), body, None if session is None else _session(session))
        return {"data": call["data"], "session_hash": call["session_hash"]}

    def by_parameter(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """As `named`, with values by the parameters' names; those with a default may be left out."""
        function = self._public(name)
        assert function.fn is not None  # as `_public` says
        values = []
        for (parameter, details), block in zip(
            inspect.signature(function.fn).parameters.items(), function.inputs, strict=True
        ):
            if parameter not in body and details.default is inspect.Parameter.empty:
                values.append(getattr(block, "value", None))
            else:
                values.append(body.get(parameter, details.default))
        if unknown := sorted(set(body) - set(inspect.signature(function.fn).parameters)):
            raise RefusedError(400, text("refused.parameter", name=_shown(unknown[0])))
        return self.named(name, {"data": values})

    def cancelled(self, body: dict[str, Any]) -> dict[str, Any]:
        """The end of a call that was made before. Raises RefusedError."""
        event = body.get("event_id")
        if not isinstance(event, str) or not SESSION.fullmatch(event):
            raise RefusedError(400, text("refused.cancel"))
        session = _session(body.get("session_hash"))
        return {"session_hash": session, "event_id": event, "fn_index": self._numbered(body.get("fn_index"))._id}

    def _public(self, name: str) -> BlockFunction:
        for function in self._page.fns.values():
            if function.api_name == name and function.api_visibility == "public" and function.fn is not None:
                return function
        raise RefusedError(404, text("refused.function"))

    def _numbered(self, number: object) -> BlockFunction:
        if isinstance(number, bool) or not isinstance(number, int) or number not in self._page.fns:
            raise RefusedError(404, text("refused.function"))
        function = self._page.fns[number]
        if function.fn is None:  # it is the browser's alone
            raise RefusedError(404, text("refused.function"))
        return function

    def _call(self, function: BlockFunction, body: dict[str, Any], session: str | None) -> dict[str, Any]:
        values, inputs = body.get("data"), function.inputs
        if not isinstance(values, list) or not len(inputs) <= len(values) <= len(inputs) + _DEPTH:
            raise RefusedError(400, text("refused.values", count=len(inputs)))
        triggers = {block for block, _ in function.targets}
        trigger = body.get("trigger_id")
        return {
            "data": [self._value(block, value) for block, value in zip(inputs, values, strict=False)],
            "fn_index": function._id,
            "session_hash": session,
            "trigger_id": trigger if isinstance(trigger, int) and trigger in triggers else None,
            "event_data": _event(body.get("event_data")) if function.collects_event_data else None,
        }

    def _value(self, block: Any, value: Any) -> Any:
        if block.stateful:
            return None  # the server's own
        if isinstance(block, gr.JSON) or block.data_model is None:
            return _plain(value)
        if value is None:
            return None
        if getattr(block, "file_count", "") == "multiple":
            if not isinstance(value, list) or len(value) > _FILES:
                raise RefusedError(400, text("refused.no_upload"))
            return [self._file(one) for one in value]
        return self._file(value)

    def _file(self, value: Any) -> dict[str, Any]:
        """An upload that is still here, to the letter."""
        path = value.get("path") if isinstance(value, dict) else None
        if not self._folder.is_upload(path):
            raise RefusedError(400, text("refused.no_upload"))
        return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _session(value: object) -> str:
    if not isinstance(value, str) or not SESSION.fullmatch(value):
        raise RefusedError(400, text("refused.name", name="session_hash"))
    return value


def _event(value: object) -> dict[str, Any]:
    """Where a picture was clicked; the handlers judge whether there is something."""
    if not isinstance(value, dict) or "index" not in value:
        raise RefusedError(400, text("refused.place"))
    return {"index": _plain(value["index"]), "value": None, "selected": True}


def _plain(value: Any, depth: int = 0) -> Any:
    """A value without files in it. Raises RefusedError."""
    if depth > _DEPTH:
        raise RefusedError(400, text("refused.deep"))
    if isinstance(value, dict):
        if {"path", "url", "meta", "is_stream"} & value.keys():
            raise RefusedError(400, text("refused.no_upload"))
        pairs = [(_plain(key), _plain(part, depth + 1)) for key, part in list(value.items())[: _ITEMS + 1]]
        if len(pairs) > _ITEMS:
            raise RefusedError(400, text("refused.long"))
        return dict(pairs)
    if isinstance(value, list):
        if len(value) > _ITEMS:
            raise RefusedError(400, text("refused.long"))
        return [_plain(part, depth + 1) for part in value]
    if isinstance(value, str):
        if len(value) > _TEXT:
            raise RefusedError(400, text("refused.text"))
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise RefusedError(400, text("refused.half"))
    return value


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}...")

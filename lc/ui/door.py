"""What stands between the network and Gradio: each request passes here first, or ends here with one sentence.

Gradio offers much more than this page uses: a proxy, recordings, streams, components' own functions, links to saved
states, files of its cache and of the web by address. None of that is reachable; what is, is listed in `_READABLE` and
`_CALLABLE`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr
from gradio.route_utils import upload_fn
from gradio.routes import file_upload_statuses
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lc.ui.calls import SESSION, Calls, RefusedError
from lc.ui.hosts import Hosts
from lc.ui.icons import INSTALLED, installed
from lc.ui.photos import examples
from lc.ui.storage import Folder
from lc.ui.texts import text
from lc.ui.unread import Unread

__all__ = ["MAX_JSON", "Door"]

MAX_JSON = 64_000  # bytes of a call: the page's own hold less than one
_FORM = 16_000  # bytes that a form may add to the file in it
_PATIENCE, _UPLOAD_PATIENCE = 30.0, 600.0  # seconds for a call, and for a photo, to arrive
_API = "/gradio_api/"
_FILE = f"{_API}file="

_READABLE = re.compile(
    r"/|/config/?|/theme\.css|/robots\.txt|/(static|assets|svelte)/[A-Za-z0-9_./@+-]{1,200}"
    r"|/gradio_api/(theme\.css|info/?|openapi\.json|app_id/?|startup-events|login_check/?|user/?|queue/status"
    r"|queue/data|upload_progress|heartbeat/[A-Za-z0-9_-]{1,64}|call/(v2/)?[a-z_]{1,32}/[A-Za-z0-9_-]{1,64})"
)
_CALLABLE = re.compile(r"/gradio_api/(queue/join|upload|cancel|reset/?|(run|api|call|call/v2)/([A-Za-z0-9_]{1,32})/?)")
_DROPPED = {"deep_link", "page"}

_LOG = logging.getLogger(__name__)


class Door:
    """Middleware for the server's outermost place.

    Args:
        app: what comes behind it.
        page: the page that `app` serves.
        folder: where uploads and results lie.
        hosts: names that the server answers to.
        max_upload: bytes of one photo.
    """

    def __init__(self, app: ASGIApp, page: gr.Blocks, folder: Folder, hosts: Hosts, max_upload: int) -> None:
        self._app, self._page, self._folder, self._hosts = app, page, folder, hosts
        self._static = frozenset(str(path.absolute()) for path in examples())
        self._max_upload = max_upload
        self._calls, self._unread = Calls(page, folder), Unread(page._queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = Headers(scope=scope)
            self._check_hosts(headers)
            path, method = scope["path"], scope["method"]
            if method in ("GET", "HEAD", "OPTIONS"):
                response = self._read(scope, path)
                if response is None:
                    listens = path == f"{_API}queue/data"
                    await (self._listen if listens else self._app)(scope, receive, send)
                    return
            elif method == "POST" and (match := _CALLABLE.fullmatch(path)):
                if match[1] == "upload":
                    response = await self._upload(scope, receive)
                else:
                    await self._call(match, scope, receive, send)
                    return
            else:
                raise RefusedError(404, text("refused.nothing"))
        except RefusedError as refused:
            response = _sentence(refused)
        await response(scope, receive, send)

    def _check_hosts(self, headers: Headers) -> None:
        host = headers.get("host", "")
        # Gradio takes these two, where they are there, for the page's own address.
        for name in (host, headers.get("x-forwarded-host", host), headers.get("x-gradio-server", host)):
            first = name.split(",")[0].strip()
            if not self._hosts.allows_host(first.partition("://")[2] or first):
                raise RefusedError(421, text("refused.host"))
        origin = headers.get("origin")
        if origin is not None and not self._hosts.allows_origin(origin, host):
            raise RefusedError(403, text("refused.origin"))

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self, scope: Scope, path: str) -> Response | None:
        """Lets a request through by returning None."""
        if path in INSTALLED:
            body, kind = installed(path)
            return Response(body, media_type=kind)
        if path.startswith(_FILE):
            if not self._folder.serves(path.removeprefix(_FILE)) and path.removeprefix(_FILE) not in self._static:
                raise RefusedError(404, text("refused.file"))
            # Gradio ends in a traceback where a range is none, and pictures are fetched whole.
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"range"]
        elif not _READABLE.fullmatch(path):
            raise RefusedError(404, text("refused.nothing"))
        query = _query(scope)
        for name in ("session_hash", "upload_id"):
            if name in query and not SESSION.fullmatch(query[name]):
                raise RefusedError(400, text("refused.name", name=name))
        if path == f"{_API}upload_progress":
            _forget_progress(query.get("upload_id", ""))
        if _DROPPED & query.keys():
            query = {name: value for name, value in query.items() if name not in _DROPPED}
            scope["query_string"] = urlencode(query).encode("latin-1")
        if path == f"{_API}queue/data":
            return self._lost(query.get("session_hash", ""))
        if path.startswith(f"{_API}call/") and not self._pending(path.rpartition("/")[2]):
            raise RefusedError(404, text("refused.call"))
        return None

    def _lost(self, session: str) -> Response | None:
        """Where nothing waits for a session, Gradio would begin to answer and then fail."""
        if session in self._page._queue.pending_messages_per_session:
            return None
        message = {"msg": "unexpected_error", "message": text("refused.session")}
        lost = json.dumps({**message, "session_not_found": True, "success": False, "event_id": None})
        return Response(f"data: {lost}\n\n", media_type="text/event-stream")

    async def _listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = _query(scope)["session_hash"]
        with self._unread.listening(session):
            try:
                await self._app(scope, receive, send)
            except (KeyError, RuntimeError) as error:
                # A second listener of the same session has left, and with it what Gradio kept for both. It has said so
                # in the stream by now, and fails only then.
                ended = isinstance(error.__cause__, HTTPException) or error.args == (session,)
                if not ended:
                    raise
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _pending(self, event: str) -> bool:
        queue = self._page._queue
        return event in queue.event_ids_to_events or any(
            event in events for events in list(queue.pending_event_ids_session.values())
        )

    # --- calling ---------------------------------------------------------------------------------------------------

    async def _call(self, match: re.Match[str], scope: Scope, receive: Receive, send: Send) -> None:
        body = _parsed(await _body(scope, receive, MAX_JSON))
        way, name = match[2], match[3]
        if match[1] == "queue/join":
            body = self._calls.joined(body)
        elif match[1] == "cancel":
            body = self._calls.cancelled(body)
        elif way == "call":
            body = self._calls.named(name, body)
        elif way == "call/v2":
            body = self._calls.by_parameter(name, body)
            scope["path"] = f"{_API}call/{name}"
            scope["raw_path"] = scope["path"].encode()
        elif way:
            body = self._calls.direct(name, body)
        else:
            body = {"event_id": "", "session_hash": "", "fn_index": 0}  # a reset, which does nothing
        await self._unread.drop()
        if body.get("session_hash"):
            self._unread.called(body["session_hash"])
        await self._app(*_rewritten(scope, receive, json.dumps(body).encode()), send)

    async def _upload(self, scope: Scope, receive: Receive) -> Response:
        limit = self._max_upload + _FORM
        if (announced := _announced(scope)) > limit:
            await _discard(receive)
            raise self._too_large()
        upload_id = _query(scope).get("upload_id", "")
        if upload_id and not SESSION.fullmatch(upload_id):
            raise RefusedError(400, text("refused.upload_id"))
        folder: Path | None = None
        try:
            folder = self._folder.new_upload()
            arriving = Request(scope, _limited(receive, limit, self._too_large))
            async with asyncio.timeout(_UPLOAD_PATIENCE):
                paths = await _stored(arriving, folder, self._max_upload, upload_id)
        except BaseException as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if upload_id:
                file_upload_statuses.set_done(upload_id)
                _forget_progress(upload_id)
            if isinstance(error, RefusedError) or not isinstance(error, Exception):
                raise
            raise self._why(error, announced) from error
        _forget_progress(upload_id)
        for path in paths:
            self._folder.add_upload(path)
        return JSONResponse(paths)

    def _why(self, error: Exception, announced: int) -> RefusedError:
        """The sentence for an upload that failed."""
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            _LOG.warning("An upload of %d bytes could not be stored: %s", announced, error)
            return RefusedError(507, text("refused.room"))
        if "exceeded maximum allowed size of" in str(error):
            return self._too_large()
        return RefusedError(400, text("refused.upload"))

    def _too_large(self) -> RefusedError:
        return RefusedError(413, text("refused.photo_size", most=self._max_upload / 2**20))


def _forget_progress(upload_id: str) -> None:
    """Gradio remembers every upload whose progress was never asked for, and every one that was asked for in vain."""

    def forget() -> None:
        file_upload_statuses.stop_tracking(upload_id)
        file_upload_statuses._signals.pop(upload_id, None)

    asyncio.get_running_loop().call_later(2 * _UPLOAD_PATIENCE, forget)


async def _stored(request: Request, folder: Path, limit: int, upload_id: str) -> list[str]:
    paths, _, _ = await upload_fn(
        request, str(folder), limit, upload_id or None, True, file_upload_statuses if upload_id else None
    )
    if not paths:
        raise RefusedError(400, text("refused.empty"))
    return [str(path) for path in paths]


def _query(scope: Scope) -> dict[str, str]:
    try:
        return dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=20, errors="replace"))
    except ValueError as error:
        raise RefusedError(400, text("refused.address")) from error


# --- bodies --------------------------------------------------------------------------------------------------------


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0


async def _body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """A body of at most `limit` bytes. Raises RefusedError."""
    refused = RefusedError(413, text("refused.size", most=limit // 1000))
    if _announced(scope) > limit:
        await _discard(receive)
        raise refused
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            limited = _limited(receive, limit, lambda: refused)
            while True:
                message = await limited()
                parts.append(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        raise RefusedError(408, text("refused.slow")) from error


async def _discard(receive: Receive) -> None:
    """Let the rest of a body pass, for a while: who is still sending would not see the answer."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return


def _limited(receive: Receive, limit: int, refused: Callable[[], RefusedError]) -> Callable[[], Awaitable[Message]]:
    """`receive` that raises once more than `limit` bytes have come."""
    come = 0

    async def limited() -> Message:
        nonlocal come
        message = await receive()
        come += len(message.get("body", b""))
        if come > limit:
            if message.get("more_body", False):
                await _discard(receive)
            raise refused()
        return message

    return limited


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError; so are 5000 digits
        raise RefusedError(400, text("refused.json")) from error
    if not isinstance(value, dict):
        raise RefusedError(400, text("refused.object"))
    return value


def _rewritten(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """The same request with another body."""
    dropped = (b"content-length", b"content-type", b"content-encoding", b"transfer-encoding")
    headers = [pair for pair in scope["headers"] if pair[0] not in dropped]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()  # tells when the client has gone
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": headers}, once


def _sentence(refused: RefusedError) -> Response:
    """Gradio's page shows `error`, its Python client `detail`."""
    return JSONResponse({"error": refused.sentence, "detail": refused.sentence}, refused.status)

"""The first paint: the opening's edited face stands in the page's HTML itself, while the browser fetches programs; and
what has to be there before any of these.

Gradio sends an empty page and its components in dozens of files: until they have run, nothing would be seen, and while
they run, what is there already would be pushed about. The stage's program takes the first paint away.
"""

from __future__ import annotations

import json
import re
from html import escape

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lc.ui.desk import ASSETS, program
from lc.ui.texts import text

__all__ = ["FirstPaint"]

_PAGE = b"<gradio-app"
_SECONDS = 60  # after which the page shows whatever has come of it

_STYLE = (ASSETS / "first_paint.css").read_text(encoding="utf-8")


class FirstPaint:
    """Middleware that puts the face into the page.

    Args:
        app: what comes behind it.
        page: the page that `app` serves; where it has no opening, no face is put in.
    """

    def __init__(self, app: ASGIApp, page: gr.Blocks) -> None:
        self._app, self._html = app, f"<script>{program('frames')}</script>{_face(page)}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            await self._app(scope, receive, self._added(send))
        else:
            await self._app(scope, receive, send)

    def _added(self, send: Send) -> Send:
        """`send` that holds the answer until it is whole."""
        start: Message = {}
        parts: list[bytes] = []

        async def added(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            headers = MutableHeaders(raw=list(start["headers"]))
            body = b"".join(parts)
            if headers.get("content-type", "").startswith("text/html"):
                body = body.replace(_PAGE, self._html + _PAGE, 1)
                headers["content-length"] = str(len(body))
            await send({**start, "headers": headers.raw})
            await send({**message, "body": body})

        return added


def _face(page: gr.Blocks) -> str:
    """The face and what is to be seen in it; empty where the page opens with none."""
    values = {block.elem_id: block.value for block in page.blocks.values() if isinstance(block, gr.HTML)}
    opening, said = json.loads(values.get("stage") or "{}"), values.get("status")
    if "after" not in opening:
        return ""
    sentence = re.sub(r"<[^>]*>", "", str(said or ""))
    # By a relative address, which a proxy's path does not change.
    picture = f'<img src="gradio_api/file={escape(opening["after"])}" alt="{escape(text("edit.after"))}">'
    ends = f'setTimeout(() => document.getElementById("lc-first")?.remove(), {1000 * _SECONDS});'
    return f'<style>{_STYLE}</style><div id="lc-first">{picture}<p>{sentence}</p></div><script>{ends}</script>\n'

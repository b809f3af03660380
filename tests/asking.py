"""Asks the page's server as a program would, for tests of its door: uploads, calls through the queue, its sentences."""

from __future__ import annotations

import json
from typing import Any

import httpx

API = "/gradio_api"


def upload(client: httpx.Client, data: bytes, name: str = "photo.jpg") -> dict[str, Any]:
    response = client.post(f"{API}/upload", files={"files": (name, data)})
    assert response.status_code == 200, response.text
    return {"path": response.json()[0], "meta": {"_type": "gradio.FileData"}}


def number(page: Any, name: str) -> int:
    return next(i for i, function in page.fns.items() if function.api_name == name)


def call(client: httpx.Client, function: int, data: list[Any], session: str = "me", **more: Any) -> dict[str, Any]:
    """Through the queue, as the page does; the last message."""
    body = {"data": data, "fn_index": function, "session_hash": session, **more}
    response = client.post(f"{API}/queue/join", content=json.dumps(body), headers={"content-type": "application/json"})
    if response.status_code != 200:
        return {"refused": response.status_code, **response.json()}
    with client.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ") or "{}")
            if message.get("msg") in ("process_completed", "unexpected_error"):
                return message
    raise AssertionError("no answer")


def said(answer: dict[str, Any]) -> str:
    """The sentence in an answer: a refusal, an error for programs, or the line under the page's picture."""
    if "refused" in answer:
        assert 400 <= answer["refused"] < 500
        return str(answer["error"])
    output = answer["output"]
    if not answer["success"]:
        return str(output["error"])
    lines = [part["failed"] for part in output["data"] if isinstance(part, dict) and "failed" in part]
    return " ".join([*lines, *(part for part in output["data"] if isinstance(part, str) and "lc-status error" in part)])

"""Hostile requests, drawn by chance: calls, uploads, paths, headers and broken HTTP; see fuzz_door.py."""

from __future__ import annotations

import io
import json
import math
import random
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

__all__ = ["API", "ASTRONAUT", "ROOT", "Fuzzer"]

ROOT = Path(__file__).resolve().parents[1]
ASTRONAUT = ROOT / "lc" / "ui" / "examples" / "astronaut.jpg"
API = "/gradio_api"


class Fuzzer:
    """Sends random requests; safe to run in several threads, each with its own source of chance."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.slow: list[tuple[float, str]] = []
        self.uploads: list[str] = []
        with self._client() as client:
            self.functions = client.get("/config").json()["dependencies"]

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)

    def run(self, seed: int, until: float) -> None:
        chance = random.Random(seed)
        kinds = [self.call, self.call, self.call, self.upload, self.upload, self.path, self.raw, self.direct]
        with self._client() as client:
            while time.monotonic() < until:
                kind = chance.choice(kinds)
                try:
                    outcome = kind(client, chance)
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                self.outcomes[f"{kind.__name__} {outcome}"] += 1

    def timed(self, what: str, begun: float) -> None:
        self.slow = sorted([*self.slow, (time.monotonic() - begun, what)], reverse=True)[:5]

    # --- what is sent ----------------------------------------------------------------------------------------------

    def value(self, chance: random.Random, depth: int = 0) -> Any:
        """Anything that JSON may hold, and what an attacker would think of."""
        places = [
            "/etc/passwd",
            "/dev/zero",
            "/proc/self/environ",
            "..",
            "",
            "\0",
            "http://127.0.0.1:1/",
            str(ASTRONAUT),
        ]
        place: Any = chance.choice([*places, *self.uploads[-20:], None, 3])
        numbers = [0, 1, -1, 0.5, 1e300, -0.0, 2**53, 2**63, 10**40, math.nan, math.inf, True, False, None]
        texts = [
            "",
            "Face 1",
            "Face 99999",
            "Face x",
            "yes",
            "actor",
            "PNG",
            "x" * 9000,
            "\ud800",
            "<b>",
            "7",
            "²",
            "٣",
        ]
        simple = [chance.choice(numbers), chance.choice(texts), place, chance.random()]
        files = [
            {"path": place},
            {"path": place, "meta": {"_type": "gradio.FileData"}, "url": place, "is_stream": True},
        ]
        if depth > 3 or chance.random() < 0.6:
            return chance.choice(simple)
        if chance.random() < 0.4:
            return chance.choice(files)
        parts = [self.value(chance, depth + 1) for _ in range(chance.randrange(4))]
        names = ["Young", "Smiling", "path", "url", "__type__", "", "value"]
        return chance.choice([parts, {chance.choice(names): part for part in parts}, [["Young"], ["Smiling", "Male"]]])

    def good(self, chance: random.Random, name: str, inputs: int) -> list[Any]:
        """Values that fit, so that the handlers are reached too."""
        photo: Any = {"path": chance.choice(self.uploads)} if self.uploads else None
        names = ["Young", "Smiling", "Male", "Eyeglasses", "Blond_Hair"]
        boxes = chance.sample(names, chance.randrange(4))
        wish = [boxes, chance.random(), 0.5 + chance.random() / 2, chance.choice(["actor"] * 9 + ["optimise"])]
        answers = {name: chance.choice(["yes", "no", "either"]) for name in chance.sample(names, 2)}
        made = [chance.randrange(1, 5), str(chance.randrange(2**63)), chance.choice(["on", "off", "both"]), answers]
        more = {"Young": "either", "warmer": chance.choice(["require", "either"])}
        known = {
            "open_upload": [photo],
            "describe": [photo, 0],
            "edit": [photo, {"Young": chance.random()}, chance.random(), "actor", 0, chance.randrange(9)],
            "sample": [chance.randrange(1, 4), {"Smiling": True}, chance.randrange(2**63), True],
            "change": [*wish, time.time() * 1000, more, chance.randrange(9)],
            "cancel": [time.time() * 1000],
            "restore": [photo, None, [{"face": 0, "boxes": boxes, "identity": 0.5, "strength": 1}]],
            "export": [chance.choice(["PNG", "JPEG", "WEBP"])],
            "choose_face": ["Face 1"],
            "make": made,
            "morph": [0, 1],
            "look_at": [[photo] if photo else [], "with"],
            "take_away": ["with", 0],
            "teach": ["Bangs"],
            "fill_more": [["warmer"]],
        }
        return known.get(name, [None] * inputs)

    def body(self, chance: random.Random) -> tuple[dict[str, Any], str]:
        function = chance.choice(self.functions)
        name, inputs = str(function["api_name"]), len(function["inputs"])
        data: Any = self.good(chance, name, inputs)
        for _ in range(chance.choice([0, 0, 1, 1, 2])):
            if data:
                data[chance.randrange(len(data))] = self.value(chance)
        if chance.random() < 0.1:
            data = chance.choice([self.value(chance), data[1:], [*data, 1]])
        session: Any = f"s{chance.randrange(300)}" if chance.random() < 0.95 else self.value(chance)
        body = {"data": data, "fn_index": function["id"], "session_hash": session}
        if chance.random() < 0.3:
            body["event_data"] = {"index": self.value(chance), "value": self.value(chance)}
        for field in ("trigger_id", "event_id", "batched", "simple_format", "fn_index", "oauth_token"):
            if chance.random() < 0.05:
                body[field] = self.value(chance)
        return body, name

    def call(self, client: httpx.Client, chance: random.Random) -> str:
        body, name = self.body(chance)
        begun = time.monotonic()
        response = client.post(
            f"{API}/queue/join", content=json.dumps(body), headers={"content-type": "application/json"}
        )
        self.timed(f"join {name}", begun)
        if response.status_code != 200 or chance.random() < 0.1:  # some never come to fetch the answer
            return str(response.status_code)
        with client.stream("GET", f"{API}/queue/data", params={"session_hash": body["session_hash"]}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ") or "{}").get("msg")
                if message in ("process_completed", "unexpected_error", "close_stream"):
                    return str(message)
                if chance.random() < 0.02:
                    return "left in the middle"
        return "closed"

    def direct(self, client: httpx.Client, chance: random.Random) -> str:
        body, name = self.body(chance)
        way = chance.choice(["run", "api", "call", "call/v2"])
        target = chance.choice([name, "predict", "edit", "describe", "sample", "x" * 300, "%00"])
        path = chance.choice([f"{way}/{target}", f"{way}/{target}/", "cancel", "reset", "component_server"])
        begun = time.monotonic()
        send = chance.choice([body, body["data"], {"photo": self.value(chance), "face": self.value(chance)}])
        response = client.post(f"{API}/{path}", content=json.dumps(send), headers={"content-type": "application/json"})
        self.timed(path[:40], begun)
        if response.status_code == 200 and "event_id" in response.json() and path.startswith("call"):
            client.get(f"{API}/call/edit/{response.json()['event_id']}")
        return str(response.status_code)

    def upload(self, client: httpx.Client, chance: random.Random) -> str:
        data = bytearray(ASTRONAUT.read_bytes())
        kind = chance.randrange(8)
        if kind == 1:
            data = data[: chance.randrange(len(data))]
        elif kind == 2:
            for _ in range(chance.randrange(1, 50)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif kind == 3:
            data = bytearray(chance.randbytes(chance.randrange(5000)))
        elif kind == 4:
            file = io.BytesIO()
            size = chance.choice([(1, 1), (1, 30_000), (3000, 3000), (64, 64), (30_000, 30_000)])
            mode, format = chance.choice([("1", "PNG"), ("L", "JPEG"), ("RGB", "TIFF"), ("P", "GIF"), ("RGBA", "WEBP")])
            with suppress(OSError, ValueError, MemoryError):
                Image.new("1" if max(size) > 9999 else mode, size).save(file, "PNG" if max(size) > 9999 else format)
            data = bytearray(file.getvalue())
        name = chance.choice(
            ["photo.jpg", "photo.svg", "../../x.png", "ä" * 300, "", "a\0b.jpg", ".", "con.html", "x.eps"]
        )
        query = chance.choice(["", "?upload_id=abc", "?upload_id=" + "x" * 99, "?upload_id=%00"])
        files = [(chance.choice(["files"] * 9 + ["file"]), (name or None, bytes(data)))]
        begun = time.monotonic()
        response = client.post(f"{API}/upload{query}", files=files)
        self.timed("upload", begun)
        if response.status_code == 200:
            self.uploads = [*self.uploads[-40:], *response.json()]
        return str(response.status_code)

    def path(self, client: httpx.Client, chance: random.Random) -> str:
        names = (
            "config info openapi.json proxy= file= file/ custom_component/ stream/ heartbeat/ queue/data queue/status "
        )
        names += "upload_progress deep_link token user login_check app_id dev/reload runs monitoring theme.css static/ "
        names += "assets/"
        part = chance.choice(
            [str(self.value(chance)), chance.choice(self.uploads or [""]), "..%2f..%2fetc%2fpasswd", "x"]
        )
        query = f"?{chance.choice(['session_hash', 'upload_id', 'deep_link', 'page', 'all_endpoints'])}={part[:50]}"
        path = (
            f"{chance.choice([API + '/', '/'])}{chance.choice(names.split())}{part[:3000]}{chance.choice(['', query])}"
        )
        header = chance.choice(["host", "origin", "range", "x-forwarded-host", "content-length", "cookie", "accept"])
        headers = {header: chance.choice(["evil.example", "null", "bytes=9-1", "bytes=1-2-3", "x", "localhost"])}
        begun, method = time.monotonic(), chance.choice(["GET"] * 6 + ["HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
        try:
            request = client.build_request(method, path.encode("utf-8", "replace").decode(), headers=headers)
        except (httpx.InvalidURL, ValueError, UnicodeError):
            return "no address"
        response = client.send(request, stream=True)
        self.timed(path[:40], begun)
        response.close()
        return str(response.status_code)

    def raw(self, client: httpx.Client, chance: random.Random) -> str:
        """HTTP that no library would send, and connections that end in the middle."""
        starts = [
            b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
        ]
        starts += [
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        ]
        starts += [
            b"GET /gradio_api/file=\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01",
            b"GET /\0 HTTP/1.1\r\n\r\n",
        ]
        start = chance.choice(starts)
        if b"%d" in start:
            start = start % chance.choice([0, 5, 10**5, 10**12])
        elif b"boundary" in start:
            start += (
                b"Content-Length: 99999\r\n\r\n--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n"
            )
        begun = time.monotonic()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(start + chance.randbytes(chance.randrange(200)))
            connection.settimeout(0.2)
            connection.recv(1000)
        self.timed("raw", begun)
        return "sent"

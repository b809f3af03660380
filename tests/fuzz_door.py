"""Hostile requests against a real server, for as long as is asked for; not part of the tests, for it takes minutes.

    python tests/fuzz_door.py --minutes 10
    python tests/fuzz_door.py --photos 12 --megapixels 100

The first sends random calls of every function by number, random uploads, paths, headers and broken HTTP, with visitors
who leave in the middle, and says what happened: tracebacks in the server's log, the slowest answer, memory, and what is
left on the disk once everything is of age, after `kill -9` and a new start, and after a proper end. The second opens
large photos through the page, one after the other, and says what memory they leave. Both exit with 1 where a bound is
broken.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import io
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ASTRONAUT = ROOT / "lc" / "ui" / "examples" / "astronaut.jpg"
API = "/gradio_api"
AGE = 60  # seconds after which files go
SLOWEST = 5.0  # seconds in which every request is answered; calls that compute may wait for their turn
GROWTH = 200.0  # MB after the warm-up
LEFT_BY_PHOTOS = 300.0  # MB
WARM_UP = 120.0  # seconds


class Server:
    """`python app.py` with a folder of its own for temporary files."""

    def __init__(self, temporary: Path, log: Path, *flags: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log, self.address = log, f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "app.py", "--port", str(self.port), "--device", "cpu", *flags]
        environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        with log.open("a") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        while self.address not in log.read_text():
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.2)

    @property
    def memory(self) -> float:
        """Resident, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(30)


class Fuzzer:
    """Sends random requests; safe to run in several threads, each with its own source of chance."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.outcomes: Counter[str] = Counter()
        self.slow: list[tuple[float, str]] = []
        self.uploads: list[str] = []
        with self._client() as client:
            self.functions = client.get("/config").json()["dependencies"]

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.address, timeout=30, trust_env=False)

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
        made = [chance.randrange(1, 5), str(chance.randrange(2**63)), True, *["any"] * (inputs - 3)]
        known = {
            "open_upload": [photo],
            "describe": [photo, 0],
            "edit": [photo, {"Young": chance.random()}, chance.random(), "actor", 0],
            "sample": [chance.randrange(1, 4), {"Smiling": True}, chance.randrange(2**63), True],
            "change": [*wish, time.time() * 1000],
            "overtake": [*wish, time.time() * 1000],
            "export": [chance.choice(["PNG", "JPEG", "WEBP"])],
            "choose_face": ["Face 1"],
            "walk": ["Face 1", "Face 2"],
        }
        return known.get(name, made if inputs > 5 else [None] * inputs)

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
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port), timeout=2) as connection:
            connection.sendall(start + chance.randbytes(chance.randrange(200)))
            connection.settimeout(0.2)
            connection.recv(1000)
        self.timed("raw", begun)
        return "sent"


def fuzz(minutes: float, seed: int, place: Path) -> bool:
    temporary, log = place / "tmp", place / "log"
    temporary.mkdir()
    server = Server(temporary, log, "--file-age", str(AGE))
    fresh = sorted(path for path in temporary.rglob("*") if path.is_file())
    fuzzer = Fuzzer(server)
    begun, memory = time.monotonic(), [server.memory]
    warm = threading.Timer(min(WARM_UP, 20 * minutes), lambda: memory.append(server.memory))
    warm.start()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: fuzzer.run(seed + i, begun + 60 * minutes), range(4)))
    warm.join()
    print(
        f"{sum(fuzzer.outcomes.values())} requests in {minutes:g} minutes",
        json.dumps(dict(fuzzer.outcomes.most_common())),
    )
    memory.append(server.memory)
    time.sleep(AGE * 1.2 + AGE / 5 + 3)
    left = sorted(path for path in temporary.rglob("*") if path.is_file() and "torchinductor" not in str(path))
    memory.append(server.memory)
    with httpx.Client(base_url=server.address, trust_env=False) as client:
        lives = client.get("/").status_code == 200
    server.end(signal.SIGKILL)
    dead = {path for path in temporary.iterdir() if path.name.startswith("latent")}
    server = Server(temporary, log, "--file-age", str(AGE))
    swept = not any(path.exists() for path in dead)
    server.end(signal.SIGTERM)
    after = [path for path in temporary.iterdir() if path.name.startswith("latent")]
    tracebacks = log.read_text(errors="replace").count("Traceback")
    print(
        f"memory in MB: {memory[0]:.0f} at the start, {memory[1]:.0f} warm, {memory[2]:.0f} at the end, "
        f"{memory[3]:.0f} when all is of age"
    )
    print(f"slowest: {', '.join(f'{seconds:.1f} s {what}' for seconds, what in fuzzer.slow)}")
    print(
        f"tracebacks: {tracebacks}; files: {len(fresh)} at the start, {len(left)} of age later; still serves: {lives}"
    )
    print(f"a killed server's folder is swept: {swept}; folders left in the end: {len(after)}")
    slow = fuzzer.slow[0][0] > SLOWEST
    return not (tracebacks or slow or left != fresh or after) and swept and lives and memory[3] - memory[1] < GROWTH


def large_photos(count: int, megapixels: float, place: Path) -> bool:
    temporary, log = place / "tmp", place / "log"
    temporary.mkdir()
    server = Server(temporary, log, "--file-age", str(AGE))
    side = round(math.sqrt(megapixels * 1e6))
    with Image.open(ASTRONAUT) as image:
        large = image.resize((side, side))
    memory, peak = [], 0.0
    with httpx.Client(base_url=server.address, timeout=300, trust_env=False) as client:
        functions = client.get("/config").json()["dependencies"]
        number = next(function["id"] for function in functions if function["api_name"] == "open_upload")
        time.sleep(5)
        before = server.memory
        for i in range(count):
            file = io.BytesIO()
            large.putpixel((0, 0), (i, i, i))
            large.save(file, "JPEG", quality=70)
            begun = time.monotonic()
            path = client.post(f"{API}/upload", files={"files": (f"{i}.jpg", file.getvalue())}).json()[0]
            body = {"data": [{"path": path}], "fn_index": number, "session_hash": f"visitor{i}"}
            client.post(f"{API}/queue/join", json=body)
            answer = ""
            with client.stream("GET", f"{API}/queue/data", params={"session_hash": f"visitor{i}"}) as stream:
                for line in stream.iter_lines():
                    peak = max(peak, server.memory)
                    answer = line if "process_completed" in line else answer
            if '"success":true' not in answer or "lc-status error" in answer:
                raise SystemExit(answer[:500])
            memory.append(server.memory)
            print(
                f"photo {i}: {len(file.getvalue()) / 1e6:.1f} MB, {time.monotonic() - begun:.1f} s, {memory[-1]:.0f} MB"
            )
    time.sleep(20)
    print(f"memory in MB: {before:.0f} before, {peak:.0f} most seen, {server.memory:.0f} after {count} photos")
    grown = server.memory - before
    server.end(signal.SIGTERM)
    return grown < LEFT_BY_PHOTOS and "Traceback" not in log.read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="of hostile requests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=int, default=0, help="open so many large photos instead")
    parser.add_argument("--megapixels", type=float, default=100, help="of each of them (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder for the server's log; by default it goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        if arguments.photos:
            good = large_photos(arguments.photos, arguments.megapixels, Path(place))
        else:
            good = fuzz(arguments.minutes, arguments.seed, Path(place))
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / "log").write_text((Path(place) / "log").read_text(errors="replace"))
    print("good" if good else "a bound was broken")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

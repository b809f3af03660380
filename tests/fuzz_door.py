"""Hostile requests against a real server, for as long as is asked for; not part of the tests, for it takes minutes.

    python tests/fuzz_door.py --minutes 10
    python tests/fuzz_door.py --photos 12 --megapixels 100

The first sends random calls of every function by number, random uploads, paths, headers and broken HTTP, with visitors
who leave in the middle, to a page in each language in turn, and says what happened: tracebacks in the server's log, the
slowest answer, memory, and what is left on the disk once everything is of age, after `kill -9` and a new start, and
after a proper end. The second opens large photos through the page, one after the other, and says what memory they
leave. Both exit with 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from fuzz_requests import API, ASTRONAUT, ROOT, Fuzzer
from PIL import Image

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


def fuzz(minutes: float, seed: int, place: Path, language: str) -> bool:
    temporary, log = place / "tmp", place / "log"
    temporary.mkdir(parents=True)
    flags = "--file-age", str(AGE), "--language", language
    server = Server(temporary, log, *flags)
    fresh = sorted(path for path in temporary.rglob("*") if path.is_file())
    fuzzer = Fuzzer(server.port)
    begun, memory = time.monotonic(), [server.memory]
    warm = threading.Timer(min(WARM_UP, 20 * minutes), lambda: memory.append(server.memory))
    warm.start()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: fuzzer.run(seed + i, begun + 60 * minutes), range(4)))
    warm.join()
    print(
        f"{language}: {sum(fuzzer.outcomes.values())} requests in {minutes:g} minutes",
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
    server = Server(temporary, log, *flags)
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
    temporary.mkdir(parents=True)
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
    parser.add_argument("--minutes", type=float, default=10, help="of hostile requests in all (default: %(default)s)")
    parser.add_argument(
        "--languages", nargs="+", default=["en", "de"], help="of the page, which share the minutes (default: en de)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=int, default=0, help="open so many large photos instead")
    parser.add_argument("--megapixels", type=float, default=100, help="of each of them (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder for the servers' logs; by default they go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        if arguments.photos:
            good = large_photos(arguments.photos, arguments.megapixels, Path(place, "photos"))
        else:
            minutes = arguments.minutes / len(arguments.languages)
            rounds = [fuzz(minutes, arguments.seed, Path(place, one), one) for one in arguments.languages]
            good = all(rounds)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for log in Path(place).glob("*/log"):
                (arguments.keep / f"{log.parent.name}.log").write_text(log.read_text(errors="replace"))
    print("good" if good else "a bound was broken")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

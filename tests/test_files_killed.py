"""Whoever kills a writer finds the old file or the new one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
KINDS = ("picture", "json", "weights", "checkpoint")

# Forks for every kill, which then need not wait for an import of torch.
WRITER = """
import os, signal, sys, torch
from pathlib import Path
from PIL import Image
from safetensors.torch import save
from lc.faces import save_picture
from lc.files import whole, write_bytes, write_json

torch.set_num_threads(1)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if not os.fork():
        break
else:
    sys.exit()
kind, drafts, folder = line.strip().split(" ", 2)
if drafts == "named":
    del os.O_TMPFILE
path, value, ready = Path(folder) / "it", 0, False
while True:
    value = (value + 1) % 200
    if kind == "picture":
        save_picture(Image.new("RGB", (300, 300), (value, value, value)), path.with_suffix(".png"), None)
    elif kind == "json":
        write_json(path.with_suffix(".json"), [value] * 20_000)
    elif kind == "weights":
        write_bytes(path.with_suffix(".safetensors"), save({"x": torch.full((60_000,), float(value))}))
    else:
        with whole(path.with_suffix(".pt")) as file:
            torch.save({"x": torch.full((60_000,), float(value))}, file)
    if not ready:
        print(os.getpid(), flush=True)
        ready = True
"""


@pytest.fixture(scope="module")
def writer() -> Iterator[subprocess.Popen[str]]:
    """Takes a line of kind, drafts and folder, says the number of a process, and that writes until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    yield process
    process.kill()
    process.communicate()


def values(path: Path) -> set[float]:
    """The distinct values in what the writer left: one, if it is whole."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            return {float(value) for value in image.convert("L").tobytes()}
    if path.suffix == ".json":
        return set(json.loads(path.read_text()))
    found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    return set(found["x"].tolist())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="a draft without a name is Linux's")
@pytest.mark.parametrize(
    ("kind", "drafts", "kills"),
    [
        *((kind, "nameless", 10) for kind in KINDS),
        *(pytest.param(kind, "nameless", 50, marks=pytest.mark.slow) for kind in KINDS),
        ("json", "named", 10),
    ],
)
def test_a_killed_writer_leaves_old_or_new(
    writer: subprocess.Popen[str], tmp_path: Path, kind: str, drafts: str, kills: int
) -> None:
    assert writer.stdin
    assert writer.stdout
    draw = random.Random(0)
    for _ in range(kills):
        print(kind, drafts, tmp_path, file=writer.stdin, flush=True)
        child = int(writer.stdout.readline())
        time.sleep(draw.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        while Path(f"/proc/{child}").exists():
            time.sleep(0.001)
        (path,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
        assert len(values(path)) == 1
    # Between two calls to the system a draft has a name even there.
    assert drafts == "named" or len(list(tmp_path.iterdir())) < 5

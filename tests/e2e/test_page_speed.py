"""The program that times what a visitor waits for comes to its end, and says every figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.browser import ROOT
from benchmarks.page_speed import AIMS


@pytest.mark.slow
def test_every_wait_is_measured(address: str, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.page_speed", "--rounds", "1", "--address", address, "--json", figures]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(AIMS)
    assert all(words in done.stdout for words, _ in AIMS.values())
    assert all(values and min(values) >= 0 for values in json.loads(figures.read_text()).values())

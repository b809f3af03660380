"""Compare the speed of two versions of the code: benchmarks/speed.py of both, in turns, so that a machine's hours count
for both alike.

    git worktree add /tmp/before 8b3b066
    python -m benchmarks.speed_before --before /tmp/before

Each version runs its own benchmarks with its own weights, in this Python; what both have is compared, by name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from train.engine import parse
from train.evaluate.tables import table

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Comparison:
    """Compare the speed of two versions of the code."""

    before: Path
    """Folder with a checkout of the earlier version."""
    rounds: int = 3
    """How often each version is run."""
    only: str = ""
    """An expression as pytest -k takes it; all benchmarks without one."""


def measure(folder: Path, only: str) -> dict[str, float]:
    """Seconds, in the median, of each benchmark of a checkout, by its name.

    Raises:
        SystemExit: its benchmarks do not run.
    """
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "speed.json"
        options = ["-q", "-p", "no:cacheprovider", "--benchmark-json", str(out), *(["-k", only] if only else [])]
        command = [sys.executable, "-m", "pytest", "benchmarks/speed.py", *options]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode or not out.exists():
            raise SystemExit(f"The benchmarks of {folder} do not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        found = json.loads(out.read_text())["benchmarks"]
    return {one["name"]: one["stats"]["median"] for one in found}


def main() -> None:
    config = parse(Comparison)
    rounds: dict[Path, list[dict[str, float]]] = {config.before.resolve(): [], ROOT: []}
    for _ in range(config.rounds):
        for folder, runs in rounds.items():
            runs.append(measure(folder, config.only))
    before, after = rounds.values()
    rows = []
    for name in (name for name in after[0] if name in before[0]):
        old, new = (median(run[name] for run in runs) for runs in (before, after))
        rows.append([name, f"{1000 * old:.2f}", f"{1000 * new:.2f}", f"{new / old:.2f}"])
    print("\n".join(table(["benchmark", "before, ms", "after, ms", "after / before"], rows)))


if __name__ == "__main__":
    main()

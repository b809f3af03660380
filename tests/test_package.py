"""The installable package: what it needs, and that it runs away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def requirements(name: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line]


def test_the_package_needs_what_a_space_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == requirements("requirements.txt")
    assert "-r requirements.txt" in requirements("requirements-dev.txt")


@pytest.mark.slow
def test_an_installed_package_edits_with_the_weights_that_ship(tmp_path: Path, astronaut: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(ROOT)]
    subprocess.run(install, check=True, timeout=300)
    command = [sys.executable, "-m", "lc", "edit", str(astronaut), "--set", "Smiling=0", "--out", "edited.png"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "edited.png").exists()
    assert all((site / "bin" / command).exists() for command in ("latent-constraints", "lc"))

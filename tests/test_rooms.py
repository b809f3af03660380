"""One thing more is one place opened, see docs/rooms.md: what other tests do not show of it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import LATENT, write_tiny_weights
from torch import Tensor
from torch.nn.functional import softplus

from lc import And, Not
from lc.__main__ import main
from lc.constraints import Evaluation, Point
from lc.editor import FaceEditor, Method
from lc.vae import VAE, VAEConfig

LEVEL = 0.5


@dataclass(frozen=True)
class Beyond:
    """The first dimension of z lies beyond a level: all that a new kind of constraint has to say."""

    weight: float = 1.0

    def evaluate(self, at: Point) -> Evaluation:
        further = at.z[:, 0] - LEVEL
        return Evaluation(softplus(-8 * further), further.detach() > 0, further.detach() < -0.2)

    def rows(self, index: Tensor) -> Beyond:
        return self


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_a_constraint_is_a_class(tiny_editor: FaceEditor, astronaut: Path, method: Method) -> None:
    tuning = dataclasses.replace(tiny_editor.model.tuning, realism_level=0.0, optimiser_steps=100)
    editor = FaceEditor(dataclasses.replace(tiny_editor.model, tuning=tuning))
    reading = editor.read(astronaut)
    there = editor.edit(reading, constraints=[Beyond()], method=method)
    assert there.converged
    assert reading.z[0] < LEVEL < there.z_edited[0]
    assert there.constraints == (Beyond(),)
    back = editor.edit(dataclasses.replace(reading, z=there.z_edited), constraints=[Not(Beyond())], method=method)
    assert back.z_edited[0] < LEVEL - 0.2
    both = editor.edit(reading, {"Smiling": True}, constraints=[And((Beyond(),))], method=method)
    assert both.z_edited[0] > LEVEL
    assert all(sample.z[0] > LEVEL for sample in editor.sample(2, constraints=[Beyond()]))


def test_an_image_size_is_a_number_in_a_config(astronaut: Path, tmp_path: Path) -> None:
    sizes, configs = VAEConfig(latent=LATENT, widths=(8, 8, 16, 16), bottleneck=8), []
    for patch, side in ((2, 64), (4, 128)):
        torch.manual_seed(0)
        weights = write_tiny_weights(tmp_path / str(side), VAE(dataclasses.replace(sizes, patch=patch)))
        configs.append(json.loads((weights / "config.json").read_text()))
        out = tmp_path / f"{side}.png"
        command = ["edit", str(astronaut), "--set", "Smiling=0", "--stages", "--out", str(out)]
        assert main([*command, "--weights", str(weights), "--device", "cpu"]) == 0
        for stage in ("aligned", "reconstruction", "edited"):
            with Image.open(tmp_path / f"{side}.{stage}.png") as picture:
                assert picture.size == (side, side)
        with Image.open(astronaut) as photo, Image.open(out) as edited:
            assert edited.size == photo.size
    for config in configs:
        assert config["generator"].pop("patch")
        del config["files"]
    assert configs[0] == configs[1]

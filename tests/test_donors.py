"""train.donors: the faces whose heads are laid onto photos are generated, and those with the least hair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from processes import finish_here
from test_generators import Sheet, SheetConfig
from tiny import write_tiny_weights
from torch import Tensor

from lc.editor import FaceEditor
from lc.invert import measured_statistics
from lc.parser import CLASSES, Parser, ParserConfig
from lc.weights import load_exemplars, load_generator, save_config, save_module

FACES = 10
HAIR, HAT = CLASSES.index("hair"), CLASSES.index("hat")


def parse(self: Parser, images: Tensor, *, resample: bool = True) -> Tensor:
    """(B, 3, S, S) in [0, 1] -> (B, classes, S, S): the darker, the more hair on the left and hat on the right."""
    found = torch.zeros(len(images), len(CLASSES), *images.shape[2:])
    middle, dark = images.shape[3] // 2, 1 - images.mean(1)
    found[:, HAIR, :, :middle], found[:, HAT, :, middle:] = dark[..., :middle], dark[..., middle:]
    return found


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose pictures differ, with a parser that goes by how dark they are."""
    torch.manual_seed(0)
    generator: Any = Sheet(SheetConfig()).requires_grad_(False)
    folder = write_tiny_weights(tmp_path / "weights", generator, measured_statistics(generator, 0.08))
    sizes = ParserConfig(image_size=32, widths=(8, 8, 8, 8))
    save_config(folder, parser={**vars(sizes), "classes": list(sizes.classes)})
    save_module(folder, "parser", Parser(sizes))
    monkeypatch.setattr(Parser, "parse", parse)
    return folder


def chosen(folder: Path, *options: str) -> Tensor:
    """Run the program; returns the styles of the move that it wrote, (K, latent)."""
    finish_here(["train.donors", "--weights", str(folder), "--faces", str(FACES), *options])
    found = load_exemplars(folder)
    assert found is not None
    move = found.get("Bald", True)
    assert move is not None
    assert move.config.lays == "scalp"
    return move.styles


def latents(folder: Path) -> Tensor:
    """Of the faces that are chosen from, (N, latent)."""
    wanted = {"Bald": True, "Wearing_Hat": False, "Eyeglasses": False}
    return torch.stack([sample.z for sample in FaceEditor.load(folder, "cpu").sample(FACES, wanted, seed=7)])


def test_those_with_the_least_hair_and_hat_are_taken_in_order(parsed: Path) -> None:
    z = latents(parsed)
    light = load_generator(parsed).decode(z).mean((1, 2, 3))
    assert light.std() > 0.01
    torch.testing.assert_close(
        chosen(parsed, "--donors", "3"), z[light.argsort(descending=True)[:3]], rtol=0, atol=0.01
    )


def test_faces_may_be_chosen_by_their_numbers(parsed: Path) -> None:
    torch.testing.assert_close(chosen(parsed, "--choose", "4", "1"), latents(parsed)[[4, 1]], rtol=0, atol=0.01)


def test_without_a_parser_the_way_to_one_is_named(weights_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        finish_here(["train.donors", "--weights", str(weights_copy)])
    assert "has no face parser: train one with" in capsys.readouterr().err

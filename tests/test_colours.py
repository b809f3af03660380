"""train.colours on toys: what it writes is the colour that their hair was drawn in."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from processes import finish_here
from torch import Tensor

from lc.errors import LatentConstraintsError
from lc.faces.tone import to_lab
from lc.parser import CLASSES
from lc.weights import load_attributes, save_config
from train import colours
from train.attributes import ATTRIBUTE_SET
from train.data import Crops
from train.toys import HAIR, ToysConfig, write

COLOURS = {name: to_lab(np.array([[value]], np.float32))[0, 0] for name, value in HAIR.items()}


class ByColour:
    """A parser that takes for hair what has the colour of toys' hair and lies above the forehead."""

    config: Any = SimpleNamespace(classes=CLASSES, image_size=64)

    def parse(self, images: Tensor, *, resample: bool = True) -> Tensor:
        """(1, 3, S, S) in [0, 1] -> (1, classes, S, S): 1 where a pixel is hair."""
        lab = to_lab(np.ascontiguousarray(images[0].permute(1, 2, 0).numpy() * 255, dtype=np.float32))
        near = np.min([np.linalg.norm(lab - colour, axis=2) for colour in COLOURS.values()], axis=0) < 12
        found = torch.zeros(1, len(CLASSES), *images.shape[2:])
        above = slice(images.shape[2] // 3)
        found[0, CLASSES.index("hair"), above] = torch.from_numpy(near[above]).float()
        return found


def drawn(colour: tuple[int, int, int], shares: list[float]) -> Crops:
    """Crops whose upper part is of one colour, on a grey that no parser takes for hair."""
    images = torch.full((len(shares), 3, 64, 64), 128, dtype=torch.uint8)
    for image, share in zip(images, shares, strict=True):
        image[:, : round(64 * share)] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    return Crops(images, None, [str(i) for i in range(len(shares))])


def test_a_flat_colour_is_measured_exactly_where_there_is_enough_of_it() -> None:
    parser: Any = ByColour()
    crops = drawn(HAIR["Blond_Hair"], [0.3] * 10 + [0.02])
    crops.images[-1, :, 0] = torch.tensor(HAIR["Black_Hair"])[:, None]  # one row of it is too little to count
    found = colours.measure(parser, crops, "hair", list(range(11)), least=0.05)
    assert found.mean == pytest.approx(COLOURS["Blond_Hair"], abs=0.1)
    assert found.spread == (0, 0, 0)
    with pytest.raises(LatentConstraintsError, match="Only 9 photos show enough hair"):
        colours.measure(parser, crops, "hair", list(range(9)), least=0.05)


def test_the_folder_gets_the_colours_of_toys_hair_and_keeps_the_rest(weights_copy: Path, tmp_path: Path) -> None:
    write(ToysConfig(tmp_path / "toys", photos=160, unlabelled=0))
    save_config(weights_copy, attributes=ATTRIBUTE_SET.as_json(), note="kept")
    with mock.patch.object(colours, "load_parser", return_value=ByColour()):
        where = ["--weights", str(weights_copy), "--celeba", str(tmp_path / "toys")]
        finish_here(["train.colours", *where, "--least", "0.02"])
    after = load_attributes(weights_copy)
    for attribute in after.attributes:
        if attribute.recolours:
            assert attribute.colour is not None
            # Toys are lit between .85 and 1.1, which moves L* by some units.
            assert attribute.colour.mean == pytest.approx(COLOURS[attribute.name], abs=8)
        else:
            assert attribute == ATTRIBUTE_SET[attribute.name]
    assert (after.one_of, after.excludes) == (ATTRIBUTE_SET.one_of, ATTRIBUTE_SET.excludes)
    assert json.loads((weights_copy / "config.json").read_text())["note"] == "kept"


def test_a_folder_without_a_parser_is_a_sentence(weights_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        finish_here(["train.colours", "--weights", str(weights_copy)])
    assert "has no face parser: train one with" in capsys.readouterr().err

"""docs/own_decoder.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

PAGE = Path(__file__).parent.parent / "docs" / "own_decoder.md"


def test_the_page_moves_faces_of_a_foreign_decoder() -> None:
    torch.manual_seed(0)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)
    generator, warmth = names["generator"], names["warmth"]
    assert (generator.latent, generator.image_size) == (12, 40)
    assert names["last"].done.all()
    assert (warmth(generator.decode(names["last"].z)) >= 0.0099).all()
    assert (warmth(generator.decode(names["back"].z)) < 0.0101).all()
    assert (warmth(generator.decode(names["z"])) < 0.01).any()

"""Choose generated faces whose bald heads are laid onto photos, see `lc.laid`.

    python -m train.donors --weights weights/celeba-64 --attribute Bald --lays scalp

Generated faces with the attribute, those first in which the parser finds the least hair and hat: nobody's photo is in
the weights. Their latents become the styles of the move.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from lc.exemplars import Move, MoveConfig
from train.engine import parse, program
from train.moves import add_moves


@dataclass(frozen=True)
class DonorsConfig:
    """Choose donors."""

    weights: Path
    """Weights folder with a parser; the move goes there."""
    attribute: str = "Bald"
    lays: str = "scalp"
    """Which composite of `lc.faces.composites`."""
    absent: tuple[str, ...] = ("Wearing_Hat", "Eyeglasses")
    """What donors shall not have."""
    faces: int = 192
    """How many are generated."""
    donors: int = 8
    seed: int = 7
    choose: tuple[int, ...] = ()
    """Numbers of the faces to take, instead of those with the least hair."""
    threads: int = 1


@program
def main() -> None:
    config = parse(DonorsConfig)
    torch.set_num_threads(config.threads)
    editor = FaceEditor.load(config.weights, "cpu")
    parser = editor.model.parser
    if parser is None:
        raise LatentConstraintsError(f"{config.weights} has no face parser: train one with python -m train.parser.")
    wanted = {config.attribute: True, **dict.fromkeys(config.absent, False)}
    samples = editor.sample(config.faces, wanted, config.seed)
    with torch.no_grad():
        pictures = editor.model.generator.decode(torch.stack([sample.z for sample in samples]))
        side = parser.config.image_size
        pictures = F.interpolate(pictures, (side, side), mode="bicubic", antialias=True, align_corners=False)
        maps = torch.cat([parser.parse(part.clamp(0, 1)) for part in pictures.split(16)])
    among = [parser.config.classes.index(name) for name in ("hair", "hat")]
    covered = maps[:, among].sum(1).mean((1, 2))
    chosen = list(config.choose) or covered.argsort()[: config.donors].tolist()
    move = Move(editor.model.generator.latent, MoveConfig(len(chosen), 0, config.lays))
    move.styles = torch.stack([samples[i].z for i in chosen])
    add_moves(config.weights, {f"{config.attribute}=1": move})
    print(f"{config.attribute}: faces {chosen}, {[round(float(covered[i]), 3) for i in chosen]} covered by hair")


if __name__ == "__main__":
    main()

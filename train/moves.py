"""Write moves into a weights folder, beside those that it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lc.exemplars import Exemplars, ExemplarsConfig, Move
from lc.weights import load_exemplars, save_config, save_module

__all__ = ["add_moves"]


def add_moves(folder: Path, moves: Mapping[str, Move]) -> None:
    """Those of the same change are replaced.

    Args:
        folder: weights folder.
        moves: at least one, by change, such as "Eyeglasses=1".
    """
    there = load_exemplars(folder)
    every = {**(dict(there.moves.items()) if there else {}), **moves}
    latent = next(iter(moves.values())).styles.shape[1]
    sizes = {}
    for name, move in every.items():
        assert isinstance(move, Move)
        sizes[name] = replace(move.config, styles=len(move.styles), rank=move.down.shape[1])
    exemplars = Exemplars(ExemplarsConfig(latent, sizes))
    for name, move in every.items():
        exemplars.moves[name] = move
    save_config(folder, exemplars=dataclasses.asdict(exemplars.config))
    save_module(folder, "exemplars", exemplars)

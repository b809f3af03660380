"""Run a recipe: every stage from data to an evaluated weights folder, what is up to date left as it is.

python -m train smoke
python -m train recipes/celeba-64.toml --dry-run
python -m train celeba-64 --data /mnt/faces --from sharpen
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from train.engine import parse
from train.kinds import RecipeError
from train.recipe import locate, read
from train.runs import run


@dataclass(frozen=True)
class Order:
    """What to run."""

    recipe: tyro.conf.Positional[str]
    """A TOML file, or the name of one in train/recipes."""
    start: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Run this stage and all that depend on it, even if nothing has changed."""
    only: str | None = None
    """Run no other stage; what it reads is taken as it is."""
    dry_run: bool = False
    """Print what would run, and the commands."""
    scale: Literal["smoke", "cpu", "gpu"] | None = None
    """The recipe's overrides for a size; they run in a folder of their own."""
    data: Path | None = None
    """Root of the data's folders, instead of the recipe's."""
    out: Path = Path("runs")
    """Each stage writes the folder OUT/RECIPE/STAGE."""


def main() -> None:
    order = parse(Order)
    try:
        recipe = read(locate(order.recipe), order.scale, order.data, order.out)
        run(recipe, start=order.start, only=order.only, dry=order.dry_run)
    except RecipeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped: the same command goes on from here.")


if __name__ == "__main__":
    main()

"""From what was measured of single edits to the figures of tables: groups of people, gaps between them, a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from train.evaluate.edits import Direction
from train.evaluate.metrics import COLOURS, WORN

__all__ = ["CHEEKS_STAY", "GAPS", "OTHER_PERSON", "Columns", "by_group", "pooled", "reach", "summary"]

#: What is measured of each edit of a direction: (N,) floats, NaN where nothing can be said.
Columns: TypeAlias = dict[str, Tensor]

#: Changes after which it may look like another person; after all others it has to be the same.
OTHER_PERSON = ("Male", "Young", "Wearing_Hat")
#: Changes that should leave the cheeks alone: of hair, hat and glasses.
CHEEKS_STAY = (*COLOURS, *WORN)
#: Gaps between groups: the first less the second.
GAPS = {"gap_tone": ("light", "dark"), "gap_sex": ("men", "women")}

# How the figures of single edits become one; all others are means.
_MEDIANS = {"years", "cheek", "cheek_size", "mouth", "hair", "distance"}


def by_group(columns: Columns, rows: Sequence[int], groups: Mapping[str, Tensor]) -> dict[str, Any]:
    """Figures of each group, and between them: light skin less dark skin, men less women."""
    result = {}
    for group, members in groups.items():
        chosen = members[list(rows)]
        if chosen.any():
            result[group] = summary({name: column[chosen] for name, column in columns.items()})
    for gap, (high, low) in GAPS.items():
        if high in result and low in result:
            both = [name for name in result[high] if name in result[low] and name not in ("edits", "of")]
            result[gap] = {name: result[high][name] - result[low][name] for name in both}
    return result


def summary(columns: Mapping[str, Tensor]) -> dict[str, Any]:
    """Means, or medians, over the edits of which each figure says something; "of" says how many these are."""
    result: dict[str, Any] = {"edits": len(next(iter(columns.values()))), "of": {}}
    for name, column in columns.items():
        known = column[~column.isnan()].double()
        if len(known):
            result[name] = float(np.median(known.numpy()) if name in _MEDIANS else known.mean())
            if len(known) < len(column):
                result["of"][name] = len(known)
    return result


def pooled(
    columns: Mapping[Direction, Columns], rows: Mapping[Direction, Sequence[int]], groups: Mapping[str, Tensor]
) -> dict[str, Any]:
    """What is asked of several directions together: "same_person" where the change leaves sex, age and hat alone, and
    "cheeks", the median change of the cheeks' lightness by hair, hat and glasses, for each group."""

    def of(directions: Iterable[Direction], names: Sequence[str]) -> dict[str, Any]:
        chosen, result = list(directions), {}
        for group, members in groups.items():
            joint = {}
            for name in names:
                parts = [columns[d][name][members[list(rows[d])]] for d in chosen if name in columns[d]]
                if parts and len(joined := torch.cat(parts)):
                    joint[name] = joined
            if joint:
                result[group] = summary(joint)
        return result

    return {
        "same_person": of((d for d in columns if d[0] not in OTHER_PERSON), ("same_person", "same_descriptor")),
        "cheeks": of((d for d in columns if d[0] in CHEEKS_STAY), ("cheek_size", "cheek")),
    }


def reach(figures: Mapping[str, Any]) -> dict[str, float]:
    """The few figures that say whether a stranger believes the edits, by name; those that were measured."""
    found: dict[str, float] = {}

    def put(title: str, direction: str, figure: str, sign: int = 1) -> None:
        groups = figures["directions"].get(direction, {})
        if figure in groups.get("all", {}):
            found[title] = sign * groups["all"][figure]

    for title, name in (("turned_male", "Male=1"), ("turned_female", "Male=0")):
        put(title, name, "outside")
    put("older_years", "Young=0", "years")
    put("younger_years", "Young=1", "years", -1)
    put("smile_on", "Smiling=1", "outside")
    put("smile_off", "Smiling=0", "outside")
    for name in (*WORN, *COLOURS):
        for wanted in (1, 0):
            put(f"masks_{name}_{wanted}", f"{name}={wanted}", "masks")
    for group, row in figures["cheeks"].items():
        found |= {f"cheeks_{group}": row["cheek_size"]} if "cheek_size" in row else {}
    backgrounds = [row["all"]["background"] for row in figures["directions"].values() if "background" in row["all"]]
    if backgrounds:
        found["background"] = float(np.mean(backgrounds))
    for who in ("same_person", "same_descriptor"):
        if who in (row := figures["same_person"].get("all", {})):
            found[who] = row[who]
    if grey := figures.get("grey"):
        found["grey_chroma"] = float(np.mean([row["chroma"] for row in grey.values()]))
    return found

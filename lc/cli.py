"""What the commands of `python -m lc` do, once their arguments are read."""

from __future__ import annotations

import argparse
import json
import math
import mimetypes
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from PIL import Image
from tqdm import tqdm

from lc.attributes import parse_assignments
from lc.editor import DEFAULT_WEIGHTS, Edit, FaceEditor, Reading
from lc.errors import LatentConstraintsError, PhotoError
from lc.faces import EDITED, MADE_UP, SUFFIXES, Aligned, Face, Photo, detector, iter_photos, save_picture

__all__ = ["run"]

_STAGES = ("aligned", "reconstruction", "edited")

# Photos are taken through the networks together, so many at a time as memory certainly holds.
_BATCH, _BATCH_PIXELS = 64, 100_000_000
_READERS = 4  # threads that decode ahead of the networks

_Located: TypeAlias = tuple[Photo, list[Face], Face | None, Aligned]
_A = TypeVar("_A")
_B = TypeVar("_B")


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command and return the exit code.

    Raises:
        LatentConstraintsError: the command cannot be carried out as given.
        OSError: a result cannot be written.
    """
    return {"edit": _edit, "sample": _sample, "describe": _describe}[arguments.command](arguments)


def _edit(arguments: argparse.Namespace) -> int:
    changes = parse_assignments(arguments.set)
    # A photo with nothing set is asked for to see what the model makes of it.
    blend = arguments.blend or ("change" if changes else "crop")
    paths = _photos(arguments.inputs)
    targets = _targets(paths, arguments.out, arguments.stages)
    editor = _load(arguments)
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(arguments, name) for name in ("identity", "method", "seed")}
    warned: set[str] = set()
    failed: list[Path] = []

    def save(index: int, edit: Edit) -> None:
        picture = edit.result if blend == "change" else edit.crop_result
        save_picture(picture, targets[index], EDITED, edit.reading.photo)
        if arguments.stages:
            _save_stages(edit, targets[index], {"input": str(paths[index]), "set": changes, **settings})

    with ThreadPoolExecutor(_READERS) as writers:
        for chunk in _readings(editor, paths, arguments.face, arguments.aligned, failed):
            indices, readings = zip(*chunk, strict=True)
            edits = editor.edit_many(readings, changes, arguments.identity, arguments.method)
            for warning in {edit.warning for edit in edits if edit.warning} - warned:
                warned.add(warning)
                tqdm.write(warning, file=sys.stderr)
            list(writers.map(save, indices, edits))
    return 3 if failed else 0


def _sample(arguments: argparse.Namespace) -> int:
    changes = parse_assignments(arguments.set)
    single = _is_picture(arguments.out)
    samples = _load(arguments).sample(arguments.count, changes, arguments.seed, realism=not arguments.no_realism)
    if single:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        save_picture(_grid([sample.image for sample in samples]), arguments.out, MADE_UP)
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(tqdm(samples, desc="write", disable=len(samples) < 2 * _BATCH)):
        save_picture(sample.image, arguments.out / f"{i:04}.png", MADE_UP)
    return 0


def _describe(arguments: argparse.Namespace) -> int:
    paths = _photos(arguments.inputs)
    editor = _load(arguments)
    failed: list[Path] = []
    for chunk in _readings(editor, paths, arguments.face, arguments.aligned, failed):
        for index, reading in chunk:
            face = reading.face
            line = {
                "input": str(paths[index]),
                "faces": len(reading.faces),
                "face_boxes": [list(found.box) for found in reading.faces],
                "face_box": list(face.box) if face else None,
                "landmarks": face.landmarks.tolist() if face else None,
                "attributes": reading.attributes,
            }
            print(json.dumps(line), flush=True)
    return 3 if failed else 0


# --- in ------------------------------------------------------------------------------------------------------------


def _load(arguments: argparse.Namespace) -> FaceEditor:
    fast = getattr(arguments, "fast", False)  # faces made up have no such choice
    return FaceEditor.load(arguments.weights or DEFAULT_WEIGHTS, arguments.device, fast=fast)


def _photos(inputs: Sequence[Path]) -> list[Path]:
    paths = iter_photos(inputs)
    if not paths:
        raise PhotoError(f"There are no pictures in {', '.join(map(str, inputs))}; check the path.")
    return paths


def _readings(
    editor: FaceEditor, paths: Sequence[Path], face: int | None, aligned: bool, failed: list[Path]
) -> Iterator[list[tuple[int, Reading]]]:
    """Read photos batch by batch, each with its index in `paths`; what cannot be used is named and put in `failed`."""

    def locate(path: Path) -> _Located | PhotoError:
        try:
            return editor.locate(path, face=None if face is None else face - 1, aligned=aligned)
        except PhotoError as error:
            return error

    if not aligned:
        detector()  # once, before several threads ask for it
    batch: list[tuple[int, _Located]] = []
    pixels = 0
    with tqdm(total=len(paths), unit="photo", disable=len(paths) == 1) as bar:
        for index, found in enumerate(_ahead(locate, paths)):
            if isinstance(found, PhotoError):
                failed.append(paths[index])
                tqdm.write(f"{paths[index]}: {found}", file=sys.stderr)
                bar.update()
            else:
                batch.append((index, found))
                pixels += found[0].rgb.width * found[0].rgb.height
            if batch and (len(batch) == _BATCH or pixels > _BATCH_PIXELS or index == len(paths) - 1):
                indices, located = zip(*batch, strict=True)
                yield list(zip(indices, editor.read_located(located), strict=True))
                bar.update(len(batch))
                batch, pixels = [], 0


def _ahead(function: Callable[[_A], _B], items: Sequence[_A]) -> Iterator[_B]:
    """`map`, in order, by threads that stay a few items ahead of the consumer."""
    waiting: deque[Future[_B]] = deque()
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * _READERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


# --- out -----------------------------------------------------------------------------------------------------------


def _is_picture(out: Path) -> bool:
    """Whether `out` names a picture file; if not, it names a folder.

    Raises:
        LatentConstraintsError: it names neither.
    """
    if out.is_dir():
        return False
    if out.suffix.lower() in SUFFIXES:
        return True
    # "faces.txt" is a mistake, while "identity-0.5" is a folder.
    if out.exists() or mimetypes.guess_type(f"x{out.suffix}", strict=False)[0]:
        raise LatentConstraintsError(
            f"{out} is neither a folder nor a picture: end it with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, "
            "or name a folder."
        )
    return False


def _targets(paths: Sequence[Path], out: Path, stages: bool) -> list[Path]:
    """The result file of each photo: no two alike, and none of them one of the photos in a folder.

    Raises:
        LatentConstraintsError: `out` does not fit the photos.
    """
    if _is_picture(out):
        if len(paths) > 1:
            raise LatentConstraintsError(f"There are {len(paths)} photos but {out} is one picture: name a folder.")
        return [out]
    endings = [".png"] + [f".{stage}.png" for stage in _STAGES if stages] + [".json"] * stages
    folder = out.resolve()
    # Compared without case, as the file systems of macOS and Windows do.
    taken = {path.name.casefold() for path in paths if path.resolve().parent == folder}
    numbers: Counter[str] = Counter()
    targets: list[Path] = []
    for path in paths:
        stem = path.stem
        while not taken.isdisjoint(names := {(stem + ending).casefold() for ending in endings}):
            numbers[path.stem] += 1
            stem = f"{path.stem}-{numbers[path.stem] + 1}"
        taken |= names
        targets.append(out / f"{stem}.png")
    return targets


def _save_stages(edit: Edit, target: Path, settings: dict[str, Any]) -> None:
    """Write the 64x64 stages and the figures beside the result."""
    reading = edit.reading
    pictures = (reading.aligned.crop, None), (reading.reconstruction, EDITED), (edit.edited, EDITED)
    for stage, (image, note) in zip(_STAGES, pictures, strict=True):
        save_picture(image, target.with_name(f"{target.stem}.{stage}.png"), note)
    figures = {
        **settings,
        "face_box": list(reading.face.box) if reading.face else None,
        "before": edit.before,
        "after": edit.after,
        "z_distance": edit.z_distance,
        "steps": edit.steps,
        "converged": edit.converged,
        "seconds": edit.seconds,
        "warning": edit.warning,
    }
    target.with_name(f"{target.stem}.json").write_text(json.dumps(figures, indent=2) + "\n")


def _grid(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as a near square, row by row."""
    columns = math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    grid = Image.new("RGB", (columns * width, math.ceil(len(images) / columns) * height), "white")
    for i, image in enumerate(images):
        grid.paste(image, (i % columns * width, i // columns * height))
    return grid

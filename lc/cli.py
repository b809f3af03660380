"""What the commands of `python -m lc` do, once their arguments are read."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

import torch
from tqdm import tqdm

from lc.editor import DEFAULT_WEIGHTS, Edit, FaceEditor, Reading
from lc.errors import LatentConstraintsError, PhotoError
from lc.faces import (
    EDITED,
    GENERATED,
    count_pixels,
    detector,
    find_photos,
    save_picture,
)
from lc.named import Request, Vocabulary, Wanted
from lc.outputs import grid, is_picture, save_stages, targets_of
from lc.results import Located
from lc.taught import load_taught, peek_name, taught_files
from lc.teach import gather
from lc.weights import load_attributes

__all__ = ["run"]

# So many photos go through the networks together, and are held in all, as memory certainly holds; a larger one goes
# alone. More than 16 at a time do not fit into a core's cache.
_BATCH, _BATCH_PIXELS = 16, 25_000_000
_WORKERS, _HELD_PIXELS = min(4, os.cpu_count() or 1), 100_000_000

# What is wrong with one name, and not with the disk.
_NAME_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR})

_Made = TypeVar("_Made")


@dataclass
class _Told:
    """What there is to say of a batch of photos: lines for stdout, warnings, and why photos could not be used."""

    lines: list[str] = field(default_factory=list)
    warnings: set[str] = field(default_factory=set)
    problems: list[tuple[Path, str]] = field(default_factory=list)


_Use: TypeAlias = Callable[[list[tuple[int, Reading]], _Told], None]


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command and return the exit code.

    Raises:
        LatentConstraintsError: the command cannot be carried out as given.
        OSError: a result cannot be written.
    """
    commands = {"edit": _edit, "sample": _sample, "describe": _describe, "teach": _teach}
    return commands[arguments.command](arguments)


def _edit(arguments: argparse.Namespace) -> int:
    request = _request(arguments)
    changes = request.set
    # With nothing set, the reconstruction is what the user wants to see.
    blend = arguments.blend or ("change" if request else "crop")
    single = len(arguments.inputs) == 1 and not arguments.inputs[0].is_dir()
    out, one_picture = Path(arguments.out), is_picture(arguments.out, single)
    paths, failed = _photos(arguments.inputs, None if one_picture else out)
    if not paths:
        return 3
    targets = targets_of(paths, out, one_picture, arguments.stages)
    editor = _load(arguments)
    vocabulary = _vocabulary(editor, request, arguments)
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(arguments, name) for name in ("identity", "method", "style", "seed")}
    settings |= {name: given for name in ("require", "forbid", "any") if (given := getattr(arguments, name))}
    asked = {**changes, **{one.name: one.strength for one in request.require}}

    def use(batch: list[tuple[int, Reading]], told: _Told) -> None:
        indices, readings = zip(*batch, strict=True)
        z = torch.stack([reading.z for reading in readings]).to(editor.device)
        constraints = vocabulary.constraints(request, z)
        edits = editor.edit_many(
            readings,
            changes,
            arguments.identity,
            arguments.method,
            constraints=constraints,
            style=arguments.style,
        )
        told.warnings |= {edit.warning for edit in edits if edit.warning}
        for index, edit in zip(indices, edits, strict=True):
            stages = {"input": str(paths[index]), "set": asked, **settings} if arguments.stages else None
            if problem := _save(edit, targets[index], blend, stages):
                told.problems.append((paths[index], problem))

    _read(editor, paths, arguments, failed, use)
    return 3 if failed else 0


def _save(edit: Edit, target: Path, blend: str, stages: dict[str, Any] | None) -> str | None:
    """Write a result, and its stages where there is something to say of them; a sentence where it cannot be done."""
    try:
        save_picture(edit.result if blend == "change" else edit.crop_result, target, EDITED, edit.reading.photo)
        if stages is not None:
            save_stages(edit, target, stages)
    except PhotoError as error:
        return str(error)
    except OSError as error:
        if error.errno not in _NAME_ERRORS:
            raise
        return f"its result cannot be called {target.name}: {error.strerror}."
    return None


def _sample(arguments: argparse.Namespace) -> int:
    request = _request(arguments)
    out, one_picture = Path(arguments.out), is_picture(arguments.out)
    editor = _load(arguments)
    constraints = _vocabulary(editor, request, arguments).constraints(request)
    samples = editor.sample(
        arguments.count, request.set, arguments.seed, constraints=constraints, realism=not arguments.no_realism
    )
    (out.parent if one_picture else out).mkdir(parents=True, exist_ok=True)
    if one_picture:
        save_picture(grid([sample.image for sample in samples]), out, GENERATED)
        return 0

    def save(i: int) -> None:
        save_picture(samples[i].image, out / f"{i:04}.png", GENERATED)

    with ThreadPoolExecutor(_WORKERS) as writers:  # they wait for the disk, each file for itself
        written = writers.map(save, range(len(samples)))
        list(tqdm(written, desc="write", total=len(samples), disable=len(samples) < 128))
    return 0


def _describe(arguments: argparse.Namespace) -> int:
    paths, failed = _photos(arguments.inputs)

    def use(batch: list[tuple[int, Reading]], told: _Told) -> None:
        for index, reading in batch:
            face = reading.face
            line = {
                "input": str(paths[index]),
                "faces": len(reading.faces),
                "face_boxes": [list(found.box) for found in reading.faces],
                "face_box": list(face.box) if face else None,
                "landmarks": face.landmarks.tolist() if face else None,
                "attributes": reading.attributes,
            }
            told.lines.append(json.dumps(line))

    if paths:
        _read(_load(arguments), paths, arguments, failed, use)
    return 3 if failed else 0


def _teach(arguments: argparse.Namespace) -> int:
    out = arguments.out
    if out.suffix.lower() != ".safetensors":
        raise LatentConstraintsError(f"{out} must end with .safetensors: a taught attribute is such a file.")
    gather(arguments.with_)  # counted before the networks are loaded
    if arguments.without:
        gather(arguments.without)
    editor = _load(arguments)
    with tqdm(unit="photo", leave=False) as bar:
        given = {"aligned": arguments.aligned, "part": arguments.part, "progress": _shown_by(bar)}
        taught = editor.teach(arguments.name, arguments.with_, arguments.without, **given)
    out.parent.mkdir(parents=True, exist_ok=True)
    taught.save(out)  # before its actor is trained: an interruption loses nothing
    print(f"{taught.name}: {taught.report}", flush=True)
    for note in taught.report.notes:
        print(note, flush=True)
    if arguments.actor:
        with tqdm(desc="actor", unit="step", leave=False) as bar:
            editor.train_actor(taught, progress=_shown_by(bar)).save(out)
    return 0


def _shown_by(bar: tqdm[NoReturn]) -> Callable[[int, int], None]:
    """A callback that shows how much of how much is done."""

    def progress(done: int, total: int) -> None:
        bar.total, bar.n = total, done
        bar.refresh()

    return progress


def _say(text: str) -> None:
    """A line on stderr, above the progress bar."""
    tqdm.write(text, file=sys.stderr)


# --- in ------------------------------------------------------------------------------------------------------------


def _request(arguments: argparse.Namespace) -> Request:
    """What --set, --require, --forbid and --any ask for, known before the networks are loaded: a mistyped name of an
    attribute need not wait for them."""
    attributes = load_attributes(arguments.weights or DEFAULT_WEIGHTS)
    taught = {peek_name(path).lower() for path in taught_files(arguments.use)}
    own = [text for text in arguments.set if _name(text) not in taught]
    required = [text for text in arguments.set if _name(text) in taught] + arguments.require
    either = [[text for text in group.split(",") if text.strip()] for group in arguments.any]
    if short := [group for group, texts in zip(arguments.any, either, strict=True) if len(texts) < 2]:
        raise LatentConstraintsError(
            f"--any {short[0]} names one only: give two or more with commas between, or --require."
        )
    # What the actor serves goes to it: a required attribute is one that is set.
    wanted = [Wanted.parse(text) for text in required]
    forbidden = [Wanted.parse(text) for text in arguments.forbid]
    simple = [(one, one.strength) for one in wanted] + [(one, 1 - one.strength) for one in forbidden]
    known = {name.lower() for one in attributes.attributes for name in (one.name, one.title.replace(" ", "_"))}
    changes = attributes.parse(own).wanted
    mine = {one.name: strength for one, strength in simple if _name(one.name) in known and strength in (0, 1)}
    return Request(
        set={**changes, **attributes.changes(mine).wanted},
        require=tuple(one for one in wanted if one.name not in mine),
        forbid=tuple(one for one in forbidden if one.name not in mine),
        either=tuple(tuple(map(Wanted.parse, texts)) for texts in either),
    )


def _name(text: str) -> str:
    """The name in NAME=0|1, as names are compared."""
    return text.partition("=")[0].strip().lower().replace(" ", "_").replace("-", "_")


def _vocabulary(editor: FaceEditor, request: Request, arguments: argparse.Namespace) -> Vocabulary:
    taught = [load_taught(path, editor.model) for path in taught_files(arguments.use)]
    vocabulary = Vocabulary(editor.space, taught)
    vocabulary.check(request.names)
    return vocabulary


def _load(arguments: argparse.Namespace) -> FaceEditor:
    fast = getattr(arguments, "fast", False)  # samples have no such choice
    return FaceEditor.load(arguments.weights or DEFAULT_WEIGHTS, arguments.device, fast=fast)


def _photos(inputs: Sequence[Path], out: Path | None = None) -> tuple[list[Path], list[Path]]:
    """The photos, and what looks like some and is left out, which is named.

    Raises:
        PhotoError: there is neither.
    """
    found = find_photos(inputs, out)
    reasons: dict[str, list[Path]] = {}
    for path, reason in found.left_out:
        reasons.setdefault(reason, []).append(path)
    for reason, paths in reasons.items():
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        _say(f"{', '.join(map(str, paths[:3]))}{more}: {reason}.")
    if found.results and found.paths:
        _say(f"{out} holds {found.results} result(s) of earlier edits: they are left out; to edit one again, name it.")
    if not found.paths and not found.left_out:
        only = f" but {found.results} result(s) of earlier edits: name those to edit again" if found.results else ""
        raise PhotoError(f"There are no pictures in {', '.join(map(str, inputs))}{only or '; check the path'}.")
    return found.paths, [path for path, _ in found.left_out]


def _read(
    editor: FaceEditor, paths: Sequence[Path], arguments: argparse.Namespace, failed: list[Path], use: _Use
) -> None:
    """Read photos and use them batch by batch, each with its index in `paths`, in several threads.

    What cannot be used is named and put in `failed`.
    """
    face = None if arguments.face is None else arguments.face - 1

    def work(batch: Sequence[tuple[int, Path]]) -> tuple[int, _Told]:
        told, located = _Told(), list[tuple[int, Located]]()
        for index, path in batch:
            try:
                located.append((index, editor.locate(path, face=face, aligned=arguments.aligned)))
            except PhotoError as error:
                told.problems.append((path, str(error)))
        if located:
            readings = editor.read_located([found for _, found in located])
            use([(index, reading) for (index, _), reading in zip(located, readings, strict=True)], told)
        return len(batch), told

    if not arguments.aligned:
        detector()  # once, before several threads ask for it
    warned: set[str] = set()
    with tqdm(total=len(paths), unit="photo", disable=len(paths) == 1) as bar:
        for count, told in _in_batches(work, paths):
            for line in told.lines:
                print(line, flush=True)
            for warning in sorted(told.warnings - warned):
                _say(warning)
            warned |= told.warnings
            for path, problem in told.problems:
                _say(f"{path}: {problem}")
                failed.append(path)
            bar.update(count)


def _in_batches(work: Callable[[Sequence[tuple[int, Path]]], _Made], paths: Sequence[Path]) -> Iterator[_Made]:
    """What is made of photos, with their indices, batch by batch and in order, by threads that hold `_HELD_PIXELS` in
    all at most.

    One takes a batch all the way, from file to file: it computes where another waits for Python, memory or the disk,
    and two threads of a core each are faster than one of two cores.
    """
    workers = min(_WORKERS, len(paths))
    rounds = math.ceil(len(paths) / (workers * _BATCH))
    most = math.ceil(len(paths) / (workers * rounds))  # even, or one thread waits for another in the end
    waiting: deque[tuple[int, Future[_Made]]] = deque()
    held, cores = 0, torch.get_num_threads()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(max(1, cores // workers),)) as pool:
        try:
            for pixels, batch in _batches(paths, most):
                while waiting and (held + pixels > _HELD_PIXELS or len(waiting) > workers):
                    held -= waiting[0][0]
                    yield waiting.popleft()[1].result()
                held += pixels
                waiting.append((pixels, pool.submit(work, batch)))
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(cores)


def _batches(paths: Sequence[Path], most: int) -> Iterator[tuple[int, Sequence[tuple[int, Path]]]]:
    """Photos with their indices, in order, `most` and `_BATCH_PIXELS` at a time, and how many pixels they have."""
    batch: list[tuple[int, Path]] = []
    held = 0
    for index, path in enumerate(paths):
        pixels = count_pixels(path)
        if batch and (len(batch) == most or held + pixels > _BATCH_PIXELS):
            yield held, batch
            held, batch = 0, []
        held += pixels
        batch.append((index, path))
    if batch:
        yield held, batch

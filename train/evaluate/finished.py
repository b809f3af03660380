"""The table that counts: edits of whole photos as a user gets them back, read by every role and measured by masks.

A photo goes in and the finished photo comes out; the face is found again in it, cut out and read. What masks can
measure is measured at the photo's own place, before and after. Women and men, and the darkest and the lightest third
of skins, are counted apart, and their gap is stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.faces import Aligned, read_photo
from lc.faces.steering import wide_crop
from lc.faces.tone import to_lab
from lc.parser import Parser
from lc.results import Located
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.data import DataError, find, framed_crop
from train.evaluate import edits as editing
from train.evaluate.edits import Batch, Direction, Finished, key, tensor
from train.evaluate.metrics import COLOURS, WORN, Parsed, Ranges, compare, parse_faces
from train.evaluate.readers import OUTSIDE_SIZE, ROLES, Roles
from train.evaluate.summary import Columns, by_group, pooled, reach
from train.identity import CHIP, SAME, chips

__all__ = ["Panel", "Photos", "grey_copies", "learn_ranges", "measure"]


@dataclass(frozen=True)
class Panel:
    """Who and what measures.

    Attributes:
        roles: the readers.
        parser: of faces, or None: nothing is measured by masks then.
        ranges: what counts as what by masks.
        redetect: look for the face again in the finished photo.
    """

    roles: Roles
    parser: Parser | None = None
    ranges: Ranges | None = None
    redetect: bool = True


def learn_ranges(parser: Parser, root: Path, part: str = "train", each: int = 40) -> Ranges:
    """Learn what counts as glasses, a hat, bald, or a hair colour from labelled photos.

    Args:
        root: a labelled set, see `train.layouts.find`.
        part: of it.
        each: photos of each attribute, and as many of anybody; the first in the list.

    Raises:
        DataError: see `train.layouts.Layout.names`.
    """
    names = [*WORN, *COLOURS]
    if missing := set(names) - set(ATTRIBUTES):
        raise DataError(f"Masks cannot be measured without the attribute {min(missing)}: leave the parser out.")
    layout = find(root)
    files = layout.names(part)
    labels = torch.tensor(layout.read_labels(files, names)).bool()
    chosen = set(range(min(each, len(files))))
    for column in range(len(names)):
        chosen |= set(torch.nonzero(labels[:, column])[:each, 0].tolist())
    rows = sorted(chosen)
    faces: list[tuple[Image.Image, Aligned]] = []
    for row in rows:
        rgb = read_photo(layout.photos / files[row]).rgb
        faces.append((rgb, framed_crop(rgb, layout.photos.name, parser.config.image_size)))
    known = {name: labels[rows, column].tolist() for column, name in enumerate(names)}
    return Ranges.fit(parse_faces(parser, faces), known)


class _Crops:
    """Crops of photos at the sizes that readers ask for, each cut once."""

    def __init__(self, faces: Sequence[Finished]) -> None:
        self.faces, self.known = faces, dict[int, Tensor]()

    def at(self, size: int) -> Tensor:
        if size not in self.known:
            self.known[size] = tensor([face.crop(size) for face in self.faces])
        return self.known[size]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is read of photos: reader -> (N, A), and of the person: who -> (N, D)."""

    told: dict[str, Tensor]
    person: dict[str, Tensor]
    years: Tensor | None


class Photos:
    """Whole photos, read once by every reader.

    Args:
        editor: what is measured.
        readings: of the photos, at least one.
        panel: who reads them.

    Attributes:
        groups: which of the photos are of "all", "women", "men", "dark" and "light" skin: (N,) bool each.
    """

    def __init__(self, editor: FaceEditor, readings: Sequence[Reading], panel: Panel) -> None:
        if not readings:
            raise DataError("None of the photos has a face that can be edited: name another folder.")
        self.editor, self.readings, self.panel = editor, list(readings), panel
        faces = [editing.before(reading) for reading in readings]
        self.before = self._seen(_Crops(faces))
        self.parsed = self._parsed([(face.picture, face.reading) for face in faces])
        evaluation = panel.roles.of("evaluation")[0]
        self.has = self.before.told[evaluation.title] > 0.5
        self.groups = self._groups()

    def _seen(self, crops: _Crops) -> _Seen:
        roles, person = self.panel.roles, dict[str, Tensor]()
        told = {reader.title: reader.read(crops.at(reader.size)) for reader in roles.readers}
        if roles.embedding or roles.outside:
            large = crops.at(2 * CHIP)
            if roles.embedding:
                with torch.no_grad():
                    person["person"] = torch.cat([roles.embedding(chips(part)) for part in large.split(16)])
            if roles.outside:
                person["descriptor"] = roles.outside.descriptor.embed(large)
        years = roles.outside.years(crops.at(OUTSIDE_SIZE)) if roles.outside else None
        return _Seen(told, person, years)

    def _parsed(self, pictures: Sequence[tuple[Image.Image, Reading]]) -> list[Parsed] | None:
        if self.panel.parser is None or self.panel.ranges is None:
            return None
        return parse_faces(self.panel.parser, [(picture, reading.aligned) for picture, reading in pictures])

    def _groups(self) -> dict[str, Tensor]:
        count, male = len(self.readings), ATTRIBUTES.index("Male") if "Male" in ATTRIBUTES else None
        groups = {"all": torch.ones(count, dtype=torch.bool)}
        if male is not None:
            outside = [r for r in self.panel.roles.of("outside") if "Male" in r.names]
            man = self.before.told[outside[0].title][:, male] > 0.5 if outside else self.has[:, male]
            groups |= {"women": ~man, "men": man}
        if self.parsed is not None:
            tone = torch.tensor([face.tone() for face in self.parsed])
            known = tone[~tone.isnan()]
            if len(known) > 2:
                dark, light = known.quantile(1 / 3), known.quantile(2 / 3)
                groups |= {"dark": tone <= dark, "light": tone >= light}  # NaN is neither
        return groups

    def measure(self, batch: Batch) -> Columns:
        """What is measured of each edit of a direction: (N,) floats, NaN where nothing can be said.

        A role's column: 1 where its readers see the change, 0 where not, of those in whose photo they saw it lacking.
        """
        rows, after = batch.rows, [editing.finished(edit, self.panel.redetect) for edit in batch.edits]
        seen = self._seen(_Crops(after))
        columns = self._roles(batch.direction, rows, seen) | self._held(batch.direction, rows, seen)
        for who, now in seen.person.items():
            distance = (now - self.before.person[who][rows]).norm(dim=1)
            columns |= {f"same_{who}": (distance < SAME).float()}
            columns |= {"distance": distance} if who == "person" else {}
        if seen.years is not None and self.before.years is not None:
            columns["years"] = seen.years - self.before.years[rows]
        columns |= self._masks(batch, after)
        columns["lost"] = torch.tensor([float(face.lost) for face in after])
        columns["converged"] = torch.tensor([float(edit.converged) for edit in batch.edits])
        columns["seconds"] = torch.tensor([edit.seconds for edit in batch.edits])
        return columns

    def _roles(self, direction: Direction, rows: Sequence[int], seen: _Seen) -> Columns:
        (name, wanted), columns = direction, Columns()
        column = ATTRIBUTES.index(name)
        for role in ROLES:
            told = []
            for reader in self.panel.roles.of(role):
                if name in reader.names:
                    was, now = (view[reader.title][:, column] for view in (self.before.told, seen.told))
                    lacked = was[rows] != float(wanted)
                    told.append(torch.where(lacked, (now == float(wanted)).float(), float("nan")))
            if told:
                columns[role] = torch.stack(told).nanmean(0)
        return columns

    def _held(self, direction: Direction, rows: Sequence[int], seen: _Seen) -> Columns:
        reader = self.panel.roles.of("evaluation")[0]
        resolved = ATTRIBUTE_SET.changes(dict([direction])).resolved
        others = [i for i, name in enumerate(ATTRIBUTES) if name not in resolved]
        was, now = self.before.told[reader.title][rows], seen.told[reader.title]
        return {"held": (was[:, others] == now[:, others]).float().mean(1)}

    def _masks(self, batch: Batch, after: Sequence[Finished]) -> Columns:
        now = self._parsed([(face.picture, face.reading) for face in after])
        if now is None or self.parsed is None or self.panel.ranges is None:
            return {}
        pairs = zip((self.parsed[row] for row in batch.rows), now, strict=True)
        found = [compare(a, b, *batch.direction, self.panel.ranges) for a, b in pairs]
        columns = {name: torch.tensor([row[name] for row in found]) for name in found[0]}
        return columns | {"cheek_size": columns["cheek"].abs()}


def measure(
    photos: Photos, identity: float, method: Method = "actor", most: int | None = None, grey: int = 0
) -> dict[str, Any]:
    """Edit the photos in every direction that they lack, and measure.

    Args:
        identity: place of the identity slider.
        most: photos per direction.
        grey: of the first so many photos grey copies are edited too.

    Returns:
        "directions": for each, the figures of each group; "same_person" and "cheeks": see `summary.pooled`; "grey";
        "reach".
    """
    rows, columns = editing.lacking(photos.has, most), dict[Direction, Columns]()
    for batch in editing.make(photos.editor, photos.readings, rows, identity, method):
        columns[batch.direction] = photos.measure(batch)
    figures: dict[str, Any] = {"directions": {}}
    for direction, found in columns.items():
        figures["directions"][key(direction)] = by_group(found, rows[direction], photos.groups)
    figures |= pooled(columns, rows, photos.groups)
    if grey:
        figures["grey"] = _grey(photos, rows, identity, method, grey)
    return figures | {"reach": reach(figures)}


# --- grey photos -----------------------------------------------------------------------------------------------------


def grey_copies(editor: FaceEditor, readings: Sequence[Reading]) -> list[Reading]:
    """The same photos without colours, faces in the same places."""
    located = []
    for reading in readings:
        aligned, picture = reading.aligned, reading.photo.rgb.convert("L").convert("RGB")
        grey = Aligned(aligned.crop.convert("L").convert("RGB"), aligned.matrix, aligned.scale)
        located.append(Located(read_photo(picture), reading.faces, reading.face, grey))
    return editor.read_located(located)


def _grey(
    photos: Photos, rows: Mapping[Direction, Sequence[int]], identity: float, method: Method, count: int
) -> dict[str, Any]:
    """Mean chroma of edits of grey photos around the face, by direction, and the largest."""
    copies = grey_copies(photos.editor, photos.readings[:count])
    few = {d: kept for d, chosen in rows.items() if (kept := [row for row in chosen if row < len(copies)])}
    found: dict[str, Any] = {}
    for batch in editing.make(photos.editor, copies, few, identity, method, "grey photos"):
        chroma = [_chroma(edit) for edit in batch.edits]
        found[key(batch.direction)] = {"edits": len(chroma), "chroma": float(np.mean(chroma)), "most": max(chroma)}
    return found


def _chroma(edit: Edit) -> float:
    aligned = edit.reading.aligned
    wide = wide_crop(edit.result.convert("RGB"), aligned, max(64, aligned.crop.width))
    lab = to_lab(np.asarray(wide, dtype=np.float32))
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())

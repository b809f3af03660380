"""What the tab "Teach it" does: photos come in and are looked at, something is learned from them, kept and used."""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from lc.errors import LatentConstraintsError, OtherGeneratorError, WeightsError
from lc.faces import read_photo
from lc.few_shot import encode, fit, reserved
from lc.rules import rules
from lc.taught import MOST_BYTES, TaughtAttribute, TeachingReport, checked_name, parse_taught
from lc.ui import inputs
from lc.ui.handlers import EditHandlers
from lc.ui.lessons import SIDES, Lesson, Pupil, Side
from lc.ui.pictures import encoded
from lc.ui.session import Session
from lc.ui.texts import text, translated
from lc.ui.wishes import title_of

__all__ = ["AT_ONCE", "MOST_TAUGHT", "Teaching", "TeachingHandlers", "failed", "named"]

Update: TypeAlias = Any
_SKIP: Any = gr.skip()

AT_ONCE = 8  # photos in one call
MOST_TAUGHT = 12  # of one visitor
_VISITORS = 1000  # of whom is known that they want to stop
_TILES = 3  # that are sent together
_CHANCE, _DISGUISE = 1.64, 0.7  # standard errors above one half; correlation with an attribute: see `lc.teach`


class Teaching(NamedTuple):
    """What an event of this tab changes: what is remembered of the visitor, then one field per output."""

    lesson: Update = _SKIP
    taught: Update = _SKIP
    view: Update = _SKIP
    more: Update = _SKIP


class TeachingHandlers:
    """The tab's events, and those of the tiles of what was taught.

    Args:
        editing: the first tab's, whose photo the tiles show.
    """

    def __init__(self, editing: EditHandlers) -> None:
        self.editor, self.folder, self.editing = editing.editor, editing.folder, editing
        self.wishes = editing.wishes
        self._stops: OrderedDict[str, threading.Event] = OrderedDict()

    # --- photos come in --------------------------------------------------------------------------------------------

    def look_at(
        self,
        uploads: list[dict[str, Any]] | None,
        side: Side,
        lesson: Lesson,
        taught: Sequence[TaughtAttribute],
        request: gr.Request,
    ) -> Iterator[Teaching]:
        """Find the face in each of some photos; each shows as soon as it is found.

        Args:
            uploads: Gradio's descriptions of up to `AT_ONCE` files.
            side: with or without.
            lesson, taught, request: the visitor's.
        """
        side = inputs.choice(side, text("teach.side"), SIDES)
        stop = self._stop(request)
        stop.clear()
        for done, upload in enumerate((uploads or [])[:AT_ONCE], 1):
            if stop.is_set():
                break
            lesson = self._added(lesson, side, upload)
            yield Teaching(lesson, view={"read": done, "serial": time.monotonic()})
        yield Teaching(lesson, view=self.view(lesson, taught))

    def _added(self, lesson: Lesson, side: Side, upload: dict[str, Any]) -> Lesson:
        try:
            with self.folder.open_upload(upload) as file:
                photo = read_photo(file)
            with photo.held():
                return lesson.add(side, Pupil(photo.name, self.editor.locate(photo).aligned.crop))
        except LatentConstraintsError as error:
            return lesson.refuse(translated(error))

    def take_away(self, side: Side, place: float, lesson: Lesson, taught: Sequence[TaughtAttribute]) -> Teaching:
        """Do without one of the faces.

        Args:
            side: with or without.
            place: from 0.
            lesson, taught: the visitor's.
        """
        side = inputs.choice(side, text("teach.side"), SIDES)
        lesson = lesson.drop(side, inputs.whole(place, text("face.field"), 0, 10_000))
        return Teaching(lesson, view=self.view(lesson, taught))

    def clear(self, taught: Sequence[TaughtAttribute]) -> Teaching:
        """Begin anew: no photos on either side. What was taught stays."""
        return Teaching(Lesson(), view=self.view(Lesson(), taught))

    def cancel_teaching(self, request: gr.Request) -> None:
        """Stop looking at photos; those that were looked at stay."""
        self._stop(request).set()

    def _stop(self, request: gr.Request) -> threading.Event:
        visitor = str(request.session_hash)
        stop = self._stops.setdefault(visitor, threading.Event())
        self._stops.move_to_end(visitor)
        while len(self._stops) > _VISITORS:
            self._stops.popitem(last=False)
        return stop

    # --- something is learned --------------------------------------------------------------------------------------

    def teach(self, name: str, lesson: Lesson, taught: Sequence[TaughtAttribute]) -> Teaching:
        """Learn from the faces on show.

        Args:
            name: what to call it; what was taught under this name before makes room.
            lesson, taught: the visitor's.
        """
        name = self._name(name)
        if missing := lesson.missing():
            raise LatentConstraintsError(missing)
        others = [one for one in taught if one.name.lower() != name.lower()]
        if len(others) >= MOST_TAUGHT:
            raise LatentConstraintsError(text("teach.enough", most=MOST_TAUGHT))
        sides = [lesson.examples(side).crops for side in SIDES]
        given, *against = [encode(self.editor.space, self._images(crops)) for crops in sides if crops]
        learned = fit(self.editor.space, name, given, *against)
        return self._taught(lesson, [*others, learned], learned.name)

    def _name(self, name: object) -> str:
        """A name that is free. Raises LatentConstraintsError."""
        written = name.strip() if isinstance(name, str) else ""
        if not written:
            raise LatentConstraintsError(text("teach.no_name"))
        try:
            plain = checked_name(written, {})
        except LatentConstraintsError as error:
            raise LatentConstraintsError(text("teach.odd_name", name=written[:40])) from error
        taken = {*reserved(self.editor.attributes), *(one.name for one in rules())}
        if plain.lower() in taken or plain.lower().startswith("hair_like"):
            raise LatentConstraintsError(text("teach.known_name", name=title_of(plain)))
        return plain

    def _images(self, crops: Sequence[Any]) -> Tensor:
        pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
        return pixels.permute(0, 3, 1, 2).to(self.editor.device).float() / 255

    def _taught(self, lesson: Lesson | None, taught: Sequence[TaughtAttribute], latest: str = "") -> Teaching:
        kept = list(taught)
        view = self.view(lesson or Lesson(), kept, latest)
        if lesson is None:  # the photos are not this event's business
            view = {key: value for key, value in view.items() if key not in (*SIDES, "left_out", "missing")}
        return Teaching(_SKIP, kept, view, self.more(kept))

    def with_actor(self, taught: Sequence[TaughtAttribute], progress: Mapping[str, Any]) -> Teaching:
        """One of the taught attributes has an actor now; `progress` says so of its training."""
        found = self._taught(None, taught)
        return found._replace(view={**found.view, **progress})

    # --- files -----------------------------------------------------------------------------------------------------

    def use_taught(self, uploads: list[dict[str, Any]] | None, taught: Sequence[TaughtAttribute]) -> Teaching:
        """Use what was taught before, from files that this page or the command line has written.

        Args:
            uploads: Gradio's descriptions of the files.
            taught: the visitor's.
        """
        kept, latest = list(taught), ""
        for upload in (uploads or [])[:MOST_TAUGHT]:
            one = self._parsed(upload)
            kept = [*(other for other in kept if other.name.lower() != one.name.lower()), one][-MOST_TAUGHT:]
            latest = one.name
        return self._taught(None, kept, latest)

    def _parsed(self, upload: dict[str, Any]) -> TaughtAttribute:
        with self.folder.open_upload(upload) as file:
            name = str(file.name).replace("\\", "/").rpartition("/")[2][:60]
            data = file.read(MOST_BYTES + 1)
        try:
            one = parse_taught(data, name, self.editor.model)
            self.said(one)  # a stranger's file may report anything
        except OtherGeneratorError as error:
            raise LatentConstraintsError(text("teach.other_model", name=name)) from error
        except (WeightsError, TypeError, ValueError, OverflowError) as error:
            raise LatentConstraintsError(text("teach.no_file", name=name)) from error
        self._name(one.name)
        return one

    def save_taught(self, name: str, taught: Sequence[TaughtAttribute]) -> str:
        """Write something taught as a file, to use it again later or elsewhere.

        Args:
            name: which.
            taught: the visitor's.
        """
        one = named(name, taught)
        return self.folder.write(one.to_bytes(), f"{one.name}.safetensors")

    def forget_taught(self, name: str, taught: Sequence[TaughtAttribute]) -> Teaching:
        """Do without something taught; edits that were made with it stay.

        Args:
            name: which.
            taught: the visitor's.
        """
        gone = named(name, taught)
        return self._taught(None, [one for one in taught if one is not gone])

    def try_taught(self) -> Update:
        """Open the first tab, where there is a tile of what was taught."""
        return gr.Tabs(selected="edit")

    # --- tiles -----------------------------------------------------------------------------------------------------

    def fill_more(
        self, names: object, session: Session | None, taught: Sequence[TaughtAttribute]
    ) -> Iterator[Teaching]:
        """Make tiles of what was taught and of rules: this face with each alone.

        Args:
            names: of which.
            session, taught: the visitor's.
        """
        if session is None or not isinstance(names, list):
            yield Teaching()
            return
        wanted = self.wishes.checked(dict.fromkeys(map(str, names[:40]), "require"), taught, lenient=True)
        tiles: dict[str, Any] = {}
        for name in wanted:
            self.editing.running.give_way()
            edit, shows = self.wishes.alone(session.reading, name, taught)
            image, _ = self.editing.stage.tile(edit)
            tiles[name] = {"image": image, "note": "" if shows else text("tiles.faint")}
            # Tiles alone: what is taught may have become another meanwhile.
            yield Teaching(more={"face_key": session.key, "tiles": dict(tiles)})

    # --- what is shown ---------------------------------------------------------------------------------------------

    def more(self, taught: Sequence[TaughtAttribute]) -> dict[str, Any]:
        """What there is a tile of; with each taught thing its file, for the browser to keep."""
        entries = self.wishes.entries(taught)
        for entry, one in zip(entries, taught, strict=False):
            entry["file"] = self.folder.write(one.to_bytes(), f"{one.name}.safetensors")
        return {"entries": entries, "tiles": {}}

    def view(self, lesson: Lesson, taught: Sequence[TaughtAttribute], latest: str = "") -> dict[str, Any]:
        """All that the tab shows."""
        return {
            **{side: [{"name": one.name, "image": _thumbnail(one)} for one in lesson.pupils[side]] for side in SIDES},
            "left_out": list(lesson.left_out),
            "missing": lesson.missing(),
            "taught": [
                {"name": one.name, "title": title_of(one.name), "actor": bool(one.actor), **self.said(one)}
                for one in taught
            ],
            "latest": latest,
            "serial": time.monotonic(),
        }

    def said(self, one: TaughtAttribute) -> dict[str, Any]:
        """How well something was learned, in plain words; and whether that is good enough to rely on."""
        report = one.report
        right, give = round(100 * report.accuracy), max(1, round(100 * report.spread))
        parts = {
            "face": text("teach.part_face"),
            "hair": text("teach.part_hair"),
            "hairline": text("teach.part_hairline"),
            "any": "",
        }
        figures = translated(report.sentence)
        said = [text("teach.score", right=right, give=give), *filter(None, [parts[one.part]])]
        if doubts := self._doubts(report):
            return {"said": " ".join([*said, *doubts]), "good": False, "figures": figures}
        return {"said": " ".join([*said, text("teach.ready")]), "good": True, "figures": figures}

    def _doubts(self, report: TeachingReport) -> list[str]:
        found = []
        if report.accuracy - _CHANCE * report.spread <= 0.5:
            found.append(text("teach.chance"))
        if report.likeness >= _DISGUISE:
            like = report.like
            known = self.editor.attributes.names
            found.append(text("teach.disguise", like=self.editor.attributes[like].title if like in known else like))
        return found


def named(name: object, taught: Sequence[TaughtAttribute]) -> TaughtAttribute:
    """The taught attribute of this name; raises LatentConstraintsError where it is gone."""
    for one in taught:
        if one.name == name:
            return one
    raise LatentConstraintsError(text("teach.gone"))


def _thumbnail(pupil: Pupil) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encoded(pupil.crop, "JPEG", quality=80)).decode()


def failed(error: LatentConstraintsError) -> Teaching:
    """A sentence; everything else stays."""
    said = {"failed": translated(error), "serial": time.monotonic()}
    return Teaching(view=said, more=said)

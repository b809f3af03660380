"""What the second tab does, and the endpoints for programs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import gradio as gr
import torch
from PIL import Image

from lc.attributes import Strength
from lc.editor import FaceEditor, Method, Reading, Sample
from lc.errors import LatentConstraintsError
from lc.faces import read_photo
from lc.memory import LARGE, trim
from lc.taught import TaughtAttribute
from lc.ui import inputs, views
from lc.ui.handlers import METHODS, EditHandlers
from lc.ui.pictures import Pictures
from lc.ui.session import enlarge, reading_of
from lc.ui.shown import Shown, Update
from lc.ui.storage import Folder
from lc.ui.texts import in_sentence, text, translated
from lc.ui.wishes import Mode

__all__ = ["MOST", "MOST_SHOWN", "Endpoints", "Faces", "MakingHandlers", "failed"]

_MODES: dict[str, Mode] = {"yes": "require", "no": "forbid", "either": "either"}
_BOTH = "both"
_REALISM = ("on", "off", _BOTH)
MOST_SHOWN = 24  # faces on the page
MOST = 64  # faces in one request
_STEPS = 13  # faces of a walk between two


class Faces(NamedTuple):
    """What is remembered of an event of the second tab, then what its component shows."""

    made: Update = gr.skip()
    view: Update = gr.skip()


class MakingHandlers:
    """The second tab's events."""

    def __init__(self, editor: FaceEditor, editing: EditHandlers) -> None:
        self.editor, self.editing, self.pictures = editor, editing, editing.pictures
        self.wishes = editing.wishes

    def make(
        self,
        count: float,
        seed: str | float | None,
        realism: str,
        asked: object,
        taught: Sequence[TaughtAttribute] = (),
    ) -> Faces:
        """Make faces up.

        Args:
            count: how many.
            seed: the same seed gives the same faces; an empty field is 0.
            realism: on, off, or both side by side.
            asked: yes, no or either for each name that something is asked of: attributes, what was taught, rules.
            taught: the visitor's.
        """
        changes, more = self._asked(asked, taught)
        number = inputs.seed(0 if seed in (None, "") else seed)
        many = inputs.count(count, MOST_SHOWN)
        how = inputs.choice(realism, text("random.realism"), _REALISM)
        constraints = self.wishes.constraints(more, taught)
        rows = {
            real: self.editor.sample(many, changes, number, constraints=constraints, realism=real)
            for real in (True, False)
            if how in (_BOTH, "on" if real else "off")
        }
        made = rows[how != "off"]
        holds = self._hold(made, changes, more, taught)
        view: dict[str, Any] = {
            "faces": [
                {"image": self.pictures.jpeg(enlarge(sample.image)), "holds": good}
                for sample, good in zip(made, holds, strict=True)
            ],
            "status": views.made(holds, self._words(changes, more)),
            "asks": bool(changes or more),
            "serial": time.monotonic(),
        }
        if how == _BOTH:
            for face, plain in zip(view["faces"], rows[False], strict=True):
                face["plain"] = self.pictures.jpeg(enlarge(plain.image))
        return Faces(made, view)

    def _asked(self, asked: object, taught: Sequence[TaughtAttribute]) -> tuple[dict[str, Strength], dict[str, Mode]]:
        """Changes of the model's own attributes, and all other wishes. Raises LatentConstraintsError."""
        attributes = self.editor.attributes
        if not isinstance(asked, dict):
            raise LatentConstraintsError(text("wrong.more"))
        answers = {str(name): inputs.choice(value, str(name)[:60], tuple(_MODES)) for name, value in asked.items()}
        own = {name: value for name, value in answers.items() if name in attributes.names and value != "either"}
        shown = {attributes[name].title: value == "yes" for name, value in own.items()}
        changes = dict(attributes.changes(shown).wanted)
        for name in [name for name, value in changes.items() if value]:
            if others := [other for other in attributes.excluded_by(name) if changes.get(other)]:
                pair = attributes[name].title, attributes[others[0]].title
                raise LatentConstraintsError(text("random.both", first=pair[0], second=pair[1]))
        rest = {name: _MODES[value] for name, value in answers.items() if name not in own}
        return changes, self.wishes.checked(rest, taught)

    def _hold(
        self,
        made: Sequence[Sample],
        changes: Mapping[str, Strength],
        more: Mapping[str, Mode],
        taught: Sequence[TaughtAttribute],
    ) -> list[bool]:
        """Whether each face has all that was asked for, as read in its picture by the witness where there is one."""
        witness = self.editor.witness
        found = []
        for sample in made:
            reading = reading_of(sample)
            read = witness.look(reading.photo.rgb, reading.aligned).read if witness else sample.attributes
            own = all((read[name] >= 0.5) == bool(value) for name, value in changes.items())
            found.append(own and self.wishes.hold(sample, read, more, taught))
        return found

    def _words(self, changes: Mapping[str, Strength], more: Mapping[str, Mode]) -> list[str]:
        """What was asked for, in a visitor's words."""
        attributes = self.editor.attributes
        said = []
        for name, value in changes.items():
            title = in_sentence(attributes[name].title)
            said.append(title if bool(value) != attributes[name].inverted else text("random.without", title=title))
        return said + self.wishes.words(more)

    def choose_face_to_edit(self, place: float, made: Sequence[Sample], request: gr.Request) -> tuple[Update, Shown]:
        """Take a face to the first tab.

        Args:
            place: of the face, from 0.
            made: the faces on show.
            request: tells visitors apart.
        """
        return gr.Tabs(selected="edit"), self.editing.open_sample(reading_of(_at(place, made)), request)

    def save_face(self, place: float, made: Sequence[Sample]) -> str:
        """Write a face as a file.

        Args:
            place: of the face, from 0.
            made: the faces on show.
        """
        return self.pictures.sample(_at(place, made))

    def morph(self, first: float, second: float, made: Sequence[Sample]) -> Faces:
        """The faces between two faces.

        Args:
            first, second: their places, from 0.
            made: the faces on show.
        """
        frames = [self.pictures.jpeg(enlarge(face)) for face in self._way(first, second, made, _STEPS)]
        return Faces(view={"morph": {"first": first, "second": second, "frames": frames}, "serial": time.monotonic()})

    def save_morph(self, first: float, second: float, made: Sequence[Sample]) -> str:
        """Write the way from one face to another and back as an animation.

        Args:
            first, second: their places, from 0.
            made: the faces on show.
        """
        there = self._way(first, second, made, 2 * _STEPS)
        return self.pictures.film([*there, *there[-1:] * 6, *there[::-1]], "faces")

    def _way(self, first: float, second: float, made: Sequence[Sample], steps: int) -> list[Image.Image]:
        a, b = (_at(place, made).z for place in (first, second))
        return [self.editor.decode(_between(a, b, i / (steps - 1))) for i in range(steps)]


def _at(place: object, made: Sequence[Sample]) -> Sample:
    """One of the faces on show. Raises LatentConstraintsError."""
    if not made:
        raise LatentConstraintsError(text("random.first"))
    return made[inputs.whole(place, text("face.field"), 0, len(made) - 1)]


def _between(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """Along the arc from a to b: the straight line would cut through the middle, where no face lies (White 2016)."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin() < 1e-3:
        return torch.lerp(a, b, t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def failed(error: LatentConstraintsError) -> Faces:
    """A sentence instead of faces; those on show stay."""
    return Faces(view={"failed": views.fault(translated(error)), "serial": time.monotonic()})


class Endpoints:
    """For programs: the same, without a session. What a person can put right comes back as an error of one sentence.

    Args:
        editor: the editor.
        folder: where uploads are, and results go.
    """

    def __init__(self, editor: FaceEditor, folder: Folder) -> None:
        self.editor, self.folder, self.pictures = editor, folder, Pictures(folder)

    def describe(self, photo: dict[str, Any], face: float = 0) -> dict[str, Any]:
        """Find the faces of a photo and read the attributes of one.

        Args:
            photo: a picture file.
            face: which face, 1 the largest; 0: the largest that looks towards the camera.

        Returns:
            The ten probabilities, and the faces' boxes and landmarks in photo pixels.
        """
        with _sentences():
            reading = self._read(photo, face)
            return {"attributes": reading.attributes, "faces": [found.to_dict() for found in reading.faces]}

    def edit(
        self,
        photo: dict[str, Any],
        changes: dict[str, Strength] | None,
        identity: float,
        method: Method,
        face: float = 0,
        style: float = 0,
    ) -> tuple[str, dict[str, Any]]:
        """Change attributes of a face in a photo.

        Args:
            photo: a picture file.
            changes: attribute name -> wanted, such as {"Eyeglasses": true}, or a probability, {"Smiling": 0.6}.
            identity: 0 satisfies the attributes, 1 keeps the person.
            method: actor or optimise.
            face: as for describe.
            style: which of several forms, of glasses and hats say, a whole number from 0; they go round.

        Returns:
            The edited photo at its own size, and what the critics say of it.
        """
        with _sentences():
            wanted, way = inputs.changes(changes, self.editor.attributes), inputs.choice(method, "method", METHODS)
            keep, form = inputs.share(identity, "identity"), inputs.style(style, "style")
            edit = self.editor.edit(self._read(photo, face), wanted, keep, way, style=form)
            with edit.reading.photo.held():
                path = self.pictures.edited(edit)
        report = {
            name: getattr(edit, name)
            for name in ("before", "after", "z_distance", "similarity", "steps", "converged", "seconds")
        }
        return path, {**report, "warning": translated(edit.warning) if edit.warning else None}

    def sample(
        self, count: float, changes: dict[str, Strength] | None, seed: float | str, realism: bool
    ) -> tuple[list[str], list[dict[str, float]]]:
        """Make faces up.

        Args:
            count: how many.
            changes: attribute name -> wanted; what is not named is drawn.
            seed: the same seed gives the same faces; 0 to 2^63 - 1, as text where numbers are not exact that far.
            realism: False leaves the realism constraint out.

        Returns:
            The faces, at the model's size, and each one's probability of every attribute.
        """
        with _sentences():
            wanted = inputs.changes(changes, self.editor.attributes)
            many, number = inputs.count(count, MOST), inputs.seed(seed)
            made = self.editor.sample(many, wanted, number, realism=inputs.truth(realism, "realism"))
            return [self.pictures.sample(sample) for sample in made], [sample.attributes for sample in made]

    def _read(self, upload: dict[str, Any], face: object) -> Reading:
        """The reading of an upload. Raises LatentConstraintsError."""
        number = inputs.face(face)
        if upload is None:
            raise LatentConstraintsError(text("refused.no_upload"))
        with self.folder.open_upload(upload) as file:
            photo = read_photo(file)
        with photo.held():
            reading = self.editor.read(photo, face=number)
        if math.prod(photo.size) > LARGE:
            trim()
        return reading


@contextmanager
def _sentences() -> Iterator[None]:
    """Errors as Gradio sends them to programs, without a traceback in the log where somebody can put them right."""
    try:
        yield
    except LatentConstraintsError as error:
        raise gr.Error(translated(error), print_exception=False) from error

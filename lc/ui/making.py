"""What the second tab does, and the endpoints for programs."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import gradio as gr
import torch

from lc.attributes import Strength
from lc.editor import FaceEditor, Method, Reading, Sample
from lc.errors import LatentConstraintsError
from lc.faces import read_photo
from lc.memory import LARGE, trim
from lc.ui import inputs, views
from lc.ui.handlers import METHODS, EditHandlers, Shown, Update
from lc.ui.pictures import Pictures
from lc.ui.session import enlarge, reading_of
from lc.ui.storage import Folder
from lc.ui.texts import text

__all__ = ["ANY", "MOST", "MOST_SHOWN", "Endpoints", "Faces", "MakingHandlers", "failed"]

ANY = "any"
_CHOICES = (ANY, "yes", "no")
MOST_SHOWN = 24  # faces on the page
MOST = 64  # faces in one request
_STEPS = 8  # faces of a walk between two


class Faces(NamedTuple):
    """One field per output of the second tab's events, in the order in which layout.py lists them."""

    made: Update = gr.skip()
    gallery: Update = gr.skip()
    chosen: Update = gr.skip()
    first: Update = gr.skip()
    second: Update = gr.skip()
    between: Update = gr.skip()
    status: Update = gr.skip()


class MakingHandlers:
    """The second tab's events."""

    def __init__(self, editor: FaceEditor, editing: EditHandlers) -> None:
        self.editor, self.editing, self.pictures = editor, editing, editing.pictures

    def new_seed(self) -> str:
        """Draw a seed."""
        return str(random.randrange(1_000_000))

    def make(self, count: float, seed: str | float | None, realism: bool, *choices: str) -> Faces:
        """Make faces up.

        Args:
            count: how many.
            seed: the same seed gives the same faces; an empty field is 0.
            realism: False leaves the realism constraint out.
            choices: any, yes or no for each attribute, in their order.
        """
        attributes = self.editor.attributes
        titles = (one.title for one in attributes.attributes)
        asked = {title: inputs.choice(choice, title, _CHOICES) for title, choice in zip(titles, choices, strict=True)}
        shown = {title: choice == "yes" for title, choice in asked.items() if choice != ANY}
        wanted = dict(attributes.changes(shown).wanted)
        for name in [name for name, value in wanted.items() if value]:
            if others := [other for other in attributes.excluded_by(name) if wanted.get(other)]:
                pair = attributes[name].title, attributes[others[0]].title
                raise LatentConstraintsError(text("random.both", first=pair[0], second=pair[1]))
        number = inputs.seed(0 if seed in (None, "") else seed)
        many = inputs.count(count, MOST_SHOWN)
        made = self.editor.sample(many, wanted, number, realism=inputs.truth(realism, text("random.realism")))
        names = inputs.face_names(len(made))
        pictures = [
            (self.pictures.jpeg(enlarge(sample.image)), shows) for sample, (shows, _) in zip(made, names, strict=True)
        ]
        return Faces(
            made=made,
            gallery=gr.update(value=pictures, selected_index=0),
            chosen=0,
            first=gr.update(choices=names, value=names[0][1]),
            second=gr.update(choices=names, value=names[-1][1]),
            between=gr.update(value=[], visible=False),
            status=views.made(made, wanted, shown),
        )

    def greet(
        self, made: Sequence[Sample], count: float, seed: str | float | None, realism: bool, *choices: str
    ) -> Faces:
        """Make faces up when the tab is opened, where none are on show. Arguments: see `make`."""
        return Faces() if made else self.make(count, seed, realism, *choices)

    def choose(self, event: gr.SelectData) -> int:
        """Remember which face was clicked."""
        return inputs.whole(event.index, text("face.field"), 0, MOST_SHOWN - 1)

    def edit_one(self, made: Sequence[Sample], chosen: int, request: gr.Request) -> tuple[Update, Shown]:
        """Take the chosen face to the first tab.

        Args:
            made: the faces on show.
            chosen: the place of one of them, from 0.
            request: tells visitors apart.
        """
        if not chosen < len(made):
            gr.Warning(text("random.first"))
            return gr.skip(), Shown()
        return gr.Tabs(selected="edit"), self.editing.open_sample(reading_of(made[chosen]), request)

    def walk(self, made: Sequence[Sample], first: str | None, second: str | None) -> Update:
        """Show the faces between two faces.

        Args:
            made: the faces on show.
            first: such as "Face 1".
            second: such as "Face 2".
        """
        if not made or not first or not second:
            gr.Warning(text("random.first"))
            return gr.skip()
        ends = [inputs.face_name(name) for name in (first, second)]
        if max(ends) >= len(made):
            raise LatentConstraintsError(text("random.two"))
        a, b = (made[end].z for end in ends)
        pictures = [
            (
                self.pictures.jpeg(enlarge(self.editor.decode(_between(a, b, i / (_STEPS - 1))))),
                f"{i / (_STEPS - 1):.0%}",
            )
            for i in range(_STEPS)
        ]
        return gr.update(value=pictures, visible=True)


def _between(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """Along the arc from a to b: the straight line would cut through the middle, where no face lies (White 2016)."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin() < 1e-3:
        return torch.lerp(a, b, t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def failed(error: LatentConstraintsError) -> Faces:
    """A sentence instead of faces; those on show stay."""
    gr.Warning(str(error))
    return Faces(status=views.fault(str(error)))


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
    ) -> tuple[str, dict[str, Any]]:
        """Change attributes of a face in a photo.

        Args:
            photo: a picture file.
            changes: attribute name -> wanted, such as {"Eyeglasses": true}, or a probability, {"Smiling": 0.6}.
            identity: 0 satisfies the attributes, 1 keeps the person.
            method: actor or optimise.
            face: as for describe.

        Returns:
            The edited photo at its own size, and what the critics say of it.
        """
        with _sentences():
            wanted, way = inputs.changes(changes, self.editor.attributes), inputs.choice(method, "method", METHODS)
            keep = inputs.share(identity, "identity")
            edit = self.editor.edit(self._read(photo, face), wanted, keep, way)
            with edit.reading.photo.held():
                path = self.pictures.edited(edit)
        report = {
            name: getattr(edit, name)
            for name in ("before", "after", "z_distance", "similarity", "steps", "converged", "seconds", "warning")
        }
        return path, report

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
        raise gr.Error(str(error), print_exception=False) from error

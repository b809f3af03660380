"""What the second tab does, and the endpoints for programs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr
import torch

from lc.attributes import ATTRIBUTES, Strength, canonical
from lc.editor import FaceEditor, Method, Sample
from lc.errors import LatentConstraintsError
from lc.ui import views
from lc.ui.handlers import EditHandlers, Shown, Update
from lc.ui.session import enlarge, reading_of

__all__ = ["ANY", "MOST", "Endpoints", "Faces", "MakingHandlers"]

ANY = "any"
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
        self.editor, self.editing = editor, editing

    def new_seed(self) -> int:
        """Draw a seed."""
        return random.randrange(1_000_000)

    def make(self, count: float, seed: float | None, realism: bool, *choices: str) -> Faces:
        """Make faces up.

        Args:
            count: how many.
            seed: the same seed gives the same faces.
            realism: False leaves the realism constraint out.
            choices: any, yes or no for each attribute, in their order.
        """
        asked = zip(ATTRIBUTES, choices, strict=True)
        wanted: dict[str, Strength] = {name: choice == "yes" for name, choice in asked if choice != ANY}
        try:
            made = self.editor.sample(int(count), wanted, int(seed or 0), realism=realism)
        except LatentConstraintsError as error:
            gr.Warning(str(error))
            return Faces(status=views.fault(str(error)))
        names = [f"Face {number}" for number in range(1, len(made) + 1)]
        pictures = [(views.jpeg_file(enlarge(sample.image)), name) for sample, name in zip(made, names, strict=True)]
        return Faces(
            made=made,
            gallery=gr.update(value=pictures, selected_index=0),
            chosen=0,
            first=gr.update(choices=names, value=names[0]),
            second=gr.update(choices=names, value=names[-1]),
            between=gr.update(value=[], visible=False),
            status=views.made(made, wanted),
        )

    def greet(self, made: Sequence[Sample], count: float, seed: float | None, realism: bool, *choices: str) -> Faces:
        """Make faces up when the tab is opened, where none are on show. Arguments: see `make`."""
        return Faces() if made else self.make(count, seed, realism, *choices)

    def choose(self, event: gr.SelectData) -> int:
        """Remember which face was clicked."""
        return int(event.index)

    def edit_one(self, made: Sequence[Sample], chosen: int) -> tuple[Any, ...]:
        """Take the chosen face to the first tab.

        Args:
            made: the faces on show.
            chosen: the place of one of them, from 0.
        """
        if not made:
            gr.Warning("Make some faces first.")
            return (gr.skip(), *Shown())
        return (gr.Tabs(selected="edit"), *self.editing.open_sample(reading_of(made[chosen])))

    def walk(self, made: Sequence[Sample], first: str | None, second: str | None) -> Update:
        """Show the faces between two faces.

        Args:
            made: the faces on show.
            first: such as "Face 1".
            second: such as "Face 2".
        """
        if not made or not first or not second:
            gr.Warning("Make some faces first.")
            return gr.skip()
        a, b = (made[int(name.split()[-1]) - 1].z for name in (first, second))
        pictures = [
            (views.jpeg_file(enlarge(self.editor.decode(_between(a, b, i / (_STEPS - 1))))), f"{i / (_STEPS - 1):.0%}")
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


class Endpoints:
    """For programs: the same, without a session. What a person can put right comes back as an error of one sentence."""

    def __init__(self, editor: FaceEditor) -> None:
        self.editor = editor

    def describe(self, photo: str, face: float = 0) -> dict[str, Any]:
        """Find the faces of a photo and read the attributes of one.

        Args:
            photo: a picture file.
            face: which face, 1 the largest; 0: the largest that looks towards the camera.

        Returns:
            The ten probabilities, and the faces' boxes and landmarks in photo pixels.
        """
        try:
            reading = self.editor.read(photo, face=_face(face))
        except LatentConstraintsError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return {"attributes": reading.attributes, "faces": [face.to_dict() for face in reading.faces]}

    def edit(
        self, photo: str, changes: dict[str, Strength] | None, identity: float, method: Method, face: float = 0
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
        try:
            edit = self.editor.edit(photo, _checked(changes), identity, method, face=_face(face))
        except LatentConstraintsError as error:
            raise gr.Error(str(error), print_exception=False) from error
        report = {
            name: getattr(edit, name)
            for name in ("before", "after", "z_distance", "similarity", "steps", "converged", "seconds", "warning")
        }
        return views.edited_file(edit), report

    def sample(
        self, count: float, changes: dict[str, Strength] | None, seed: float, realism: bool
    ) -> tuple[list[str], list[dict[str, float]]]:
        """Make faces up.

        Args:
            count: how many.
            changes: attribute name -> wanted; what is not named is drawn.
            seed: the same seed gives the same faces.
            realism: False leaves the realism constraint out.

        Returns:
            The 64x64 faces, and each one's ten probabilities.
        """
        try:
            made = self.editor.sample(_few(count), _checked(changes), int(seed), realism=realism)
        except LatentConstraintsError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return [views.made_file(sample) for sample in made], [sample.attributes for sample in made]


def _face(number: float | None) -> int | None:
    return int(number) - 1 if number else None


def _few(count: float) -> int:
    """One request must not keep the model from everybody else.

    Raises:
        LatentConstraintsError: too many.
    """
    if count > MOST:
        raise LatentConstraintsError(f"Ask for at most {MOST} faces at a time.")
    return int(count)


def _checked(changes: object) -> dict[str, Strength]:
    """JSON from outside may be anything.

    Raises:
        LatentConstraintsError: it is not a mapping from names to true, false or numbers.
    """
    if changes is None:
        return {}
    if not isinstance(changes, dict) or not all(isinstance(value, (bool, int, float)) for value in changes.values()):
        example = '{"Eyeglasses": true, "Smiling": 0.6}'
        raise LatentConstraintsError(f"Give the changes as attribute names with true, false or a number: {example}.")
    return canonical({str(name): value for name, value in changes.items()})

"""FaceEditor: puts the rooms together. A photo goes in; an Edit with every stage on the way comes out.

editor = FaceEditor.load("weights/celeba-64")
edit = editor.edit("photo.jpg", set={"Eyeglasses": True}, identity=0.5)
edit.save("edited.png")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from lc.attributes import AttributeSet, Strength
from lc.constraints import Attribute, Constraint, for_rows
from lc.crops import to_pictures
from lc.edit.problem import changes_of, constraints_of, wanted_changes
from lc.edit.solve import checked, still, trajectory
from lc.edit.space import LatentSpace
from lc.edits import Edits
from lc.faces import Aligned, Face, Photo
from lc.locate import Source, locate, take
from lc.model import Model
from lc.paths import DEFAULT_WEIGHTS
from lc.readings import Reader
from lc.results import Edit, Located, Progress, Reading, Sample
from lc.sampling import samples
from lc.steer import Steerer
from lc.taught import TaughtAttribute
from lc.taught_actor import train_actor
from lc.teach import learn
from lc.weights import load_model
from lc.witness import Witness

__all__ = ["DEFAULT_WEIGHTS", "Edit", "FaceEditor", "Method", "Progress", "Reading", "Sample"]

Method = Literal["actor", "optimise"]
_BATCH = 64


class FaceEditor:
    """Edits photos and generates faces with a loaded model. Safe to share between threads: it keeps no state.

    Args:
        model: see `lc.weights.load_model`.
        inversion_steps: of descent to a photo's latent, see `lc.invert`; 0 takes the encoder's guess, which is several
            times as fast and less like the photo. None takes the tuning's.
        correction_steps: of classifier-guided correction of an actor's edit, see `lc.edit.correct`; 0 takes the
            proposal as it is, which is several times as fast and changes more that nobody asked for. None takes the
            tuning's.
    """

    def __init__(self, model: Model, inversion_steps: int | None = None, correction_steps: int | None = None) -> None:
        tuning = model.tuning
        self.model, self.space = model, LatentSpace(model)
        self.inversion_steps = tuning.inversion_steps if inversion_steps is None else inversion_steps
        self.correction_steps = tuning.correction_steps if correction_steps is None else correction_steps
        self.steerer = Steerer(model)
        self.reader = Reader(self.space, self.steerer, self.inversion_steps)
        self.device = model.statistics.mean.device
        self.witness = Witness(model.witness, model.attributes, model.parser) if model.witness else None
        self.edits = Edits(self.space, self.steerer, self.witness, self.correction_steps)

    @property
    def attributes(self) -> AttributeSet:
        """Which attributes the model knows."""
        return self.model.attributes

    @classmethod
    def load(
        cls, folder_or_repo: str | Path = DEFAULT_WEIGHTS, device: str = "auto", *, fast: bool = False
    ) -> FaceEditor:
        """Load weights from a folder or a Hub repository.

        Args:
            folder_or_repo, device: see `lc.weights.load_model`.
            fast: no descent for reading and no correction of the actor's edits: both by one pass of the nets.

        Raises:
            WeightsError: they are missing, damaged or do not fit.
        """
        model = load_model(folder_or_repo, device)
        return cls(model, 0, 0) if fast else cls(model)

    # --- photos in -------------------------------------------------------------------------------------------------

    def read(self, photo: Source, *, face: int | None = None, aligned: bool = False) -> Reading:
        """Find the face, align it, encode it, and read its attributes.

        Args:
            photo: a path, bytes, an open file, a Pillow image, or a Photo.
            face: which face, 0 the largest; None: the largest that can be edited, see `lc.faces.refusal`.
            aligned: the photo already is a CelebA-framed crop (178x218, 89x109): look for no face.

        Raises:
            PhotoError: unreadable, or not framed as claimed.
            NoFaceError: no face, fewer than asked for, or one that cannot be edited.
        """
        return self.read_located([self.locate(photo, face=face, aligned=aligned)])[0]

    def locate(self, photo: Source, *, face: int | None = None, aligned: bool = False) -> Located:
        """The first half of `read`: pixels only, no network of the model. Raises as `read` does."""
        return locate(photo, self.model.generator.image_size, face=face, aligned=aligned)

    def take(self, photo: Photo, faces: Sequence[Face], face: int | None = None) -> tuple[Face, Aligned]:
        """One of a photo's faces and its crop. Arguments and errors are those of `read`."""
        return take(photo, faces, self.model.generator.image_size, face)

    def read_located(self, located: Sequence[Located]) -> list[Reading]:
        """The second half of `read`, batched."""
        return self.reader(located)

    # --- edits -----------------------------------------------------------------------------------------------------

    def styles(self, changes: Mapping[str, Strength] | Edit) -> int:
        """In how many forms an edit with these changes can be had, see `edit`'s `style`; 1: in one only.

        Of an Edit it is known whether its photo let anything be laid onto it; of changes alone it is taken to be so.
        """
        if isinstance(changes, Edit):
            return self.steerer.styles(changes.changes, bool(changes.steering and changes.steering.laid))
        return self.steerer.styles(changes)

    def attribute(self, name: str, wanted: Strength = True) -> Attribute:
        """A constraint on an attribute, as `set` makes them: {name: wanted}. Raises UnknownAttributeError."""
        return constraints_of(self.space, {name: wanted})[0]

    def edit(
        self,
        photo: Source | Reading | Edit,
        set: Mapping[str, Strength] | None = None,
        identity: float = 0.5,
        method: Method = "actor",
        *,
        constraints: Sequence[Constraint] = (),
        preserve: Collection[str] | None = None,
        style: int | None = None,
        face: int | None = None,
        aligned: bool = False,
    ) -> Edit:
        """Change the face in a photo so that it meets constraints; other attributes are preserved.

        Nothing is drawn by chance: the same photo and settings give the same edit.

        Args:
            photo: see `read`, or a Reading, which saves finding and encoding the face again; or an Edit, whose changes
                and constraints are kept where `set` and `constraints` say nothing else: it is the photo that is edited
                anew, so nothing wears off.
            set: short for an `attribute` constraint each: attribute name -> wanted, or the probability that is wanted:
                {"Smiling": 0.6} is a little smile. Without these and constraints nothing changes, and `Edit.result` is
                the photo itself.
            identity: 0 satisfies the constraints whatever the cost, 1 keeps the person.
            method: "actor" moves in one pass, and refines what the actor does not serve; "optimise" descends. See
                `lc.edit.solve`.
            constraints: see `lc.constraints`.
            preserve: names of attributes to preserve; None: all that are neither wanted nor implied by what is.
            style: which of several forms, of glasses and hats say, from 0; they go round, see `styles`. None: an Edit's
                own, else 0.
            face, aligned: see `read`.

        Raises:
            PhotoError, NoFaceError: see `read`.
            UnknownAttributeError: a name in `set` or `preserve` is not an attribute.
            LatentConstraintsError: identity or method out of range.
        """
        if isinstance(photo, Edit):
            named, _ = changes_of(self.space, [*constraints_of(self.space, set), *constraints])
            changes = wanted_changes(self.space, named).over(self.attributes.changes(photo.changes))
            constraints = [*photo.constraints, *constraints]
            style = photo.style if style is None else style
            photo, set = photo.reading, changes.wanted
        reading = photo if isinstance(photo, Reading) else self.read(photo, face=face, aligned=aligned)
        return self.edit_many(
            [reading], set, identity, method, constraints=constraints, preserve=preserve, style=style or 0
        )[0]

    def edit_many(
        self,
        readings: Sequence[Reading],
        set: Mapping[str, Strength] | None = None,
        identity: float = 0.5,
        method: Method = "actor",
        *,
        constraints: Sequence[Constraint] = (),
        preserve: Collection[str] | None = None,
        style: int = 0,
    ) -> list[Edit]:
        """The same edit of many photos, batched. See `edit`; constraints with rows have one per photo."""
        identity = checked(identity, method)
        wanted = [*constraints_of(self.space, set or {}), *constraints]
        edits: list[Edit] = []
        for first in range(0, len(readings), _BATCH):
            chunk = readings[first : first + _BATCH]
            those = for_rows(wanted, first, len(chunk), self.device)
            edits += self.edits(chunk, those, identity, method, preserve, style)
        return edits

    def edit_live(
        self,
        reading: Reading,
        set: Mapping[str, Strength] | None = None,
        identity: float = 0.5,
        *,
        constraints: Sequence[Constraint] = (),
        preserve: Collection[str] | None = None,
        style: int = 0,
        every: int = 1,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Progress]:
        """The optimiser's trajectory, step by step; a preview every `every` steps; the last item carries the edit.

        Asked after each step, `stop` ends the trajectory where it stands when it says True. See `edit` for the rest.
        """
        identity = checked(identity, "optimise")
        begun = time.perf_counter()
        wanted = [*constraints_of(self.space, set or {}), *constraints]
        task = self.edits.task([reading], wanted, preserve, style, identity)
        problem, step = self.edits.problem(task), None
        for step in [still(problem)] if problem.empty else trajectory(self.space, problem, identity):
            preview = self.decode(step.z[0]) if step.index % every == 0 else None
            yield Progress(step.index, preview, {name: float(e[0]) for name, e in step.energies.items()}, None)
            if stop is not None and stop():
                break
        assert step is not None  # a trajectory yields at least its start
        edit = self.edits.walked(task, problem, step, identity, begun)
        yield Progress(step.index, edit.edited, {name: float(e[0]) for name, e in step.energies.items()}, edit)

    # --- new attributes ----------------------------------------------------------------------------------------

    def teach(
        self,
        name: str,
        with_: str | Path | Sequence[Source],
        without: str | Path | Sequence[Source] | None = None,
        *,
        aligned: bool = False,
        part: str = "any",
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> TaughtAttribute:
        """Learn an attribute from a few photos; `TaughtAttribute.constraint` is what `edit` and `sample` take.

        Args:
            name: what to call it: letters, digits and _.
            with_, without: a folder of 5 to 200 photos, or such photos, with the attribute and without it. None: faces
                in general are the contrast.
            aligned: see `read`.
            part: what edits of it may touch: "face", "hair", "hairline" or "any".
            progress: told how many photos are read, and how many there are.
            stop: asked before each photo; True ends it.

        Raises:
            LatentConstraintsError: the name is taken, too few photos show a face, or the two sides share photos.
            Cancelled: `stop` said so.
        """

        def crop(photo: Source) -> Image.Image:
            return self.locate(photo, aligned=aligned).aligned.crop

        return learn(self.space, name, with_, without, crop=crop, part=part, progress=progress, stop=stop)

    def train_actor(
        self,
        taught: TaughtAttribute,
        *,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> TaughtAttribute:
        """The taught attribute with an actor of its own, which edits of it then begin with; see `lc.taught_actor`.

        Args:
            taught: to this model; an actor that it has makes room.
            progress: told how many steps are done, and how many there are.
            stop: asked before each step; True ends it.

        Raises:
            OtherGeneratorError: it was taught to another generator.
            Cancelled: `stop` said so.
        """
        return train_actor(self.space, taught, progress, stop)

    # --- generated faces -------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        set: Mapping[str, Strength] | None = None,
        seed: int = 0,
        *,
        constraints: Sequence[Constraint] = (),
        realism: bool = True,
    ) -> list[Sample]:
        """Generate faces that meet constraints.

        Face i depends on seed and i only, not on n, and no two seeds share one. Attributes not set are drawn for each
        face from the label vectors that real photos have, in keeping with those set.

        Args:
            n: how many, 1 to 100,000.
            set: short for an `attribute` constraint each: attribute name -> wanted or not.
            seed: source of chance, 0 to 2^63 - 1.
            constraints: see `lc.constraints`; what is no attribute is optimised from the flow's faces, or the actor's.
            realism: False shows what the realism constraint does: latents from the prior, optimised to meet the
                constraints, with neither flow nor actor nor realism critic.

        Raises:
            UnknownAttributeError: a name in `set` is not an attribute.
            LatentConstraintsError: n or seed is out of range, or an attribute is wanted by a strength.
        """
        return list(samples(self.space, n, set or {}, seed, constraints, realism, _BATCH))

    # --- pictures out ----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Image.Image:
        """(latent,) -> its picture, for interpolation between faces."""
        return to_pictures(self.model.generator.decode(z[None].to(self.device)))[0]

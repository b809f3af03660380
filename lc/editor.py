"""FaceEditor: puts the rooms together. A photo goes in; an Edit with every stage on the way comes out.

editor = FaceEditor.load("weights/celeba-64")
edit = editor.edit("photo.jpg", set={"Eyeglasses": True}, identity=0.5)
edit.save("edited.png")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lc.attributes import AttributeSet, Strength
from lc.constraints import Attribute, Constraint
from lc.draw import Draws
from lc.edit.actor import generate
from lc.edit.optimiser import Step, rms
from lc.edit.problem import Problem, changes_of, constraints_of, pose, wanted_changes
from lc.edit.solve import act, refine_samples, still, trajectory
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError, NoFaceError
from lc.faces import Aligned, Face, Photo, align, detector, frame_crop, read_photo, refusal
from lc.generator import from_prior
from lc.invert import invert
from lc.laid import Layer
from lc.numbers import MAX_COUNT, MAX_SEED, number, whole_number
from lc.paths import DEFAULT_WEIGHTS
from lc.results import Edit, Located, Progress, Reading, Sample
from lc.steer import Steerer
from lc.taught import TaughtAttribute
from lc.teach import learn
from lc.weights import Model, load_model
from lc.witness import Witness

__all__ = ["DEFAULT_WEIGHTS", "Edit", "FaceEditor", "Method", "Progress", "Reading", "Sample"]

Method = Literal["actor", "optimise"]
Source = str | Path | bytes | BinaryIO | Image.Image | Photo
_BATCH = 64
_T = TypeVar("_T")


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
        self.device = model.statistics.mean.device
        self.witness = Witness(model.witness, model.attributes) if model.witness else None

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
        picture = photo if isinstance(photo, Photo) else read_photo(photo)
        if aligned:
            return Located(picture, [], None, frame_crop(picture.rgb, self.model.generator.image_size))
        with picture.held():
            faces = detector().detect(picture.rgb)
            if not faces:
                raise NoFaceError(
                    f"No face was found in {picture.name}: use a photo where a face looks towards the camera, "
                    "is well lit and at least 40 pixels wide."
                )
            return Located(picture, faces, *self.take(picture, faces, face))

    def take(self, photo: Photo, faces: Sequence[Face], face: int | None = None) -> tuple[Face, Aligned]:
        """One of a photo's faces and its crop. Arguments and errors are those of `read`."""
        face = None if face is None else whole_number(face, -MAX_SEED)
        if face is not None and not 0 <= face < len(faces):
            raise NoFaceError(f"{photo.name} has {len(faces)} face(s): there is no face {face + 1}.")
        first: str | None = None
        rgb = photo.rgb
        for chosen in faces if face is None else [faces[face]]:
            aligned = align(rgb, chosen.landmarks, self.model.generator.image_size)
            reason = refusal(chosen, aligned)
            if reason is None:
                return chosen, aligned
            first = first or reason
        raise NoFaceError(f"The face in {photo.name} {first}.")

    @torch.inference_mode()
    def read_located(self, located: Sequence[Located]) -> list[Reading]:
        """The second half of `read`, batched."""
        readings: list[Reading] = []
        for chunk in _chunks(located, _BATCH):
            images = self._tensor([aligned.crop for *_, aligned in chunk])
            z, decoded = self._inverted(images)
            pictures, probabilities = self._show(z, decoded), self._probabilities(z)
            for row, (photo, faces, face, aligned) in enumerate(chunk):
                attributes = self.attributes.named(probabilities[row])
                maps = self.steerer.maps(photo, aligned)
                reading = Reading(photo, faces, face, aligned, z[row].cpu(), pictures[row], attributes, maps)
                readings.append(reading)
        return readings

    # --- edits -----------------------------------------------------------------------------------------------------

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
            style: which of several forms, of glasses and hats say, from 0; they go round. None: an Edit's own, else 0.
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
        identity = _check(identity, method)
        wanted = [*constraints_of(self.space, set or {}), *constraints]
        edits: list[Edit] = []
        for first in range(0, len(readings), _BATCH):
            chunk = readings[first : first + _BATCH]
            begun = time.perf_counter()
            problem, layers = self._problem(chunk, _rows(wanted, first, len(chunk), self.device), preserve, style)
            if problem.empty:
                last = still(problem)
            elif method == "actor":
                last = act(self.space, problem, identity, self.correction_steps)
            else:
                *_, last = trajectory(self.space, problem, identity)
            edits += self._edits(chunk, wanted, problem, last, layers, begun)
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
        identity = _check(identity, "optimise")
        begun = time.perf_counter()
        wanted = [*constraints_of(self.space, set or {}), *constraints]
        problem, layers = self._problem([reading], wanted, preserve, style)
        step = None
        for step in [still(problem)] if problem.empty else trajectory(self.space, problem, identity):
            preview = self._show(step.z)[0] if step.index % every == 0 else None
            yield Progress(step.index, preview, {name: float(e[0]) for name, e in step.energies.items()}, None)
            if stop is not None and stop():
                break
        assert step is not None  # a trajectory yields at least its start
        edit = self._edits([reading], wanted, problem, step, layers, begun)[0]
        yield Progress(step.index, edit.edited, {name: float(e[0]) for name, e in step.energies.items()}, edit)

    def _problem(
        self,
        readings: Sequence[Reading],
        constraints: Sequence[Constraint],
        preserve: Collection[str] | None,
        style: int,
    ) -> tuple[Problem, list[dict[str, Layer]]]:
        """The problem, and what is laid onto the photos besides."""
        z = torch.stack([reading.z for reading in readings]).to(self.device)
        pictures = self._tensor([reading.reconstruction for reading in readings])
        changes = wanted_changes(self.space, changes_of(self.space, constraints)[0])
        layers = self.steerer.layers(readings, changes.wanted)
        shifts, present = self.steerer.shifts(layers), self.steerer.present(readings)
        return pose(self.space, z, constraints, preserve, pictures, style, shifts, present), layers

    @torch.inference_mode()
    def _edits(
        self,
        readings: Sequence[Reading],
        constraints: Sequence[Constraint],
        problem: Problem,
        step: Step,
        layers: Sequence[Mapping[str, Layer]],
        begun: float,
    ) -> list[Edit]:
        distances = rms(step.z - problem.z, self.space.sigma_bar).tolist()
        pictures, after = self._show(step.z, step.pictures), self._probabilities(step.z)
        if problem.empty:  # nothing is wanted: not even a rounding may tell the edit from its reconstruction
            pictures = [reading.reconstruction for reading in readings]
        served, _ = changes_of(self.space, constraints)
        changes = dict(wanted_changes(self.space, served).wanted)
        steering = self.steerer.steering(readings, changes, self._tensor(pictures), layers, problem.others.values())
        seconds = (time.perf_counter() - begun) / len(readings)
        targets: list[list[float]] = problem.target.tolist()
        return [
            Edit(
                reading=reading,
                changes=changes,
                edited=pictures[row],
                z_edited=step.z[row].cpu().clone(),
                after=self.attributes.named(after[row]),
                z_distance=distances[row],
                similarity=self.model.calibration.similar(distances[row]),
                steps=int(step.taken[row]),
                converged=bool(step.done[row]),
                seconds=seconds,
                warning=self.attributes.warning(targets[row]) if bool(problem.edited[row].any()) else None,
                constraints=tuple(_rows(list(problem.others.values()), row, 1, self.device)),
                steering=steering[row],
                witness=self.witness,
                style=problem.style,
            )
            for row, reading in enumerate(readings)
        ]

    # --- new attributes ----------------------------------------------------------------------------------------

    def teach(
        self,
        name: str,
        with_: str | Path | Sequence[Source],
        without: str | Path | Sequence[Source] | None = None,
        *,
        aligned: bool = False,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> TaughtAttribute:
        """Learn an attribute from a few photos; `TaughtAttribute.constraint` is what `edit` and `sample` take.

        Args:
            name: what to call it: letters, digits and _.
            with_, without: a folder of 5 to 200 photos, or such photos, with the attribute and without it. None: faces
                in general are the contrast.
            aligned: see `read`.
            progress: told how many photos are read, and how many there are.
            stop: asked before each photo; True ends it.

        Raises:
            LatentConstraintsError: the name is taken, too few photos show a face, or the two sides share photos.
            Cancelled: `stop` said so.
        """

        def crop(photo: Source) -> Image.Image:
            return self.locate(photo, aligned=aligned).aligned.crop

        return learn(self.space, name, with_, without, crop=crop, progress=progress, stop=stop)

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
            constraints: see `lc.constraints`; what is no attribute is optimised from the actor's faces.
            realism: False shows what the realism constraint does: latents from the prior, optimised to meet the
                constraints, with neither actor nor realism critic.

        Raises:
            UnknownAttributeError: a name in `set` is not an attribute.
            LatentConstraintsError: n or seed is out of range, or an attribute is wanted by a strength.
        """
        try:
            n = whole_number(n, 1, MAX_COUNT)
        except LatentConstraintsError as error:
            raise LatentConstraintsError(f"Ask for at least one face and at most {MAX_COUNT} at a time.") from error
        seed = whole_number(seed)
        served, others = changes_of(self.space, [*constraints_of(self.space, set or {}), *constraints])
        changes = wanted_changes(self.space, served)
        if changes.partial:
            raise LatentConstraintsError(f"A generated face has {next(iter(changes.partial))} or not: choose 0 or 1.")
        samples: list[Sample] = []
        draws = Draws(self.model, changes, seed)
        for first in range(0, n, _BATCH):
            noise, y = (values.to(self.device) for values in draws(first, min(n, first + _BATCH)))
            z = from_prior(self.model.generator, noise)
            if realism:
                z = generate(self.space, z, y)
            rest = dict(zip(others, _rows(list(others.values()), first, len(z), self.device), strict=True))
            samples += self._samples(refine_samples(self.space, z, y, changes, rest, realism), y)
        return samples

    @torch.inference_mode()
    def _samples(self, z: Tensor, y: Tensor) -> list[Sample]:
        pictures, probabilities = self._show(z), self._probabilities(z)
        wanted = [{name: v >= 0.5 for name, v in self.attributes.named(row).items()} for row in y.tolist()]
        return [
            Sample(pictures[row], z[row].cpu().clone(), wanted[row], self.attributes.named(probabilities[row]))
            for row in range(len(z))
        ]

    # --- pictures out ----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Image.Image:
        """(latent,) -> its picture, for interpolation between faces."""
        return self._show(z[None].to(self.device))[0]

    @torch.inference_mode()
    def _show(self, z: Tensor, decoded: Tensor | None = None) -> list[Image.Image]:
        decoded = self.model.generator.decode(z) if decoded is None else decoded
        pixels = (decoded * 255).round().clamp(0, 255).byte()
        return [Image.fromarray(array) for array in pixels.permute(0, 2, 3, 1).cpu().numpy()]

    def _tensor(self, crops: Sequence[Image.Image]) -> Tensor:
        """Crops of S x S pixels, S the generator's image size, -> (B, 3, S, S) in [0, 1]."""
        pixels = np.stack([np.asarray(crop) for crop in crops])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).float() / 255

    def _inverted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The latents of crops (B, 3, S, S), (B, latent), and what is decoded from them."""
        model = self.model
        return invert(
            model.generator,
            images,
            model.tuning,
            statistics=model.statistics,
            steps=self.inversion_steps,
            perceptual=model.perceptual,
        )

    @torch.inference_mode()
    def _probabilities(self, z: Tensor) -> list[list[float]]:
        values: list[list[float]] = torch.sigmoid(self.space.attribute_critic(z)).tolist()
        return values


def _rows(constraints: Sequence[Constraint], start: int, count: int, device: torch.device) -> list[Constraint]:
    """The constraints for `count` rows from `start` on."""
    return [constraint.rows(torch.arange(start, start + count, device=device)) for constraint in constraints]


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _check(identity: float, method: str) -> float:
    """The identity as a number; raises LatentConstraintsError."""
    if method not in ("actor", "optimise"):
        raise LatentConstraintsError(f"There is no method {method!r}: choose actor or optimise.")
    try:
        return number(identity, 0, 1)
    except LatentConstraintsError as error:
        raise LatentConstraintsError(f"Identity: {error}") from error

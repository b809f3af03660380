"""FaceEditor: puts the rooms together. A photo goes in; an Edit with every stage on the way comes out.

editor = FaceEditor.load("weights/celeba-64")
edit = editor.edit("photo.jpg", set={"Eyeglasses": True}, identity=0.5)
edit.save("edited.png")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lc.attributes import ATTRIBUTES, Strength, apply_changes, canonical, partial, resolve, unlikely
from lc.constraints import Attributes, Constraint
from lc.errors import LatentConstraintsError, NoFaceError
from lc.faces import Aligned, Face, Photo, align, detector, frame_crop, read_photo, refusal
from lc.inference import STEPS, infer
from lc.moves import LOOKS, Goal, Moves
from lc.numbers import MAX_COUNT, MAX_SEED, number, whole_number
from lc.optimiser import Step, optimise, rms
from lc.results import Edit, Progress, Reading, Sample
from lc.weights import Model, load_model

__all__ = ["DEFAULT_WEIGHTS", "Edit", "FaceEditor", "Method", "Progress", "Reading", "Sample"]

DEFAULT_WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "celeba-64"

Method = Literal["actor", "optimise"]
Source = str | Path | bytes | BinaryIO | Image.Image | Photo
_BATCH = 64
_SEEDS_OF_TORCH = 4096
_T = TypeVar("_T")


class FaceEditor:
    """Edits photos and makes faces up with a loaded model. Safe to share between threads: it keeps no state.

    Args:
        model: see `lc.weights.load_model`.
        inference_steps: of descent to a photo's latent, see `lc.inference`; 0 takes the encoder's guess, which is
            several times as fast and less like the photo.
        looks: how often an actor's edit is looked at and corrected, see `lc.moves`; 0 jumps blindly, which is several
            times as fast and changes more that nobody asked for.
    """

    def __init__(self, model: Model, inference_steps: int = STEPS, looks: int = LOOKS) -> None:
        self.model, self.inference_steps = model, inference_steps
        self.moves = Moves(model, looks)
        self.device = model.statistics.mean.device

    @classmethod
    def load(
        cls, folder_or_repo: str | Path = DEFAULT_WEIGHTS, device: str = "auto", *, fast: bool = False
    ) -> FaceEditor:
        """Load weights from a folder or a Hub repository.

        Args:
            folder_or_repo, device: see `lc.weights.load_model`.
            fast: no descent for reading and no look at the actor's edits: both by one pass of the nets.

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

    def locate(
        self, photo: Source, *, face: int | None = None, aligned: bool = False
    ) -> tuple[Photo, list[Face], Face | None, Aligned]:
        """The first half of `read`: pixels only, no network of the model. Raises as `read` does."""
        picture = photo if isinstance(photo, Photo) else read_photo(photo)
        if aligned:
            return picture, [], None, frame_crop(picture.rgb)
        with picture.held():
            faces = detector().detect(picture.rgb)
            if not faces:
                raise NoFaceError(
                    f"No face was found in {picture.name}: use a photo where a face looks towards the camera, "
                    "is well lit and at least 40 pixels wide."
                )
            return picture, faces, *self.take(picture, faces, face)

    def take(self, photo: Photo, faces: Sequence[Face], face: int | None = None) -> tuple[Face, Aligned]:
        """One of a photo's faces and its crop. Arguments and errors are those of `read`."""
        face = None if face is None else whole_number(face, -MAX_SEED)
        if face is not None and not 0 <= face < len(faces):
            raise NoFaceError(f"{photo.name} has {len(faces)} face(s): there is no face {face + 1}.")
        first: str | None = None
        rgb = photo.rgb
        for chosen in faces if face is None else [faces[face]]:
            aligned = align(rgb, chosen.landmarks)
            reason = refusal(chosen, aligned)
            if reason is None:
                return chosen, aligned
            first = first or reason
        raise NoFaceError(f"The face in {photo.name} {first}.")

    @torch.inference_mode()
    def read_located(self, located: Sequence[tuple[Photo, list[Face], Face | None, Aligned]]) -> list[Reading]:
        """The second half of `read`, batched."""
        readings: list[Reading] = []
        for chunk in _chunks(located, _BATCH):
            images = self._tensor([aligned.crop for *_, aligned in chunk])
            z, decoded = infer(self.model.generator, images, self.inference_steps, perceptual=self.model.perceptual)
            pictures, probabilities = self._show(z, decoded), self._probabilities(z)
            for row, (photo, faces, face, aligned) in enumerate(chunk):
                readings.append(
                    Reading(photo, faces, face, aligned, z[row].cpu(), pictures[row], _named(probabilities[row]))
                )
        return readings

    # --- edits -----------------------------------------------------------------------------------------------------

    def edit(
        self,
        photo: Source | Reading | Edit,
        set: Mapping[str, Strength] | None = None,
        identity: float = 0.5,
        method: Method = "actor",
        *,
        face: int | None = None,
        aligned: bool = False,
    ) -> Edit:
        """Change attributes of the face in a photo; the others are held as they are.

        Nothing is drawn by chance: the same photo and settings give the same edit.

        Args:
            photo: see `read`, or a Reading, which saves finding and encoding the face again; or an Edit, whose changes
                are kept where `set` says nothing else: it is the photo that is edited anew, so nothing wears off.
            set: attribute name -> wanted, or the probability that is wanted: {"Smiling": 0.6} is a little smile. Empty:
                nothing changes, and `Edit.result` is the photo itself.
            identity: 0 satisfies the attributes whatever the cost, 1 keeps the person.
            method: "actor" jumps in one pass, "optimise" walks there.
            face, aligned: see `read`.

        Raises:
            PhotoError, NoFaceError: see `read`.
            UnknownAttributeError: a name in `set` is not an attribute.
            LatentConstraintsError: identity or method out of range.
        """
        if isinstance(photo, Edit):
            wanted = resolve(set or {})
            earlier = {name: value for name, value in photo.changes.items() if name not in wanted}
            photo, set = photo.reading, {**earlier, **canonical(set or {})}
        reading = photo if isinstance(photo, Reading) else self.read(photo, face=face, aligned=aligned)
        return self.edit_many([reading], set, identity, method)[0]

    def edit_many(
        self,
        readings: Sequence[Reading],
        set: Mapping[str, Strength] | None = None,
        identity: float = 0.5,
        method: Method = "actor",
    ) -> list[Edit]:
        """The same edit of many photos, batched. See `edit`."""
        identity = _check(identity, method)
        edits: list[Edit] = []
        for chunk in _chunks(readings, _BATCH):
            begun = time.perf_counter()
            goal = self._goal(chunk, set or {})
            if not set:
                last = self.moves.still(goal)
            elif method == "actor":
                last = self.moves.act(goal, identity)
            else:
                *_, last = self.moves.walk(goal, identity)
            edits += self._edits(chunk, set or {}, goal, last, begun)
        return edits

    def edit_live(
        self,
        reading: Reading,
        set: Mapping[str, Strength],
        identity: float = 0.5,
        *,
        every: int = 1,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Progress]:
        """The optimiser's walk, step by step; a preview every `every` steps; the last item carries the edit.

        Asked after each step, `stop` ends the walk where it stands when it says True.
        """
        identity = _check(identity, "optimise")
        begun = time.perf_counter()
        goal = self._goal([reading], set)
        step = None
        for step in self.moves.walk(goal, identity) if set else [self.moves.still(goal)]:
            preview = self._show(step.z)[0] if step.index % every == 0 else None
            yield Progress(step.index, preview, {name: float(e[0]) for name, e in step.energies.items()}, None)
            if stop is not None and stop():
                break
        assert step is not None  # a walk yields at least its start
        edit = self._edits([reading], set, goal, step, begun)[0]
        yield Progress(step.index, edit.edited, {name: float(e[0]) for name, e in step.energies.items()}, edit)

    def _goal(self, readings: Sequence[Reading], changes: Mapping[str, Strength]) -> Goal:
        z = torch.stack([reading.z for reading in readings]).to(self.device)
        return self.moves.goal(z, changes, self._tensor([reading.reconstruction for reading in readings]))

    @torch.inference_mode()
    def _edits(
        self, readings: Sequence[Reading], changes: Mapping[str, Strength], goal: Goal, step: Step, begun: float
    ) -> list[Edit]:
        distances = rms(step.z - goal.z, self.moves.sigma_bar).tolist()
        pictures, after = self._show(step.z, step.pictures), self._probabilities(step.z)
        if not goal.mask.any():  # nothing is set: not even a rounding may tell the edit from its reconstruction
            pictures = [reading.reconstruction for reading in readings]
        seconds = (time.perf_counter() - begun) / len(readings)
        return [
            Edit(
                reading=reading,
                changes=canonical(changes),
                edited=pictures[row],
                z_edited=step.z[row].cpu().clone(),
                after=_named(after[row]),
                z_distance=distances[row],
                similarity=self.model.calibration.similar(distances[row]),
                steps=int(step.taken[row]),
                converged=bool(step.done[row]),
                seconds=seconds,
                warning=unlikely(goal.target[row].tolist()) if bool(goal.mask[row].any()) else None,
            )
            for row, reading in enumerate(readings)
        ]

    # --- made-up faces ---------------------------------------------------------------------------------------------

    def sample(
        self, n: int, set: Mapping[str, Strength] | None = None, seed: int = 0, *, realism: bool = True
    ) -> list[Sample]:
        """Make up faces with the attributes in `set`.

        Face i depends on seed and i only, not on n, and no two seeds share one. Attributes not set are drawn for each
        face from the label vectors that real photos have, in keeping with those set.

        Args:
            n: how many, 1 to 100,000.
            set: attribute name -> wanted or not.
            seed: source of chance, 0 to 2^63 - 1.
            realism: False shows what the realism constraint does: latents from the prior, walked to the attributes
                in `set` by the attribute critic alone.

        Raises:
            UnknownAttributeError: a name in `set` is not an attribute.
            LatentConstraintsError: n or seed is out of range, or `set` asks for a strength.
        """
        try:
            n = whole_number(n, 1, MAX_COUNT)
        except LatentConstraintsError as error:
            raise LatentConstraintsError(f"Ask for at least one face and at most {MAX_COUNT} at a time.") from error
        seed = whole_number(seed)
        if strengths := partial(set or {}):
            raise LatentConstraintsError(f"A made-up face has {next(iter(strengths))} or not: choose 0 or 1.")
        samples: list[Sample] = []
        vectors, weights = self._label_vectors(set or {})
        for first in range(0, n, _BATCH):
            indices = range(first, min(n, first + _BATCH))
            drawn, rows = zip(*(_draw(seed, i, self.model.generator.latent, weights) for i in indices), strict=True)
            z, y = torch.stack(drawn).to(self.device), vectors[list(rows)].to(self.device)
            if realism:
                z = self.moves.make(z, y)
            elif set:
                target, mask = apply_changes(y, set)
                constraint: dict[str, Constraint] = {
                    "attributes": Attributes(self.moves.attribute_critic, target, mask, margin=2.0, hold=0.0)
                }
                *_, last = optimise(z, constraint, self.model.statistics.sigma_bar)
                z = last.z
            samples += self._samples(z, y)
        return samples

    @torch.inference_mode()
    def _samples(self, z: Tensor, y: Tensor) -> list[Sample]:
        pictures, probabilities = self._show(z), self._probabilities(z)
        wanted = [{name: bool(v >= 0.5) for name, v in zip(ATTRIBUTES, row, strict=True)} for row in y.tolist()]
        return [
            Sample(pictures[row], z[row].cpu().clone(), wanted[row], _named(probabilities[row]))
            for row in range(len(z))
        ]

    def _label_vectors(self, changes: Mapping[str, Strength]) -> tuple[Tensor, Tensor]:
        """The label vectors that agree with `changes`, (K, 10), and their counts, (K,)."""
        vectors, counts = self.model.label_vectors, self.model.label_counts
        agree = torch.ones(len(vectors), dtype=torch.bool)
        for name, value in canonical(changes).items():
            agree &= (vectors[:, ATTRIBUTES.index(name)] > 0.5) == bool(value)
        if agree.any():
            return vectors[agree], counts[agree]
        # Nobody looks like that: keep what was asked for and take the rest from everybody.
        return apply_changes(vectors, changes)[0], counts

    # --- pictures out ----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Image.Image:
        """(latent,) -> the 64x64 picture of it, for walks between faces."""
        return self._show(z[None].to(self.device))[0]

    @torch.inference_mode()
    def _show(self, z: Tensor, decoded: Tensor | None = None) -> list[Image.Image]:
        decoded = self.model.generator.decode(z) if decoded is None else decoded
        pixels = (decoded * 255).round().clamp(0, 255).byte()
        return [Image.fromarray(array) for array in pixels.permute(0, 2, 3, 1).cpu().numpy()]

    def _tensor(self, crops: Sequence[Image.Image]) -> Tensor:
        """Crops of 64x64 pixels -> (B, 3, 64, 64) in [0, 1]."""
        pixels = np.stack([np.asarray(crop) for crop in crops])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device).float() / 255

    @torch.inference_mode()
    def _probabilities(self, z: Tensor) -> list[list[float]]:
        values: list[list[float]] = torch.sigmoid(self.moves.attribute_critic(z)).tolist()
        return values


def _named(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(ATTRIBUTES, values, strict=True))


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _draw(seed: int, i: int, latent: int, weights: Tensor) -> tuple[Tensor, int]:
    """What chance says about face i of a seed: a latent of the prior, (latent,), and a row of `weights`, (K,).

    Torch's generator takes 32 bits of a seed. Those that fit into them beside i keep the faces they were published
    with; the others are numpy's, which hashes all of seed and i.
    """
    if seed < _SEEDS_OF_TORCH:
        generator = torch.Generator().manual_seed((seed << 20) + i)
        z = torch.randn(latent, generator=generator)
        return z, int(torch.multinomial(weights, 1, generator=generator))
    chance = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
    shares = weights.double().numpy()
    z = torch.from_numpy(chance.standard_normal(latent, dtype=np.float32))
    return z, int(chance.choice(len(shares), p=shares / shares.sum()))


def _check(identity: float, method: str) -> float:
    """The identity as a number; raises LatentConstraintsError."""
    if method not in ("actor", "optimise"):
        raise LatentConstraintsError(f"There is no method {method!r}: choose actor or optimise.")
    try:
        return number(identity, 0, 1)
    except LatentConstraintsError as error:
        raise LatentConstraintsError(f"Identity: {error}") from error

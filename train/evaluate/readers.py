"""Who may read an edit: readers by role, and no net in two of them.

guidance       made or corrected the edits: the weights folder's own classifiers
calibration    set how far edits go (`train.calibrate`)
evaluation     trained in this project for figures alone; no loss has heard them, and dlib's face embedding
outside        nets that nobody here trained, see `train.readers`

A gap between the roles says how far the edits please the nets that made them rather than people: so tables print all
of them side by side. face-api's descriptor is dlib's net with its weights rounded, so where both say who a person is,
the one is no second opinion on the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from lc.classifier import Classifier
from lc.errors import LatentConstraintsError, WeightsError
from lc.weights import Model, load_classifier
from train.attributes import ATTRIBUTES
from train.classifier import load_guidance
from train.identity import FaceEmbedding, MissingEmbeddingError
from train.readers import FOLDER, AgeSex, Descriptor, Expression, Mobile, load_readers

__all__ = [
    "ROLES",
    "Evaluators",
    "Outside",
    "Reader",
    "Role",
    "RoleError",
    "Roles",
    "check_roles",
    "classifier_reader",
    "load_outside",
    "load_roles",
    "resized",
]

Role = Literal["guidance", "calibration", "evaluation", "outside"]
ROLES: tuple[Role, ...] = get_args(Role)

#: Side of the crops that outside readers are given: more than any of them takes of it.
OUTSIDE_SIZE = 192
_BATCH = 64  # pictures at once: many more take longer for each on a CPU


class RoleError(LatentConstraintsError):
    """A net has two roles; the message, one sentence, says which to replace."""


@dataclass(frozen=True)
class Reader:
    """Tells some attributes of crops in the model's framing.

    Attributes:
        names: the attributes.
        size: side of the crops that it is given, in pixels.
        told: (N, 3, size, size) in [0, 1] -> bool (N, len(names)).
    """

    title: str
    role: Role
    names: tuple[str, ...]
    size: int
    told: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """(N, 3, size, size) in [0, 1] -> (N, A): 1 has it, 0 has not, NaN where this reader says nothing of it."""
        found = torch.full((len(images), len(ATTRIBUTES)), float("nan"))
        parts = [self.told(part).float().cpu() for part in images.split(_BATCH)]
        if parts:
            found[:, [ATTRIBUTES.index(name) for name in self.names]] = torch.cat(parts)
        return found


def classifier_reader(title: str, role: Role, classifier: Classifier) -> Reader:
    """A classifier of this project as a reader of all attributes."""
    device = next(classifier.parameters()).device
    return Reader(title, role, ATTRIBUTES, classifier.config.image_size, lambda x: classifier.read(x.to(device)))


def resized(images: Tensor, size: int) -> Tensor:
    """Without aliasing, (N, 3, S, S) in [0, 1] -> (N, 3, size, size); as they are where they have that size."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


# --- roles are kept apart --------------------------------------------------------------------------------------------


def fingerprint(net: nn.Module) -> str:
    """Of a net's learned weights, as folders keep them, in half precision.

    Thresholds, which every program may set anew, do not count.
    """
    digest = hashlib.sha256()
    for name, value in sorted(net.named_parameters()):
        digest.update(name.encode())
        digest.update(value.detach().half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_roles(entries: Iterable[tuple[Role, str, nn.Module]]) -> None:
    """Refuse a net that has two roles.

    Args:
        entries: the role, what to call the net, and the net.

    Raises:
        RoleError: there is one.
    """
    known: dict[str, tuple[Role, str]] = {}
    for role, title, net in entries:
        first, name = known.setdefault(fingerprint(net), (role, title))
        if first != role:
            raise RoleError(
                f"{title} is the same net as {name}, which is there for {first}: a reader for {role} must be another "
                "net, trained with another seed."
            )


def _guidance(model: Model) -> list[tuple[Role, str, nn.Module]]:
    nets = {"the guidance classifier of the weights": model.guidance, "their perceptual classifier": model.perceptual}
    return [("guidance", title, net) for title, net in nets.items() if net is not None]


def check_calibration(model: Model, folders: Sequence[Path], classifiers: Sequence[Classifier]) -> None:
    """Refuse a model's own guidance as what its edits are calibrated by; raises RoleError."""
    named = zip(folders, classifiers, strict=True)
    check_roles([*_guidance(model), *(("calibration", f"The classifier of {f}", net) for f, net in named)])


# --- evaluation ------------------------------------------------------------------------------------------------------


@dataclass
class Evaluators:
    """The nets for evaluation: one reads attributes, one measures realism, dlib's embedding tells people apart."""

    reader: Classifier
    realism: Classifier
    embedding: FaceEmbedding | None

    @classmethod
    def load(cls, folder: Path) -> Evaluators:
        """The classifiers "reader" and "realism" of a folder, and the embedding where it is installed.

        Raises:
            WeightsError: a classifier is missing or damaged.
        """
        return cls(load_classifier(folder, "reader"), load_classifier(folder, "realism"), load_embedding())

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> bool (N, A)."""
        images = resized(images, self.reader.config.image_size)
        return torch.cat([self.reader.read(x) for x in images.split(_BATCH)])

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N, D)."""
        images = resized(images, self.realism.config.image_size)
        return torch.cat([self.realism.features(x) for x in images.split(_BATCH)])

    def embed(self, images: Tensor) -> Tensor | None:
        """(N, 3, S, S) in [0, 1] -> (N, 128), or None without the face embedding."""
        return self.embedding.crops(images) if self.embedding else None


def load_embedding() -> FaceEmbedding | None:
    """dlib's face embedding, or None, said aloud, where it is not installed."""
    try:
        return FaceEmbedding()
    except MissingEmbeddingError as error:
        tqdm.write(str(error))
        return None


# --- outside ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outside:
    """face-api's readers: years, sex, smile, and a descriptor of the person; and MobileNetV2's features."""

    age_sex: AgeSex
    expression: Expression
    descriptor: Descriptor
    mobile: Mobile

    def years(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N,), the age in years."""
        return self.age_sex.read(images)[0]

    def readers(self) -> list[Reader]:
        """What they tell of the project's attributes."""

        def male(x: Tensor) -> Tensor:
            return self.age_sex.read(x)[1][:, None] >= 0.5

        def smiling(x: Tensor) -> Tensor:
            return self.expression.read(x)[:, None] >= 0.5

        found = [("face-api's sex", "Male", male), ("face-api's smile", "Smiling", smiling)]
        return [Reader(title, "outside", (n,), OUTSIDE_SIZE, told) for title, n, told in found if n in ATTRIBUTES]


def load_outside(folder: Path = FOLDER) -> Outside | None:
    """The outside readers, or None, said aloud, where they were not fetched."""
    try:
        found = load_readers(folder)
    except WeightsError as error:
        tqdm.write(f"Outside readers are left out. {error}")
        return None
    return Outside(found.age_sex, found.expression, found.descriptor, found.mobile)


# --- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Roles:
    """All readers, by role.

    Attributes:
        readers: of attributes.
        embedding: dlib's, where installed. outside: where fetched.
    """

    readers: tuple[Reader, ...]
    embedding: FaceEmbedding | None
    outside: Outside | None

    def of(self, role: Role) -> list[Reader]:
        """The readers in a role."""
        return [reader for reader in self.readers if reader.role == role]

    def titles(self) -> dict[str, list[str]]:
        """The readers' titles by role."""
        return {role: [reader.title for reader in self.of(role)] for role in ROLES}


def load_roles(model: Model, folder: Path, calibration: Sequence[Path] = (), outside: bool = True) -> Roles:
    """Bring the readers of all roles together.

    Args:
        model: what is measured; its guidance classifier reads in that role.
        folder: with the classifiers "reader" and "realism", for evaluation.
        calibration: folders with the classifiers that `train.calibrate` was given.
        outside: let outside readers read too, where they were fetched.

    Raises:
        RoleError: a net in two roles.
        WeightsError: a classifier is missing or damaged.
    """
    evaluators = Evaluators.load(folder)
    classifiers = [load_guidance(folder) for folder in calibration]
    named = zip(calibration, classifiers, strict=True)
    check_roles(
        [
            *_guidance(model),
            *(("calibration", f"The classifier of {folder}", net) for folder, net in named),
            ("evaluation", f"The reader of {folder}", evaluators.reader),
            ("evaluation", f"The realism classifier of {folder}", evaluators.realism),
        ]
    )
    found = load_outside() if outside else None
    readers = [classifier_reader("weights: guidance", "guidance", model.guidance)] if model.guidance else []
    readers += [classifier_reader(str(f), "calibration", g) for f, g in zip(calibration, classifiers, strict=True)]
    readers += [classifier_reader(f"{folder}: reader", "evaluation", evaluators.reader)]
    readers += found.readers() if found else []
    return Roles(tuple(readers), evaluators.embedding, found)

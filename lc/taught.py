"""A taught attribute: a critic of latents that was fitted to a few photos, and its actor, on their own in one file.

The file is safetensors with JSON in its header, and says by checksum for which generator it was fitted: on another
one's latents it would read nonsense.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from lc.actor import TaughtActor
from lc.checksums import digest, parse_json
from lc.constraints import Taught
from lc.errors import LatentConstraintsError, OtherGeneratorError, Sentence, WeightsError
from lc.files import write_bytes
from lc.learned import checksum_of
from lc.model import Model
from lc.tensors import check_finite, parse_tensors

__all__ = [
    "MOST_BYTES",
    "PARTS",
    "LinearCritic",
    "TaughtAttribute",
    "TeachingReport",
    "checked_name",
    "generator_digest",
    "load_taught",
    "parse_taught",
    "peek_name",
    "taught_files",
]

_KEY, _FORMATS = "latent_constraints.taught", (1, 2)  # without an actor, and with one
_ACTOR = "actor."  # before the names of its tensors
MOST_BYTES = 4_000_000  # of a file
#: What part of a face edits may touch -> classes of the face parser that they may change or make; none: any.
PARTS: dict[str, tuple[str, ...]] = {
    "any": (),
    "face": ("skin", "mouth", "brows", "eyes"),
    "hair": ("hair",),
    "hairline": ("hair", "skin"),
}
_WIDEST = 1024  # an actor's hidden layers
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


class LinearCritic(nn.Module):
    """z (B, latent) -> logits (B, 1), linear in z.

    Args:
        weight: (latent,).
        bias: the logit at z = 0.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | float) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", torch.as_tensor(bias, dtype=weight.dtype).detach().clone())

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight + self.bias)[:, None]


@dataclass(frozen=True)
class TeachingReport:
    """How well an attribute was learned.

    Attributes:
        positives: photos with it.
        negatives: photos without it; 0 where the contrast sample of the weights folder stood in.
        accuracy: balanced accuracy in [0, 1] on photos left out of the fit, averaged over repeated cross-validation.
        spread: standard error of it, from the number of photos.
        likeness: how much it is one of the model's own attributes: correlation of its logits with theirs, [0, 1].
        like: which of them, the nearest.
        seconds: that teaching took.
        notes: sentences that a user should read; empty where there is nothing to say.
    """

    positives: int
    negatives: int
    accuracy: float
    spread: float
    likeness: float
    like: str
    seconds: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.sentence)

    @property
    def sentence(self) -> Sentence:
        """The figures in words."""
        against = (
            Sentence("{count} without", count=self.negatives)
            if self.negatives
            else Sentence("the weights' own sample of faces")
        )
        return Sentence(
            "{count} photos with it against {against}: balanced accuracy {accuracy:.2f} (+/- {spread:.2f}) on photos "
            "left out, in {seconds:.1f} s.",
            count=self.positives,
            against=against,
            accuracy=self.accuracy,
            spread=self.spread,
            seconds=self.seconds,
        )


@dataclass(frozen=True, eq=False)
class TaughtAttribute:
    """An attribute that was taught after training.

    Attributes:
        name: letters, digits and _, as it is called on the command line.
        weight, bias: of its critic, logits = z @ weight + bias; (latent,) and a number.
        direction: (latent,), from photos without it to photos with it: along this an edit moves first.
        target: the logit that this first move leads to; > 0.
        generator: what it was fitted on, see `generator_digest`.
        report: how well it was learned.
        actor: where an edit moves first instead, once one was trained, see `lc.taught_actor`.
        part: one of `PARTS`, which an edit of it touches alone.
    """

    name: str
    weight: Tensor
    bias: float
    direction: Tensor
    target: float
    generator: str
    report: TeachingReport
    actor: TaughtActor | None = None
    part: str = "any"

    @cached_property
    def critic(self) -> LinearCritic:
        """z (B, latent) -> logits (B, 1); one object, so that constraints on it run it once."""
        return LinearCritic(self.weight, self.bias)

    def constraint(self, wanted: bool | float = True, weight: float = 1.0) -> Taught:
        """It is to hold, or not to hold, or to be read with a probability between.

        Raises:
            LatentConstraintsError: `wanted` is no number from 0 to 1.
        """
        if not 0 <= wanted <= 1:
            raise LatentConstraintsError(f"{self.name} cannot be {wanted}: choose a number from 0 to 1.")
        return Taught(
            self.critic,
            weight=weight,
            wanted=float(wanted),
            direction=self.direction,
            target=self.target,
            actor=self.actor,
            name=self.name,
            acts_on=PARTS[self.part],
        )

    @torch.no_grad()
    def probability(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B,), how probable it is there."""
        return torch.sigmoid(self.critic(z)[:, 0])

    def to(self, device: torch.device) -> TaughtAttribute:
        """The same on another device."""
        actor = None if self.actor is None else deepcopy(self.actor).to(device)
        return replace(self, weight=self.weight.to(device), direction=self.direction.to(device), actor=actor)

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        actor = () if self.actor is None else self.actor.parameters()
        return 1000 + sum(one.nbytes for one in (self.weight, self.direction, *actor))

    def save(self, path: str | Path) -> None:
        """Write it to a file that ends with .safetensors.

        Raises:
            LatentConstraintsError: another ending.
            OSError: the file cannot be written.
        """
        if Path(path).suffix.lower() != ".safetensors":
            raise LatentConstraintsError(f"{path} must end with .safetensors: a taught attribute is such a file.")
        write_bytes(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        tensors = {key: getattr(self, key).float().cpu().contiguous() for key in ("weight", "direction")}
        facts: dict[str, Any] = {
            "format": _FORMATS[0],
            "name": self.name,
            "bias": self.bias,
            "target": self.target,
            "generator": self.generator,
            "part": self.part,
            "report": asdict(self.report),
        }
        if self.actor is not None:
            tensors |= {
                _ACTOR + key: one.half().cpu().contiguous() for key, one in self.actor.body.state_dict().items()
            }
            facts |= {"format": _FORMATS[1], "width": self.actor.width}
        facts["checksum"] = _checksum(tensors)
        return safetensors.torch.save(tensors, {_KEY: json.dumps(facts)})


def checked_name(name: str, taken: Mapping[str, str]) -> str:
    """A name that a taught attribute can have.

    Args:
        name: what the user calls it; spaces and hyphens become _.
        taken: names in lower case that mean something already -> what.

    Raises:
        LatentConstraintsError: it cannot be a name, or is taken.
    """
    plain = re.sub(r"[\s-]+", "_", name.strip())
    if not _NAME.fullmatch(plain):
        raise LatentConstraintsError(
            f"{name[:60]!r} cannot be a name: take up to 40 letters, digits and _, a letter first, such as Bangs."
        )
    if plain.lower() in taken:
        raise LatentConstraintsError(f"{plain} is {taken[plain.lower()]} already: choose another name.")
    return plain


def generator_digest(model: Model) -> str:
    """See `lc.learned.checksum_of`."""
    return checksum_of(model.config)


def taught_files(paths: Iterable[Path]) -> list[Path]:
    """Files of taught attributes, folders of them taken apart; raises WeightsError where a folder holds none."""
    found: list[Path] = []
    for path in paths:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not files:
            raise WeightsError(f"{path} holds no taught attribute: give a file that python -m lc teach wrote.")
        found += files
    return found


def peek_name(path: str | Path) -> str:
    """The name of a taught attribute in a file, before any network is loaded; raises WeightsError."""
    path = Path(path)
    name = _parts(_read(path), path)[1].get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WeightsError(f"{path} is damaged: teach it again, or fetch it again.")
    return name


def load_taught(path: str | Path, model: Model) -> TaughtAttribute:
    """Read what `TaughtAttribute.save` wrote, onto the model's device.

    Raises:
        WeightsError: it is missing, damaged, none, or was taught to another generator.
    """
    path = Path(path)
    return parse_taught(_read(path), path, model)


def parse_taught(data: bytes, path: str | Path, model: Model) -> TaughtAttribute:
    """As `load_taught`, of a file's bytes; the path is what messages call it."""
    tensors, facts = _parts(data, path)
    latent = model.generator.latent
    try:
        report = TeachingReport(**{**facts["report"], "notes": tuple(map(str, facts["report"]["notes"]))})
        found = TaughtAttribute(
            name=checked_name(facts["name"], {}),
            weight=tensors["weight"],
            bias=float(facts["bias"]),
            direction=tensors["direction"],
            target=float(facts["target"]),
            generator=str(facts["generator"]),
            report=report,
            part=str(facts.get("part", "any")),  # files from before have none
        )
        own = {key: tensor for key, tensor in tensors.items() if not key.startswith(_ACTOR)}
        if facts["checksum"] != _checksum(tensors) or set(own) != {"weight", "direction"} or found.target <= 0:
            raise ValueError("not as it was written")
        if found.part not in PARTS:
            raise ValueError("not as it was written")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged: teach it again, or fetch it again.") from error
    for key, tensor in tensors.items():
        check_finite(tensor, f"{path} ({key})")
    shapes = {tuple(tensor.shape) for tensor in own.values()}
    if found.generator != generator_digest(model) or shapes != {(latent,)}:
        raise OtherGeneratorError(
            f"{path} was taught to another generator than that of these weights: give those with --weights, or teach "
            f"{found.name} again."
        )
    if facts["format"] == _FORMATS[1]:
        found = replace(found, actor=_actor(tensors, facts, model, path))
    return found.to(model.statistics.mean.device)


def _actor(tensors: Mapping[str, Tensor], facts: Mapping[str, Any], model: Model, path: str | Path) -> TaughtActor:
    """The actor in a file; raises WeightsError."""
    state = {key.removeprefix(_ACTOR): tensor for key, tensor in tensors.items() if key.startswith(_ACTOR)}
    try:
        width = int(facts["width"])
        if not 1 <= width <= _WIDEST:
            raise ValueError("not as it was written")
        actor = TaughtActor(model.statistics, width)
        actor.body.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged: teach it again, or fetch it again.") from error
    return actor.eval().requires_grad_(False)


def _read(path: Path) -> bytes:
    """A file's bytes, no more than one too many; raises WeightsError."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise WeightsError(
            f"{path} is missing or cannot be read: give a file that python -m lc teach wrote."
        ) from error


def _parts(data: bytes, path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file's bytes; raises WeightsError."""
    wrong = WeightsError(f"{path} is no taught attribute, or is damaged: give a file that python -m lc teach wrote.")
    if len(data) > MOST_BYTES:
        raise wrong
    try:
        tensors = parse_tensors(data, path)
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = parse_json(header["__metadata__"][_KEY].encode())
        if facts["format"] not in _FORMATS:
            raise WeightsError(f"{path} was made by another version of this program: update it, or teach again.")
    except WeightsError as error:
        raise (wrong if "another version" not in str(error) else error) from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise wrong from error
    return tensors, facts


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    return digest(b"".join(tensors[key].contiguous().numpy().tobytes() for key in sorted(tensors)))

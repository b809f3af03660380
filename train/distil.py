"""Teach the actor what its proposals become when they are corrected.

    python -m train.distil --weights weights/celeba-64 --extra cache/lfw_aligned.safetensors --out runs/distil

For photos of the training part the actor proposes, `lc.edit.correct` corrects the proposal by all readings of
its picture, and the actor learns to go there in one pass: expert iteration (Anthony, Tian and Barber 2017), with the
look as the expert. Looking again, at the better proposals, gets further than before. Regression also averages what
pleases the look's classifier in single photos, and keeps what it did to all of them.
Generated faces stay as they were: there the actor is held to its own former outputs.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from lc.actor import Actor
from lc.edit.actor import propose
from lc.edit.correct import correct
from lc.edit.problem import Problem, constraints_of, pose
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError
from lc.files import write_bytes
from lc.invert import invert
from lc.weights import load_model, save_module
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.classifier import Committee
from train.data import MARGIN, augment, load_celeba, load_packed
from train.engine import RunConfig, parse, program
from train.latents import DIRECTIONS
from train.loop import Stage, cosine, seeded, train
from train.tuning import LEGACY_TUNING

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class DistilTraining(RunConfig):
    """Teach the actor what correction finds."""

    out: Path = Path("runs/distil")
    weights: Path = Path("weights/celeba-64")
    """Weights folder whose actor proposes, learns, and is replaced."""
    celeba: Path = Path("data/celeba")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare: as many of them as of CelebA's photos are edited."""
    found: tuple[Path, ...] = (Path("runs/distil/found.safetensors"),)
    """Files of what the search found; one that is not there yet is made, so that several machines can share the work:
    each with another --seed and --steps 0."""
    photos: int = 4_000
    """Photos that are edited."""
    searches: int = 750
    """Batches of goals in a file that is made."""
    rows: int = 16
    """Photos in each of them."""
    teachers: tuple[Path, ...] = ()
    """Folders of guidance classifiers that correct instead of the weights' own: several are fooled less than one."""
    target_margin: float = LEGACY_TUNING["target_margin"]
    """The logit that what is wanted is brought to, at least."""
    correction_steps: int = 4
    """Correction steps of each edit that is searched."""
    changes: tuple[str, ...] = ()
    """Only these goals, as Bald=1; none: all twenty."""
    vector: float = 0.4
    """How much of the mean difference between photos with and without what is wanted joins a proposal. It says what the
    actor, which moves no further than it must, does not: what else a bald head looks like."""
    steps: int = 3_000
    batch: int = 256
    """Edits per step, and as many generated faces."""
    lr: float = 3e-4
    warmup: int = 50
    noise: float = 0.5
    """Standard deviation of what is added to the edited latents, in posterior standard deviations."""
    held_out: float = 0.1
    """Share of the goals that only the log sees."""
    bf16: bool = False
    """Moves are compared in full precision, of one small net."""
    margin: int = MARGIN
    """Pixels around a crop, on every side, that photos may be shifted by."""
    limit: int | None = None
    """Use only so many photos of each file: a dry run."""


@dataclass(frozen=True)
class Found:
    """What the actor is to say: (N, latent) `z` and `move`, (N, 10) `y` and `mask`; see `lc.actor.Actor`.

    `move` is of the length that the actor's own moves have: what leads to where the search ended, less what its goals'
    lengths stretch it by.
    """

    z: Tensor
    y: Tensor
    mask: Tensor
    move: Tensor

    def at(self, rows: Tensor) -> Found:
        """Some of the rows."""
        return Found(*(x[rows] for x in vars(self).values()))


@dataclass(frozen=True)
class Faces:
    """Generated faces: (B, latent) `z` to begin at and `wanted`, where the actor led; (B, 10) `y`; (B,) `identity`."""

    z: Tensor
    y: Tensor
    identity: Tensor
    wanted: Tensor


@torch.no_grad()
def read_photos(config: DistilTraining, space: LatentSpace) -> Tensor:
    """Latents (photos, latent) of photos to edit as the app reads them; attributes that are rare come more often."""
    model, device = space.model, space.sigma_bar.device
    size = model.generator.image_size
    crops = load_celeba(config.celeba, "train", config.limit, image_size=size, margin=config.margin)
    assert crops.labels is not None
    generator = seeded(config.seed, 0)
    # Half of them at random, half so that each attribute is present and absent equally often.
    share = config.photos // (2 if config.extra else 1)
    weight = torch.zeros(len(crops.labels))
    for column in crops.labels.T:
        for has in (column, 1 - column):
            weight += has / has.sum().clamp_min(1)
    weight = weight / weight.sum() + 1 / len(weight)
    rows = torch.multinomial(weight, min(share, len(weight)), generator=generator)
    images = [crops.images[rows]]
    for path in config.extra:
        more = load_packed(path).images[: config.limit]
        images.append(more[torch.randperm(len(more), generator=generator)[: share // len(config.extra)]])
    found = []
    for part in tqdm(torch.cat(images).split(max(32, config.rows)), desc="read", leave=False):
        x = augment(part, generator, image_size=size).to(device)
        z, _ = invert(model.generator, x, model.tuning, statistics=model.statistics, perceptual=model.perceptual)
        found.append(z)
    return torch.cat(found)


@torch.no_grad()
def search(config: DistilTraining, space: LatentSpace, photos: Tensor) -> Iterator[Found]:
    """Edit photos (N, latent), `rows` at a time that lack what is wanted, and correct each."""
    has = (torch.sigmoid(space.attribute_critic(photos)) >= 0.5).float().cpu()
    reach = space.model.calibration.for_optimiser(0.5)
    # Attribute vectors, each with the others held: a regression of latents on what is read in them.
    vectors = torch.linalg.lstsq(F.pad(has, (0, 1), value=1.0), photos.cpu()).solution[:-1].to(photos.device)
    names = config.changes or [f"{name}={int(wanted)}" for name, wanted in DIRECTIONS]
    for step in range(config.searches):
        generator = seeded(config.seed, step)
        changes = ATTRIBUTE_SET.parse([names[int(torch.randint(len(names), (), generator=generator))]]).wanted
        ((name, wanted),) = changes.items()
        rows = torch.nonzero(has[:, ATTRIBUTES.index(name)] != float(wanted))[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)[: config.rows]]
        if not len(rows):
            continue
        problem = pose(space, photos[rows], constraints_of(space, changes))
        margin = torch.full_like(problem.target_margin, config.target_margin)
        problem = dataclasses.replace(problem, target_margin=margin)
        differ = ((problem.target - problem.before.round()) * problem.edited) @ vectors
        proposal = propose(space, problem, reach) + config.vector * differ
        end, _ = correct(space, problem, proposal, config.correction_steps)
        yield as_taught(problem, end, reach)


def as_taught(problem: Problem, end: Tensor, scale: float) -> Found:
    """What the actor must answer so that the same problem, `scale` along its line, leads to `end` (B, latent)."""
    whole = torch.where(problem.edited, problem.target, problem.before)
    move = (end - problem.z) / (scale * problem.step_scale)
    return Found(*(x.cpu() for x in (problem.z, whole, problem.edited.float(), move)))


def load_or_search(config: DistilTraining, space: LatentSpace) -> Found:
    """All that was found, in files that are there or after a search."""
    if config.teachers:
        committee: Any = Committee.load(config.teachers, space.sigma_bar.device, space.model.generator.image_size)
        space = LatentSpace(dataclasses.replace(space.model, guidance=committee))
    parts: list[dict[str, Tensor]] = []
    for path in config.found:
        if not path.exists():
            photos = read_photos(config, space)
            batches = [vars(x) for x in tqdm(search(config, space, photos), total=config.searches, desc="search")]
            if not batches:
                raise LatentConstraintsError("No photo lacked what was wanted of it: edit more --photos, or search on.")
            tensors = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, safetensors.torch.save(tensors))
        parts.append(safetensors.torch.load_file(path))
    return Found(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


class DistilTask(nn.Module):
    """How far the actor is from the moves that were found, and on generated faces from what it was."""

    def __init__(self, actor: Actor, sigma: Tensor) -> None:
        super().__init__()
        self.actor, self.sigma = actor, sigma  # sigma_bar, (latent,)

    def forward(self, edits: Found, faces: Faces) -> Tensor:
        """The loss and its two parts, (3,)."""
        parts = torch.stack([self.missed(edits).mean(), self.changed(faces).mean()])
        return torch.cat([parts.sum()[None], parts.detach()])

    def missed(self, edits: Found) -> Tensor:
        """What the actor misses of moves, (B,), in sigma_bar squared."""
        moved = self.actor(edits.z, edits.y, edits.mask, torch.ones_like(edits.z[:, 0])) - edits.z
        return ((moved - edits.move) / self.sigma).square().mean(1)

    def changed(self, faces: Faces) -> Tensor:
        """The same for generated faces, (B,)."""
        found = self.actor(faces.z, faces.y, torch.ones_like(faces.y), faces.identity)
        return ((found - faces.wanted) / self.sigma).square().mean(1)


class Distillation(Stage[DistilTraining]):
    """The actor alone."""

    title = "distil"
    unit = "rows"

    def __init__(self, config: DistilTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        model = load_model(config.weights, config.device)
        found = load_or_search(config, LatentSpace(model))
        self.found = Found(*(x.to(self.device) for x in vars(found).values()))
        order = torch.randperm(len(self.found.z), generator=torch.Generator().manual_seed(0))
        self.held_out, self.learned = order.tensor_split([int(config.held_out * len(order))])
        self.sigma, self.teacher = model.statistics.sigma_bar, model.actor
        self.labels, self.often = model.label_vectors, model.label_counts.sqrt()  # rare combinations are asked for too
        actor = copy.deepcopy(model.actor).train().requires_grad_()
        self.task, self.steps = DistilTask(actor, self.sigma), config.steps
        self.add(
            "actor",
            actor,
            torch.optim.Adam(actor.parameters(), lr=config.lr, betas=(0.9, 0.99)),
            cosine(self.steps, config.lr, 0.02 * config.lr, config.warmup),
            task=self.task,
        )

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        count = self.config.batch
        edits = self.found.at(self.learned[torch.randint(len(self.learned), (count,))])
        z = edits.z + self.config.noise * self.sigma * torch.randn_like(edits.z)
        _, missed, changed = self.update("actor", dataclasses.replace(edits, z=z), self.faces(count))
        return {"edits": missed, "made": changed}

    @torch.no_grad()
    def faces(self, count: int) -> Faces:
        """What the actor made before for drawn label vectors."""
        y = self.labels[torch.multinomial(self.often, count, replacement=True)].to(self.device)
        z, identity = torch.randn(count, len(self.sigma), device=self.device), torch.rand(count, device=self.device)
        return Faces(z, y, identity, self.teacher(z, y, torch.ones_like(y), identity))

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        edits = self.found.at(self.held_out)
        length = (edits.move / self.sigma).square().mean()
        return {"held_out": float(self.task.missed(edits).mean() / length)}

    def finish(self) -> str:
        weights = self.config.weights
        if not self.steps:
            return f"{len(self.found.z)} edits found; no step was asked for, so the actor in {weights} is as it was"
        save_module(weights, "actor", self.task.actor)
        return f"actor in {weights}"


@program
def main() -> None:
    train(Distillation, parse(DistilTraining))


if __name__ == "__main__":
    main()

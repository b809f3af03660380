"""Teach the actor what its proposals become when they are corrected.

    python -m train.distil --weights weights/celeba-64 --extra cache/lfw_aligned.safetensors --out runs/distil

For photos of the training part the actor proposes, `lc.edit.correct` corrects the proposal by all ten readings of
its picture, and the actor learns to go there in one pass: expert iteration (Anthony, Tian and Barber 2017), with the
look as the expert. Looking again, at the better proposals, gets further than before. Regression also averages what
pleases the look's classifier in single photos, and keeps what it did to all of them.
Made-up faces stay as they were: there the actor is held to its own former outputs.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lc.edit.actor import propose
from lc.edit.correct import correct
from lc.edit.problem import Problem, constraints_of, pose
from lc.edit.space import LatentSpace
from lc.files import write_bytes
from lc.invert import invert
from lc.weights import load_model, save_module
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.classifier import Committee
from train.data import augment, load_celeba, load_packed
from train.engine import Run, RunConfig, accelerator, cosine, parse, program, seeded
from train.latents import DIRECTIONS
from train.tuning import LEGACY_TUNING


@dataclass(frozen=True)
class DistilTraining(RunConfig):
    """Teach the actor what looking finds."""

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
    """Folders of guides that look instead of the weights' own classifier: several are fooled less than one."""
    shown: float = LEGACY_TUNING["target_margin"]
    """The logit that what is wanted is brought to, at least."""
    looks: int = 4
    """How often an edit is looked at."""
    changes: tuple[str, ...] = ()
    """Only these goals, as Bald=1; none: all twenty."""
    vector: float = 0.4
    """How much of the mean difference between photos with and without what is wanted joins a proposal. It says what the
    actor, which moves no further than it must, does not: what else a bald head looks like."""
    steps: int = 3_000
    batch: int = 256
    """Edits per step, and as many made-up faces."""
    lr: float = 3e-4
    warmup: int = 50
    noise: float = 0.5
    """Standard deviation of what is added to the edited latents, in posterior standard deviations."""
    held_out: float = 0.1
    """Share of the goals that only the log sees."""
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


@torch.no_grad()
def read_photos(config: DistilTraining, space: LatentSpace) -> Tensor:
    """Latents (photos, latent) of photos to edit as the app reads them; attributes that are rare come more often."""
    crops = load_celeba(config.celeba, "train", config.limit)
    assert crops.labels is not None
    generator = seeded(config, 0)
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
    model, device = space.model, space.sigma_bar.device
    found = [
        invert(model.generator, augment(x, generator).to(device), model.tuning, perceptual=model.perceptual)[0]
        for x in tqdm(torch.cat(images).split(max(32, config.rows)), desc="read", leave=False)
    ]
    return torch.cat(found)


@torch.no_grad()
def search(config: DistilTraining, space: LatentSpace, photos: Tensor) -> Iterator[Found]:
    """Edit photos (N, latent), `rows` at a time that lack what is wanted, and look at each."""
    has = (torch.sigmoid(space.attribute_critic(photos)) >= 0.5).float().cpu()
    reach = space.model.calibration.for_optimiser(0.5)
    # Attribute vectors, each with the others held: a regression of latents on what is read in them.
    vectors = torch.linalg.lstsq(F.pad(has, (0, 1), value=1.0), photos.cpu()).solution[:-1].to(photos.device)
    names = config.changes or [f"{name}={int(wanted)}" for name, wanted in DIRECTIONS]
    for step in range(config.searches):
        generator = seeded(config, step)
        changes = ATTRIBUTE_SET.parse([names[int(torch.randint(len(names), (), generator=generator))]]).wanted
        ((name, wanted),) = changes.items()
        rows = torch.nonzero(has[:, ATTRIBUTES.index(name)] != float(wanted))[:, 0]
        rows = rows[torch.randperm(len(rows), generator=generator)[: config.rows]]
        if not len(rows):
            continue
        problem = pose(space, photos[rows], constraints_of(space, changes))
        margin = torch.full_like(problem.target_margin, config.shown)
        problem = dataclasses.replace(problem, target_margin=margin)
        differ = ((problem.target - problem.before.round()) * problem.edited) @ vectors
        proposal = propose(space, problem, reach) + config.vector * differ
        end, _ = correct(space, problem, proposal, config.looks)
        yield as_taught(problem, end, reach)


def as_taught(problem: Problem, end: Tensor, scale: float) -> Found:
    """What the actor must answer so that the same problem, `scale` along its line, leads to `end` (B, latent)."""
    whole = torch.where(problem.edited, problem.target, problem.before)
    move = (end - problem.z) / (scale * problem.step_scale)
    return Found(*(x.cpu() for x in (problem.z, whole, problem.edited.float(), move)))


def load_or_search(config: DistilTraining, space: LatentSpace) -> Found:
    """All that was found, in files that are there or after a search."""
    if config.teachers:
        committee: Any = Committee.load(config.teachers, space.sigma_bar.device)
        space = LatentSpace(dataclasses.replace(space.model, guidance=committee))
    parts: list[dict[str, Tensor]] = []
    for path in config.found:
        if not path.exists():
            photos = read_photos(config, space)
            batches = [vars(x) for x in tqdm(search(config, space, photos), total=config.searches, desc="search")]
            tensors = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, safetensors.torch.save(tensors))
        parts.append(safetensors.torch.load_file(path))
    return Found(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


@program
def main() -> None:
    config = parse(DistilTraining)
    engine = accelerator(config)
    run = Run(config, engine)
    model = load_model(config.weights, config.device)
    found = Found(*(x.to(engine.device) for x in vars(load_or_search(config, LatentSpace(model))).values()))
    teacher, actor, sigma = model.actor, copy.deepcopy(model.actor).train().requires_grad_(), model.statistics.sigma_bar
    optimiser = torch.optim.Adam(actor.parameters(), lr=config.lr, betas=(0.9, 0.99))

    def put(state: dict[str, Any]) -> None:
        actor.load_state_dict(state["actor"])
        optimiser.load_state_dict(state["optimiser"])

    start = run.restore(put)
    order = torch.randperm(len(found.z), generator=torch.Generator().manual_seed(0))
    kept, train = order.tensor_split([int(config.held_out * len(order))])

    often = model.label_counts.sqrt()  # rare combinations are asked for as well

    def edits(rows: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        """What the actor misses of moves (B,), in sigma_bar squared, and how long they are."""
        z, y, mask, move = (x[rows] for x in (found.z, found.y, found.mask, found.move))
        z = z + noise * sigma * torch.randn_like(z)
        moved = actor(z, y, mask, torch.ones(len(z), device=z.device)) - z
        return ((moved - move) / sigma).square().mean(1), (move / sigma).square().mean(1)

    def made(count: int) -> Tensor:
        """The same for made-up faces (B,), against what the actor made before."""
        y = model.label_vectors[torch.multinomial(often, count, replacement=True)].to(engine.device)
        z, identity = torch.randn(count, len(sigma), device=engine.device), torch.rand(count, device=engine.device)
        with torch.no_grad():
            wanted = teacher(z, y, torch.ones_like(y), identity)
        return ((actor(z, y, torch.ones_like(y), identity) - wanted) / sigma).square().mean(1)

    bar = tqdm(range(start, config.steps), initial=start, total=config.steps)
    for step in bar:
        seeded(config, step)
        for group in optimiser.param_groups:
            group["lr"] = cosine(step, config.steps, config.lr, 0.02 * config.lr, config.warmup)
        missed, _ = edits(train[torch.randint(len(train), (config.batch,))], config.noise)
        kept_faces = made(config.batch)
        loss = missed.mean() + kept_faces.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        done = step + 1
        if done % config.log_steps == 0 or done == config.steps:
            with torch.no_grad():
                held_out, length = (x.mean() for x in edits(kept, 0.0))
            values = {"edits": missed.mean(), "made": kept_faces.mean(), "held_out": held_out / length}
            run.log(done, **{name: value.item() for name, value in values.items()})
            bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})
        run.save(done, {"actor": actor.state_dict(), "optimiser": optimiser.state_dict()}, force=done == config.steps)
    if config.steps:
        save_module(config.weights, "actor", actor)


if __name__ == "__main__":
    main()

"""Give a new generator an actor and critics that do what an older model's do, learned from pictures.

    python -m train.inherit --weights runs/vae128/weights --source weights/celeba-64 --celeba data/celebahq

The two latent spaces have nothing in common but what is decoded. So the older model edits photos of the training part,
what it changed is laid over the photo, which keeps its own pixels elsewhere, and the new encoder says where that lies:
there the new actor learns to go (distillation, Hinton et al. 2015, across generators). D_attr learns from labels of
photos and from what the older model's guidance classifier reads in these edits; D from photos against draws from the
prior, photos half of whose dimensions are another's, and the actor's edits (arXiv 1711.05772, section 4).
Tuning and calibration come from the older model too, until they are measured anew; the tuning in the new generator's
units, and what belongs to inverting photos is its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lc.actor import Actor
from lc.blur import gaussian_blur
from lc.classifier import Classifier
from lc.critics import AttributeCritic, Critic, NetConfig
from lc.edit.actor import propose_corrected
from lc.edit.problem import constraints_of, pose
from lc.edit.space import LatentSpace
from lc.files import write_bytes
from lc.generator import from_prior
from lc.identity import save_calibration
from lc.invert import invert
from lc.tuning import Tuning
from lc.weights import load_model, load_statistics, save_editing_nets, save_tuning
from train.critics import calibrate
from train.data import MARGIN, augment, centre, load_celeba
from train.engine import RunConfig, parse, program
from train.evaluate.readers import resized
from train.inputs import load_encoding_generator
from train.latents import DIRECTIONS, load_or_encode
from train.loop import Stage, cosine, follow, seeded, train
from train.tasks import AttributeTask, CriticTask

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lc.model import Model

__all__ = ["InheritTraining", "Inheritance", "Inherited", "laid_over", "logit_slope"]

_SLOPES = 64  # photos that slopes of logits are measured on


@dataclass(frozen=True)
class InheritTraining(RunConfig):
    """Give a new generator an older model's actor and critics."""

    out: Path = Path("runs/inherit")
    weights: Path = Path("runs/vae128/weights")
    """Weights folder of the new generator; the nets go into it."""
    source: Path = Path("weights/celeba-64")
    """The older model, a whole weights folder."""
    celeba: Path = Path("data/celebahq")
    latents: Path | None = None
    """File to keep the photos' encodings in, or to read them from when it is there already."""
    found: Path | None = None
    """The same for the edits; none: OUT/edits.safetensors."""
    photos: int = 6_000
    """Photos that the older model edits."""
    edits: int = 600
    """Batches of edits, each of one change."""
    rows: int = 16
    """Photos in each of them."""
    actor: NetConfig = field(default_factory=NetConfig)
    critic: NetConfig = field(default_factory=NetConfig)
    attribute_critic: NetConfig = field(default_factory=lambda: NetConfig(dropout=0.2))
    steps: int = 3_000
    batch: int = 256
    """Photos, and as many edits, per step."""
    lr: float = 5e-4
    warmup: int = 50
    noise: float = 0.5
    """Standard deviation of what is added to latents that are to be edited, in posterior standard deviations."""
    gradient_penalty: float = 10.0
    held_out: float = 0.1
    """Share of the edits that only the log sees."""
    views: int = 2
    """Encodings kept per photo: one as it is, the others flipped and shifted."""
    sigma_x: float = 0.07
    inversion_steps: int = 3
    inversion_contrast: float = 0.7
    inversion_rate: float = 0.3
    """What the new generator's tuning says instead of the older one's, see `lc.tuning`."""
    step_scales: tuple[tuple[str, float], ...] = (("Young=0", 1.4), ("Young=1", 1.0))
    """Step scales of changes that need others than the older model's: squares are least for a mean, and what makes
    people older differs from face to face."""
    ema: float = 0.998
    bf16: bool = False
    """Moves are compared in full precision, of one small net."""
    margin: int = MARGIN
    """Pixels around a crop, on every side, that photos may be shifted by."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


@dataclass(frozen=True)
class Inherited:
    """What the older model did, N edits.

    Attributes:
        z, end: (N, latent), where the new encoder sees the photo and its edit.
        edited: (N, A) bool as numbers, the attributes that were edited. target: (N, A), what was wanted of them.
        read: (N, A) in [0, 1], what the older model's guidance classifier reads in the edit.
        length: (N,), how far along its actor's line the edit went: the new actor's own moves are to be as long as its.
    """

    z: Tensor
    end: Tensor
    edited: Tensor
    target: Tensor
    read: Tensor
    length: Tensor

    def at(self, rows: Tensor) -> Inherited:
        """Some of the rows."""
        return Inherited(*(x[rows] for x in vars(self).values()))


def laid_over(photos: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Photos (B, 3, S, S) with what changed between two pictures, (B, 3, s, s), all in [0, 1]; elsewhere they stay.

    Where something changed the picture, enlarged, replaces the photo: with the difference added, lines of what was
    there before would show through.
    """
    apart = gaussian_blur((after - before).abs().mean(1, keepdim=True), 9, 2.0)
    share = gaussian_blur(((apart - 0.015) / 0.03).clamp(0, 1), 9, 2.0)
    size = photos.shape[-1]
    return torch.lerp(photos, resized(after, size), resized(share, size))


@torch.no_grad()
def edits(config: InheritTraining, generator: Any) -> Iterator[Inherited]:
    """Let the older model edit photos, `rows` at a time that lack what is wanted."""
    space = LatentSpace(load_model(config.source, "cpu"))
    model, size, large = space.model, space.model.generator.image_size, generator.image_size
    crops = load_celeba(config.celeba, "train", config.limit, image_size=large, margin=config.margin)
    chance = seeded(config.seed, 0)
    rows = torch.randperm(len(crops.images), generator=chance)[: config.photos]
    images = torch.cat([augment(x, chance, image_size=large) for x in crops.images[rows].split(256)])
    found = []
    for x in tqdm(images.split(64), desc="read", leave=False):
        found.append(invert(model.generator, resized(x, size), model.tuning, perceptual=model.perceptual)[0])
    photos = torch.cat(found)
    has = (torch.sigmoid(space.attribute_critic(photos)) >= 0.5).float()
    scale = model.calibration.for_actor(0.5)
    for step in range(config.edits):
        name, wanted = DIRECTIONS[step % len(DIRECTIONS)]
        column = space.attributes.names.index(name)
        lacking = torch.nonzero(has[:, column] != float(wanted))[:, 0]
        chosen = lacking[torch.randperm(len(lacking), generator=chance)[: config.rows]]
        if not len(chosen):
            continue
        problem = pose(space, photos[chosen], constraints_of(space, {name: wanted}))
        _, after = propose_corrected(space, problem, scale, space.tuning.correction_steps)
        x = images[chosen]
        picture = laid_over(x, model.generator.decode(problem.z), after)
        assert model.guidance is not None
        yield Inherited(
            generator.encode(x).mean,
            generator.encode(picture).mean,
            problem.edited.float(),
            problem.target,
            torch.sigmoid(model.guidance.beyond(after)),
            x.new_full((len(x),), scale * problem.step_scale),
        )


def load_or_edit(config: InheritTraining, generator: Any) -> Inherited:
    """The edits, out of their file or made and written there."""
    path = config.found or config.out / "edits.safetensors"
    if not path.exists():
        batches = [vars(x) for x in tqdm(edits(config, generator), total=config.edits, desc="edit")]
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: torch.cat([batch[name] for batch in batches]).contiguous() for name in batches[0]}
        write_bytes(path, safetensors.torch.save(tensors))
    return Inherited(**safetensors.torch.load_file(path))


class InheritTask(nn.Module):
    """How far the actor's edits end from the older model's."""

    def __init__(self, actor: Actor, sigma: Tensor) -> None:
        super().__init__()
        self.actor, self.sigma = actor, sigma  # sigma_bar, (latent,)

    def forward(self, found: Inherited, before: Tensor) -> Tensor:
        """before (B, A), what D_attr reads -> the loss, a scalar."""
        return self.missed(found, before).mean()

    def missed(self, found: Inherited, before: Tensor) -> Tensor:
        """The same of each edit, (B,), in sigma_bar squared."""
        return ((self.moved(found, before) - found.end) / self.sigma).square().mean(1)

    def moved(self, found: Inherited, before: Tensor) -> Tensor:
        """Where the actor's edits end, (B, latent)."""
        y = torch.where(found.edited > 0.5, found.target, before)
        line: Tensor = self.actor(found.z, y, found.edited, torch.ones_like(found.length)) - found.z
        return found.z + found.length[:, None] * line


class Inheritance(Stage[InheritTraining]):
    """Actor, D and D_attr."""

    title, unit = "inherit", "rows"

    def __init__(self, config: InheritTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.generator = load_encoding_generator(config.weights, torch.device("cpu"))
        self.latents = load_or_encode(
            config.latents,
            self.generator,
            config.celeba,
            (),
            config.views,
            config.limit,
            torch.device("cpu"),
            config.margin,
        )
        found = load_or_edit(config, self.generator)
        self.found = Inherited(*(x.to(self.device) for x in vars(found).values()))
        order = torch.randperm(len(found.z), generator=torch.Generator().manual_seed(0))
        self.held_out, self.learned = order.tensor_split([int(config.held_out * len(order))])
        statistics = load_statistics(config.weights)
        self.sigma = statistics.sigma_bar.to(self.device)
        torch.manual_seed(self.seed)
        actor, critic = Actor(config.actor), Critic(config.critic)
        attribute_critic = AttributeCritic(config.attribute_critic)
        for net in (actor, critic, attribute_critic):
            net.whiten.fit(statistics)
            net.to(self.device)
        self.actor, self.attribute_critic = actor, attribute_critic
        self.task, self.steps = InheritTask(actor, self.sigma), config.steps
        tasks: dict[str, tuple[nn.Module, nn.Module, tuple[float, float]]] = {
            "actor": (actor, self.task, (0.9, 0.99)),
            "critic": (critic, CriticTask(critic, config.gradient_penalty), (0.0, 0.99)),
            "attribute_critic": (attribute_critic, AttributeTask(attribute_critic), (0.9, 0.99)),
        }
        rate = cosine(self.steps, config.lr, 0.02 * config.lr, config.warmup)
        for name, (module, task, betas) in tasks.items():
            optimiser = torch.optim.Adam(module.parameters(), lr=config.lr, betas=betas, fused=True)
            self.add(name, module, optimiser, rate, task=task, average=follow(config.ema))

    def update(self, name: str, *batch: object) -> Tensor:
        """A step of one net; only that one is in training mode, where D_attr drops out."""
        for other, net in self.nets.items():
            net.module.train(other == name)
        return super().update(name, *batch)

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        count = self.config.batch
        found = self.found.at(self.learned[torch.randint(len(self.learned), (count,))])
        noisy = found.z + self.config.noise * self.sigma * torch.randn_like(found.z)
        found = dataclasses.replace(found, z=noisy)
        rows = self.latents.rare_rows(count)
        photos, labels = self.latents.draw(rows, 1.0).to(self.device), self.latents.labels[rows].to(self.device)
        attribute = self.update("attribute_critic", torch.cat([photos, found.end]), torch.cat([labels, found.read]))
        with torch.no_grad():
            before = torch.sigmoid(self.attribute_critic.eval()(found.z))
            moved = self.task.moved(found, before)
            draws = from_prior(self.generator, torch.randn(count // 2, photos.shape[1])).to(self.device)
            others = torch.where(torch.rand_like(photos) < 0.5, photos, photos.roll(1, 0))[: count // 2]
        fakes = torch.cat([draws, others, moved[: count // 4]])
        known = (torch.rand(count, 1) < 0.5).to(labels)
        y = torch.where(known > 0.5, labels, 0.5)
        wrong = labels.roll(1, 0)
        differ = (wrong != labels).any(1)
        critic = self.update("critic", photos, y, fakes, y.repeat(2, 1)[: len(fakes)], photos[differ], wrong[differ])
        actor = self.update("actor", found, before)
        return {"actor": actor, "critic": critic, "attribute": attribute}

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        found = self.found.at(self.held_out)
        before = torch.sigmoid(self.averaged("attribute_critic")(found.z))
        task = InheritTask(self.averaged("actor"), self.sigma)
        length = ((found.end - found.z) / self.sigma).square().mean()
        return {"held_out": float(task(found, before) / length)}

    def finish(self) -> str:
        config = self.config
        source = load_model(config.source, "cpu")
        actor, critic, attribute_critic = (
            self.averaged(name).cpu() for name in ("actor", "critic", "attribute_critic")
        )
        photos = load_celeba(
            config.celeba, "validation", config.limit, image_size=self.generator.image_size, margin=config.margin
        )
        assert photos.labels is not None
        with torch.no_grad():
            size = self.generator.image_size
            z = torch.cat([self.generator.encode(centre(x, size)).mean for x in photos.images.split(128)])
            calibrate(attribute_critic, z, photos.labels)
            right = float(((attribute_critic(z) >= 0).float() == photos.labels).float().mean())
        labels, attributes = self.latents.labels, source.attributes
        save_editing_nets(config.weights, actor, critic, attribute_critic, labels, source.lambda_dist, attributes)
        save_tuning(config.weights, self._tuning(source, z[:_SLOPES]))
        scales = {**source.calibration.step_scales, **dict(config.step_scales)}
        save_calibration(config.weights, dataclasses.replace(source.calibration, step_scales=scales))
        return f"D_attr on held-out photos: accuracy {right:.4f}; nets in {config.weights}"

    def _tuning(self, source: Model, z: Tensor) -> Tuning:
        """The older model's, in the new generator's units: a logit may take more sigma_bar here, or fewer."""
        config, tuning, sigma, found = self.config, source.tuning, self.sigma.cpu(), self.found
        assert source.guidance is not None
        slope = logit_slope(self.generator, source.guidance, z, sigma)
        ratio = tuning.logit_slope / slope
        longest = float(((found.end - found.z) / self.sigma).square().mean().sqrt())
        return dataclasses.replace(
            tuning,
            sigma_x=config.sigma_x,
            inversion_steps=config.inversion_steps,
            inversion_contrast=config.inversion_contrast,
            inversion_rate=config.inversion_rate,
            logit_slope=slope,
            unasked_weight=ratio * tuning.unasked_weight,
            undone_weight=ratio * tuning.undone_weight,
            optimiser_rate=ratio**0.5 * tuning.optimiser_rate,
            optimiser_stride=ratio**0.5 * tuning.optimiser_stride,
            optimiser_radius=longest,
        )


def logit_slope(generator: Any, guidance: Classifier, z: Tensor, sigma: Tensor) -> float:
    """`Tuning.logit_slope` of a generator, on latents (B, latent) of photos, in sigma (latent,)."""
    z = z.clone().requires_grad_()
    squares = []
    with torch.enable_grad():
        for logits in guidance.beyond(generator.decode(z)).sum(0):
            (slope,) = torch.autograd.grad(logits, z, retain_graph=True)
            squares.append((slope * sigma).square().sum(1).mean())
    return float(torch.stack(squares).mean())


@program
def main() -> None:
    train(Inheritance, parse(InheritTraining))


if __name__ == "__main__":
    main()

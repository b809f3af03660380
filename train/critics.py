"""Train the critics D(z, y) and D_attr(z) and the actor G(z, y), jointly, over the frozen generator's latents.

    python -m train.critics --vae runs/vae/weights --guidance runs/guidance/weights --extra cache/lfw.safetensors \\
        --out runs/critics

Source: arXiv 1711.05772, section 4. What differs from the paper, and why:
- D's label is left out half of the time, so that the same net says "real" without vetoing label combinations that
  nobody has; edits use it so.
- D_attr also learns from decoded latents (the actor's, and others on the line from an edited photo to them and beyond)
  that a guidance classifier of pixels has read back, so that it is right where edits go and not only where
  photos are.
- Changes that fail are drawn more often, and count more.
- The actor hears that classifier too, through the decoder: an edit that fools D_attr but not the eye earns nothing.
- One actor serves every distance weight: it is told the place of the identity slider.

A generator without an encoder has no encodings of photos: `--latents` then names what `train.decoded` made, and its
last tenth is held out in their place.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lc.actor import Actor
from lc.critics import AttributeCritic, Critic, NetConfig
from lc.errors import LatentConstraintsError
from lc.generator import EncodingGenerator
from lc.invert import invert
from lc.weights import bundled_classifier, load_module, load_statistics, save_editing_nets, save_tuning
from train.attributes import ATTRIBUTE_SET
from train.classifier import load_guidance
from train.data import MARGIN, centre, load_celeba
from train.draw import Draw
from train.engine import RunConfig, parse, program, save_grid
from train.inputs import load_generator_of
from train.latents import DIRECTIONS, Latents, load_or_encode, toggle_goals
from train.loop import Stage, cosine, follow, train
from train.tasks import ActorTask, ActorWeights, AttributeTask, CriticTask, Targets
from train.tuning import tuning_of

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class CriticsTraining(RunConfig):
    """Train critics and actor."""

    out: Path = Path("runs/critics")
    celeba: Path = Path("data/celeba")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare: real photos without labels."""
    vae: Path = Path("runs/vae/weights")
    """Weights folder of the generator; the nets are written into it."""
    guidance: tuple[Path, ...] = (Path("runs/guidance/weights"),)
    """Folders of the classifiers that help training; with several, each step hears one."""
    init: Path | None = None
    """Weights folder to start from."""
    actor: NetConfig = dataclasses.field(default_factory=NetConfig)
    critic: NetConfig = dataclasses.field(default_factory=NetConfig)
    attribute_critic: NetConfig = dataclasses.field(default_factory=lambda: NetConfig(dropout=0.2))
    steps: int = 4_900
    batch: int = 96
    """Rows per step and process: a third each for generated faces, edits and photos."""
    lr: float = 4e-4
    warmup: int = 50
    latents: Path | None = None
    """File to keep the photos' encodings in, or to read them from when it is there already; or what train.decoded
    made."""
    views: int = 2
    """Encodings kept per photo: one as it is, the others flipped and shifted."""
    gradient_penalty: float = 10.0
    critic_steps: int = 2
    """Critic updates per actor update."""
    realism: float = 2.5
    """Weight of -log D in the actor's loss for generated faces."""
    realism_edit: float = 1.2
    """The same for edits. With 0.3 an edit that fails often learns to ruin the face instead."""
    attribute: float = 2.0
    """Weight of D_attr's and the guidance classifier's cross-entropies."""
    match: float = 4.0
    """Weight of the energy distance between guidance features of generated faces and of photos with such labels."""
    failing: float = 1.0
    """How many times more a change counts that always fails than one that never does, less one."""
    cycle: float = 0.5
    """Weight of the distance that is left after an edit and its undoing, against the edit's own."""
    pixels: float = 40.0
    """Weight of the mean absolute change of an edit's pixels, in [0, 1], against its distance in latents."""
    preservation: float = 0.8
    """Weight of an attribute to preserve against one to change."""
    smoothing: float = 0.03
    """Distance of targets from 0 and 1: beyond that an attribute only burns."""
    lambda_dist: tuple[float, float] = (0.01, 0.5)
    """Distance weight at identity 0 and 1; between them it grows geometrically."""
    lambda_sample: float = 0.05
    """Distance weight for generated faces."""
    optimiser_steps: int | None = None
    """The most steps that the optimiser takes with these nets, written into the folder's tuning; None: as it was."""
    diversity: float = 8.0
    """Weight of the penalty on generated faces of one label that are nearer to each other than what they began as."""
    ema: float = 0.998
    margin: int = MARGIN
    """Pixels around a crop, on every side, that encoded photos may be shifted by."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


#: Of the actor's loss, as the log names them.
PARTS = ("realism", "latent", "pixel", "distance", "change", "match")

PRESETS = {
    "cpu": CriticsTraining(),
    "paper": CriticsTraining(
        actor=NetConfig(width=2048),
        critic=NetConfig(width=2048),
        attribute_critic=NetConfig(width=2048, dropout=0.2),
        steps=100_000,
        batch=384,
        lr=1e-4,
        critic_steps=10,
    ),
}


def build(config: CriticsTraining) -> tuple[Actor, Critic, AttributeCritic]:
    """The three nets, fresh or warm, whitened for the generator's latents.

    Raises:
        LatentConstraintsError: they are for latents of other dimensions.
    """
    statistics = load_statistics(config.vae)
    nets = Actor(config.actor), Critic(config.critic), AttributeCritic(config.attribute_critic)
    names = ("actor", "critic", "attribute_critic")
    pairs: list[tuple[str, Actor | Critic | AttributeCritic]] = list(zip(names, nets, strict=True))
    for name, net in pairs:
        if net.config.latent != len(statistics.mean):
            raise LatentConstraintsError(
                f"The latents of {config.vae} have {len(statistics.mean)} dimensions, and not {net.config.latent}: "
                f"give --{name.replace('_', '-')}.latent {len(statistics.mean)}."
            )
        if config.init:
            load_module(config.init, name, net)
        net.whiten.fit(statistics)
    return nets


def calibrate(critic: AttributeCritic, z: Tensor, labels: Tensor) -> None:
    """Shift D_attr's biases so that each attribute is read as often as it is true. z (N, latent), labels (N, 10)."""
    logits = critic(z)
    last = critic.body[-1]
    assert isinstance(last, nn.Linear)
    for i, share in enumerate(labels.mean(0).tolist()):
        last.bias[i] -= torch.quantile(logits[:, i], 1 - share)


class HeldOut(NamedTuple):
    """What is not learned from: pictures (8, 3, S, S) of the first of the latents, z (N, latent), labels (N, A)."""

    images: Tensor
    z: Tensor
    labels: Tensor


class CriticsStage(Stage[CriticsTraining]):
    """The actor, and the two critics that it learns from."""

    title = "critics"
    unit = "rows"

    def __init__(self, config: CriticsTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.vae, self.steps = load_generator_of(config.vae, config.latents, self.device), config.steps
        latents = load_or_encode(
            config.latents,
            self.vae,
            config.celeba,
            config.extra,
            config.views,
            config.limit,
            self.device,
            config.margin,
        )
        self.latents, self.held_out = self.split(latents)
        torch.manual_seed(self.seed)
        self.actor, critic, attribute_critic = nets = build(config)
        for net in nets:
            net.to(self.device)
        guidance = [load_guidance(folder, self.vae.image_size).to(self.device) for folder in config.guidance]
        sigma_bar = load_statistics(config.vae).sigma_bar.to(self.device)
        targets = Targets(critic, attribute_critic, guidance, self.vae, sigma_bar)
        weights = ActorWeights(
            **{field.name: getattr(config, field.name) for field in dataclasses.fields(ActorWeights)}
        )
        tasks: dict[str, tuple[nn.Module, nn.Module]] = {
            "actor": (self.actor, ActorTask(self.actor, targets, weights)),
            "critic": (critic, CriticTask(critic, config.gradient_penalty)),
            "attribute_critic": (attribute_critic, AttributeTask(attribute_critic)),
        }
        rate = cosine(self.steps, config.lr, 0.05 * config.lr, config.warmup)
        for name, (module, task) in tasks.items():
            # No momentum in the adversarial pair (the paper's setting); D_attr just fits.
            betas = (0.9, 0.99) if name == "attribute_critic" else (0.0, 0.99)
            optimiser = torch.optim.Adam(module.parameters(), lr=config.lr, betas=betas, fused=True)
            self.add(name, module, optimiser, rate, task=task, average=follow(config.ema))
        with engine.autocast():
            self.draw = Draw(config, self.latents, targets, self.device)
        self.kept = {"failing": self.draw.failing}

    def update(self, name: str, *batch: Any) -> Tensor:
        """A step of one net; only that one is in training mode, where D_attr drops out."""
        for other, net in self.nets.items():
            net.module.train(other == name)
        return super().update(name, *batch)

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        for _ in range(self.config.critic_steps):
            with torch.no_grad(), self.engine.autocast():
                inputs = self.draw.for_critic(self.actor)
            critic = self.update("critic", *inputs)
        with torch.no_grad(), self.engine.autocast():
            z, labels = self.draw.for_attributes(self.actor)
        attribute = self.update("attribute_critic", z, labels)
        with torch.no_grad(), self.engine.autocast():
            batch = self.draw.for_actor()
        losses = self.update("actor", batch)
        return dict(zip(("actor", *PARTS), losses, strict=True)) | {"critic": critic, "attribute": attribute}

    def measure(self, done: int) -> Mapping[str, float]:
        if done % (5 * self.config.log_steps):
            return {}
        return {"held_out_accuracy": self.show(*self.trained())}

    def trained(self) -> tuple[Actor, Critic, AttributeCritic]:
        """Copies of the averaged nets."""
        names = ("actor", "critic", "attribute_critic")
        actor, critic, attribute_critic = (copy.deepcopy(self.averaged(name)) for name in names)
        return actor, critic, attribute_critic

    @torch.no_grad()
    def split(self, latents: Latents) -> tuple[Latents, HeldOut]:
        """What is learned from, and what is held out: photos, or the last tenth where there is no encoder."""
        config, size = self.config, self.vae.image_size
        if not isinstance(self.vae, EncodingGenerator):
            learned = len(latents.mean) - max(1, len(latents.mean) // 10)
            z, labels = latents.mean[learned:, 0].to(self.device), latents.labels[learned:]
            rest = Latents.of(latents.mean[:learned], latents.std[:learned], latents.labels[:learned])
            return rest, HeldOut(self.vae.decode(z[:8]).cpu(), z, labels)
        photos = load_celeba(config.celeba, "validation", config.limit, image_size=size, margin=config.margin)
        assert photos.labels is not None
        images, tuning = centre(photos.images, size), tuning_of(config.vae)
        perceptual = bundled_classifier(config.vae, "perceptual")
        perceptual = perceptual.to(self.device) if perceptual else None
        # As the app reads them.
        parts = [invert(self.vae, x.to(self.device), tuning, perceptual=perceptual)[0] for x in images.split(128)]
        return latents, HeldOut(images[:8], torch.cat(parts), photos.labels)

    @torch.no_grad()
    def show(self, actor: Actor, critic: Critic, attribute_critic: AttributeCritic) -> float:
        """Set D_attr's biases by what is held out, draw samples and edits; returns its accuracy there."""
        config, (images, z, labels) = self.config, self.held_out
        calibrate(attribute_critic, z, labels.to(self.device))
        save_grid(self.samples(actor), config.out / "samples.png")
        save_grid(self.edits(actor, attribute_critic, images, z[:8]), config.out / "edits.png", columns=12)
        return float(((attribute_critic(z) >= 0).float().cpu() == labels).float().mean())

    def samples(self, actor: Actor) -> Tensor:
        """Generated faces with the training photos' labels, (32, 3, S, S)."""
        torch.manual_seed(0)
        labels = self.latents.labels
        y = labels[torch.randint(len(labels), (32,))].to(self.device)
        prior = torch.randn(32, self.vae.latent, device=self.device)
        pictures: Tensor = self.vae.decode(actor(prior, y, torch.ones_like(y), torch.zeros(32, device=self.device)))
        return pictures

    def edits(self, actor: Actor, attribute_critic: AttributeCritic, images: Tensor, z: Tensor) -> Tensor:
        """Photos (N, 3, S, S), each with its copy and an edit of every attribute."""
        rows = []
        for x, start in zip(images, z, strict=True):
            starts = start.expand(len(DIRECTIONS) // 2, -1)
            before = torch.sigmoid(attribute_critic(starts)).cpu()
            wanted = (before[0] < 0.5).long()  # toggle each attribute
            goals = toggle_goals(before, 2 * torch.arange(len(starts)) + 1 - wanted)
            careful = torch.ones(len(starts), device=self.device)  # as the app's edits are
            edited = actor(starts, goals.target.to(self.device), goals.mask.to(self.device), careful)
            rows += [x[None].to(self.device), self.vae.decode(torch.cat([start[None], edited]))]
        return torch.cat(rows)

    def finish(self) -> str:
        """Write the averaged nets into the generator's folder, and grids of samples and edits."""
        config, nets = self.config, self.trained()
        accuracy = self.show(*nets)
        save_editing_nets(config.vae, *nets, self.latents.labels, config.lambda_dist, ATTRIBUTE_SET)
        tuning = tuning_of(config.vae)
        if config.optimiser_steps is not None:
            tuning = dataclasses.replace(tuning, optimiser_steps=config.optimiser_steps)
        save_tuning(config.vae, tuning)
        return f"D_attr on what is held out: accuracy {accuracy:.4f}; nets in {config.vae}"


@program
def main() -> None:
    train(CriticsStage, parse(CriticsTraining, PRESETS))


if __name__ == "__main__":
    main()

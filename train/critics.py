"""Train the critics D(z, y) and D_attr(z) and the actor G(z, y), jointly, over the frozen generator's latents.

    python -m train.critics --vae runs/vae/weights --guide runs/guide/weights --extra cache/lfw.safetensors \\
        --out runs/critics

Source: arXiv 1711.05772, section 4. What differs from the paper, and why:
- D's label is left out half of the time, so that the same net says "real" without vetoing label combinations that
  nobody has; edits use it so.
- D_attr also learns from decoded latents (the actor's, and others on the line from an edited photo to them and beyond)
  that a training-time pixel classifier, the guide, has read back, so that it is right where edits go and not only where
  photos are.
- Changes that fail are drawn more often, and count more.
- The actor hears the guide too, through the decoder: an edit that fools D_attr but not the eye earns nothing.
- One actor serves every distance weight: it is told the place of the identity slider.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from lc.actor import Actor
from lc.critics import AttributeCritic, Critic, NetConfig
from lc.invert import invert
from lc.vae import VAE
from lc.weights import (
    bundled_classifier,
    load_generator,
    load_module,
    load_statistics,
    save_editing_nets,
    save_tuning,
)
from train.attributes import ATTRIBUTE_SET
from train.classifier import load_guide
from train.data import centre, load_celeba
from train.draw import Draw
from train.engine import Ema, Run, RunConfig, accelerator, cosine, parse, program, save_grid, seeded
from train.latents import DIRECTIONS, Latents, load_or_encode, toggle_goals
from train.tasks import ActorBatch, ActorTask, ActorWeights, AttributeTask, CriticTask, Judges
from train.tuning import tuning_of


@dataclass(frozen=True)
class CriticsTraining(RunConfig):
    """Train critics and actor."""

    out: Path = Path("runs/critics")
    celeba: Path = Path("data/celeba")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare: real photos without labels."""
    vae: Path = Path("runs/vae/weights")
    """Weights folder of the generator; the nets are written into it."""
    guide: tuple[Path, ...] = (Path("runs/guide/weights"),)
    """Folders of the classifiers that help training; with several, each step hears one."""
    init: Path | None = None
    """Weights folder to start from."""
    actor: NetConfig = dataclasses.field(default_factory=NetConfig)
    critic: NetConfig = dataclasses.field(default_factory=NetConfig)
    attribute_critic: NetConfig = dataclasses.field(default_factory=lambda: NetConfig(dropout=0.2))
    steps: int = 4_900
    batch: int = 96
    """Rows per step and process: a third each for made-up faces, edits and photos."""
    lr: float = 4e-4
    warmup: int = 50
    latents: Path | None = None
    """File to keep the photos' encodings in, or to read them from when it is there already."""
    looks: int = 2
    """Encodings kept per photo: one as it is, the others flipped and shifted."""
    gradient_penalty: float = 10.0
    critic_steps: int = 2
    """Critic updates per actor update."""
    realism: float = 2.5
    """Weight of -log D in the actor's loss for made-up faces."""
    realism_edit: float = 1.2
    """The same for edits. With 0.3 an edit that fails often learns to ruin the face instead."""
    attribute: float = 2.0
    """Weight of D_attr's and the guide's cross-entropies."""
    match: float = 4.0
    """Weight of the energy distance between a guide's features of made-up faces and of photos with such labels."""
    failing: float = 1.0
    """How many times more a change counts that always fails than one that never does, less one."""
    cycle: float = 0.5
    """Weight of the distance that is left after an edit and its undoing, against the edit's own."""
    pixels: float = 40.0
    """Weight of the mean absolute change of an edit's pixels, in [0, 1], against its distance in latents."""
    hold: float = 0.8
    """Weight of an attribute to hold against one to change."""
    smoothing: float = 0.03
    """Distance of targets from 0 and 1: beyond that an attribute only burns."""
    lambda_dist: tuple[float, float] = (0.01, 0.5)
    """Distance weight at identity 0 and 1; between them it grows geometrically."""
    lambda_sample: float = 0.05
    """Distance weight for made-up faces."""
    diversity: float = 8.0
    """Weight of the penalty on made-up faces of one label that are nearer to each other than what they began as."""
    ema: float = 0.998
    limit: int | None = None
    """Use only so many photos: a dry run."""


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


class Training:
    """The nets, their averages and optimisers, and one update of each."""

    def __init__(
        self, config: CriticsTraining, engine: Accelerator, judges: Judges, nets: tuple[Actor, Critic, AttributeCritic]
    ) -> None:
        self.config, self.engine = config, engine
        actor, critic, attribute_critic = nets
        self.nets: dict[str, nn.Module] = {"actor": actor, "critic": critic, "attribute_critic": attribute_critic}
        self.tasks: dict[str, nn.Module] = {
            "actor": ActorTask(
                actor,
                judges,
                ActorWeights(
                    config.attribute,
                    config.hold,
                    config.smoothing,
                    config.cycle,
                    config.pixels,
                    config.diversity,
                    config.match,
                ),
            ),
            "critic": CriticTask(critic, config.gradient_penalty),
            "attribute_critic": AttributeTask(attribute_critic),
        }
        self.optimisers: dict[str, Any] = {}
        for name, net in self.nets.items():
            # No momentum in the adversarial pair (the paper's setting); D_attr just fits.
            betas = (0.9, 0.99) if name == "attribute_critic" else (0.0, 0.99)
            optimiser = torch.optim.Adam(net.parameters(), lr=config.lr, betas=betas, fused=True)
            self.tasks[name], self.optimisers[name] = engine.prepare(self.tasks[name], optimiser)
        self.averages = {name: Ema(net, config.ema) for name, net in self.nets.items()}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {
            name: {
                "net": self.nets[name].state_dict(),
                "average": self.averages[name].state,
                "optimiser": self.optimisers[name].state_dict(),
            }
            for name in self.nets
        }

    def load(self, state: dict[str, Any]) -> None:
        for name, net in self.nets.items():
            net.load_state_dict(state[name]["net"])
            self.averages[name].state = state[name]["average"]
            self.optimisers[name].load_state_dict(state[name]["optimiser"])

    def set_lr(self, step: int) -> None:
        config = self.config
        lr = cosine(step, config.steps, config.lr, 0.05 * config.lr, config.warmup)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = lr

    def update(self, name: str, step: int, *inputs: Tensor | ActorBatch) -> Tensor:
        """One step of one net, the others frozen. Returns what its task returns: the loss, perhaps with its parts."""
        for other, net in self.nets.items():
            net.requires_grad_(other == name)
            net.train(other == name)
        with self.engine.autocast():
            loss: Tensor = self.tasks[name](*inputs)
        self.optimisers[name].zero_grad()
        self.engine.backward(loss if loss.ndim == 0 else loss[0])
        self.optimisers[name].step()
        self.averages[name].update(self.nets[name], step)
        return loss.detach()


@program
def main() -> None:
    config = parse(CriticsTraining, PRESETS)
    engine = accelerator(config)
    device = engine.device
    run = Run(config, engine)
    vae = load_generator(config.vae).to(device)
    latents = load_or_encode(config.latents, vae, config.celeba, config.extra, config.looks, config.limit, device)
    torch.manual_seed(config.seed)
    actor, critic, attribute_critic = nets = build(config)
    for net in nets:
        net.to(device)
    guides = [load_guide(folder).to(device) for folder in config.guide]
    judges = Judges(critic, attribute_critic, guides, vae, load_statistics(config.vae).sigma_bar.to(device))
    training, failing = Training(config, engine, judges, nets), []

    def put(state: dict[str, Any]) -> None:
        training.load(state)
        failing.append(state["failing"])

    start = run.restore(put)
    with engine.autocast():
        draw = Draw(config, latents, judges, device)
    if failing:
        draw.failing = failing[0]
    bar = tqdm(range(start, config.steps), initial=start, total=config.steps, disable=not engine.is_main_process)
    for step in bar:
        seeded(config, step, engine.process_index)
        training.set_lr(step)
        for _ in range(config.critic_steps):
            with torch.no_grad(), engine.autocast():
                inputs = draw.for_critic(actor)
            critic_loss = training.update("critic", step, *inputs)
        with torch.no_grad(), engine.autocast():
            z, labels = draw.for_attributes(actor)
        attribute = training.update("attribute_critic", step, z, labels)
        with torch.no_grad(), engine.autocast():
            batch = draw.for_actor()
        losses = training.update("actor", step, batch)
        done = step + 1
        if done % config.log_steps == 0:
            names = ("actor", "realism", "latent", "pixel", "distance", "change", "match")
            values = dict(zip(names, losses.tolist(), strict=True))
            run.log(done, **values, critic=critic_loss.item(), attribute=attribute.item())
            bar.set_postfix({name: f"{value:.2f}" for name, value in values.items()})
        run.save(done, {**training.state(), "failing": draw.failing}, force=done == config.steps)
        if engine.is_main_process and (done % (5 * config.log_steps) == 0 or done == config.steps):
            finish(config, training.averages, latents, vae)
    engine.end_training()


def build(config: CriticsTraining) -> tuple[Actor, Critic, AttributeCritic]:
    """The three nets, fresh or warm, whitened for the generator's latents."""
    statistics = load_statistics(config.vae)
    nets = Actor(config.actor), Critic(config.critic), AttributeCritic(config.attribute_critic)
    names = ("actor", "critic", "attribute_critic")
    pairs: list[tuple[str, Actor | Critic | AttributeCritic]] = list(zip(names, nets, strict=True))
    for name, net in pairs:
        if config.init:
            load_module(config.init, name, net)
        net.whiten.fit(statistics)
    return nets


@torch.no_grad()
def finish(config: CriticsTraining, averages: dict[str, Ema], latents: Latents, vae: VAE) -> None:
    """Write the averaged nets into the generator's folder, and a grid of samples and edits."""
    device = next(vae.parameters()).device
    actor, critic, attribute_critic = build(config)
    for name, net in (("actor", actor), ("critic", critic), ("attribute_critic", attribute_critic)):
        net.load_state_dict(averages[name].state)
        net.eval().to(device)
    held_out = load_celeba(config.celeba, "validation", config.limit)
    assert held_out.labels is not None
    images = centre(held_out.images)
    perceptual = perceptual.to(device) if (perceptual := bundled_classifier(config.vae, "perceptual")) else None
    # As the app reads them.
    tuning = tuning_of(config.vae)
    z = torch.cat([invert(vae, x.to(device), tuning, perceptual=perceptual)[0] for x in images.split(128)])
    calibrate(attribute_critic, z, held_out.labels.to(device))
    read = (attribute_critic(z) >= 0).float().cpu()
    print(f"\nD_attr on held-out photos: accuracy {(read == held_out.labels).float().mean():.4f}")
    save_editing_nets(config.vae, actor, critic, attribute_critic, latents.labels, config.lambda_dist, ATTRIBUTE_SET)
    save_tuning(config.vae, tuning)
    torch.manual_seed(0)
    y = latents.labels[torch.randint(len(latents.labels), (32,))].to(device)
    prior = torch.randn(32, vae.latent, device=device)
    made = actor(prior, y, torch.ones_like(y), torch.zeros(32, device=device))
    save_grid(vae.decode(made), config.out / "samples.png")
    rows = []
    for x, start in zip(images[:8], z[:8], strict=True):
        starts = start.expand(len(DIRECTIONS) // 2, -1)
        before = torch.sigmoid(attribute_critic(starts)).cpu()
        wanted = (before[0] < 0.5).long()  # toggle each attribute
        goals = toggle_goals(before, 2 * torch.arange(len(starts)) + 1 - wanted)
        careful = torch.ones(len(starts), device=device)  # as the app's edits are
        edited = actor(starts, goals.target.to(device), goals.mask.to(device), careful)
        rows += [x[None].to(device), vae.decode(torch.cat([start[None], edited]))]
    save_grid(torch.cat(rows), config.out / "edits.png", columns=12)


def calibrate(critic: AttributeCritic, z: Tensor, labels: Tensor) -> None:
    """Shift D_attr's biases so that each attribute is read as often as it is true. z (N, latent), labels (N, 10)."""
    logits = critic(z)
    last = critic.body[-1]
    assert isinstance(last, nn.Linear)
    for i, share in enumerate(labels.mean(0).tolist()):
        last.bias[i] -= torch.quantile(logits[:, i], 1 - share)


if __name__ == "__main__":
    main()

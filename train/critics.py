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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from lc.actor import Actor
from lc.attributes import ATTRIBUTES
from lc.critics import AttributeCritic, Critic, NetConfig
from lc.generator import VAE
from lc.weights import load_generator, load_module, load_statistics, save_editing_nets
from train.classifier import load_guide
from train.data import centre, load_celeba
from train.engine import Ema, Run, RunConfig, accelerator, cosine, parse, save_grid, seeded
from train.latents import DIRECTIONS, Goals, Latents, load_or_encode, toggle_goals
from train.tasks import ActorBatch, ActorTask, ActorWeights, AttributeTask, CriticTask, Judges


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


#: Parts of an edit's way, 1 the actor's proposal, between which the slider and the optimiser may end.
LINE = (0.3, 1.6)

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
        self, config: CriticsTraining, engine: Accelerator, judges: Judges, nets: dict[str, nn.Module]
    ) -> None:
        self.config, self.engine, self.nets = config, engine, nets
        self.tasks: dict[str, nn.Module] = {
            "actor": ActorTask(
                nets["actor"],
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
            "critic": CriticTask(nets["critic"], config.gradient_penalty),
            "attribute_critic": AttributeTask(nets["attribute_critic"]),
        }
        self.optimisers: dict[str, Any] = {}
        for name, net in nets.items():
            # No momentum in the adversarial pair (the paper's setting); D_attr just fits.
            betas = (0.9, 0.99) if name == "attribute_critic" else (0.0, 0.99)
            optimiser = torch.optim.Adam(net.parameters(), lr=config.lr, betas=betas, fused=True)
            self.tasks[name], self.optimisers[name] = engine.prepare(self.tasks[name], optimiser)
        self.averages = {name: Ema(net, config.ema) for name, net in nets.items()}

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


def main() -> None:
    config = parse(CriticsTraining, PRESETS)
    engine = accelerator(config)
    device = engine.device
    run = Run(config, engine)
    vae = load_generator(config.vae).to(device)
    latents = load_or_encode(config.latents, vae, config.celeba, config.extra, config.looks, config.limit, device)
    torch.manual_seed(config.seed)
    actor, critic, attribute_critic = (net.to(device) for net in build(config))
    guides = [load_guide(folder).to(device) for folder in config.guide]
    judges = Judges(critic, attribute_critic, guides, vae, load_statistics(config.vae).sigma_bar.to(device))
    nets = {"actor": actor, "critic": critic, "attribute_critic": attribute_critic}
    training, start = Training(config, engine, judges, nets), 0
    if state := run.load():
        training.load(state)
        start = state["step"]
    with engine.autocast():
        draw = Draw(config, latents, judges, device)
    if state:
        draw.failing = state["failing"]
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
    for name, net in zip(("actor", "critic", "attribute_critic"), nets, strict=True):
        if config.init:
            load_module(config.init, name, net)
        net.whiten.fit(statistics)
    return nets


@dataclass
class Draw:
    """Draws batches. All chance comes from torch's global source, which every step seeds anew."""

    config: CriticsTraining
    latents: Latents
    judges: Judges
    device: torch.device
    failing: Tensor = field(default_factory=lambda: torch.full((len(DIRECTIONS),), 0.5))
    """(20,) how often each direction's edits failed of late, as a guide reads them: those are drawn more often."""

    def __post_init__(self) -> None:
        # The guides' features of the photos, once.
        photos = self.latents.mean[: len(self.latents.labels), 0]
        with torch.no_grad():
            guides = range(len(self.judges.guides))
            found = [
                [self.judges.features(images, guide).float() for guide in guides]
                for images in (self.judges.vae.decode(z.to(self.device)) for z in photos.split(256))
            ]
        self.photo_features = [torch.cat(parts) for parts in zip(*found, strict=True)]

    @property
    def part(self) -> int:
        return self.config.batch // 3

    def labels(self, count: int) -> Tensor:
        """Label vectors of photos drawn with the rare attributes more often, (count, 10)."""
        return self.latents.labels[self.latents.rare_rows(count)].to(self.device)

    def prior(self, count: int) -> Tensor:
        return torch.randn(count, self.latents.mean.shape[2], device=self.device)

    def photos(self, rows: Tensor) -> Tensor:
        """Encodings of photos: a draw from q(z|x) or, as often, its mean, which is what the app edits."""
        noise = (torch.rand(len(rows), 1) < 0.5).float()
        return self.latents.draw(rows, noise).to(self.device)

    def toggles(self, count: int) -> tuple[Tensor, Goals, Tensor, Tensor, Tensor]:
        """Photos to edit, goals, places of the identity slider, directions, and the targets that undo the edits.

        One toggle each or now and then none.
        """
        directions = torch.multinomial(0.15 + self.failing, count, replacement=True)
        z = self.photos(self.latents.without(directions))
        directions = torch.where(torch.rand(count) < 0.06, -1, directions)
        with torch.no_grad():
            before = torch.sigmoid(self.judges.attribute_critic.eval()(z)).float().cpu()
        goals = toggle_goals(before, directions)
        goals = Goals(goals.target.to(self.device), goals.mask.to(self.device))
        back = before.to(self.device)
        back = torch.where(goals.mask > 0.5, back.round(), back)
        return z, goals, torch.rand(count).to(self.device), directions, back

    def moved(self, actor: Actor, samples: int, edits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The actor's outputs from the prior and from photos, the labels D is asked about, the edits' directions, and
        the latents that were edited."""
        y = self.labels(samples)
        ones, zeros = torch.ones_like(y), torch.zeros(samples, device=self.device)
        made = actor(self.prior(samples), y, ones, zeros)
        z, goals, identity, directions, _ = self.toggles(edits)
        edited = actor(z, goals.target, goals.mask, identity)
        return torch.cat([made, edited]).float(), torch.cat([y, torch.full_like(goals.target, 0.5)]), directions, z

    def for_critic(self, actor: Actor) -> tuple[Tensor, ...]:
        """real, y, fake, y_fake, wrong, y_wrong: see CriticTask."""
        # Drawn as the actor's labels are: else D would learn that a rare label is a fake one.
        labelled = self.latents.rare_rows(2 * self.part)
        anyone = torch.randint(len(self.latents.mean), (self.part,))
        unknown = torch.full((self.part, self.latents.labels.shape[1]), 0.5)
        y_labelled = self.latents.labels[labelled]
        # With the unlabelled third, half of all rows come without a label.
        y_labelled = torch.where(torch.rand(len(labelled), 1) < 0.25, 0.5, y_labelled)
        real = self.photos(torch.cat([labelled, anyone]))
        y = torch.cat([y_labelled, unknown]).to(self.device)
        fake, y_fake, *_ = self.moved(actor.eval(), 2 * self.part, self.part)
        tenth = max(1, len(fake) // 10)
        fake[:tenth] = self.prior(tenth)
        wrong = self.photos(torch.randint(len(self.latents.labels), (self.part // 2,)))
        y_wrong = self.labels(len(wrong))  # of other photos: nearly always wrong
        return real, y, fake, y_fake, wrong, y_wrong

    def for_attributes(self, actor: Actor) -> tuple[Tensor, Tensor]:
        """Latents and their labels: photos', and a guide's reading of what the actor makes of prior and photos."""
        rows = self.latents.rare_rows(2 * self.part)
        samples = self.part // 2
        edits = self.part - samples
        moved, _, directions, start = self.moved(actor.eval(), samples, edits)
        part = torch.empty(edits, 1, device=self.device).uniform_(*LINE)
        moved = torch.cat([moved, start + part * (moved[samples:] - start)])
        read = torch.sigmoid(self.judges.read(self.judges.vae.decode(moved), self.judges.choose()))
        self.learn_failing(directions, read[samples : samples + edits].cpu())
        smooth = self.latents.labels[rows].to(self.device) * 0.96 + 0.02
        return torch.cat([self.photos(rows), moved]), torch.cat([smooth, read])

    def learn_failing(self, directions: Tensor, read: Tensor) -> None:
        """Update `failing` from edits in these directions (B,), -1 for none, and what was read in them (B, 10)."""
        for direction, row in zip(directions.tolist(), read, strict=True):
            if direction >= 0:
                name, wanted = DIRECTIONS[direction]
                failed = float((row[ATTRIBUTES.index(name)] >= 0.5) != wanted)
                self.failing[direction] += 0.02 * (failed - self.failing[direction])

    def failing_of(self, directions: Tensor) -> Tensor:
        """How often edits in these directions (B,) fail, (B,); -1 is never a failure."""
        return torch.where(directions < 0, 0.0, self.failing[directions.clamp_min(0)]).to(self.device)

    def for_actor(self) -> ActorBatch:
        """A third of made-up faces, two for a label, the rest edits."""
        config, pairs = self.config, self.part // 2
        samples = 2 * pairs
        rows = self.latents.rare_rows(pairs)
        y = self.latents.labels[rows].to(self.device).repeat(2, 1)
        z, goals, identity, directions, back = self.toggles(config.batch - samples)
        low, high = config.lambda_dist
        ones, zeros = torch.ones_like(y), torch.zeros(samples, device=self.device)
        guide, unedited = self.judges.choose(), self.judges.vae.decode(z)
        return ActorBatch(
            z=torch.cat([self.prior(samples), z]),
            goals=Goals(torch.cat([y, goals.target]), torch.cat([ones, goals.mask])),
            identity=torch.cat([zeros, identity]),
            weight=torch.cat([zeros + config.lambda_sample, low * (high / low) ** identity]),
            push=torch.cat([zeros + 1, 1 + config.failing * self.failing_of(directions)]),
            y=torch.cat([y, torch.full_like(goals.target, 0.5)]),
            realism=torch.cat([zeros + config.realism, torch.full_like(identity, config.realism_edit)]),
            pairs=pairs,
            guide=guide,
            unedited=unedited,
            seen=torch.sigmoid(self.judges.read(unedited, guide)),
            back=back,
            photos=self.photo_features[guide][self.latents.rare_rows(4 * samples).to(self.device)],
        )


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
    z = torch.cat([vae.encode(x.to(device)).mean for x in images.split(128)])
    calibrate(attribute_critic, z, held_out.labels.to(device))
    read = (attribute_critic(z) >= 0).float().cpu()
    print(f"\nD_attr on held-out photos: accuracy {(read == held_out.labels).float().mean():.4f}")
    save_editing_nets(config.vae, actor, critic, attribute_critic, latents.labels, config.lambda_dist)
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
        half = torch.full((len(starts),), 0.5, device=device)
        edited = actor(starts, goals.target.to(device), goals.mask.to(device), half)
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

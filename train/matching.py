"""Teach the actor what a change looks like on everybody, by a discriminator that sees many photos that have it.

    python -m train.matching --weights weights/celeba-64 --scenes cache/scenes.safetensors --out runs/matching

What raises a classifier's logit in small steps need not be what people see. So the actor's edits, decoded and laid onto
the photo where the person is, are told from photos that have what was wanted by a discriminator that learns beside
it, with an output for each change (as StarGAN v2's has one for each domain, Choi et al. 2020). Photo and edit are of
people who are alike otherwise (`ALONGSIDE`), or the change would bring along whatever goes with it in the data. The
generator stays frozen; both sides are its pictures, so their softness tells nothing.

What the actor does for other changes and for generated faces is held to what it was.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.actor import Actor
from lc.checksums import is_listed, read_file
from lc.classifier import Classifier
from lc.errors import LatentConstraintsError
from lc.identity import FILE, load_calibration, save_calibration
from lc.losses import attribute_loss, distance, not_satisfied, satisfied
from lc.weights import bundled_classifier, load_model, save_module
from train.attributes import ATTRIBUTES
from train.engine import RunConfig, parse, program, save_grid
from train.latents import DIRECTIONS, Goals, toggle_goals
from train.loop import Stage, cosine, follow, train
from train.scenes import Scenes, load_scenes

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lc.weights import Model

#: What people are alike in who have a change and who are to have it. A beard comes with a man's face, grey hair with
#: age: neither is held.
ALONGSIDE: Mapping[str, tuple[str, ...]] = {
    "Male": ("Young", "Smiling", "Eyeglasses", "Wearing_Hat"),
    "Young": ("Male", "Smiling", "Eyeglasses", "Wearing_Hat"),
    "Smiling": ("Male", "Young", "Eyeglasses"),
    "No_Beard": ("Male", "Young", "Smiling"),
}
#: Changes of the face alone. Were hair seen, long hair would tell most women from men, and nothing else were learned.
FACIAL = ("Male", "Smiling", "No_Beard")
#: The face in an aligned crop: an ellipse's centre and half axes, in parts of the crop's side.
_FACE = (0.492, 0.656), (0.25, 0.29)


@dataclass(frozen=True)
class MatchingTraining(RunConfig):
    """Teach the actor what changes look like."""

    out: Path = Path("runs/matching")
    weights: Path = Path("weights/celeba-64")
    """Weights folder whose actor learns and is replaced."""
    scenes: Path = Path("cache/scenes.safetensors")
    """Made by train.scenes with these weights."""
    changes: tuple[str, ...] = ("Male=1", "Male=0", "Smiling=0")
    """What is learned: changes that classifiers confirm more often than people do. No correction follows them then."""
    scales: tuple[float, ...] = (1.78, 1.685, 1.361)
    """Step scale of each of them that the calibration gets: further than they learned, by eye."""
    steps: int = 2_400
    batch: int = 24
    lr: float = 2e-4
    lr_discriminator: float = 2e-4
    warmup: int = 50
    adversarial: float = 1.0
    """Weight of the discriminator's verdict."""
    lambda_dist: float = 0.2
    """Distance weight."""
    pixels: float = 5.0
    """Weight of the mean absolute change of pixels in [0, 1]."""
    hold: float = 0.3
    """Weight of what the guidance classifier reads of attributes that people are alike in."""
    former: float = 2.0
    """Weight of other changes and of generated faces, which stay as they were."""
    wrong: float = 0.5
    """Weight of photos without the change against edits, as what the discriminator is to tell from photos with it; a
    third as many of them are shown."""
    r1: float = 1.0
    """Weight of the gradient penalty on photos' maps (Mescheder et al. 2018), applied every 8th step."""
    ema: float = 0.995
    held_out: int = 16
    """Photos, the last ones, that take no part and are drawn in edits.png."""
    log_steps: int = 50

    def __post_init__(self) -> None:
        if len(self.scales) != len(self.changes):
            raise ValueError(f"there are {len(self.changes)} changes and {len(self.scales)} scales: give each one")


class Draws:
    """Which photos are edited how, and which ones show how it looks.

    Args:
        labels: (N, A) in {0, 1}.
        changes: as "Male=1".
    """

    def __init__(self, labels: Tensor, changes: tuple[str, ...]) -> None:
        self.directions = [i for i, (name, wanted) in enumerate(DIRECTIONS) if f"{name}={int(wanted)}" in changes]
        self.with_: list[dict[tuple[int, ...], Tensor]] = []
        self.without: list[Tensor] = []
        self.keys: list[Tensor] = []
        for index in self.directions:
            name, wanted = DIRECTIONS[index]
            key = labels[:, [ATTRIBUTES.index(other) for other in ALONGSIDE.get(name, ())]].long()
            has = labels[:, ATTRIBUTES.index(name)].bool() == wanted
            groups = {}
            for one in {tuple(row) for row in key[has].tolist()}:
                rows = (has & (key == torch.tensor(one)).all(1)).nonzero()[:, 0]
                if len(rows) >= 10:
                    groups[one] = rows
            lacking = [row for row in (~has).nonzero()[:, 0].tolist() if tuple(key[row].tolist()) in groups]
            self.with_.append(groups)
            self.without.append(torch.tensor(lacking))
            self.keys.append(key)

    def draw(self, count: int, chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Of each of `count` edits the place of its change in `directions`, the photo, and one that has the change."""

        def one_of(rows: Tensor) -> int:
            return int(rows[torch.randint(len(rows), (), generator=chance)])

        which = torch.randint(len(self.directions), (count,), generator=chance)
        photos = [one_of(self.without[k]) for k in which.tolist()]
        shown = [
            one_of(self.with_[k][tuple(self.keys[k][row].tolist())])
            for k, row in zip(which.tolist(), photos, strict=True)
        ]
        return which, torch.tensor(photos), torch.tensor(shown)


@dataclass
class EditBatch:
    """Edits to make.

    Attributes:
        z: (B, latent). goals: see `Goals`. pictures: (B, 3, S, S), decoded from z. person: (B, 1, S, S).
        scale: (B,), of the actor's line.
        change: (B,), the discriminator's output.
        window: (B, 1, S, S) in [0, 1], what the discriminator is shown.
        seen: (B, A), what the guidance classifier reads of the pictures. held: (B, A), 1 where that is to stay.
    """

    z: Tensor
    goals: Goals
    pictures: Tensor
    person: Tensor
    scale: Tensor
    change: Tensor
    window: Tensor
    seen: Tensor
    held: Tensor

    def shown(self, pictures: Tensor) -> Tensor:
        """What the discriminator is shown of as many pictures (C, 3, S, S), C <= B, in -1..1: grey is nothing."""
        return (pictures * 2 - 1) * self.window[: len(pictures)]


@dataclass
class FormerBatch:
    """What the actor answered before: z (B, latent), y, edited (B, A), identity (B,), and moved (B, latent)."""

    z: Tensor
    y: Tensor
    edited: Tensor
    identity: Tensor
    moved: Tensor


def shaken(pictures: Tensor, chance: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S), shifted and lit alike in all: differentiable augmentation (Zhao et al. 2020)."""
    down, right = torch.randint(-3, 4, (2,), generator=chance).tolist()
    light = torch.empty(2).uniform_(-0.1, 0.1, generator=chance).tolist()
    x = F.pad(pictures, (3, 3, 3, 3), mode="replicate")
    side = pictures.shape[-1]
    return x[..., 3 + down : 3 + down + side, 3 + right : 3 + right + side] * (1 + light[0]) + light[1]


def face_window(size: int) -> Tensor:
    """Where an aligned crop of `size` pixels shows the face, (1, 1, size, size) in [0, 1], with a soft border."""
    (x0, y0), (a, b) = _FACE
    places = (torch.arange(size) + 0.5) / size
    distance = (((places - x0) / a).square() + ((places - y0) / b).square()[:, None]).sqrt()
    return ((1.1 - distance) / 0.2).clamp(0, 1)[None, None]


def discriminator_of(classifier: Classifier, outputs: int) -> tuple[nn.Sequential, nn.Sequential]:
    """A discriminator that begins as a classifier, which knows faces: what stays frozen, and what learns.

    What it knows of edges and textures is enough (Sauer et al. 2021), and half of the work. Batch norm keeps its
    statistics, which edits do not share.

    Returns:
        Pictures (B, 3, S, S), scaled to -1..1 -> maps, and maps -> logits (B, outputs).
    """
    half = 2 * classifier.stage
    head = nn.Linear(classifier.config.widths[-1], outputs)
    learns = nn.Sequential(*classifier.body[half:], head).requires_grad_()
    return nn.Sequential(*classifier.body[:half]).eval().requires_grad_(False), learns.eval()


class DiscriminatorTask(nn.Module):
    """Which pictures have a change and which are edits, or lack it."""

    def __init__(self, discriminator: nn.Module, wrong: float, r1: float) -> None:
        super().__init__()
        self.discriminator, self.wrong, self.r1 = discriminator, wrong, r1

    def forward(self, shown: Tensor, edited: Tensor, lacking: Tensor, change: Tensor, penalised: bool) -> Tensor:
        """Maps (B, C, H, W) of photos that have a change, of edits and, fewer, of photos that lack it; change (B,) ->
        the loss and how often it is right on photos and edits, (3,)."""
        shown, count = shown.requires_grad_(penalised), len(shown)
        logits = self.discriminator(torch.cat([shown, edited, lacking]))
        asked = torch.cat([change, change, change[: len(lacking)]])
        real, fake, other = logits.gather(1, asked[:, None])[:, 0].split([count, count, len(lacking)])
        loss = satisfied(real).mean() + not_satisfied(fake).mean() + self.wrong * not_satisfied(other).mean()
        if penalised:
            (slope,) = torch.autograd.grad(real.sum(), shown, create_graph=True)
            loss = loss + self.r1 * slope.square().flatten(1).sum(1).mean()
        return torch.stack([loss, (real > 0).float().mean().detach(), (fake < 0).float().mean().detach()])


class MatchingTask(nn.Module):
    """The actor's loss over edits, and over what is to stay."""

    def __init__(self, actor: Actor, discriminator: nn.Module, model: Model, config: MatchingTraining) -> None:
        super().__init__()
        self.actor, self.config = actor, config
        self.pictures = torch.empty(0)  # the last edits
        self._frozen = discriminator, model  # in a tuple, so that neither becomes a part of this module

    def edited(self, batch: EditBatch) -> tuple[Tensor, Tensor]:
        """The edits' latents, and the photos with them laid on where the person is."""
        _, model = self._frozen
        proposed = self.actor(batch.z, batch.goals.target, batch.goals.mask, torch.ones_like(batch.scale))
        z = batch.z + batch.scale[:, None] * (proposed - batch.z)
        pictures = model.generator.decode(z)
        return z, batch.pictures + batch.person * (pictures - batch.pictures)

    def forward(self, batch: EditBatch, former: FormerBatch, chance: torch.Generator) -> Tensor:
        """The loss and its parts, (6,)."""
        config, (discriminator, model) = self.config, self._frozen
        z, pictures = self.edited(batch)
        self.pictures = pictures.detach()
        logits = discriminator(batch.shown(shaken(pictures, chance)))
        verdict = satisfied(logits.gather(1, batch.change[:, None]).float()).mean()
        far = distance(z, batch.z, model.statistics.sigma_bar).mean()
        changed = (pictures - batch.pictures).abs().mean()
        assert model.guidance is not None
        read = model.guidance(pictures)
        held = attribute_loss(read.float(), batch.seen, batch.held).mean()
        moved = self.actor(former.z, former.y, former.edited, former.identity)
        other = ((moved - former.moved) / model.statistics.sigma_bar).square().mean()
        parts = torch.stack([verdict, far, changed, held, other])
        weights = parts.new_tensor([config.adversarial, config.lambda_dist, config.pixels, config.hold, config.former])
        return torch.cat([(weights * parts).sum()[None], parts.detach()])


class Matching(Stage[MatchingTraining]):
    """The actor, and a discriminator beside it."""

    title = "matching"
    unit = "edits"

    def __init__(self, config: MatchingTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.model, scenes = load_model(config.weights, config.device), load_scenes(config.scenes)
        kept = len(scenes.z) - config.held_out
        self.held_out = Scenes(*(x[kept:] for x in vars(scenes).values()))
        self.scenes = Scenes(*(x[:kept] for x in vars(scenes).values()))
        self.seen = torch.cat([self._read(part) for part in self.scenes.pictures.split(256)]).cpu()
        self.draws, self.steps = Draws(self.scenes.labels, config.changes), config.steps
        self.others = [i for i in range(len(DIRECTIONS)) if i not in self.draws.directions]
        scales = self.model.calibration.step_scales
        reach = self.model.calibration.for_actor(0.5)
        self.scale = torch.tensor([reach * scales.get(f"{name}={int(value)}", 1.0) for name, value in DIRECTIONS])
        whole, face = torch.ones(1, 1, 1, 1), face_window(self.model.generator.image_size)
        self.windows = torch.cat([face if name in FACIAL else whole.expand_as(face) for name, _ in DIRECTIONS])
        self.holds = torch.tensor(
            [[float(other in ALONGSIDE.get(name, ())) for other in ATTRIBUTES] for name, _ in DIRECTIONS]
        )
        torch.manual_seed(self.seed)
        self.teacher, actor = self.model.actor, copy.deepcopy(self.model.actor).train().requires_grad_()
        start = bundled_classifier(config.weights, "perceptual")
        if start is None:
            raise LatentConstraintsError(f"{config.weights} has no perceptual classifier, which this begins with.")
        self.frozen, discriminator = discriminator_of(start.to(self.device), len(self.draws.directions))
        self.task = MatchingTask(actor, nn.Sequential(self.frozen, discriminator), self.model, config)
        self.add(
            "actor",
            actor,
            torch.optim.Adam(actor.parameters(), lr=config.lr, betas=(0.0, 0.99)),
            cosine(self.steps, config.lr, 0.05 * config.lr, config.warmup),
            task=self.task,
            average=follow(config.ema, 1_000),
        )
        self.add(
            "discriminator",
            discriminator,
            torch.optim.Adam(discriminator.parameters(), lr=config.lr_discriminator, betas=(0.0, 0.99)),
            cosine(self.steps, config.lr_discriminator, 0.2 * config.lr_discriminator, config.warmup),
            task=DiscriminatorTask(discriminator, config.wrong, config.r1),
        )

    @torch.no_grad()
    def _read(self, pictures: Tensor) -> Tensor:
        """What the guidance classifier reads of pictures (B, 3, S, S) uint8, (B, A) in [0, 1]."""
        assert self.model.guidance is not None
        return torch.sigmoid(self.model.guidance(pictures.to(self.device).float() / 255))

    def edits(self, which: Tensor, rows: Tensor, scenes: Scenes) -> EditBatch:
        """Changes, places in `Draws.directions` (B,), of photos (B,)."""
        z, pictures, person = scenes.at(rows, self.device)
        person = F.max_pool2d(person, 3, 1, 1)  # what surrounds it closely may change with it
        directions = torch.tensor(self.draws.directions)[which]
        before = torch.sigmoid(self.model.attribute_critic(z)).cpu()
        goals = toggle_goals(before, directions)
        goals = Goals(goals.target.to(self.device), goals.mask.to(self.device))
        seen = self.seen[rows].to(self.device) if scenes is self.scenes else self._read(scenes.pictures[rows])
        scale, window, held = (x[directions].to(self.device) for x in (self.scale, self.windows, self.holds))
        return EditBatch(z, goals, pictures, person, scale, which.to(self.device), window, seen, held)

    def former(self, count: int, chance: torch.Generator) -> FormerBatch:
        """Half of other changes, half of generated faces."""
        half = count // 2
        z, *_ = self.scenes.at(torch.randint(len(self.scenes.z), (half,), generator=chance), self.device)
        directions = torch.tensor(self.others)[torch.randint(len(self.others), (half,), generator=chance)]
        goals = toggle_goals(torch.sigmoid(self.model.attribute_critic(z)).cpu(), directions)
        often = self.model.label_counts.sqrt()
        rows = torch.multinomial(often, count - half, replacement=True, generator=chance)
        y = torch.cat([goals.target, self.model.label_vectors[rows]]).to(self.device)
        edited = torch.cat([goals.mask, torch.ones(count - half, y.shape[1])]).to(self.device)
        identity = torch.cat([torch.ones(half), torch.rand(count - half, generator=chance)]).to(self.device)
        prior = torch.randn(count - half, z.shape[1], generator=chance).to(self.device)
        z = torch.cat([z, prior])
        return FormerBatch(z, y, edited, identity, self.teacher(z, y, edited, identity))

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        which, rows, shown = self.draws.draw(self.config.batch, chance)
        with torch.no_grad():
            batch, former = self.edits(which, rows, self.scenes), self.former(3 * self.config.batch, chance)
            real, lacking = self.scenes.at(shown, self.device)[1], batch.pictures
        losses = self.update("actor", batch, former, chance)
        with torch.no_grad():  # the edits that the actor has just been told about: they need not be made twice
            pictures = real, self.task.pictures, lacking[: len(lacking) // 3]
            maps = [self.frozen(batch.shown(shaken(x, chance))) for x in pictures]
        discriminator = self.update("discriminator", *maps, batch.change, step % 8 == 0)
        names = ("loss", "verdict", "distance", "change", "held", "former")
        seen = dict(zip(("discriminator", "real_right", "edits_right"), discriminator, strict=True))
        return dict(zip(names, losses, strict=True)) | seen

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        if done % (5 * self.config.log_steps) == 0:
            self._draw_edits()
        return {}

    def _draw_edits(self) -> None:
        """Held-out photos, each with its edits: rows of people."""
        rows, count = [], len(self.draws.directions)
        task = MatchingTask(self.averaged("actor"), self.frozen, self.model, self.config)
        for row in range(len(self.held_out.z)):
            batch = self.edits(torch.arange(count), torch.full((count,), row), self.held_out)
            rows += [batch.pictures[:1], task.edited(batch)[1]]
        save_grid(torch.cat(rows), self.config.out / "edits.png", columns=count + 1)

    @torch.no_grad()
    def finish(self) -> str:
        self._draw_edits()
        save_module(self.config.weights, "actor", self.averaged("actor"))
        calibration, changes = load_calibration(self.config.weights), self.config.changes
        known = json.loads(read_file(self.config.weights, FILE)) if is_listed(self.config.weights, FILE) else {}
        longer = {**calibration.step_scales, **dict(zip(changes, self.config.scales, strict=True))}
        uncorrected = tuple(dict.fromkeys((*calibration.uncorrected, *changes)))
        calibration = dataclasses.replace(calibration, step_scales=longer, uncorrected=uncorrected)
        save_calibration(self.config.weights, calibration, **known.get("measured", {}))
        return f"actor in {self.config.weights}"


@program
def main() -> None:
    train(Matching, parse(MatchingTraining))


if __name__ == "__main__":
    main()

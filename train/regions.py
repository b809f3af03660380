"""Train the generator of a region, see `lc.regions`: a conditional VAE beside a discriminator, without labels.

    python -m train.regions --weights weights/celeba-64 --celeba data/celebahq --vgg cache/perceptual --out runs/mouth
    python -m train.regions --model.region eyes --model.pull 0 --sure 1 1 1 1 --vgg cache/perceptual --out runs/eyes

A photo's mouth, hidden, is to be drawn again from its code: in its pixels, in features that were learned on other
photos (`train.perceptual`), and to a discriminator (VAE/GAN, Larsen et al. 2016). And it is to be drawn from the code
of another person's: there is no photo of that, but the discriminator is to take it for one, and its own code is to be
that other person's (as BiGANs' latents come round, Donahue et al. 2017).

Labels come in at the end only: a linear critic of codes for each attribute, and the move that changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lc.faces.composites import Face
from lc.losses import kl_divergence
from lc.redrawn import middle_of
from lc.regions import CROP, PATCH, REGIONS, RegionConfig, RegionVAE, hidden
from lc.weights import load_model, save_region
from train.attributes import ATTRIBUTES
from train.data import centre, load_celeba, load_training
from train.engine import RunConfig, parse, program, save_grid
from train.loop import Stage, cosine, follow, train
from train.perceptual import Perceptual
from train.sharpness import CriticTask, PatchCritic, augmented, opinion

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lc.parser import Parser

MARGIN = 8  # pixels around the crops that patches are cut from
_SUREST = 0.7  # the part of people who are less surely of their kind than those who make up its centre
_SEEN = slice(8, 56)  # rows and columns of patches that features are compared in


@dataclass(frozen=True)
class RegionTraining(RunConfig):
    """Train the generator of a region."""

    out: Path = Path("runs/mouth")
    weights: Path = Path("weights/celeba-64")
    """Weights folder with a face parser, which says where mouths are."""
    celeba: Path = Path("data/celebahq")
    attributes: tuple[str, ...] = ("Male", "No_Beard", "Smiling", "Young")
    """Whose moves are fitted to codes at the end."""
    sure: tuple[float, ...] = (0.75, 0.75, 1.75, 0.75)
    """Standard deviations by which each change goes beyond what is usual: half of what is usual is hard to tell, and
    far beyond it no mouth looks like one."""
    vgg: Path | None = None
    """Folder of what `python -m train.perceptual fetch` puts there, for features that were learned on other photos."""
    model: RegionConfig = field(default_factory=RegionConfig)
    width: int = 40
    """Channels of the discriminator's first layer."""
    images: int = 96_000
    """Patches to see in all."""
    batch: int = 24
    lr: float = 4e-4
    lr_critic: float = 8e-4
    pixel: float = 8.0
    """Weight of the mean absolute error."""
    features: float = 6.0
    """Weight of the distance between VGG's features."""
    matching: float = 2.0
    """Weight of feature matching."""
    adversarial: float = 0.2
    """Weight of the hinge loss."""
    cycle: float = 0.5
    """Weight of how far the code of what was drawn is from the code that it was drawn from."""
    beta: float = 0.004
    """Weight of the KL divergence."""
    r1: float = 0.1
    clip: float = 1.0
    ema: float = 0.998
    jitter: float = 2.0
    """Pixels by which a patch's middle may be off."""
    colour: float = 0.1
    limit: int | None = None
    """Use only so many photos: a dry run."""


@torch.inference_mode()
def middles(parser: Parser, images: Tensor, region: str) -> Tensor:
    """Where a region's patches lie in crops (N, 3, S, S) uint8: their middles, (N, 2), pixels from the left and from
    above."""
    edge, usual = (images.shape[-1] - CROP) // 2, torch.tensor(REGIONS[region].place) * CROP
    part = REGIONS[region].part
    if not part:
        return (usual + edge).expand(len(images), 2)
    found, column = [], parser.config.classes.index(part)
    for x in tqdm(images.split(64), desc=part, leave=False):
        crops = centre(x, CROP)
        maps = parser.parse(crops)[:, column].float().numpy()
        faces = (Face(one.permute(1, 2, 0).numpy(), {part: there}) for one, there in zip(crops, maps, strict=True))
        found += [
            usual if middle is None else torch.tensor(middle) for middle in (middle_of(one, region) for one in faces)
        ]
    return torch.stack(found) + edge


def patches(images: Tensor, places: Tensor, flip: Tensor | None = None) -> Tensor:
    """Crops (B, 3, S, S) uint8 and the middles of patches, (B, 2) -> (B, 3, 64, 64) in [0, 1]; those to `flip`, (B,),
    mirrored."""
    corner = (places - PATCH / 2).round().long().clamp(0, images.shape[-1] - PATCH)
    steps = torch.arange(PATCH)
    rows, columns = corner[:, 1, None] + steps, corner[:, 0, None] + steps
    if flip is not None:
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    index = torch.arange(len(images))[:, None, None]
    cut = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def fitted(net: RegionVAE, codes: Tensor, labels: Tensor, names: Sequence[str], sure: Sequence[float]) -> RegionVAE:
    """The same with linear critics of attributes, and moves that change them.

    A critic is Fisher's discriminant. A move is what an attribute adds to codes where the other labels are the same, by
    least squares: smiles go with lipstick, and are not to bring it.

    Args:
        net: whose codes they are.
        codes: (N, code). labels: (N, A), of `train.attributes.ATTRIBUTES`.
        names: the attributes.
        sure: of each, see `RegionTraining`.
    """
    found = RegionVAE(replace(net.config, attributes=tuple(names)))
    found.encoder.load_state_dict(net.encoder.state_dict())
    found.decoder.load_state_dict(net.decoder.state_dict())
    design = torch.cat([labels, torch.ones(len(labels), 1)], 1)
    effects = torch.linalg.lstsq(design.double(), codes.double()).solution.float()
    for row, (name, beyond) in enumerate(zip(names, sure, strict=True)):
        column = ATTRIBUTES.index(name)
        sides = [codes[labels[:, column] == value] for value in (0, 1)]
        spread = sum(torch.cov(side.T) for side in sides) / 2
        critic = torch.linalg.solve(spread, sides[1].mean(0) - sides[0].mean(0))
        bias = -(sides[0].mean(0) + sides[1].mean(0)) @ critic / 2
        found.critics[row], found.biases[row] = critic, bias
        found.moves[row] = effects[column] / (effects[column] @ critic)
        for value, (side, sign) in enumerate(zip(sides, (-1, 1), strict=True)):
            logits = side @ critic + bias
            found.levels[row, value] = logits.mean() + sign * beyond * logits.std()
            found.centres[row, value] = side[sign * logits >= (sign * logits).quantile(_SUREST)].mean(0)
    return found


def accuracy(net: RegionVAE, codes: Tensor, labels: Tensor) -> list[float]:
    """Share of codes of which each critic says what the label does."""
    wanted = labels[:, [ATTRIBUTES.index(name) for name in net.config.attributes]] > 0.5
    found: list[float] = ((codes @ net.critics.T + net.biases > 0) == wanted).float().mean(0).tolist()
    return found


class Trainee(nn.Module):
    """One pass from patches to losses."""

    def __init__(self, net: RegionVAE, critic: PatchCritic, vgg: Perceptual | None, config: RegionTraining) -> None:
        super().__init__()
        self.net, self.drawn = net, torch.empty(0)
        self._beside = critic, vgg, config

    def forward(self, x: Tensor, missing: Tensor, order: Tensor, chance: torch.Generator) -> Tensor:
        """(B, 3, 64, 64), what is hidden of them, and whose code each is drawn from besides -> total and parts."""
        critic, vgg, config = self._beside
        posterior = self.net.encode(x)
        codes, half = posterior.sample(), len(x) // 2
        order = order[:half]
        photos, holes = torch.cat([x, x[:half]]), torch.cat([missing, missing[:half]])
        drawn = self.net.draw(photos, holes, torch.cat([codes, codes[order]]))
        self.drawn = drawn.detach()
        copies, swapped = drawn.split([len(x), half])
        pixel = (missing * (copies - x).abs()).sum() / (3 * missing.sum())
        seen = pixel.new_zeros(())
        if vgg is not None:  # it takes longer than all else
            seen = vgg(*(side[:half, :, _SEEN, _SEEN] for side in (x, copies))).mean()
        logits, features = critic(augmented(torch.cat([photos, drawn]), chance))
        doubt = -opinion(logits.float().chunk(2)[1])
        pairs = [[side[: len(x)] for side in layer.float().chunk(2)] for layer in features]
        matching = torch.stack([(fake - real.detach()).abs().mean() for real, fake in pairs]).mean()
        # Only what draws is to make codes come out right: the encoder could hide them instead.
        self.net.encoder.requires_grad_(False)
        cycle = (self.net.encode(swapped).mean - posterior.mean[order].detach()).square().mean()
        self.net.encoder.requires_grad_(True)
        kl = kl_divergence(posterior).mean()
        parts = torch.stack([pixel, seen, matching, doubt, cycle, kl])
        weights = parts.new_tensor(
            [config.pixel, config.features, config.matching, config.adversarial, config.cycle, config.beta]
        )
        return torch.cat([(parts * weights).sum()[None], parts.detach()])


class RegionStage(Stage[RegionTraining]):
    """The generator of a region, and a discriminator beside it."""

    title = "region"

    def __init__(self, config: RegionTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        parser = load_model(config.weights, str(self.device)).parser
        assert parser is not None
        crops = load_training(config.celeba, (), config.limit, image_size=CROP, margin=MARGIN)
        held_out = load_celeba(config.celeba, "validation", config.limit, image_size=CROP, margin=MARGIN)
        assert crops.labels is not None
        assert held_out.labels is not None
        self.images, self.labels, self.held_labels = crops.images, crops.labels, held_out.labels
        region = config.model.region
        self.places = middles(parser, self.images, region)
        self.held_out = patches(held_out.images, middles(parser, held_out.images, region))
        torch.manual_seed(self.seed)
        net = RegionVAE(config.model).to(memory_format=torch.channels_last)
        critic = PatchCritic(config.width).to(memory_format=torch.channels_last)
        vgg = Perceptual(config.vgg, 3).to(self.device) if config.vgg else None
        self.steps = config.images // self.rows
        self.trainee = Trainee(net, critic, vgg, config)
        tasks = {
            "region": (net, self.trainee, config.lr),
            "critic": (critic, CriticTask(critic, config.r1), config.lr_critic),
        }
        for name, (module, task, lr) in tasks.items():
            optimiser = torch.optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.99), fused=True)
            average = follow(config.ema) if name == "region" else None
            rate = cosine(self.steps, lr, 0.05 * lr, 200)
            self.add(name, module, optimiser, rate, task=task, average=average, clip=config.clip)

    def batch(self, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Patches and what is hidden of each."""
        config = self.config
        rows = torch.randint(len(self.images), (config.batch,), generator=chance)
        off = config.jitter * (2 * torch.rand(config.batch, 2, generator=chance) - 1)
        flip = torch.rand(config.batch, generator=chance) < 0.5
        x = patches(self.images[rows], self.places[rows] + off, flip)
        light = config.colour * (2 * torch.rand(config.batch, 1, 1, 1, generator=chance) - 1)
        tint = config.colour / 3 * (2 * torch.rand(config.batch, 3, 1, 1, generator=chance) - 1)
        x = (x * (1 + light + tint)).clamp(0, 1)
        scale = 1 + 0.12 * (2 * torch.rand(config.batch, 2, generator=chance) - 1)
        shift = 2 * (2 * torch.rand(config.batch, 2, generator=chance) - 1)
        missing = hidden(config.batch, config.model.region, scale, shift)
        return x.to(self.device, memory_format=torch.channels_last), missing.to(self.device)

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        x, missing = self.batch(chance)
        order = torch.randperm(len(x), generator=chance)
        losses = self.update("region", x, missing, order, chance)
        # Half of them copies, half from others' codes.
        drawn, half = self.trainee.drawn, len(x) // 2
        pair = augmented(torch.cat([x[:half], x[:half], drawn[:half], drawn[-half:]]), chance)
        critic = self.update("critic", pair, step % 8 == 0)
        names = ("total", "pixel", "features", "matching", "adversarial", "cycle", "kl")
        return dict(zip(names, losses, strict=True)) | {"critic": critic}

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        net, x = self.averaged("region"), self.held_out[:64]
        codes, missing = net.encode(x).mean, hidden(len(x), net.config.region)
        copies, swapped = (net.draw(x, missing, z) for z in (codes, codes.roll(1, 0)))
        save_grid(torch.cat([x[:16], copies[:16], swapped[:16]]), self.config.out / "redrawn.png", columns=16)
        error = (missing * (copies - x).square()).sum() / (3 * missing.sum())
        return {"held_out_psnr": float(-10 * error.log10())}

    @torch.no_grad()
    def finish(self) -> str:
        net, names = self.averaged("region"), self.config.attributes
        codes = [
            net.encode(patches(self.images[rows], self.places[rows])).mean
            for rows in torch.arange(len(self.images)).split(256)
        ]
        held_out = torch.cat([net.encode(x).mean for x in self.held_out.split(256)])
        found = fitted(net, torch.cat(codes), self.labels, names, self.config.sure)
        save_region(self.config.out / "weights", found)
        right = accuracy(found, held_out, self.held_labels)
        shares = ", ".join(f"{name} {share:.3f}" for name, share in zip(names, right, strict=True))
        return f"held-out {self.measure(self.steps)['held_out_psnr']:.2f} dB; read off codes: {shares}"


@program
def main() -> None:
    train(RegionStage, parse(RegionTraining))


if __name__ == "__main__":
    main()

"""Learn a flow from noise to where photos' encodings lie, see `lc.flow`; the generator stays as it is.

    python -m train.flow --weights weights/celeba-64 --celeba data/celebahq --out runs/flow

Photos are encoded once, in several views. A step draws encodings and as much noise, and asks of the net, at a place on
the straight line between each pair, which way the line goes (Lipman et al. 2023, equation 23). Labels are left out
now and then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lc.flow import Flow, FlowConfig, Velocity
from lc.weights import load_generator, save_flow
from train.data import MARGIN
from train.engine import RunConfig, parse, program, save_grid
from train.inputs import load_generator_of
from train.latents import Latents, load_or_encode
from train.loop import Stage, cosine, follow, train

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["FlowStage", "FlowTask", "FlowTraining", "principal_axes"]

_HELD_OUT = 40  # one photo of so many is held out


@dataclass(frozen=True)
class FlowTraining(RunConfig):
    """Learn a flow from noise to encodings."""

    out: Path = Path("runs/flow")
    weights: Path = Path("weights/celeba-64")
    """Weights folder of the generator; the flow goes into it."""
    celeba: Path = Path("data/celebahq")
    latents: Path | None = None
    """File to keep the photos' encodings in, or to read them from when it is there already; or what train.decoded
    made."""
    views: int = 4
    """Encodings of each photo: one as it is, the others flipped and shifted."""
    model: FlowConfig = field(default_factory=FlowConfig)
    steps: int = 8_000
    weak_steps: int = 1_500
    """How many of them the smaller net learns for, where the model has one: it is to be worse."""
    batch: int = 512
    """Encodings per step and process."""
    lr: float = 1e-3
    warmup: int = 300
    spread: float = 0.0
    """Standard deviations of the encoder's noise in what it learns from: 1 draws from q(z|x), 0 takes its mean, from
    which clearer pictures are decoded."""
    unlabelled: float = 0.15
    """Share of encodings whose label is left out."""
    ema: float = 0.999
    margin: int = MARGIN
    """Pixels around a crop, on every side, that encoded photos may be shifted by."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


def principal_axes(mean: Tensor, count: int, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (latent,) and the leading principal axes (count, latent) of encodings' means (N, latent).

    They are those of means in units of the encoder's noise, `unit` (latent,): what it is sure about leads, whatever the
    scale of a dimension. Coordinates along them have a mean square of 1, over all axes together: faces' broad features
    are larger than noise, and so settle first on the way from it, and fine ones are smaller.
    """
    centre = mean.mean(0)
    sure = (mean - centre) / unit
    _, vectors = torch.linalg.eigh(torch.cov(sure.T))
    axes = vectors.flip(1).T[:count]
    scale = (sure @ axes.T).square().mean().sqrt()
    return centre, axes * scale * unit


class FlowTask(nn.Module):
    """Flow matching: the mean squared error of the velocity."""

    def __init__(self, flow: Velocity, unlabelled: float) -> None:
        super().__init__()
        self.flow, self.unlabelled = flow, unlabelled

    def forward(self, x: Tensor, y: Tensor, chance: torch.Generator) -> Tensor:
        """Coordinates x (B, axes) and labels y (B, A) of encodings -> the loss, a scalar."""
        # Most of what is hard lies midway (Esser et al. 2024, section 3.1).
        t = torch.sigmoid(torch.randn(len(x), generator=chance)).to(x.device)
        noise = torch.randn(x.shape, generator=chance).to(x.device)
        known = (torch.rand(len(x), generator=chance) > self.unlabelled).to(x)
        velocity = self.flow(torch.lerp(noise, x, t[:, None]), t, y, known)
        return (velocity.float() - (x - noise)).square().mean()


class FlowStage(Stage[FlowTraining]):
    """The flow, and the smaller net in it."""

    title, unit = "flow", "latents"

    def __init__(self, config: FlowTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        generator = load_generator_of(config.weights, config.latents, self.device)
        everyone = load_or_encode(
            config.latents, generator, config.celeba, (), config.views, config.limit, self.device, config.margin
        )
        count = len(everyone.labels)  # the first ones; those without a label are no part of it
        mean, std = everyone.mean[:count], everyone.std[:count]
        axes = min(config.model.axes, mean.shape[2], count - 1)
        model = replace(config.model, latent=mean.shape[2], axes=axes, attributes=everyone.labels.shape[1])
        torch.manual_seed(self.seed)
        flow = Flow(model)
        flow.centre, flow.directions = principal_axes(mean[:, 0].float(), model.axes, std.mean((0, 1)))
        inverse = torch.linalg.pinv(flow.directions)  # (latent, axes)
        # The encoder's noise along the axes; across original dimensions it is independent.
        along = (mean - flow.centre) @ inverse, (std.square() @ inverse.square()).sqrt()
        self.latents = Latents.of(*along, everyone.labels)
        held = torch.arange(count) % _HELD_OUT == 0
        self.held, self.rows_of = held.nonzero()[:, 0], (~held).nonzero()[:, 0]
        self.steps = config.steps
        weak, flow.weak = flow.weak, None
        self._learn("flow", flow, self.steps)
        if weak is not None:
            self._learn("weak", weak, min(config.weak_steps, self.steps))
        self.weak_steps = config.weak_steps if weak is not None else 0

    def _learn(self, name: str, net: Velocity, steps: int) -> None:
        config = self.config
        optimiser = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=0.01, fused=True)
        rate = cosine(steps, config.lr, 0.01 * config.lr, config.warmup)
        task = FlowTask(net, config.unlabelled)
        self.add(name, net, optimiser, rate, task=task, average=follow(config.ema), clip=1.0)

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        rows = self.rows_of[torch.randint(len(self.rows_of), (self.config.batch,), generator=chance)]
        x, y = self.latents.draw(rows, self.config.spread).to(self.device), self.latents.labels[rows].to(self.device)
        found = {"loss": self.update("flow", x, y, chance)}
        return found | ({"weak": self.update("weak", x, y, chance)} if step < self.weak_steps else {})

    @torch.no_grad()
    def measure(self, done: int) -> Mapping[str, float]:
        chance = torch.Generator().manual_seed(0)
        x, y = self.latents.mean[self.held, 0].to(self.device), self.latents.labels[self.held].to(self.device)
        task = FlowTask(self.averaged("flow"), self.config.unlabelled)
        return {"held_out": float(task(x, y, chance))}

    def finish(self) -> str:
        flow, weights = self.averaged("flow").cpu(), self.config.weights
        if self.weak_steps:
            flow.weak = self.averaged("weak").cpu()
        save_flow(weights, flow)
        generator = load_generator(weights)
        chance = torch.Generator().manual_seed(0)
        noise = torch.randn(64, flow.config.latent, generator=chance)
        rows = self.held[torch.arange(64) % len(self.held)]
        with torch.inference_mode():
            save_grid(generator.decode(flow.draw(noise, self.latents.labels[rows])), self.config.out / "samples.png")
        self.device = torch.device("cpu")
        return f"flow in {weights}, held-out loss {self.measure(self.steps)['held_out']:.4f}"


@program
def main() -> None:
    train(FlowStage, parse(FlowTraining))


if __name__ == "__main__":
    main()

"""The one training loop: resume, progress, schedule, autocast, log, checkpoints, averages of weights.

A stage is a `Stage`: nets with their losses, and what happens in a step. Chance is drawn from (seed, step), never from
a running state, so that a run that was killed and resumed draws exactly what an uninterrupted one would.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from train.engine import RunConfig, accelerator
from train.folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Net", "Stage", "cosine", "follow", "seeded", "train"]

_Config = TypeVar("_Config", bound=RunConfig)
Average = Callable[[Any, Any, Any], None]


def seeded(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """The step's own source of chance, on the CPU; also seeds torch's global one (dropout, reparameterisation)."""
    number = (seed * 1_000_003 + step) * 1_009 + rank
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


def cosine(steps: int, peak: float, final: float, warmup: int) -> Callable[[int], float]:
    """Learning rate of a step: linear warm-up, then half a cosine from `peak` to `final` at `steps`."""

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return rate


def follow(decay: float, head_start: int = 0) -> Average:
    """A `multi_avg_fn` of torch's AveragedModel: an exponential moving average (Polyak and Juditsky 1992).

    Args:
        decay: in [0, 1); early on the average follows faster, so that it forgets the random start.
        head_start: steps that count as done, for a net that does not begin at random.
    """

    @torch.no_grad()
    def average(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        done = int(count) + head_start
        weight = 1 - min(decay, done / (9 + done))
        for a, b in zip(averaged, current, strict=True):
            if a.is_floating_point():
                a.lerp_(b, weight)
            else:
                a.copy_(b)

    return average


@dataclass
class Net:
    """A net that a stage trains.

    Attributes:
        module: the net itself.
        task: what a step calls, as accelerate prepared it: a module that holds the net and returns losses.
        optimiser: of the net's parameters.
        rate: step -> learning rate.
        average: of the net's weights and buffers, or None.
        clip: the most that the norm of its gradient may be, or None.
    """

    module: nn.Module
    task: nn.Module
    optimiser: torch.optim.Optimizer
    rate: Callable[[int], float]
    average: AveragedModel | None
    clip: float | None = None

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        state = {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}
        return state | ({"average": self.average.state_dict()} if self.average else {})

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average:
            self.average.load_state_dict(state["average"])


class Stage(ABC, Generic[_Config]):
    """What a training consists of: a subclass's constructor loads data and adds nets, `train` does the rest.

    Attributes:
        title: what the progress bar says.
        unit: what a batch's rows are.
        steps: how many there are; set by the constructor.
        rows: in a step of all processes together.
        seed: of everything that is drawn.
        nets: by name, see `add`.
        kept: further tensors that a checkpoint holds; they are changed in place.
    """

    title: str
    unit = "images"
    steps: int

    def __init__(self, config: _Config, engine: Accelerator) -> None:
        self.config, self.engine, self.device = config, engine, engine.device
        self.rows, self.seed, self.now = config.batch * engine.num_processes, config.seed, 0
        self.nets: dict[str, Net] = {}
        self.kept: dict[str, Tensor] = {}

    @abstractmethod
    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        """Draw a batch and `update` each net; returns what is worth a place in the log, scalars."""

    def measure(self, done: int) -> Mapping[str, float]:
        """What else the log is to say after `done` steps. The main process asks, whenever a line is due."""
        return {}

    @abstractmethod
    def finish(self) -> str:
        """Write what was trained, after the last step and in the main process; returns a sentence to print.

        It is called for a finished run that is resumed as well: what it writes follows from the checkpoint.
        """

    def add(
        self,
        name: str,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        rate: Callable[[int], float],
        *,
        task: nn.Module | None = None,
        average: Average | None = None,
        clip: float | None = None,
    ) -> None:
        """Add a net to train.

        Args:
            name: for `update`, and for the log where there are several.
            module: the net.
            optimiser: of its parameters.
            rate: step -> learning rate, see `cosine`.
            task: holds the net and returns a loss, or a vector of the loss and its parts; None: the net does.
            average: see `follow`; None keeps no average.
            clip: the most that a gradient's norm may be; longer ones are shortened to it.
        """
        averaged = None
        if average:  # a copy from before accelerate changes its forward
            averaged = AveragedModel(module, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
            averaged.module.to(self.device)  # and not the count, which is read in every step
        prepared, optimiser = self.engine.prepare(task or module, optimiser)
        self.nets[name] = Net(module, prepared, optimiser, rate, averaged, clip)

    def update(self, name: str, *batch: Any) -> Tensor:
        """A step of one net down the loss of its task, the others frozen; returns what the task said, detached."""
        net, others = self.nets[name], [net.module for other, net in self.nets.items() if other != name]
        for module in others:
            module.requires_grad_(False)
        # Each update has an autocast of its own: within one, weights that were cast stay as they were.
        with self.engine.autocast():
            losses: Tensor = net.task(*batch)
        net.optimiser.zero_grad()
        self.engine.backward(losses if losses.ndim == 0 else losses[0])
        if net.clip:
            self.engine.clip_grad_norm_(net.module.parameters(), net.clip)
        net.optimiser.step()
        for module in others:
            module.requires_grad_(True)
        if net.average:
            net.average.n_averaged.fill_(self.now + 1)  # steps, also where a net is updated more often
            net.average.update_parameters(net.module)
        return losses.detach()

    def averaged(self, name: str) -> Any:
        """The average of a net, a module of its class, in evaluation mode."""
        average = self.nets[name].average
        assert average is not None
        return average.module.eval()

    def begin(self, step: int) -> dict[str, float]:
        """Set each net's learning rate; returns them as the log names them."""
        self.now = step
        for net in self.nets.values():
            for group in net.optimiser.param_groups:
                group["lr"] = net.rate(step)
        return {f"lr_{name}" if len(self.nets) > 1 else "lr": net.rate(step) for name, net in self.nets.items()}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        return {"nets": {name: net.state() for name, net in self.nets.items()}, "kept": self.kept}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        for name, net in self.nets.items():
            net.load(state["nets"][name])
        for name, tensor in self.kept.items():
            tensor.copy_(state["kept"][name])


def train(kind: Callable[[_Config, Accelerator], Stage[_Config]], config: _Config) -> None:
    """Run a stage to its end, from its beginning or from where it was.

    Args:
        kind: the stage's class.
        config: its settings.

    Raises:
        LatentConstraintsError: see `RunFolder`, `RunFolder.restore` and `accelerator`.
    """
    engine = accelerator(config)
    folder = RunFolder(config, engine)
    stage = kind(config, engine)
    start, spent = folder.restore(stage.load)
    began = last = time.monotonic()
    counted = start
    steps = range(start, stage.steps)
    bar = tqdm(steps, desc=stage.title, initial=start, total=stage.steps, disable=not engine.is_main_process)
    for step in bar:
        rates = stage.begin(step)
        values = stage.step(seeded(stage.seed, step, engine.process_index), step)
        done, ends, now = step + 1, step + 1 == stage.steps, time.monotonic()
        if engine.is_main_process and (done % config.log_steps == 0 or ends):
            speed = (done - counted) * stage.rows / (now - last)
            found = {name: float(value) for name, value in values.items()} | dict(stage.measure(done)) | rates
            found |= {f"{stage.unit}_per_second": speed, "seconds": spent + now - began}
            folder.log({"step": done, **{name: float(f"{value:.6g}") for name, value in found.items()}})
            bar.set_postfix({name: f"{float(value):.3g}" for name, value in values.items()})
            counted, last = done, time.monotonic()
        folder.save(done, spent + time.monotonic() - began, stage.state, force=ends)
    if engine.is_main_process:
        print(stage.finish())
    engine.wait_for_everyone()
    engine.end_training()

"""What every stage shares: command line, run folder, log, checkpoints, schedule, average of weights.

Chance is drawn from (seed, step), never from a running state, so that a run that was killed and resumed draws exactly
what an uninterrupted one would. Distribution and mixed precision are Hugging Face accelerate's.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
import tyro
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

__all__ = ["Ema", "Run", "RunConfig", "accelerator", "cosine", "parse", "save_grid", "seeded"]

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings that all training stages have."""

    out: Path
    """Folder of this run: config.json, log.csv, checkpoint.pt, sample grids."""
    resume: bool = False
    """Go on from the run folder's checkpoint."""
    seed: int = 0
    """Seed of everything that is drawn."""
    threads: int = 0
    """CPU threads per process; 0 leaves it to torch. 1 is best beside other work: OpenMP's threads spin."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    bf16: bool = True
    """Run the networks in bfloat16 where that is safe and the processor multiplies in it, since one that must emulate
    it is a hundred times slower; weights and losses stay float32."""
    save_minutes: float = 3.0
    """How often a checkpoint is written."""
    log_steps: int = 100
    """How often a row goes to log.csv."""


def parse(config_type: type[Config], presets: Mapping[str, Config] | None = None) -> Config:
    """Read the command line into a frozen dataclass; `--preset NAME` chooses other defaults."""
    arguments, default = sys.argv[1:], None
    for i, text in enumerate(arguments):
        if presets and text.startswith("--preset"):
            name = text.partition("=")[2] or (arguments[i + 1] if i + 1 < len(arguments) else "")
            if name not in presets:
                sys.exit(f"--preset must be one of: {', '.join(presets)}")
            default = presets[name]
            del arguments[i : i + (1 if "=" in text else 2)]
            break
    module = sys.modules[config_type.__module__]
    extra = f"\n\n--preset {{{','.join(presets)}}} chooses other defaults." if presets else ""
    description = (module.__doc__ or "") + extra
    return tyro.cli(config_type, args=arguments, default=default, description=description)  # type: ignore[arg-type]


def accelerator(config: RunConfig) -> Accelerator:
    """Set threads and make accelerate's engine; `accelerate launch` or `torchrun` decide how many processes."""
    if config.threads:
        torch.set_num_threads(config.threads)
    # Cheaper than the deterministic default where shapes do not change; no effect on a CPU.
    torch.backends.cudnn.benchmark = True
    bf16 = config.bf16 and native_bf16(config.device)
    return Accelerator(cpu=config.device == "cpu", mixed_precision="bf16" if bf16 else "no")


def native_bf16(device: str) -> bool:
    """Whether the processor that accelerate would choose multiplies in bfloat16 itself."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" and torch.backends.mps.is_available():
        return True
    return any(torch.cpu.get_capabilities().get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def seeded(config: RunConfig, step: int, rank: int = 0) -> torch.Generator:
    """The step's own source of chance, on the CPU; also seeds torch's global one (dropout, reparameterisation)."""
    number = (config.seed * 1_000_003 + step) * 1_009 + rank
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


def cosine(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Learning rate: linear warm-up, then half a cosine from `peak` to `final` at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


class Ema:
    """Exponential moving average of a module's weights and buffers (Polyak and Juditsky 1992).

    Args:
        module: the module to follow; the average starts as a copy.
        decay: in [0, 1); early on the average follows faster, so that it forgets the random start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


class Run:
    """A run folder: config.json, log.csv, checkpoint.pt. Only the main process writes."""

    def __init__(self, config: RunConfig, engine: Accelerator) -> None:
        self.config, self.engine, self.folder = config, engine, config.out
        self.last_save = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        if engine.is_main_process:
            text = json.dumps(dataclasses.asdict(config), indent=2, default=str)
            (self.folder / "config.json").write_text(text + "\n")

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def load(self) -> dict[str, Any] | None:
        """The checkpoint to go on from, or None for a fresh start."""
        if not self.config.resume or not self.checkpoint.exists():
            if self.engine.is_main_process:
                (self.folder / "log.csv").unlink(missing_ok=True)
            return None
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if self.engine.is_main_process:
            self._forget_rows_after(state["step"])
        return state

    def save(self, step: int, state: Mapping[str, Any], *, force: bool = False) -> None:
        """Write the checkpoint when it is due. A kill at any moment leaves the old or the new one whole."""
        due = force or time.monotonic() - self.last_save > 60 * self.config.save_minutes
        if not due or not self.engine.is_main_process:
            return
        partial = self.checkpoint.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save({"step": step, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.checkpoint)
        self.last_save = time.monotonic()

    def log(self, step: int, **values: float) -> None:
        """Append a row to log.csv."""
        if not self.engine.is_main_process:
            return
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])

    def _forget_rows_after(self, step: int) -> None:
        path = self.folder / "log.csv"
        if path.exists():
            head, *rows = path.read_text().splitlines(keepends=True)
            path.write_text(head + "".join(row for row in rows if int(row.split(",")[0]) <= step))


def save_grid(images: Tensor, path: Path, columns: int = 8) -> None:
    """Write (N, 3, H, W) in [0, 1] as one picture."""
    grid = make_grid(images.detach().float().cpu().clamp(0, 1), nrow=columns, padding=2, pad_value=1.0)
    Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy()).save(path)

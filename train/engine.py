"""What every stage shares: command line, errors, run folder, log, checkpoints, schedule, average of weights.

Chance is drawn from (seed, step), never from a running state, so that a run that was killed and resumed draws exactly
what an uninterrupted one would. Distribution and mixed precision are Hugging Face accelerate's.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import tyro
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from lc.errors import LatentConstraintsError
from lc.files import append_text, whole, write_json, write_text
from lc.weights import to_device

__all__ = ["Ema", "Run", "RunConfig", "accelerator", "cosine", "parse", "program", "save_grid", "seeded"]

DEVICES = ("auto", "cpu", "cuda", "mps")

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
    """auto, cpu, cuda or mps; which of several GPUs says CUDA_VISIBLE_DEVICES."""
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
    # tyro takes None for no default, which its types do not say.
    return tyro.cli(config_type, args=arguments, default=cast(Config, default), description=description)


def program(main: Callable[[], None]) -> Callable[[], None]:
    """A main function that ends with a sentence and exit code 2 where a person can put right what is wrong."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except LatentConstraintsError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            if not error.filename:
                raise
            print(f"{error.filename} cannot be written or read: {error.strerror}.", file=sys.stderr)
            sys.exit(2)

    return run


def accelerator(config: RunConfig) -> Accelerator:
    """Set threads and make accelerate's engine; `accelerate launch` or `torchrun` decide how many processes.

    Raises:
        LatentConstraintsError: the device is not there.
    """
    if config.device not in DEVICES:
        raise LatentConstraintsError(f"There is no device {config.device!r}: use {', '.join(DEVICES)}.")
    to_device(config.device)  # refuses what is not there, which accelerate would replace in silence
    if config.threads:
        torch.set_num_threads(config.threads)
    # Cheaper than the deterministic default where shapes do not change; no effect on a CPU.
    torch.backends.cudnn.benchmark = True
    bf16 = config.bf16 and native_bf16(config.device)
    engine = Accelerator(cpu=config.device == "cpu", mixed_precision="bf16" if bf16 else "no")
    if config.device not in ("auto", engine.device.type):
        raise LatentConstraintsError(
            f"accelerate takes {engine.device.type} and not {config.device}: see its settings, or use --device auto."
        )
    return engine


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
    """A run folder: config.json, log.csv, checkpoint.pt. Only the main process writes.

    Raises:
        LatentConstraintsError: a new run would overwrite another, or there is none to go on with.
    """

    def __init__(self, config: RunConfig, engine: Accelerator) -> None:
        self.config, self.engine, self.folder = config, engine, config.out
        self.last_save = time.monotonic()
        if config.resume and not (self.folder / "config.json").exists():
            raise LatentConstraintsError(f"{self.folder} holds no run to resume: check --out, or leave --resume out.")
        log = self.log_file.exists() and self.log_file.stat().st_size
        if not config.resume and (self.checkpoint.exists() or log):
            raise LatentConstraintsError(
                f"{self.folder} holds a run already: go on with it by --resume, or name another folder with --out."
            )
        engine.wait_for_everyone()  # before the main process makes of this what another would refuse
        if engine.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "config.json", dataclasses.asdict(config))

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def log_file(self) -> Path:
        return self.folder / "log.csv"

    def restore(self, put: Callable[[dict[str, Any]], object]) -> int:
        """Hand the checkpoint's state to `put`, and return the step to go on from: 0, without `put`, in a new run.

        Raises:
            LatentConstraintsError: the checkpoint is damaged, or of nets or settings of other sizes.
        """
        if not self.config.resume or not self.checkpoint.exists():
            if self.engine.is_main_process:
                self._forget_rows_after(0)
            return 0
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            step = int(state["step"])
        except (RuntimeError, EOFError, ValueError, TypeError, LookupError, pickle.UnpicklingError) as error:
            raise LatentConstraintsError(
                f"{self.checkpoint} is damaged: delete {self.folder} and start anew, or put back a copy of the file."
            ) from error
        try:
            put(state)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise LatentConstraintsError(
                f"{self.checkpoint} is of a run of other sizes: give the settings that it was begun with, or name "
                "another folder with --out."
            ) from error
        if self.engine.is_main_process:
            self._forget_rows_after(step)
        return step

    def save(self, step: int, state: Mapping[str, Any], *, force: bool = False) -> None:
        """Write the checkpoint when it is due. A kill at any moment leaves the old or the new one whole."""
        due = force or time.monotonic() - self.last_save > 60 * self.config.save_minutes
        if not due or not self.engine.is_main_process:
            return
        with whole(self.checkpoint) as file:
            torch.save({"step": step, **state}, file)
        self.last_save = time.monotonic()

    def log(self, step: int, **values: float) -> None:
        """Append a row to log.csv."""
        if not self.engine.is_main_process:
            return
        rows = [[step, *(f"{value:.6g}" for value in values.values())]]
        if not self.log_file.exists() or not self.log_file.stat().st_size:
            rows.insert(0, ["step", *values])
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        append_text(self.log_file, text.getvalue())

    def _forget_rows_after(self, step: int) -> None:
        """Leave the rows up to a step, and none that was cut short."""
        if not self.log_file.exists():
            return
        head, *rows = self.log_file.read_bytes().decode(errors="replace").splitlines(keepends=True) or [""]
        columns = head.count(",")
        kept = [row for row in rows if row.endswith("\n") and row.count(",") == columns]
        kept = [row for row in kept if row.split(",")[0].isdecimal() and int(row.split(",")[0]) <= step]
        if kept:
            write_text(self.log_file, head + "".join(kept))
        else:
            self.log_file.unlink()


def save_grid(images: Tensor, path: Path, columns: int = 8) -> None:
    """Write (N, 3, H, W) in [0, 1] as one picture."""
    grid = make_grid(images.detach().float().cpu().clamp(0, 1), nrow=columns, padding=2, pad_value=1.0)
    with whole(path) as file:
        Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "PNG")

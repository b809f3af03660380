"""What every program shares: command line, errors, device, grids of pictures.

Distribution and mixed precision are Hugging Face accelerate's. What takes seconds to import is imported where it is
used, since every stage of a recipe is a process of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor

from lc.errors import LatentConstraintsError
from lc.files import whole
from lc.weights import to_device

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["OPERATIONAL", "RunConfig", "accelerator", "parse", "program", "save_grid"]

DEVICES = ("auto", "cpu", "cuda", "mps")
#: Settings that change how a stage runs and not what it makes.
OPERATIONAL = frozenset({"threads", "device", "save_minutes", "log_steps"})

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings that all training stages have."""

    out: Path
    """Folder of this run: config.json, log.jsonl, checkpoint.pt, sample grids."""
    resume: bool = False
    """Go on from the run folder's checkpoint, with the settings that it was begun with."""
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
    """How often a line goes to log.jsonl."""
    batch: int = 64
    """Rows per step and process."""


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
    from accelerate import Accelerator

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


def save_grid(images: Tensor, path: Path, columns: int = 8) -> None:
    """Write (N, 3, H, W) in [0, 1] as one picture, two white pixels between and around them."""
    # Not torchvision's make_grid: its import takes as long as a whole small stage.
    tiles, columns = images.detach().float().cpu().clamp(0, 1), min(columns, len(images))
    tiles = torch.cat([tiles, tiles.new_ones(-len(tiles) % columns, *tiles.shape[1:])])
    rows = F.pad(tiles, (2, 0, 2, 0), value=1.0).unflatten(0, (-1, columns))  # (rows, columns, 3, H + 2, W + 2)
    grid = F.pad(rows.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2), (0, 2, 0, 2), value=1.0)
    with whole(path) as file:
        Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "PNG")

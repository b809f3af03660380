"""A weights folder's sample of latents: what an attribute that is taught from a few photos is contrasted with."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from lc.checksums import is_listed, read_file, save_files
from lc.critics import LatentStatistics
from lc.errors import WeightsError
from lc.tensors import check_finite, parse_tensors

__all__ = ["load_contrast", "save_contrast"]


def save_contrast(folder: Path, z: Tensor, statistics: LatentStatistics) -> None:
    """Write contrast.safetensors: latents (K, latent) of faces in general, whitened, in fp16; see `Model.contrast`."""
    whitened = ((z - statistics.mean) * statistics.gain).half().cpu().contiguous()
    save_files(folder, {"contrast.safetensors": safetensors.torch.save({"whitened": whitened})})


def load_contrast(folder: Path, statistics: LatentStatistics) -> Tensor | None:
    """Read what `save_contrast` wrote, (K, latent), or None where a weights folder has none.

    Dimensions that the decoder ignores are at their mean.

    Raises:
        WeightsError: damaged, or of another latent.
    """
    name = "contrast.safetensors"
    if not is_listed(folder, name):
        return None
    whitened = parse_tensors(read_file(folder, name), folder / name).get("whitened")
    latent = len(statistics.mean)
    if whitened is None or whitened.ndim != 2 or whitened.shape[1] != latent or len(whitened) < 2:
        raise WeightsError(f"{folder / name} was made for another config.json: fetch the folder again.")
    check_finite(whitened, str(folder / name))
    gain = statistics.gain
    return statistics.mean + torch.where(gain > 0, whitened.float() / gain.clamp_min(1e-12), 0.0)

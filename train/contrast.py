"""Keep a small sample of training photos' latents in a weights folder: what a taught attribute is contrasted with.

    python -m train.contrast --weights weights/celeba-64 --celeba data/celeba

Who teaches an attribute from a few photos gives none of faces in general. The sample says how those lie: posterior
means, whitened by the folder's statistics, in fp16. No photo can be told from it that the encoder and the decoder of
the folder would not show as well. Encodes the first photos of the training part, which is in no order, and writes
contrast.safetensors and its checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lc.contrast import save_contrast
from lc.edit.space import LatentSpace
from lc.few_shot import encode
from lc.weights import load_model
from train.data import centre, load_celeba
from train.engine import parse, program

__all__ = ["ContrastConfig", "main"]


@dataclass(frozen=True)
class ContrastConfig:
    """Keep a small sample of latents in a weights folder."""

    weights: Path = Path("weights/celeba-64")
    celeba: Path = Path("data/celeba")
    count: int = 2000
    """Photos in the sample; 2000 take 4 MB."""
    threads: int = 0
    """CPU threads; 0 leaves that to torch."""


@program
def main() -> None:
    config = parse(ContrastConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    model = load_model(config.weights, "cpu")
    size = model.generator.image_size
    images = load_celeba(config.celeba, "train", config.count, image_size=size).images
    mean = encode(LatentSpace(model), centre(images, size)).mean
    save_contrast(config.weights, mean, model.statistics)
    print(f"{len(mean)} latents in {config.weights / 'contrast.safetensors'}")


if __name__ == "__main__":
    main()

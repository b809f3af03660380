"""Train the face parser.

    python -m train.parser --faces data/parsing --unmasked data/celebahq --out runs/parser --threads 1

Nine hundred labelled faces hold fifty pairs of glasses and thirty hats, so beside the usual augmentation (turned,
scaled, shifted, lit, tinted, grey, blurred, noisy) glasses and hats are cut out of one face and laid onto another
(copy and paste, Ghiasi et al. 2021), and photos without masks take part by `train.pseudo`. Validation is the
pixel-wise intersection over union at the crop's framing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from lc.blur import gaussian_blur
from lc.errors import LatentConstraintsError
from lc.faces import detector, read_photo
from lc.faces.align import fit, warp
from lc.files import write_bytes, write_json
from lc.parser import CLASSES, Parser, ParserConfig
from lc.weights import load_parser, save_config, save_module
from train.engine import RunConfig, parse, program
from train.loop import Stage, cosine, follow, train
from train.pseudo import UNKNOWN, Unmasked, pseudo_labels

if TYPE_CHECKING:
    from accelerate import Accelerator

#: CelebAMask-HQ's classes, 0 to 18, as indices of `CLASSES`: background, skin, nose, glasses, eyes, brows, ears, inside
#: of the mouth, lips, hair, hat, earring, necklace, neck, cloth.
_MERGED = (0, 1, 1, 3, 8, 8, 7, 7, 1, 1, 6, 6, 6, 2, 4, 5, 5, 1, 5)
_GLASSES, _HAT = CLASSES.index("glasses"), CLASSES.index("hat")


@dataclass(frozen=True)
class ParserTraining(RunConfig):
    """Train the face parser."""

    out: Path = Path("runs/parser")
    faces: Path = Path("data/parsing")
    """images/ and masks/ of CelebAMask-HQ's classes, list_eval_partition.txt."""
    cache: Path = Path("cache/parsing.safetensors")
    """Aligned faces and masks; made on first use."""
    model: ParserConfig = field(default_factory=ParserConfig)
    images: int = 80_000
    """Faces to see in all."""
    batch: int = 16
    lr: float = 3e-3
    weight_decay: float = 0.02
    rare: float = 0.35
    """Share of the batch drawn from faces with glasses or a hat."""
    pasted: float = 0.4
    """Share of the batch onto which glasses or a hat of another face are laid."""
    turn: float = 30.0
    """Largest rotation, in degrees."""
    init: Path | None = None
    """Weights folder whose parser the training begins with."""
    unmasked: Path | None = None
    """CelebA, of which as many photos without masks join a batch; see `train.pseudo`."""
    warmup: int = 200
    """Steps to the highest learning rate. Only a parser that finds something labels photos: after these."""


@dataclass(frozen=True)
class Faces:
    """Aligned faces with a margin of a quarter of the crop on every side.

    Attributes:
        images: (N, 3, S, S) uint8. masks: (N, S, S) uint8, indices of `CLASSES` or `UNKNOWN`.
        validation: (N,) bool.
    """

    images: Tensor
    masks: Tensor
    validation: Tensor


def load_faces(folder: Path, cache: Path, size: int) -> Faces:
    """Align every face of `folder`, or read what was aligned before. Faces that are not found are left out."""
    if not cache.exists():
        rows = [line.split() for line in (folder / "list_eval_partition.txt").read_text().splitlines() if line.strip()]
        found = [(aligned(folder, name, size), int(part)) for name, part in tqdm(rows, desc="align")]
        kept = [(pair, part) for pair, part in found if pair is not None]
        images = torch.from_numpy(np.stack([image for (image, _), _ in kept])).permute(0, 3, 1, 2).contiguous()
        masks = torch.from_numpy(np.stack([mask for (_, mask), _ in kept]))
        cache.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"images": images, "masks": masks, "part": torch.tensor([part for _, part in kept])}
        write_bytes(cache, safetensors.torch.save(tensors))
    tensors = safetensors.torch.load_file(cache)
    return Faces(tensors["images"], tensors["masks"], tensors["part"] > 0)


def aligned(folder: Path, name: str, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None:
    """A face and its mask in the product's framing with a margin of size / 4; None where no face is found."""
    photo = read_photo(folder / "images" / f"{name}.webp")
    faces = detector().detect(photo.rgb)
    if not faces:
        return None
    margin, matrix = size // 4, fit(faces[0].landmarks, size)
    matrix[:, 2] -= matrix[:, :2] @ np.array([margin, margin])
    image = np.asarray(warp(photo.rgb, matrix, size + 2 * margin))
    with Image.open(folder / "masks" / f"{name}.png") as file:
        labels = np.asarray(_MERGED, dtype=np.uint8)[np.asarray(file)]
    # OpenCV puts a pixel's centre at whole numbers, the aligner at halves.
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    mask = cv2.warpAffine(
        labels,
        matrix,
        (size + 2 * margin,) * 2,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(float(UNKNOWN),),
    )
    return image, np.asarray(mask, dtype=np.uint8)


def paste_worn(
    x: Tensor, y: Tensor, donor_x: Tensor, donor_y: Tensor, kind: int, gain: Tensor
) -> tuple[Tensor, Tensor]:
    """Lay the glasses or the hat of one aligned face onto another.

    Args:
        x, donor_x: (3, S, S) in [0, 1]. y, donor_y: (S, S), classes.
        kind: the class to lay on. With a hat comes all of the donor that is above its lower edge, or the other's hair
            would stand out over the crown.
        gain: (3, 1, 1), brightness of what is laid on.
    """
    cut = donor_y == kind
    if kind == _HAT:
        cut = cut.flip(0).cummax(0).values.flip(0)  # at and above the lowest pixel of each column
    soft = gaussian_blur(cut[None, None].float(), 3, 0.7)[0]
    return x * (1 - soft) + (donor_x * gain).clamp(0, 1) * soft, torch.where(cut, donor_y, y)


def geometry(batch: int, size: int, margin: int, turn: float, generator: torch.Generator) -> Tensor:
    """Random flips, rotations, scales and shifts: a sampling grid (B, size, size, 2) for `F.grid_sample`."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch).uniform_(low, high, generator=generator)

    angle = uniform(-1, 1) * uniform(0, 1) * math.radians(turn)  # upright faces more often
    scale = torch.exp(uniform(-0.22, 0.16)) * size / (size + 2 * margin)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin, shift = torch.cos(angle) * scale, torch.sin(angle) * scale, 0.1 * scale
    rows = (
        torch.stack([cos * flip, -sin, uniform(-1, 1) * shift]),
        torch.stack([sin * flip, cos, uniform(-1, 1) * shift]),
    )
    theta = torch.stack(rows).permute(2, 0, 1)  # (B, 2, 3)
    return F.affine_grid(theta, [batch, 3, size, size], align_corners=False)


def appearance(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random light, contrast, tint, greyness, blur, pixelation and noise. (B, 3, S, S) in [0, 1] -> the same."""
    batch = len(x)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.empty(batch, channels, 1, 1).uniform_(low, high, generator=generator)

    luma = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    grey = torch.where(uniform(0, 1) < 0.15, 0.0, uniform(0.5, 1.4))  # saturation
    x = luma + grey * (x - luma)
    x = (x - 0.5) * uniform(0.6, 1.3) * uniform(0.88, 1.12, 3) + 0.5 + uniform(-0.12, 0.12)
    x = x.clamp(1e-4, 1) ** torch.exp(uniform(-0.5, 0.5))
    few = batch // 4
    if few:
        sigma = float(torch.empty(1).uniform_(0.5, 2.0, generator=generator))
        side = int(torch.randint(x.shape[-1] // 3, x.shape[-1], (1,), generator=generator))
        coarse = F.interpolate(x[few : 2 * few], side, mode="bilinear", antialias=True, align_corners=False)
        coarse = F.interpolate(coarse, x.shape[-2:], mode="bilinear", align_corners=False)
        x = torch.cat([gaussian_blur(x[:few], 9, sigma), coarse, x[2 * few :]])
    noise = torch.randn(x.shape, generator=generator) * uniform(0, 0.05)
    return (x + noise).clamp(0, 1)


class Batches:
    """Draws augmented training batches; all chance comes from the generator given."""

    def __init__(self, faces: Faces, config: ParserTraining) -> None:
        keep = ~faces.validation
        self.images, self.masks, self.config = faces.images[keep], faces.masks[keep], config
        self.wearers = {
            kind: ((self.masks == kind).flatten(1).sum(1) > 60).nonzero()[:, 0] for kind in (_GLASSES, _HAT)
        }

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Faces (B, 3, size, size) in [0, 1] and classes (B, size, size) of long."""
        config, size = self.config, self.config.model.image_size
        rows = torch.randint(len(self.images), (config.batch,), generator=generator)
        worn = [self._wearer(generator)[0] for _ in range(round(config.rare * config.batch))]
        if worn:
            rows[: len(worn)] = torch.tensor(worn)
        x, y = self.images[rows].float() / 255, self.masks[rows].clone()
        for i in range(config.batch - round(config.pasted * config.batch), config.batch):
            donor, kind = self._wearer(generator)
            gain = torch.empty(3, 1, 1).uniform_(0.9, 1.1, generator=generator)
            gain = gain * torch.empty(1).uniform_(0.7, 1.3, generator=generator)
            x[i], y[i] = paste_worn(x[i], y[i], self.images[donor].float() / 255, self.masks[donor], kind, gain)
        grid = geometry(config.batch, size, (x.shape[-1] - size) // 2, config.turn, generator)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        # What lies outside is unknown: shifted by one, so that the padding's 0 means that.
        labels = F.grid_sample((y + 1)[:, None].float() % 256, grid, mode="nearest", align_corners=False)[:, 0]
        labels = torch.where(labels == 0, UNKNOWN, labels - 1)
        return appearance(x, generator), labels.long()

    @torch.no_grad()
    def unmasked(self, photos: Unmasked, teacher: Parser, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `draw`, of photos whose classes are what the teacher finds in them before their appearance varies."""
        config, size = self.config, self.config.model.image_size
        x, worn = photos.draw(config.batch, generator)
        grid = geometry(config.batch, size, photos.margin, config.turn, generator)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        place = next(teacher.parameters()).device
        labels = pseudo_labels(teacher.eval().parse(x.to(place)).cpu(), photos.classes, worn)
        return appearance(x, generator), labels

    def _wearer(self, generator: torch.Generator) -> tuple[int, int]:
        kind = _GLASSES if torch.rand(1, generator=generator) < 0.5 else _HAT
        among = self.wearers[kind] if len(self.wearers[kind]) else torch.arange(len(self.images))
        return int(among[torch.randint(len(among), (1,), generator=generator)]), kind


def parser_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice (Milletari et al. 2016), which counts a small class as much as a large one.

    Args:
        logits: (B, classes, S, S). labels: (B, S, S), `UNKNOWN` where nothing is known.
    """
    weight = logits.new_ones(logits.shape[1])
    weight[[_GLASSES, _HAT]] = 2.0
    cross_entropy = F.cross_entropy(logits, labels, weight, ignore_index=UNKNOWN)
    known = (labels != UNKNOWN)[:, None]
    found = torch.softmax(logits, 1) * known
    wanted = F.one_hot(labels.clamp_max(logits.shape[1] - 1), logits.shape[1]).permute(0, 3, 1, 2) * known
    both, either = (found * wanted).sum((0, 2, 3)), (found + wanted).sum((0, 2, 3))
    return cross_entropy + (1 - (2 * both + 10) / (either + 10)).mean()


@torch.no_grad()
def intersection_over_union(parser: Parser, images: Tensor, masks: Tensor) -> dict[str, float]:
    """Per class over all pixels of (N, 3, S, S) uint8 and (N, S, S), and their mean as "mean"; NaN where absent."""
    count = len(parser.config.classes)
    confusion = torch.zeros(count, count)
    for x, y in zip(images.split(16), masks.split(16), strict=True):
        found = parser.parse(x.float() / 255).argmax(1)
        known = y != UNKNOWN
        pairs = y[known].long() * count + found[known]
        confusion += torch.bincount(pairs, minlength=count * count).view(count, count)
    right = confusion.diagonal()
    values = (right / (confusion.sum(0) + confusion.sum(1) - right)).tolist()
    return dict(zip(parser.config.classes, values, strict=True)) | {"mean": float(np.nanmean(values))}


def held_out(faces: Faces, size: int) -> tuple[Tensor, Tensor]:
    """The validation faces as the product frames them: (N, 3, size, size) uint8 and (N, size, size)."""
    margin = (faces.images.shape[-1] - size) // 2
    inner = slice(margin, margin + size)
    return faces.images[faces.validation][..., inner, inner], faces.masks[faces.validation][:, inner, inner]


class ParserTask(nn.Module):
    """`parser_loss` of the parser's logits."""

    def __init__(self, parser: Parser) -> None:
        super().__init__()
        self.parser = parser

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] and (B, S, S) of long -> a scalar."""
        return parser_loss(self.parser(images).float(), labels)


class ParserStage(Stage[ParserTraining]):
    """The face parser."""

    title = "parser"

    def __init__(self, config: ParserTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        faces = load_faces(config.faces, config.cache, config.model.image_size)
        self.batches, self.held_out = Batches(faces, config), held_out(faces, config.model.image_size)
        torch.manual_seed(self.seed)
        parser = (load_parser(config.init) if config.init else None) or Parser(config.model)
        if config.init and parser.config != config.model:
            raise LatentConstraintsError(f"{config.init} has no parser of these sizes: say --init another, or none.")
        parser.requires_grad_().train()
        parser = parser.to(memory_format=torch.channels_last)
        worn = {_GLASSES: "Eyeglasses", _HAT: "Wearing_Hat"}
        size = config.model.image_size
        self.unmasked = Unmasked(config.unmasked, size, worn, config.rare) if config.unmasked else None
        self.steps = config.images // self.rows
        self.add(
            "parser",
            parser,
            torch.optim.AdamW(parser.parameters(), config.lr, weight_decay=config.weight_decay, fused=True),
            cosine(self.steps, config.lr, 1e-5, config.warmup),
            task=ParserTask(parser),
            average=follow(0.998, 5_000 if config.init else 0),
        )

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        x, y = self.batches.draw(chance)
        if self.unmasked and step >= self.config.warmup:
            with self.engine.autocast():
                more = self.batches.unmasked(self.unmasked, self.averaged("parser"), chance)
            x, y = torch.cat([x, more[0]]), torch.cat([y, more[1]])
        x = x.to(self.device, memory_format=torch.channels_last)
        return {"loss": self.update("parser", x, y.to(self.device))}

    def finish(self) -> str:
        config, parser = self.config, self.averaged("parser").cpu()
        measured = intersection_over_union(parser, *self.held_out)
        folder = config.out / "weights"
        save_config(folder, parser={**vars(config.model), "classes": list(config.model.classes)})
        save_module(folder, "parser", parser)
        write_json(config.out / "iou.json", measured)
        return ", ".join(f"{name} {value:.3f}" for name, value in measured.items()) + f"; weights in {folder}"


@program
def main() -> None:
    train(ParserStage, parse(ParserTraining))


if __name__ == "__main__":
    main()

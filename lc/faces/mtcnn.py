"""MTCNN's three nets, and their weights.

Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks", 2016
(https://arxiv.org/abs/1604.02878). The weights are the arrays inside the PyPI wheel `mtcnn` 1.0.0 (MIT). That package's
own code needs TensorFlow, so it is located and never imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import joblib
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lc.errors import WeightsError

__all__ = ["Net", "load_nets"]


class Net(nn.Module):
    """A trunk with heads: (N, 3, H, W) in -1 to 1 -> box offsets, perhaps landmarks, and last the probabilities (no
    face, face)."""

    def __init__(self, trunk: list[nn.Module], heads: list[nn.Module]) -> None:
        super().__init__()
        self.trunk, self.heads = nn.Sequential(*trunk), nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[Tensor]:
        # Channels last: more than twice as fast, most of all where maxima are taken.
        features = self.trunk(x.contiguous(memory_format=torch.channels_last))
        outputs = [head(features) for head in self.heads]
        return [*outputs[:-1], outputs[-1].softmax(1)]


class _Flatten(nn.Module):
    """(N, C, H, W) -> (N, W * H * C), the order in which the weights were stored."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]


def _dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [_Flatten(), nn.Linear(inputs, outputs), nn.PReLU(outputs)]


def _pool(kernel: int, *, ceil: bool) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=ceil)


def load_nets() -> tuple[Net, Net, Net]:
    """The nets that propose faces, refine them, and place their landmarks, frozen.

    Raises:
        WeightsError: the wheel is not there, or damaged.
    """
    proposal = Net(
        [*_conv(3, 10, 3), _pool(2, ceil=True), *_conv(10, 16, 3), *_conv(16, 32, 3)],
        [nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)],
    )
    refine = Net(
        [
            *[*_conv(3, 28, 3), _pool(3, ceil=True), *_conv(28, 48, 3), _pool(3, ceil=False)],
            *[*_conv(48, 64, 2), *_dense(576, 128)],
        ],
        [nn.Linear(128, 4), nn.Linear(128, 2)],
    )
    output = Net(
        [
            *[*_conv(3, 32, 3), _pool(3, ceil=True), *_conv(32, 64, 3), _pool(3, ceil=False)],
            *[*_conv(64, 64, 3), _pool(2, ceil=True), *_conv(64, 128, 2), *_dense(1152, 256)],
        ],
        [nn.Linear(256, 4), nn.Linear(256, 10), nn.Linear(256, 2)],
    )
    # Locating a package, unlike importing it, runs none of its code.
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("The face detector's weights are missing; run `pip install mtcnn==1.0.0`.")
    folder = Path(spec.submodule_search_locations[0]) / "assets" / "weights"
    for net, name in ((proposal, "pnet"), (refine, "rnet"), (output, "onet")):
        # joblib unpickles, and unpickling can run code: fair for a file of a pinned wheel that pip has installed,
        # and for nothing else.
        try:
            arrays = joblib.load(folder / f"{name}.lz4")
            for parameter, array in zip(net.parameters(), arrays, strict=True):
                parameter.data.copy_(_from_keras(array).view_as(parameter))
        except (OSError, EOFError, ValueError, RuntimeError) as error:  # absent, damaged, another version, no lz4
            raise WeightsError(
                "The face detector's weights cannot be read; run `pip install --force-reinstall mtcnn==1.0.0 lz4`."
            ) from error
        net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return proposal, refine, output


def _from_keras(array: npt.NDArray[np.float32]) -> Tensor:
    """Keras stores (height, width, in, out) and (in, out); torch (out, in, height, width) and (out, in)."""
    order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
    return torch.from_numpy(np.ascontiguousarray(array if order is None else array.transpose(order)))

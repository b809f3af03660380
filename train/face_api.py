"""Three nets of face-api (MIT, https://github.com/vladmandic/face-api) in torch: age and sex, expression, descriptor.

Each class is one of its nets, with its modules and parameters named as in face-api's weights manifests, so that
loading them strictly checks that the graphs agree. The weights are stored as bytes with a scale and a least value per
tensor. Sources: the package's src/xception, src/faceFeatureExtractor, src/faceRecognitionNet, src/ageGenderNet.

On six aligned faces and the same pixels, what these give and what face-api 1.7.15 gives under Node (TensorFlow.js
4.22, its plain CPU backend) differ by at most 5e-5 years, 2e-6 in a probability and 4e-6 in a descriptor's entry.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.errors import WeightsError

__all__ = ["EXPRESSIONS", "AgeGenderNet", "FaceExpressionNet", "FaceRecognitionNet", "read_weights"]

#: What the seven outputs of FaceExpressionNet mean.
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")

# The mean colour, of 255, that all three nets take away.
_MEAN = (122.782, 117.001, 104.298)


def read_weights(manifest: Path) -> dict[str, Tensor]:
    """The tensors that a manifest of TensorFlow.js describes, from the file beside it that it names.

    A byte q stands for min + scale * q.

    Returns:
        Tensors by their names with dots for slashes, laid out as torch wants them: (out, in, height, width), depthwise
        (channels, 1, height, width), and (out, in) for matrices.

    Raises:
        WeightsError: the file is damaged or is not the one that the manifest describes.
    """
    found: dict[str, Tensor] = {}
    try:
        for group in json.loads(manifest.read_text()):
            data = b"".join((manifest.parent / path).read_bytes() for path in group["paths"])
            start = 0
            for entry in group["weights"]:
                quantised = entry.get("quantization")
                kind = np.dtype(quantised["dtype"] if quantised else entry["dtype"]).newbyteorder("<")
                values = np.frombuffer(data, kind, prod(entry["shape"]), start).astype(np.float32)
                start += values.size * kind.itemsize
                if quantised:
                    values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
                found[entry["name"].replace("/", ".")] = _to_torch(entry["name"], values.reshape(entry["shape"]))
            if start != len(data):
                raise ValueError("bytes are left over")
    except (OSError, KeyError, TypeError, ValueError) as error:  # json's and numpy's errors are ValueErrors
        raise WeightsError(
            f"{manifest.name} cannot be read ({error}); delete its folder and fetch it again."
        ) from error
    return found


def _to_torch(name: str, values: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    """TensorFlow stores (height, width, in, out), depthwise (height, width, channels, 1), and (in, out)."""
    order = {4: (2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1), 2: (1, 0)}.get(values.ndim)
    return torch.from_numpy(np.ascontiguousarray(values if order is None else values.transpose(order)))


def _same(x: Tensor, side: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad (B, C, S, S) as TensorFlow's "same" does: where an odd row is left over, at the bottom and the right."""
    size = x.shape[-1]
    total = max((-(-size // stride) - 1) * stride + side - size, 0)
    return F.pad(x, (total // 2, total - total // 2) * 2, value=value)


class _Net(nn.Module):
    """A net with its weights, frozen.

    Attributes:
        size: side of the square picture that it takes.
    """

    size: int
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)

    def load(self, manifest: Path) -> None:
        """Fill the net from a manifest, and freeze it.

        Raises:
            WeightsError: damaged weights, or those of another net.
        """
        try:
            self.load_state_dict(read_weights(manifest))
        except RuntimeError as error:  # torch's word for names or shapes that do not fit
            raise WeightsError(f"{manifest.name} does not fit {type(self).__name__}; fetch it again.") from error
        self.eval().requires_grad_(False)

    def normalised(self, pictures: Tensor) -> Tensor:
        """(B, 3, size, size) in [0, 1] -> what the first layer takes."""
        return (pictures * 255 - self.mean) / 255


class _Conv(nn.Module):
    """Convolution with "same" padding, or with none."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        self.side, self.stride, self.padded = side, stride, padded
        self.filters = nn.Parameter(torch.zeros(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = _same(x, self.side, self.stride) if self.padded else x
        return F.conv2d(x, self.filters, self.bias, self.stride)


class _Separable(nn.Module):
    """A 3x3 filter per channel, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise_filter = nn.Parameter(torch.zeros(inputs, 1, 3, 3))
        self.pointwise_filter = nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(_same(x, 3, self.stride), self.depthwise_filter, stride=self.stride, groups=x.shape[1])
        return F.conv2d(x, self.pointwise_filter, self.bias)


class _Dense(nn.Module):
    """A matrix and a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weights, self.bias)


class _Reduction(nn.Module):
    """Xception's block that halves the sides."""

    def __init__(self, inputs: int, outputs: int, activated: bool = False) -> None:
        super().__init__()
        self.activated = activated  # the block before has ended in a ReLU
        self.separable_conv0 = _Separable(inputs, outputs)
        self.separable_conv1 = _Separable(outputs, outputs)
        self.expansion_conv = _Conv(inputs, outputs, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.separable_conv0(x if self.activated else F.relu(x))
        y = self.separable_conv1(F.relu(y))
        around: Tensor = self.expansion_conv(x)
        return around + F.max_pool2d(_same(y, 3, 2, -torch.inf), 3, 2)


class _Main(nn.Module):
    """Xception's residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable_conv0 = _Separable(channels, channels)
        self.separable_conv1 = _Separable(channels, channels)
        self.separable_conv2 = _Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.separable_conv1(F.relu(self.separable_conv0(F.relu(x))))
        z: Tensor = self.separable_conv2(F.relu(y))
        return x + z


class AgeGenderNet(_Net):
    """Age in years and sex: a small Xception (Chollet 2017), 0.4 M parameters."""

    size = 112

    def __init__(self) -> None:
        super().__init__()
        blocks = {"reduction_block_0": _Reduction(32, 64, True), "reduction_block_1": _Reduction(64, 128)}
        self.entry_flow = nn.ModuleDict({"conv_in": _Conv(3, 32, 3, 2), **blocks})
        self.middle_flow = nn.ModuleDict({f"main_block_{i}": _Main(128) for i in range(2)})
        self.exit_flow = nn.ModuleDict(
            {"reduction_block": _Reduction(128, 256), "separable_conv": _Separable(256, 512)}
        )
        self.fc = nn.ModuleDict({"age": _Dense(512, 1), "gender": _Dense(512, 2)})

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 112, 112) in [0, 1] -> age (B,) in years, probability of a man (B,)."""
        x = F.relu(self.entry_flow["conv_in"](self.normalised(pictures)))
        x = self.entry_flow["reduction_block_1"](self.entry_flow["reduction_block_0"](x))
        for block in self.middle_flow.values():
            x = block(x)
        x = F.relu(self.exit_flow["separable_conv"](self.exit_flow["reduction_block"](x))).mean((2, 3))  # 7x7 before
        return self.fc["age"](x)[:, 0], self.fc["gender"](x).softmax(1)[:, 0]


class _Four(nn.Module):
    """Four convolutions, each fed with the sum of those before it; the first halves the sides."""

    def __init__(self, inputs: int, outputs: int, first: bool = False) -> None:
        super().__init__()
        self.conv0 = _Conv(inputs, outputs, 3, 2) if first else _Separable(inputs, outputs, 2)
        self.conv1 = _Separable(outputs, outputs)
        self.conv2 = _Separable(outputs, outputs)
        self.conv3 = _Separable(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        total = F.relu(self.conv0(x))
        y = self.conv1(total)
        for conv in (self.conv2, self.conv3):
            total = total + y
            y = conv(F.relu(total))
        return F.relu(total + y)


class FaceExpressionNet(_Net):
    """Seven expressions, see `EXPRESSIONS`; 0.3 M parameters."""

    size = 112

    def __init__(self) -> None:
        super().__init__()
        self.dense0 = _Four(3, 32, first=True)
        self.dense1, self.dense2, self.dense3 = _Four(32, 64), _Four(64, 128), _Four(128, 256)
        self.fc = _Dense(256, 7)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, 112, 112) in [0, 1] -> probabilities (B, 7)."""
        x = self.dense3(self.dense2(self.dense1(self.dense0(self.normalised(pictures)))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits.softmax(1)


class _Scale(nn.Module):
    """dlib's affine layer: a factor and a summand per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(channels))
        self.biases = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights[:, None, None] + self.biases[:, None, None]


class _Scaled(nn.Module):
    """Convolution, then scale. No padding where it strides."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _Conv(inputs, outputs, side, stride, padded=stride == 1)
        self.scale = _Scale(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale(self.conv(x))
        return y


class _Residual(nn.Module):
    """Residual block; where it halves, the way around is a mean of 2x2, and the smaller term is padded with zeros."""

    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = _Scaled(inputs, outputs, 3, 2 if halves else 1)
        self.conv2 = _Scaled(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.halves:
            x = F.avg_pool2d(x, 2)
            gap = x.shape[-1] - y.shape[-1]
            y = F.pad(y, (0, gap, 0, gap))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(x + y)


# (name, input channels, output channels, halves?) of the residual blocks.
_RESIDUALS = (
    *((f"conv32_{i}", 32, 32, False) for i in (1, 2, 3)),
    ("conv64_down", 32, 64, True),
    *((f"conv64_{i}", 64, 64, False) for i in (1, 2, 3)),
    ("conv128_down", 64, 128, True),
    *((f"conv128_{i}", 128, 128, False) for i in (1, 2)),
    ("conv256_down", 128, 256, True),
    *((f"conv256_{i}", 256, 256, False) for i in (1, 2)),
    ("conv256_down_out", 256, 256, True),
)


class FaceRecognitionNet(_Net):
    """A descriptor of the person; 5.6 M parameters. These are dlib's weights, with most of them rounded to bytes."""

    size = 150

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = _Scaled(3, 32, 7, 2)
        for name, inputs, outputs, halves in _RESIDUALS:
            self.add_module(name, _Residual(inputs, outputs, halves))
        self.fc = nn.Parameter(torch.zeros(128, 256))

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, 150, 150) in [0, 1] -> (B, 128)."""
        x = F.max_pool2d(F.relu(self.conv32_down(self.normalised(pictures))), 3, 2)
        for name, *_ in _RESIDUALS:
            x = self.get_submodule(name)(x)
        return F.linear(x.mean((2, 3)), self.fc)

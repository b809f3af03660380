"""lc.upsampler and what trains it: a photo goes on in what is put into it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lc.editor import FaceEditor
from lc.upsampler import Upsampler, UpsamplerConfig, surroundings
from lc.weights import save_upsampler
from train.sharpness import VIEW, View
from train.upsampler import Completed, drawn_place, holes


def small(seed: int = 0) -> Upsampler:
    """An upsampler whose last layer says something."""
    torch.manual_seed(seed)
    net = Upsampler(UpsamplerConfig(width=8, blocks=1, fine=4)).eval().requires_grad_(False)
    torch.nn.init.normal_(net.last.weight, std=0.1)
    return net


def test_it_begins_as_bicubic_interpolation() -> None:
    net, images = Upsampler(UpsamplerConfig(width=8, blocks=1, fine=4)).eval(), torch.rand(2, 3, 16, 16)
    smooth = torch.nn.functional.interpolate(images, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 1)
    torch.testing.assert_close(net(images), smooth)


def test_it_looks_at_the_photo_around_and_not_at_what_is_replaced() -> None:
    net, images, photos = small(), torch.rand(1, 3, 16, 16), torch.rand(1, 3, 32, 32)
    missing = torch.zeros(1, 1, 32, 32)
    missing[..., 8:24, 8:24] = 1
    first = net(images, surroundings(photos, missing))
    hidden, around = photos.clone(), photos.clone()
    hidden[..., 8:24, 8:24] = torch.rand(3, 16, 16)
    around[..., :8, :] = torch.rand(3, 8, 32)
    torch.testing.assert_close(net(images, surroundings(hidden, missing)), first)
    assert (net(images, surroundings(around, missing)) - first).abs().max() > 1e-3


def test_without_a_photo_all_of_it_is_missing() -> None:
    net, images = small(), torch.rand(2, 3, 16, 16)
    everywhere = surroundings(torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32))
    torch.testing.assert_close(net(images), net(images, everywhere))


def test_pixels_go_in_and_come_out_as_the_blend_has_them() -> None:
    net, chance = small(), np.random.default_rng(0)
    picture, photo = (chance.uniform(0, 255, (32, 32, 3)).astype(np.float32) for _ in range(2))
    missing = np.ones((32, 32), np.float32)
    found = net.completed(picture, photo, missing)
    assert found.shape == (32, 32, 3)
    assert found.min() >= 0
    assert found.max() > 1.5  # grey levels, not parts of 1
    halves = torch.from_numpy(picture.reshape(16, 2, 16, 2, 3).mean((1, 3)) / 255).permute(2, 0, 1)[None]
    np.testing.assert_allclose(found, 255 * net(halves)[0].permute(1, 2, 0).numpy(), atol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([32, 64, 128]))
def test_what_is_replaced_lies_about_its_place(seed: int, size: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    place = drawn_place(chance)
    found = holes(4, size, place, chance)
    assert found.shape == (4, 1, size, size)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert (found.amax((1, 2, 3)) > 0.5).all()
    assert found.mean() < 0.6  # there is a photo around it
    view = View(128, chance)
    view.look_at(*place)
    assert view(torch.zeros(1, 3, 128, 128)).shape == (1, 3, VIEW, VIEW)


def test_a_completed_photo_changes_only_where_something_is_missing() -> None:
    photos, missing = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    missing[:, :, 10:20, 10:20] = 1
    found = Completed(small())((torch.rand(2, 3, 16, 16), photos, missing))
    torch.testing.assert_close(found * (1 - missing), photos * (1 - missing))
    assert (found - photos)[..., 10:20, 10:20].abs().mean() > 0.05


def test_generated_faces_are_enlarged_by_a_net_of_their_own(weights_copy: Path) -> None:
    def shown() -> tuple[Image.Image, Image.Image]:
        (sample,) = FaceEditor.load(weights_copy, device="cpu").sample(1)
        return sample.image, sample.decoded

    image, picture = shown()
    assert image is picture  # nothing to enlarge it
    for name, seed in (("upsampler", 1), ("enlarger", 2)):  # of two the latter
        net = small(seed)
        save_upsampler(weights_copy, net, name)
        image, picture = shown()
        enlarged = np.asarray(net.enlarged([picture])[0])
        np.testing.assert_allclose(np.asarray(image, int), enlarged.astype(int), atol=2)  # weights are kept in fp16

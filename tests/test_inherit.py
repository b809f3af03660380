"""A new generator's actor and critics, learned from an older model's pictures."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import inherit, write_classifiers

from lc.editor import FaceEditor
from lc.weights import load_model
from train.inherit import laid_over, logit_slope
from train.loop import train


@settings(deadline=None, max_examples=25)
@given(left=st.integers(12, 30), top=st.integers(12, 30), side=st.integers(12, 20), seed=st.integers(0, 9))
def test_what_did_not_change_is_the_photos(left: int, top: int, side: int, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    photos, before = torch.rand(2, 2, 3, 64, 64, generator=chance)
    torch.testing.assert_close(laid_over(photos, before, before), photos)
    after = before.clone()
    after[:, :, top : top + side, left : left + side] = 1 - before[:, :, top : top + side, left : left + side].round()
    laid = laid_over(photos, before, after)
    far = torch.ones(64, 64, dtype=torch.bool)
    far[max(top - 10, 0) : top + side + 10, max(left - 10, 0) : left + side + 10] = False
    torch.testing.assert_close(laid[..., far], photos[..., far])
    large = torch.rand(2, 3, 128, 128, generator=chance)  # whose own detail stays
    twice = far.repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(laid_over(large, before, after)[..., twice], large[..., twice])
    # In the middle nothing of the photo shows through.
    middle = ..., slice(top + 4, top + side - 4), slice(left + 4, left + side - 4)
    torch.testing.assert_close(laid[middle], after[middle], atol=0.02, rtol=0)


def test_slopes_of_logits_are_what_finite_differences_say() -> None:
    chance = torch.Generator().manual_seed(0)
    z, drawn, read = (torch.randn(*size, generator=chance).double() for size in ((3, 5), (5, 12), (12, 2)))
    generator = SimpleNamespace(decode=lambda at: torch.sigmoid(at @ drawn))
    guidance = SimpleNamespace(beyond=lambda pictures: pictures.square() @ read)
    sigma, step = 0.5 + torch.rand(5, generator=chance).double(), 1e-5
    ahead, behind = (
        torch.stack([guidance.beyond(generator.decode(z + sign * step * one)) for one in torch.diag(sigma)])
        for sign in (1, -1)
    )
    wanted = ((ahead - behind) / (2 * step)).square().sum(0).mean()
    assert logit_slope(generator, cast(Any, guidance), z, sigma) == pytest.approx(float(wanted))


@pytest.mark.slow
def test_a_generator_becomes_an_editor(celeba: Path, tmp_path: Path, astronaut: Path) -> None:
    kind, config, weights = inherit(celeba, tmp_path, write_classifiers(tmp_path / "classifiers"))
    train(kind, config)
    new, old = load_model(weights, "cpu"), load_model(config.source, "cpu")
    assert new.attributes.names == old.attributes.names
    # A distance counts as much as it did, for what it does to a logit.
    ours, theirs = ((one.unasked_weight, one.logit_slope) for one in (new.tuning, old.tuning))
    assert math.prod(ours) == pytest.approx(math.prod(theirs))
    assert ours != pytest.approx(theirs, rel=0.01)
    assert (new.tuning.sigma_x, new.tuning.inversion_rate) == (config.sigma_x, config.inversion_rate)
    assert (new.generator.image_size, old.generator.image_size) == (128, 64)
    edit = FaceEditor.load(weights, "cpu").edit(astronaut, {"Smiling": False})
    assert edit.edited.size == (128, 128)

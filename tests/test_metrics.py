"""Figures of merit against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from train.metrics import attribute_scores, diversity, frechet_distance, gradient_energy, psnr, separation


def test_psnr_of_a_constant_error() -> None:
    photo = torch.full((2, 3, 64, 64), 0.5)
    assert psnr(photo + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1), photo).tolist() == pytest.approx([20, 40], abs=1e-3)


def test_frechet_distance_of_a_shift_is_its_square() -> None:
    features = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, 0, 0, 4.0, 0, 0])
    assert frechet_distance(features, features + shift) == pytest.approx(25, rel=1e-6)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-8)


def test_frechet_distance_of_a_scale() -> None:
    # Covariances S and 4 S: tr(S + 4 S - 2 * 2 S) = tr(S).
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(1))
    features -= features.mean(0)
    expected = float(torch.cov(features.double().T).trace())
    assert frechet_distance(2 * features, features) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_with_fewer_rows_than_columns() -> None:
    features = torch.randn(8, 32, generator=torch.Generator().manual_seed(2))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-4)


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    assert diversity(torch.tensor([[0.0, 0], [3, 4], [0, 8]])) == pytest.approx((5 + 8 + 5) / 3)


def test_gradient_energy_sees_blur_and_scales_with_contrast() -> None:
    ramp = torch.linspace(0, 0.63, 64).expand(1, 3, 64, 64)  # 0.01 per pixel: Sobel gives 8 * 0.01 across, 0 along
    assert gradient_energy(ramp).item() == pytest.approx(0.04, rel=1e-4)
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    soft = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    assert (gradient_energy(soft) < gradient_energy(noise)).all()


def test_attribute_scores_by_hand() -> None:
    true = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 0]]).bool()
    read = torch.tensor([[1, 0], [0, 0], [0, 1], [1, 1]]).bool()
    scores = attribute_scores(read, true, ["a", "b"])
    assert scores["accuracy"] == pytest.approx(5 / 8)
    a, b = scores["per_attribute"]["a"], scores["per_attribute"]["b"]  # type: ignore[index]
    assert (a["precision"], a["recall"], a["f1"]) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert (b["precision"], b["recall"], b["f1"]) == pytest.approx((1 / 2, 1, 2 / 3))
    # Support: a is true twice, b once.
    assert scores["f1"] == pytest.approx((2 * 0.5 + 2 / 3) / 3)


def test_an_attribute_that_is_never_read_scores_zero_and_not_nan() -> None:
    scores = attribute_scores(torch.zeros(3, 1).bool(), torch.ones(3, 1).bool(), ["a"])
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0, 0, 0)


def test_separation_by_hand() -> None:
    figures = separation(torch.tensor([0.1, 0.2, 0.3, 0.9]), torch.tensor([0.5, 0.8, 1.0, 1.2]), threshold=0.6)
    assert (figures["same_found"], figures["different_found"]) == (0.75, 0.75)
    assert figures["accuracy"] == 0.75
    # Calling everything below .8 the same misses one of four and takes one of four for the same.
    assert figures["equal_error"] == 0.25
    assert 0.5 <= figures["equal_error_threshold"] <= 0.9


def test_separation_of_what_does_not_overlap_is_perfect() -> None:
    figures = separation(torch.tensor([0.1, 0.2]), torch.tensor([0.7, 0.9, 1.1]), threshold=0.6)
    assert (figures["accuracy"], figures["equal_error"]) == (1, 0)

"""lc.losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lc.generator import Posterior
from lc.losses import (
    attribute_loss,
    distance,
    gradient_penalty,
    kl_divergence,
    not_satisfied,
    pixel_nll,
    satisfied,
)

logits = st.floats(-30, 30)


def test_pixel_nll_sums_over_pixels_in_units_of_sigma_x() -> None:
    images, reconstruction = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    images[0, 0, 0, 0], images[0, 1, 2, 3] = 0.1, -0.2
    # (0.01 + 0.04) / (2 * 0.01)
    torch.testing.assert_close(pixel_nll(images, reconstruction, 0.1), torch.tensor([2.5, 0.0]))
    torch.testing.assert_close(pixel_nll(images, reconstruction, 1.0), torch.tensor([0.025, 0.0]))


def test_kl_is_that_of_two_gaussians() -> None:
    mean, std = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 3.0]])
    expected = [0.0, 0.5 * 4, 0.5 * (9 - 1 - 2 * math.log(3))]
    torch.testing.assert_close(kl_divergence(Posterior(mean, std)), torch.tensor(expected))


@given(st.floats(-5, 5), st.floats(0.01, 5))
def test_kl_agrees_with_torch(mean: float, std: float) -> None:
    ours = kl_divergence(Posterior(torch.tensor([[mean]]), torch.tensor([[std]])))
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(normal(torch.tensor([mean]), torch.tensor([std])), normal(0.0, 1.0))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@given(logits)
def test_satisfied_and_not_are_the_two_log_probabilities(logit: float) -> None:
    probability = 1 / (1 + math.exp(-logit))
    value = torch.tensor([[logit]], dtype=torch.float64)
    assert satisfied(value).item() == pytest.approx(-math.log(probability), rel=1e-6, abs=1e-9)
    assert not_satisfied(value).item() == pytest.approx(math.log1p(math.exp(logit)), rel=1e-6, abs=1e-9)


def test_satisfied_stays_finite_far_out() -> None:
    assert satisfied(torch.tensor([-1e4, 1e4])).tolist() == [1e4, 0.0]
    assert not_satisfied(torch.tensor([-1e4, 1e4])).tolist() == [0.0, 1e4]


def test_attribute_loss_sums_ten_cross_entropies() -> None:
    target = torch.tensor([[1.0] + [0.5] * 9, [0.0] * 10])
    values = torch.zeros(2, 10)
    values[0, 0] = math.log(3)  # probability 3/4
    expected = torch.tensor([-math.log(0.75) + 9 * math.log(2), 10 * math.log(2)])
    torch.testing.assert_close(attribute_loss(values, target), expected)
    weight = torch.tensor([2.0] + [0.0] * 9)
    torch.testing.assert_close(attribute_loss(values, target, weight), -2 * torch.log(torch.tensor([0.75, 0.5])))


def test_distance_is_dear_where_the_encoder_is_sure() -> None:
    sigma_bar = torch.tensor([0.5, 1.0])
    z, moved = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = torch.tensor([math.log(2) / 0.25 / 2, math.log(2) / 2])
    torch.testing.assert_close(distance(moved, z, sigma_bar), expected)


@given(st.lists(st.just(0.0) | st.floats(1e-9, 10) | st.floats(-10, -1e-9), min_size=3, max_size=3))
def test_distance_is_zero_only_at_home(move: list[float]) -> None:
    step = torch.tensor([move], dtype=torch.float64)
    sigma_bar = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    there, back = distance(step, torch.zeros_like(step), sigma_bar), distance(torch.zeros_like(step), step, sigma_bar)
    assert torch.equal(there, back)
    assert (there.item() > 0) == any(move)


def test_gradient_penalty_of_a_linear_critic_is_that_of_its_slope() -> None:
    critic = nn.Linear(2, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[3.0, 4.0]]))  # slope 5
    penalty = gradient_penalty(critic, torch.randn(8, 2), torch.randn(8, 2))
    torch.testing.assert_close(penalty, torch.tensor(16.0))
    penalty.backward()
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(critic.weight.grad, torch.tensor([[4.8, 6.4]]))


def test_gradient_penalty_is_taken_between_real_and_fake() -> None:
    seen: list[Tensor] = []

    def critic(u: Tensor) -> Tensor:
        seen.append(u.detach())
        return u.sum(1, keepdim=True)

    real, fake = torch.zeros(50, 3), torch.tensor([[1.0, 2.0, 4.0]]).expand(50, 3)
    gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    share = seen[0] / fake
    torch.testing.assert_close(share, share[:, :1].expand(50, 3))  # on the line between the two rows
    assert 0 <= share.min() < 0.2 < 0.8 < share.max() <= 1
    assert torch.equal(seen[0], seen[1])

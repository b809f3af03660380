"""lc.actor and lc.critics: shapes, gradients, what each input does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lc.actor import Actor
from lc.critics import AttributeCritic, Critic, LatentStatistics, NetConfig, Whiten, folded

LATENT, BATCH = 10, 6
CONFIG = NetConfig(latent=LATENT, width=16, layers=2)
NOISE = [3, 7]  # dimensions that are all noise: the encoder is no surer of them than the prior
STATISTICS = LatentStatistics(
    mean=torch.linspace(-1, 1, LATENT),
    std=torch.full((LATENT,), 2.0),
    sigma_bar=torch.full((LATENT,), 0.4).index_fill(0, torch.tensor(NOISE), 2.0),
)


def make(kind: type[nn.Module], config: NetConfig = CONFIG) -> nn.Module:
    torch.manual_seed(0)
    net = kind(config)
    net.whiten.fit(STATISTICS)
    return net


def inputs(kind: type[nn.Module], batch: int = BATCH) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    z, y = torch.randn(batch, LATENT, generator=draw), torch.rand(batch, 10, generator=draw).round()
    mask, identity = torch.rand(batch, 10, generator=draw).round(), torch.rand(batch, generator=draw)
    return {Actor: (z, y, mask, identity), Critic: (z, y), AttributeCritic: (z,)}[kind]


WIDTHS = {Actor: LATENT, Critic: 1, AttributeCritic: 10}
every_net = pytest.mark.parametrize("kind", WIDTHS, ids=lambda kind: kind.__name__)


@every_net
def test_shape(kind: type[nn.Module]) -> None:
    assert make(kind)(*inputs(kind)).shape == (BATCH, WIDTHS[kind])


@every_net
def test_every_parameter_gets_a_gradient(kind: type[nn.Module]) -> None:
    net = make(kind)
    net(*inputs(kind)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@every_net
def test_every_signal_dimension_is_felt_and_no_noise(kind: type[nn.Module]) -> None:
    net, (z, *others) = make(kind), inputs(kind)
    z.requires_grad_(True)
    output = net(z, *others)
    signal = [i for i in range(LATENT) if i not in NOISE]
    (gradient,) = torch.autograd.grad(output[:, signal if kind is Actor else [0]].sum(), z)
    felt = gradient.abs().sum(0) > 0
    assert felt[signal].all()
    assert not felt[NOISE].any()


@every_net
def test_rows_do_not_see_each_other(kind: type[nn.Module]) -> None:
    net, values = make(kind).eval(), inputs(kind)
    together = net(*values)
    for i in range(BATCH):
        torch.testing.assert_close(net(*(value[i : i + 1] for value in values))[0], together[i])


@every_net
def test_dropout_is_off_when_used(kind: type[nn.Module]) -> None:
    net = make(kind, NetConfig(latent=LATENT, width=16, layers=2, dropout=0.5))
    assert not torch.equal(net(*inputs(kind)), net(*inputs(kind)))
    net.eval()
    assert torch.equal(net(*inputs(kind)), net(*inputs(kind)))


def test_a_critic_without_a_label_does_not_know_it() -> None:
    critic, (z, y) = make(Critic), inputs(Critic)
    assert torch.equal(critic(z), critic(z, torch.full_like(y, 0.5)))
    assert not torch.allclose(critic(z), critic(z, y))


def test_the_actor_listens_to_attributes_mask_and_identity() -> None:
    actor, (z, y, mask, identity) = make(Actor), inputs(Actor)
    moved = actor(z, y, mask, identity)
    for other in ((z, 1 - y, mask, identity), (z, y, 1 - mask, identity), (z, y, mask, 1 - identity)):
        assert not torch.allclose(actor(*other), moved)


def test_the_actor_leaves_noise_dimensions_alone() -> None:
    actor, values = make(Actor), inputs(Actor)
    moved = actor(*values) - values[0]
    assert (moved[:, NOISE] == 0).all()
    signal = [i for i in range(LATENT) if i not in NOISE]
    assert (moved[:, signal] != 0).all()


def test_the_actor_takes_a_boolean_mask() -> None:
    actor, (z, y, mask, identity) = make(Actor), inputs(Actor)
    assert torch.equal(actor(z, y, mask.bool(), identity), actor(z, y, mask, identity))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), loudness=st.floats(0, 1000))
def test_the_actor_never_leaves_for_where_no_photo_lies(seed: int, loudness: float) -> None:
    torch.manual_seed(seed)
    actor, (z, *others) = make(Actor), inputs(Actor)
    with torch.no_grad():
        for p in actor.body.parameters():
            p.mul_(loudness)
        before, after = actor.whiten(z).abs(), actor.whiten(actor(z, *others)).abs()
    assert (after <= before.clamp_min(4.0) + 1e-4).all()


def test_an_untrained_actor_hardly_moves() -> None:
    actor, (z, *others) = make(Actor), inputs(Actor)
    assert (actor(z, *others) - z).abs().mean() < 0.5 * z.abs().mean()


def test_whitening_gives_signal_unit_scale() -> None:
    whiten = Whiten(LATENT)
    whiten.fit(STATISTICS)
    z = STATISTICS.mean + STATISTICS.std * torch.randn(5000, LATENT, generator=torch.Generator().manual_seed(0))
    u = whiten(z)
    # Of a std of 2 with a noise of 0.4, sqrt(1 - 0.2^2) is signal.
    expected = torch.full((LATENT,), 0.98).index_fill(0, torch.tensor(NOISE), 0.0)
    torch.testing.assert_close(u.std(0), expected, atol=0.05, rtol=0)
    torch.testing.assert_close(u.mean(0), torch.zeros(LATENT), atol=0.05, rtol=0)


def test_a_dimension_noisier_than_its_spread_has_no_gain() -> None:
    statistics = LatentStatistics(torch.zeros(1), torch.ones(1), torch.full((1,), 1.01))
    assert statistics.gain.item() == 0


@pytest.mark.parametrize("sizes", [{"latent": 0}, {"width": 0}, {"layers": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_impossible_sizes_are_refused(sizes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sizes"):
        NetConfig(**sizes)  # type: ignore[arg-type]


def test_folding_changes_no_logit() -> None:
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(7, LATENT, generator=draw)
    config = NetConfig(latent=LATENT, width=16, layers=2, dropout=0.5)
    for net in (Critic(config), AttributeCritic(config)):
        net.whiten.fit(STATISTICS)
        net.eval().requires_grad_(False)
        torch.testing.assert_close(folded(net)(z), net(z))

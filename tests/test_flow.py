"""A flow of latents: what it learned from comes out again, by the label that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import finish_here
from safetensors.torch import save_file
from tiny import write_tiny_weights
from torch import Tensor

from lc.constraints import Evaluation, Point
from lc.draw import Draws
from lc.edit.actor import realistic
from lc.edit.space import LatentSpace
from lc.editor import FaceEditor
from lc.errors import WeightsError
from lc.flow import Flow, FlowConfig
from lc.sampling import nearest
from lc.weights import load_model, save_flow
from train.attributes import ATTRIBUTES
from train.flow import principal_axes

SMILING = ATTRIBUTES.index("Smiling")
AWAY = torch.tensor([3.0, -2.0, *[0.0] * 22])  # where those who smile lie in the toy latents, from the others


def drawn(flow: Flow, smiling: int, count: int = 400) -> Tensor:
    noise = torch.randn(count, flow.config.latent, generator=torch.Generator().manual_seed(1))
    y = torch.zeros(count, len(ATTRIBUTES))
    y[:, SMILING] = smiling
    return flow.draw(noise, y)


def toy_latents(path: Path, count: int = 2_000, std: float = 0.1) -> Path:
    """Encodings as train.critics keeps them: two groups around +-AWAY, told apart by a label; std is the encoder's."""
    chance = torch.Generator().manual_seed(0)
    labels = (torch.rand(count, len(ATTRIBUTES), generator=chance) < 0.3).float()
    mean = 1 + (2 * labels[:, SMILING, None] - 1) * AWAY + 0.3 * torch.randn(count, 24, generator=chance)
    noise = torch.full((count, 1, 24), std)
    save_file({"mean": mean[:, None].contiguous(), "std": noise, "labels": labels}, path)
    return path


def learn(place: Path, latents: Path, *options: str) -> Path:
    """A weights folder whose flow learned from latents."""
    weights = write_tiny_weights(place / "weights")
    sizes = ["--model.axes", "6", "--model.width", "48", "--model.blocks", "2", "--model.condition", "16"]
    how = ["--steps", "400", "--batch", "128", "--lr", "4e-3", "--warmup", "10", "--ema", "0.98", "--device", "cpu"]
    paths = ["--weights", str(weights), "--latents", str(latents), "--out", str(place / "run")]
    finish_here(["train.flow", *paths, *sizes, *how, "--model.guidance", "1", "--no-bf16", "--seed", "3", *options])
    return weights


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder whose flow learned from the toy latents."""
    place = tmp_path_factory.mktemp("flow")
    return learn(place, toy_latents(place / "latents.safetensors"))


def test_draws_lie_where_encodings_of_that_label_do(learned: Path) -> None:
    flow = load_model(learned, "cpu").flow
    assert flow is not None
    for smiling in (0, 1):
        wanted = 1 + (2 * smiling - 1) * AWAY
        z = drawn(flow, smiling)
        assert ((z - wanted).norm(dim=1) < 0.5 * AWAY.norm()).float().mean() > 0.97
        torch.testing.assert_close(z.mean(0), wanted, atol=0.35, rtol=0)


@pytest.mark.parametrize(("spread", "low", "high"), [(0, 0.2, 0.6), (1, 1.2, 2.0)])
def test_it_learns_as_much_of_the_encoders_noise_as_it_is_told(
    tmp_path: Path, spread: int, low: float, high: float
) -> None:
    noisy = toy_latents(tmp_path / "latents.safetensors", std=1.5)  # the means differ by .3
    flow = load_model(learn(tmp_path, noisy, "--spread", str(spread)), "cpu").flow
    assert flow is not None
    axes = flow.directions[1:]  # on the first one the two groups lie apart
    away = drawn(flow, 1) - drawn(flow, 1).mean(0)
    assert low < float((away @ torch.linalg.pinv(axes) * axes.norm(dim=1)).std()) < high


def test_nobody_is_drawn_twice(learned: Path) -> None:
    flow = load_model(learned, "cpu").flow
    assert flow is not None
    apart = torch.cdist(drawn(flow, 1), drawn(flow, 1)).fill_diagonal_(9.0)
    assert apart.min() > 0.01


def test_generated_faces_come_from_the_flow(learned: Path) -> None:
    editor = FaceEditor.load(learned, device="cpu")
    faces = {wanted: torch.stack([s.z for s in editor.sample(8, {"Smiling": wanted}, seed=2)]) for wanted in (0, 1)}
    for wanted, z in faces.items():
        assert ((z - 1) @ AWAY).sign().eq(2 * wanted - 1).all()
    (alone,) = editor.sample(1, {"Smiling": 1}, seed=2)
    torch.testing.assert_close(alone.z, faces[1][0], atol=1e-4, rtol=1e-4)


def test_it_leads_away_from_a_smaller_net_that_learned_less(tmp_path: Path) -> None:
    latents = toy_latents(tmp_path / "latents.safetensors")
    smaller = ["--model.weak_width", "12", "--model.weak_blocks", "1", "--weak_steps", "40"]
    flow = load_model(learn(tmp_path, latents, *smaller), "cpu").flow
    assert flow is not None
    assert flow.weak is not None
    for smiling in (0, 1):
        wanted = 1 + (2 * smiling - 1) * AWAY
        assert ((drawn(flow, smiling) - wanted).norm(dim=1) < 0.5 * AWAY.norm()).float().mean() > 0.97
    # Where it is further off than the larger one, the way goes further than that.
    x, y, known = torch.randn(200, flow.config.axes), torch.zeros(200, len(ATTRIBUTES)), torch.ones(200)
    with torch.inference_mode():
        own, weak = flow(x, 0.5 * known, y, known), flow.weak(x, 0.5 * known, y, known)
        torch.testing.assert_close(flow._guided(x, 0.5, y), 2 * own - weak, atol=1e-4, rtol=1e-4)
    assert (own - weak).norm() > 0.05 * own.norm()


@given(rows=st.integers(1, 9), guidance=st.floats(0, 4), weak=st.sampled_from([0, 5]), away=st.floats(0, 2))
def test_a_face_does_not_depend_on_the_others(rows: int, guidance: float, weak: int, away: float) -> None:
    torch.manual_seed(0)
    sizes = {"latent": 6, "axes": 3, "attributes": 2, "width": 8, "blocks": 2, "condition": 4, "steps": 3}
    flow = Flow(FlowConfig(**sizes, guidance=guidance, weak_width=weak, away=away))
    for parameter in flow.parameters():  # some begin at 0, and a velocity of 0 mixes nothing
        torch.nn.init.normal_(parameter, std=0.3)
    noise, y = torch.randn(rows, 6), (torch.rand(rows, 2) < 0.5).float()
    together = flow.draw(noise, y)
    torch.testing.assert_close(together[-1:], flow.draw(noise[-1:], y[-1:]), atol=1e-4, rtol=1e-4)


@given(seed=st.integers(0, 99), broad=st.integers(0, 3))
def test_faces_differ_in_what_their_broad_noise_says_where_the_rest_is_calmed(seed: int, broad: int) -> None:
    torch.manual_seed(seed)
    sizes = {"latent": 6, "axes": 3, "attributes": 2, "width": 8, "blocks": 1, "condition": 4, "steps": 2}
    flow = Flow(FlowConfig(**sizes, broad=broad, calm=0.0))
    noise, y = torch.randn(6).repeat(2, 1), torch.zeros(2, 2)
    noise[1, broad:] += 1
    first, second = flow.draw(noise, y)
    torch.testing.assert_close(first, second)
    if broad:
        noise[1, broad - 1] += 1
        assert (flow.draw(noise, y)[1] - first).norm() > 1e-3


@given(scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_axes_give_encodings_a_mean_square_of_one(scale: float, shift: float) -> None:
    mean = shift + scale * torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) @ torch.eye(5, 9)
    centre, axes = principal_axes(mean, 5, torch.linspace(0.5, 2, 9))
    along = (mean - centre) @ torch.linalg.pinv(axes)
    assert float(along.square().mean()) == pytest.approx(1, rel=1e-3)
    torch.testing.assert_close(centre + along @ axes, mean, atol=1e-3 * scale, rtol=1e-3)


def test_a_flow_of_another_generator_is_refused(weights_copy: Path) -> None:
    save_flow(weights_copy, Flow(FlowConfig(latent=6, axes=3, width=8, blocks=1)))
    with pytest.raises(WeightsError, match="another generator"):
        load_model(weights_copy, "cpu")


@dataclass(frozen=True)
class Far:
    """Far along one dimension of z."""

    level: float = 2.0
    weight: float = 1.0

    def evaluate(self, at: Point) -> Evaluation:
        energy = self.level - at.z[:, 2]
        return Evaluation(energy, energy < 0, energy > 0)

    def rows(self, index: Tensor) -> Far:
        return self


@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), rows=st.integers(1, 6))
def test_of_several_draws_the_one_that_lacks_least_is_taken(learned: Path, seed: int, rows: int) -> None:
    space = LatentSpace(load_model(learned, "cpu"))
    draws = Draws(space.model, space.attributes.changes({}), seed)
    chosen, labels = nearest(space, draws, 0, rows, {"far": Far()})
    assert (chosen[:, 2] >= realistic(space, *draws(0, rows))[:, 2] - 1e-4).all()
    alone, label = nearest(space, draws, rows - 1, rows, {"far": Far()})  # whatever the others need
    torch.testing.assert_close(chosen[-1:], alone, atol=1e-4, rtol=1e-4)
    assert torch.equal(labels[-1:], label)


def test_draws_are_tried_until_one_is_as_wanted(learned: Path) -> None:
    space = LatentSpace(load_model(learned, "cpu"))
    draws = Draws(space.model, space.attributes.changes({}), 5)
    plain = realistic(space, *draws(0, 200))[:, 2]
    level = float(plain.quantile(0.9))  # what one in ten has
    chosen, _ = nearest(space, draws, 0, 200, {"far": Far(level)})
    assert (chosen[:, 2] > level).float().mean() > 0.9
    assert (chosen[plain > level, 2] == plain[plain > level]).all()  # who has it is left alone


def test_label_vectors_are_drawn_anew_as_well(learned: Path) -> None:
    editor = FaceEditor.load(learned, device="cpu")
    draws = Draws(editor.model, editor.attributes.changes({"Young": True}), 1)
    _, first = draws(0, 50)
    _, again = draws(0, 50, 1)
    young = ATTRIBUTES.index("Young")
    assert first[:, young].all()
    assert again[:, young].all()  # what was asked for stays
    assert not torch.equal(first, again)

"""Actors of attributes that were taught from a few photos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lc import taught_actor
from lc.actor import TaughtActor
from lc.constraints import Not
from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError, OtherGeneratorError, WeightsError
from lc.few_shot import contrast_of, fit
from lc.generator import Posterior
from lc.parser import CLASSES
from lc.taught import PARTS, TaughtAttribute, load_taught, parse_taught
from lc.taught_actor import training
from lc.teach import Cancelled
from lc.vae import VAE, VAEConfig
from lc.weights import load_model
from tests.conftest import LATENT, write_tiny_weights


def latents(seed: int, count: int, shift: float = 0.0) -> torch.Tensor:
    z = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))
    z[:, 0] += shift
    return z


@pytest.fixture(scope="module")
def plain(contrasted_editor: FaceEditor) -> TaughtAttribute:
    sides = [Posterior(z, torch.full_like(z, 0.3)) for z in (latents(1, 40, 4.0), latents(2, 40))]
    return fit(contrasted_editor.space, "Something", *sides)


@pytest.fixture(scope="module", autouse=True)
def fewer_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taught_actor, "STEPS", 40)
        yield


@pytest.fixture(scope="module")
def taught(contrasted_editor: FaceEditor, plain: TaughtAttribute) -> TaughtAttribute:
    return contrasted_editor.train_actor(plain)


def logits(taught: TaughtAttribute, z: torch.Tensor) -> torch.Tensor:
    return taught.critic(z)[:, 0]


# --- the net -------------------------------------------------------------------------------------------------------


def test_untrained_it_leads_where_the_line_does(contrasted_editor: FaceEditor) -> None:
    actor, z, end = TaughtActor(contrasted_editor.model.statistics, 8), latents(3, 5), latents(4, 5)
    torch.testing.assert_close(actor(z, end, torch.ones(5)), end)


def test_it_leaves_the_line_both_ways_differently(taught: TaughtAttribute) -> None:
    assert taught.actor is not None
    z = latents(5, 6)
    ways = [taught.actor(z, z, torch.full((6,), up)) - z for up in (1.0, -1.0)]
    assert all(way.shape == z.shape and way.isfinite().all() and way.abs().max() > 1e-3 for way in ways)
    assert not torch.allclose(*ways)


# --- training ------------------------------------------------------------------------------------------------------


def unasked(editor: FaceEditor, taught: TaughtAttribute) -> float:
    """How far an uncorrected edit changes the model's own attributes, which these weights' D_attr alone reads."""
    assert editor.model.guidance is None
    z = contrast_of(editor.space)[-64:]
    read = editor.space.attribute_critic
    return float((read(taught.constraint().propose(z)) - read(z)).square().mean())


def test_it_changes_less_that_nobody_asked_for_and_as_much_that_was(
    contrasted_editor: FaceEditor, plain: TaughtAttribute, taught: TaughtAttribute
) -> None:
    with torch.no_grad():
        assert unasked(contrasted_editor, taught) < 0.95 * unasked(contrasted_editor, plain)
    z = contrast_of(contrasted_editor.space)[:64]
    whole, ours = (logits(plain, one.constraint().propose(z)).mean() for one in (plain, taught))
    assert ours > 0.8 * whole


def test_it_says_how_far_it_is(contrasted_editor: FaceEditor, plain: TaughtAttribute) -> None:
    told: list[tuple[int, int]] = []
    contrasted_editor.train_actor(plain, progress=lambda *at: told.append(at))
    assert told == [(i, taught_actor.STEPS) for i in range(taught_actor.STEPS + 1)]


def test_cancelling_ends_it_at_once_and_leaves_the_attribute(
    contrasted_editor: FaceEditor, plain: TaughtAttribute
) -> None:
    told: list[int] = []
    with pytest.raises(Cancelled, match="stays as it was"):
        contrasted_editor.train_actor(plain, progress=lambda done, _: told.append(done), stop=lambda: len(told) > 2)
    assert told == [0, 1, 2]
    assert plain.actor is None


def test_the_same_comes_of_it_every_time_and_nobody_elses_chance_changes(
    contrasted_editor: FaceEditor, plain: TaughtAttribute, taught: TaughtAttribute
) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with torch.inference_mode():  # as a server's thread may be
        again = contrasted_editor.train_actor(plain)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(again.constraint().propose(latents(6, 4)), taught.constraint().propose(latents(6, 4)))


def test_another_generators_is_refused(plain: TaughtAttribute, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = VAE(VAEConfig(latent=LATENT, widths=(8, 8, 16, 16), bottleneck=8))
    editor = FaceEditor.load(write_tiny_weights(tmp_path / "other", other), "cpu")
    with pytest.raises(OtherGeneratorError, match="another generator"):
        editor.train_actor(plain)


# --- edits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["actor", "optimise"])
@pytest.mark.parametrize("changes", [{}, {"Smiling": True}])
def test_edits_give_and_take_it(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, astronaut: Path, method: str, changes: dict[str, bool]
) -> None:
    reading = contrasted_editor.read(astronaut)
    found = [
        contrasted_editor.edit(reading, changes, method=method, constraints=[one])  # type: ignore[arg-type]
        for one in (taught.constraint(), Not(taught.constraint()))
    ]
    given, taken = (float(taught.probability(edit.z_edited[None])) for edit in found)
    before = float(taught.probability(reading.z[None]))
    assert given > max(before, 0.7)
    assert taken < min(before, 0.3) + 1e-3


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
def test_a_strength_is_where_the_critic_reads_it(taught: TaughtAttribute, strength: float) -> None:
    z = latents(7, 20)
    read = taught.probability(taught.constraint(strength).propose(z))
    torch.testing.assert_close(read, torch.full_like(read, strength), atol=1e-3, rtol=0)


def test_what_is_as_wanted_stays(taught: TaughtAttribute) -> None:
    z = latents(8, 5)
    far = z + taught.direction * (100 / float(taught.weight @ taught.direction))
    torch.testing.assert_close(taught.constraint().propose(far), far)


# --- files ---------------------------------------------------------------------------------------------------------


def test_it_is_saved_and_loaded_with_its_attribute(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, tmp_path: Path
) -> None:
    path, z = tmp_path / "something.safetensors", latents(9, 5)
    taught.save(path)
    loaded = load_taught(path, contrasted_editor.model)
    assert loaded.report == taught.report
    assert loaded.nbytes == taught.nbytes
    torch.testing.assert_close(loaded.constraint().propose(z), taught.constraint().propose(z), atol=0.02, rtol=0.02)


def facts_of(data: bytes) -> dict[str, object]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, object] = json.loads(header["__metadata__"]["latent_constraints.taught"])
    return found


def test_a_file_without_one_is_as_it_always_was(contrasted_editor: FaceEditor, plain: TaughtAttribute) -> None:
    data = plain.to_bytes()
    assert facts_of(data)["format"] == 1
    assert "width" not in facts_of(data)
    assert parse_taught(data, "old.safetensors", contrasted_editor.model).actor is None


@pytest.mark.parametrize("place", [-1, -1000])
def test_damage_of_it_is_refused_in_a_sentence(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, place: int
) -> None:
    data = bytearray(taught.to_bytes())
    data[place] ^= 64
    with pytest.raises(WeightsError, match="damaged"):
        parse_taught(bytes(data), "mine.safetensors", contrasted_editor.model)


@pytest.mark.parametrize("width", [0, 7, 10**9, "wide"])
def test_a_size_that_it_has_not_is_refused(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, width: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert taught.actor is not None
    monkeypatch.setattr(taught.actor, "width", width)
    with pytest.raises(LatentConstraintsError, match="damaged"):
        parse_taught(taught.to_bytes(), "mine.safetensors", contrasted_editor.model)


def test_with_an_actor_another_generators_is_refused_too(taught: TaughtAttribute, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = VAE(VAEConfig(latent=LATENT, widths=(8, 8, 16, 16), bottleneck=8))
    model = load_model(write_tiny_weights(tmp_path / "other", other), "cpu")
    with pytest.raises(OtherGeneratorError):
        parse_taught(taught.to_bytes(), "mine.safetensors", model)


# --- where in a face it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_what_edits_may_touch_is_kept(contrasted_editor: FaceEditor, part: str) -> None:
    assert set(PARTS[part]) <= set(CLASSES)
    sides = [Posterior(z, torch.full_like(z, 0.3)) for z in (latents(1, 20, 4.0), latents(2, 20))]
    found = fit(contrasted_editor.space, "Something", *sides, part=part)
    assert found.constraint().acts_on == PARTS[part]
    assert parse_taught(found.to_bytes(), "mine.safetensors", contrasted_editor.model).part == part


def test_a_part_that_there_is_not_is_refused(contrasted_editor: FaceEditor, taught: TaughtAttribute) -> None:
    with pytest.raises(LatentConstraintsError, match="choose from any, face, hair"):
        contrasted_editor.teach("Something", ["a.png"] * 5, part="elbow")
    with pytest.raises(WeightsError, match="damaged"):
        parse_taught(replace(taught, part="elbow").to_bytes(), "mine.safetensors", contrasted_editor.model)


def test_training_can_be_left_at_any_step(contrasted_editor: FaceEditor, plain: TaughtAttribute) -> None:
    steps = training(contrasted_editor.space, plain)
    assert next(steps).taught is None
    steps.close()

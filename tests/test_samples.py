"""FaceEditor.sample with a tiny untrained model: what holds whatever the weights are."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from test_editor import same

from lc.draw import Draws
from lc.edit.actor import generate
from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from train.attributes import ATTRIBUTES

both = pytest.mark.parametrize("realism", [True, False], ids=["realism", "prior"])


@both
def test_a_sample_does_not_depend_on_how_many_there_are(tiny_editor: FaceEditor, realism: bool) -> None:
    few = tiny_editor.sample(3, {"Male": True}, seed=4, realism=realism)
    many = tiny_editor.sample(66, {"Male": True}, seed=4, realism=realism)
    for a, b in zip(few, many[:3], strict=True):
        torch.testing.assert_close(a.z, b.z, rtol=1e-3, atol=1e-3)
        assert a.wanted == b.wanted
        assert same(a.image, b.image, levels=1)
    assert len(many) == 66


@both
def test_a_seed_repeats_and_another_does_not(tiny_editor: FaceEditor, realism: bool) -> None:
    one, again, other = (tiny_editor.sample(2, seed=seed, realism=realism) for seed in (1, 1, 2))
    assert all(torch.equal(a.z, b.z) and same(a.image, b.image) for a, b in zip(one, again, strict=True))
    assert not torch.allclose(one[0].z, other[0].z)
    assert not torch.allclose(one[0].z, one[1].z)


def test_what_is_set_holds_and_the_rest_is_as_people_are(tiny_editor: FaceEditor) -> None:
    model = tiny_editor.model
    known = {tuple(row) for row in model.label_vectors.bool().tolist()}
    samples = tiny_editor.sample(40, {"young": True, "Male": False})
    for sample in samples:
        assert (sample.wanted["Young"], sample.wanted["Male"]) == (True, False)
        assert tuple(sample.wanted[name] for name in ATTRIBUTES) in known
    assert len({tuple(sample.wanted.values()) for sample in samples}) > 5


def test_a_whole_label_vector_can_be_set(tiny_editor: FaceEditor) -> None:
    # 1 in 1024, which nobody in the random labels has: asked for all the same.
    vector = dict(zip(ATTRIBUTES, (True,) * 9 + (False,), strict=True))
    assert not (tiny_editor.model.label_vectors == torch.tensor([*[1.0] * 9, 0.0])).all(1).any()
    assert tiny_editor.sample(1, vector)[0].wanted == vector


def test_samples_are_pictures_of_their_latents(tiny_editor: FaceEditor) -> None:
    (sample,) = tiny_editor.sample(1)
    assert sample.image.size == (64, 64)
    assert same(sample.image, tiny_editor.decode(sample.z), levels=1)
    assert list(sample.attributes) == list(sample.wanted) == list(ATTRIBUTES)


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_face_is_refused(tiny_editor: FaceEditor, n: int) -> None:
    with pytest.raises(LatentConstraintsError, match="at least one"):
        tiny_editor.sample(n)


def test_samples_take_no_strength(tiny_editor: FaceEditor) -> None:
    with pytest.raises(LatentConstraintsError, match="Smiling"):
        tiny_editor.sample(1, {"Smiling": 0.6})


@pytest.mark.parametrize("size", [0.1, 3.0])
def test_a_sample_is_what_the_encoder_sees_of_it_where_photos_lie(tiny_editor: FaceEditor, size: float) -> None:
    model, space = tiny_editor.model, tiny_editor.space
    z = size * torch.randn(8, model.generator.latent, generator=torch.Generator().manual_seed(0))
    y = torch.ones(8, 10)
    with torch.no_grad():
        proposed, centre = model.actor(z, y, y, torch.zeros(8)), model.statistics.mean
        by = space.typical_radius / model.actor.whiten(proposed).norm(dim=1, keepdim=True)
        assert (by > 1).all() or (by < 1).all()  # too near or too far
        seen = model.generator.encode(model.generator.decode(centre + by * (proposed - centre))).mean
        assert (model.actor.whiten(seen).norm(dim=1) < space.typical_radius).all()
        torch.testing.assert_close(generate(space, z, y), seen, atol=1e-4, rtol=0)


def test_no_sample_is_further_out_than_photos_are(tiny_editor: FaceEditor) -> None:
    space, whiten = tiny_editor.space, tiny_editor.model.actor.whiten
    z = 3 * torch.randn(16, tiny_editor.model.generator.latent, generator=torch.Generator().manual_seed(0))
    y = torch.ones(16, 10)
    with torch.no_grad():
        free = tiny_editor.model.actor(z, y, y, torch.zeros(16))
        far, made = whiten(free).norm(dim=1), generate(space, z, y)
    assert (far > space.typical_radius).any()
    assert (whiten(made).norm(dim=1) <= space.typical_radius * 1.001).all()


def test_seeds_reach_to_two_to_the_63_and_are_all_distinct(tiny_editor: FaceEditor) -> None:
    seeds = [0, 1, 4095, 4096, 4097, 8192, 10**12, 2**32, 2**44, 2**44 + 1, 2**62, 2**63 - 1]
    seeds += [4096 + (i << 32) for i in range(4)]  # equal in the 32 bits that torch's generator takes
    faces = {seed: tiny_editor.sample(2, seed=seed) for seed in seeds}
    first = torch.stack([sample.z for samples in faces.values() for sample in samples])
    assert len(first.unique(dim=0)) == len(first) == 2 * len(set(seeds))
    for seed in (10**12, 2**63 - 1):
        more = tiny_editor.sample(70, seed=seed)
        assert torch.allclose(more[1].z, faces[seed][1].z, rtol=1e-3, atol=1e-3)
        assert more[1].wanted == faces[seed][1].wanted


def test_draws_of_large_seeds_are_those_of_the_prior_and_of_people(tiny_editor: FaceEditor) -> None:
    weights, attributes = torch.tensor([1.0, 0.0, 3.0]), tiny_editor.attributes
    model = dataclasses.replace(tiny_editor.model, label_vectors=torch.eye(3, len(attributes)), label_counts=weights)
    for seed in (7, 10**12):
        z, y = Draws(model, attributes.changes({}), seed)(0, 2000)
        assert abs(float(z.mean())) < 0.02
        assert abs(float(z.std()) - 1) < 0.02
        assert float(torch.corrcoef(z.T).fill_diagonal_(0).abs().max()) < 0.1
        assert torch.allclose(y[:, :3].mean(0), weights / 4, atol=0.04)


def test_the_published_seeds_keep_their_faces(tiny_editor: FaceEditor) -> None:
    model = tiny_editor.model
    generator = torch.Generator().manual_seed((7 << 20) + 3)
    z, y = Draws(model, tiny_editor.attributes.changes({}), 7)(3, 4)
    assert z[0].equal(torch.randn(24, generator=generator))
    assert y[0].equal(model.label_vectors[int(torch.multinomial(model.label_counts, 1, generator=generator))])


@pytest.mark.parametrize("seed", [-1, 2**63, math.nan, math.inf, None, "", "x", True, 1.5])
def test_what_is_no_seed_is_refused(tiny_editor: FaceEditor, seed: object) -> None:
    with pytest.raises(LatentConstraintsError, match="whole number from 0 to 9223372036854775807"):
        tiny_editor.sample(1, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -1, 10**9, math.nan, math.inf, None, "many"])
def test_what_is_no_count_is_refused(tiny_editor: FaceEditor, n: object) -> None:
    with pytest.raises(LatentConstraintsError, match="at least one face and at most 100000"):
        tiny_editor.sample(n)  # type: ignore[arg-type]

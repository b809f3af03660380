"""Attributes that are taught from a few photos."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lc.constraints import Not, evaluate
from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError, WeightsError
from lc.few_shot import fit
from lc.generator import Posterior
from lc.taught import TaughtAttribute, checked_name, generator_digest, load_taught
from lc.teach import Cancelled
from lc.vae import VAE, VAEConfig
from lc.weights import load_model
from tests.conftest import LATENT, write_tiny_weights


def posterior(seed: int, count: int, shift: float = 0.0) -> Posterior:
    """Posteriors of photos that differ from others by `shift` in the first dimension."""
    mean = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))
    mean[:, 0] += shift
    return Posterior(mean, torch.full_like(mean, 0.3))


@pytest.fixture(scope="module")
def taught(contrasted_editor: FaceEditor) -> TaughtAttribute:
    return fit(contrasted_editor.space, "Bangs", posterior(1, 40, 4.0), posterior(2, 40))


@pytest.fixture
def pictures(tmp_path: Path, celeba: Path) -> Path:
    """Two folders of aligned pictures, ten in each."""
    photos = sorted((celeba / "img_align_celeba").iterdir())
    for name, chosen in (("with", photos[:10]), ("without", photos[10:20])):
        (tmp_path / name).mkdir()
        for photo in chosen:
            shutil.copy(photo, tmp_path / name)
    return tmp_path


# --- what is learned -----------------------------------------------------------------------------------------------


def test_what_can_be_told_apart_is_learned(taught: TaughtAttribute) -> None:
    assert taught.report.accuracy > 0.9
    assert (taught.probability(posterior(3, 200, 4.0).mean) > 0.5).float().mean() > 0.9
    assert (taught.probability(posterior(4, 200).mean) < 0.5).float().mean() > 0.9


def test_accuracy_is_that_of_photos_left_out(contrasted_editor: FaceEditor) -> None:
    taught = fit(contrasted_editor.space, "Nothing", posterior(5, 20), posterior(6, 20))
    assert abs(taught.report.accuracy - 0.5) < 0.25  # on the photos themselves it is nearly 1
    seen = torch.cat([taught.probability(posterior(5, 20).mean), 1 - taught.probability(posterior(6, 20).mean)])
    assert (seen > 0.5).float().mean() > taught.report.accuracy


def test_chance_is_said(contrasted_editor: FaceEditor) -> None:
    taught = fit(contrasted_editor.space, "Nothing", posterior(7, 6), posterior(8, 6))
    assert any("no better than chance" in note for note in taught.report.notes)


def test_without_photos_of_the_other_side_faces_in_general_are_the_contrast(contrasted_editor: FaceEditor) -> None:
    taught = fit(contrasted_editor.space, "Bangs", posterior(1, 30, 4.0))
    assert taught.report.negatives == 0
    assert taught.report.accuracy > 0.9


def test_a_known_attribute_in_disguise_is_named(contrasted_editor: FaceEditor) -> None:
    space, contrast = contrasted_editor.space, contrasted_editor.model.contrast
    assert contrast is not None
    order = space.attribute_critic(contrast)[:, contrasted_editor.attributes.index("Male")].argsort()
    sides = [Posterior(contrast[rows], torch.full((100, LATENT), 0.1)) for rows in (order[-100:], order[:100])]
    report = fit(space, "Tie", *sides).report
    assert report.like == "Male"
    assert report.likeness > 0.7
    assert any("mostly Male in disguise" in note for note in report.notes)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), shift=st.floats(0, 5), count=st.integers(5, 30))
def test_swapping_the_sides_is_the_negation(contrasted_editor: FaceEditor, seed: int, shift: float, count: int) -> None:
    sides = posterior(seed, count, shift), posterior(seed + 1, count)
    one, other = fit(contrasted_editor.space, "One", *sides), fit(contrasted_editor.space, "Other", *reversed(sides))
    z = posterior(0, 50).mean
    assert torch.nn.functional.cosine_similarity(one.weight, -other.weight, 0) > 0.999
    assert 0 <= one.report.accuracy <= 1
    assert torch.isfinite(one.critic(z)).all()


# --- edits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_an_edit_gives_it_and_its_negation_takes_it(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, astronaut: Path, method: str
) -> None:
    reading = contrasted_editor.read(astronaut)
    before = float(taught.probability(reading.z[None]))
    given_ = contrasted_editor.edit(reading, method=method, constraints=[taught.constraint()])  # type: ignore[arg-type]
    taken = contrasted_editor.edit(reading, method=method, constraints=[Not(taught.constraint())])  # type: ignore[arg-type]
    assert float(taught.probability(given_.z_edited[None])) > max(before, 0.7)
    assert float(taught.probability(taken.z_edited[None])) < min(before, 0.3) + 1e-3


def test_a_strength_is_met(contrasted_editor: FaceEditor, taught: TaughtAttribute, astronaut: Path) -> None:
    reading = contrasted_editor.read(astronaut)
    edit = contrasted_editor.edit(reading, method="optimise", constraints=[taught.constraint(0.6)])
    assert edit.converged
    assert float(taught.probability(edit.z_edited[None])) == pytest.approx(0.6, abs=0.06)


def test_it_works_beside_a_built_in_attribute(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, astronaut: Path
) -> None:
    reading = contrasted_editor.read(astronaut)
    edit = contrasted_editor.edit(reading, {"Smiling": 1}, method="optimise", constraints=[taught.constraint()])
    assert float(taught.probability(edit.z_edited[None])) > 0.5
    assert edit.after["Smiling"] > edit.before["Smiling"] - 1e-3


def test_editing_again_replaces_what_was_asked_of_it(
    contrasted_editor: FaceEditor, taught: TaughtAttribute, astronaut: Path
) -> None:
    first = contrasted_editor.edit(contrasted_editor.read(astronaut), constraints=[taught.constraint(True)])
    second = contrasted_editor.edit(first, constraints=[taught.constraint(False)])
    assert len(second.constraints) == 1
    assert float(taught.probability(second.z_edited[None])) < 0.5


def test_generated_faces_have_it(contrasted_editor: FaceEditor, taught: TaughtAttribute) -> None:
    samples = contrasted_editor.sample(8, seed=1, constraints=[taught.constraint()])
    plain = contrasted_editor.sample(8, seed=1)
    z, z_plain = (torch.stack([one.z for one in some]) for some in (samples, plain))
    assert taught.probability(z).mean() > taught.probability(z_plain).mean()


@settings(max_examples=30)
@given(wanted=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 100), scale=st.floats(0, 1))
def test_a_proposal_never_leads_away(taught: TaughtAttribute, wanted: float, seed: int, scale: float) -> None:
    z = posterior(seed, 6).mean
    constraint = taught.constraint(wanted)
    before, after = evaluate(constraint, z).energy, evaluate(constraint, constraint.propose(z, scale)).energy
    assert (after <= before + 1e-4).all()


# --- photos --------------------------------------------------------------------------------------------------------


def test_folders_teach(tiny_editor: FaceEditor, pictures: Path) -> None:
    told: list[tuple[int, int]] = []
    taught = tiny_editor.teach(
        "Bangs", pictures / "with", pictures / "without", aligned=True, progress=lambda *at: told.append(at)
    )
    assert (taught.report.positives, taught.report.negatives) == (10, 10)
    assert told == [(i, 20) for i in range(20)]


def test_cancelling_ends_it(tiny_editor: FaceEditor, pictures: Path) -> None:
    with pytest.raises(Cancelled, match="nothing was kept"):
        tiny_editor.teach("Bangs", pictures / "with", aligned=True, stop=lambda: True)


def refused(editor: FaceEditor, name: str, *sides: Path, aligned: bool = True) -> str:
    with pytest.raises(LatentConstraintsError) as caught:
        editor.teach(name, *sides, aligned=aligned)
    return str(caught.value)


def test_one_photo_is_too_few(tiny_editor: FaceEditor, pictures: Path) -> None:
    for photo in sorted((pictures / "with").iterdir())[1:]:
        photo.unlink()
    assert "too few: teach with 5 to 200" in refused(tiny_editor, "Bangs", pictures / "with")


def test_ten_thousand_files_are_too_many(tiny_editor: FaceEditor, tmp_path: Path) -> None:
    for i in range(10_000):
        (tmp_path / f"{i}.jpg").touch()
    assert "10,000 photos" in refused(tiny_editor, "Bangs", tmp_path)


def test_the_same_picture_counts_once(tiny_editor: FaceEditor, pictures: Path) -> None:
    first, *others = sorted((pictures / "with").iterdir())
    for photo in others:
        shutil.copy(first, photo)
    assert "1 different face" in refused(tiny_editor, "Bangs", pictures / "with")


def test_photos_on_both_sides_are_refused(tiny_editor: FaceEditor, pictures: Path) -> None:
    assert "on both sides" in refused(tiny_editor, "Bangs", pictures / "with", pictures / "with")


def test_photos_without_a_face_are_refused(tiny_editor: FaceEditor, tmp_path: Path) -> None:
    for i in range(6):
        Image.new("RGB", (120, 120), (40 * i, 90, 90)).save(tmp_path / f"{i}.png")
    assert "0 different faces" in refused(tiny_editor, "Bangs", tmp_path, aligned=False)


@pytest.mark.parametrize("name", ["", "1st", "a/b", "x" * 41, "é"])
def test_an_odd_name_is_refused(tiny_editor: FaceEditor, pictures: Path, name: str) -> None:
    assert "cannot be a name" in refused(tiny_editor, name, pictures / "with")


@pytest.mark.parametrize("name", ["Smiling", "no beard", "Wearing-a-hat"])
def test_a_name_that_is_taken_is_refused(tiny_editor: FaceEditor, pictures: Path, name: str) -> None:
    assert "already" in refused(tiny_editor, name, pictures / "with")


@given(st.text())
def test_a_name_is_plain_or_refused(text: str) -> None:
    with contextlib.suppress(LatentConstraintsError):
        assert checked_name(text, {}).isidentifier()


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(taught: TaughtAttribute, tmp_path: Path) -> Path:
    taught.save(tmp_path / "bangs.safetensors")
    return tmp_path / "bangs.safetensors"


def test_what_is_saved_is_loaded(taught: TaughtAttribute, contrasted_editor: FaceEditor, file: Path) -> None:
    loaded, z = load_taught(file, contrasted_editor.model), posterior(1, 5).mean
    assert (loaded.name, loaded.report, loaded.target) == (taught.name, taught.report, taught.target)
    torch.testing.assert_close(loaded.critic(z), taught.critic(z))


def test_another_generators_is_refused(file: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = VAE(VAEConfig(latent=LATENT, widths=(8, 8, 16, 16), bottleneck=8))
    model = load_model(write_tiny_weights(tmp_path / "other", other), "cpu")
    with pytest.raises(WeightsError, match="another generator"):
        load_taught(file, model)


def test_the_same_folder_elsewhere_is_the_same_generator(tmp_path: Path) -> None:
    one = write_tiny_weights(tmp_path / "one")
    shutil.copytree(one, tmp_path / "two")
    assert generator_digest(load_model(one, "cpu")) == generator_digest(load_model(tmp_path / "two", "cpu"))


@settings(max_examples=60)
@given(data=st.data())
def test_damage_is_refused_in_a_sentence(
    taught: TaughtAttribute, contrasted_editor: FaceEditor, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bangs.safetensors"
        taught.save(path)
        content = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        else:
            start = int.from_bytes(content[:8], "little") + 8  # any bit of the tensors
            place = data.draw(st.integers(start, len(content) - 1))
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(bytes(content))
        with pytest.raises(WeightsError) as caught:
            load_taught(path, contrasted_editor.model)
        assert "\n" not in str(caught.value)


def test_a_pickle_is_refused(contrasted_editor: FaceEditor, tmp_path: Path) -> None:
    path = tmp_path / "bangs.safetensors"
    path.write_bytes(pickle.dumps({"weight": np.zeros(LATENT)}))
    with pytest.raises(WeightsError, match="no taught attribute"):
        load_taught(path, contrasted_editor.model)


def test_nan_is_refused(taught: TaughtAttribute, contrasted_editor: FaceEditor, tmp_path: Path) -> None:
    dataclasses.replace(taught, weight=torch.full((LATENT,), torch.nan)).save(tmp_path / "bangs.safetensors")
    with pytest.raises(WeightsError, match="NaN"):
        load_taught(tmp_path / "bangs.safetensors", contrasted_editor.model)


def test_a_missing_file_is_said(contrasted_editor: FaceEditor, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="missing"):
        load_taught(tmp_path / "none.safetensors", contrasted_editor.model)


def test_another_ending_is_refused(taught: TaughtAttribute, tmp_path: Path) -> None:
    with pytest.raises(LatentConstraintsError, match=r"\.safetensors"):
        taught.save(tmp_path / "bangs.pkl")


def test_other_safetensors_are_refused(contrasted_editor: FaceEditor, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for metadata in (None, {"latent_constraints.taught": json.dumps([1])}, {"latent_constraints.taught": "{"}):
        path.write_bytes(safetensors.torch.save({"weight": torch.zeros(LATENT)}, metadata))
        with pytest.raises(WeightsError, match="no taught attribute"):
            load_taught(path, contrasted_editor.model)


def test_photos_may_be_pictures_in_memory(tiny_editor: FaceEditor, pictures: Path) -> None:
    opened = [Image.open(io.BytesIO(path.read_bytes())) for path in sorted((pictures / "with").iterdir())]
    assert tiny_editor.teach("Bangs", opened, aligned=True).report.positives == 10

"""lc.identity: the tables behind the identity slider; train.calibrate: how they are laid out."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from processes import finish_here

from lc.checksums import save_files
from lc.classifier import Classifier, ClassifierConfig
from lc.edit.problem import constraints_of, pose
from lc.editor import DEFAULT_WEIGHTS, FaceEditor
from lc.errors import WeightsError
from lc.identity import FILE, Calibration, load_calibration, save_calibration
from lc.weights import save_classifier
from train.attributes import ATTRIBUTES

places = st.floats(0, 1)


@given(places, places)
def test_a_place_further_right_keeps_more_of_the_person(a: float, b: float) -> None:
    calibration = Calibration((0.0, 0.4, 1.0), (1.5, 1.3, 1.0), (1.7, 1.2, 0.9))
    low, high = sorted((a, b))
    assert calibration.for_actor(low) >= calibration.for_actor(high)
    assert calibration.for_optimiser(low) >= calibration.for_optimiser(high)


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    table = Calibration(
        (0.0, 0.5, 1.0), (1.4, 1.1, 0.9), (1.5, 1.2, 1.0), (0.0, 2.0), (1.0, 0.3), {"Bald=1": 1.3}, {"Bald=1": 8.0}
    )
    save_calibration(tmp_path, table, edits=7)
    assert load_calibration(tmp_path) == table
    assert table.similar(1.0) == pytest.approx(0.65)


def test_weights_that_nobody_calibrated_still_load(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) == Calibration()
    assert Calibration().similar(1.0) is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"slider": [0, 1]}', '{"slider": 3}', '{"step_scales": [1]}', '{"target_margins": 4}']
)
def test_a_damaged_table_is_a_sentence(tmp_path: Path, text: str) -> None:
    save_files(tmp_path, {FILE: text.encode()})
    with pytest.raises(WeightsError, match=r"is damaged, .*\.$"):
        load_calibration(tmp_path)


def test_earlier_names_are_not_passed_over(tmp_path: Path) -> None:
    save_calibration(tmp_path, Calibration(step_scales={"Bald=1": 1.3}))
    text = (tmp_path / FILE).read_text().replace("step_scales", "lengths")
    save_files(tmp_path, {FILE: text.encode()})
    with pytest.raises(WeightsError, match=r"earlier version.*train\.migrate"):
        load_calibration(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"slider": (0.0, 0.9)}, {"actor": (0.0,)}, {"optimiser": (0.0, 1.0)}, {"distance": (0.0, 1.0)}],
    ids=str,
)
def test_tables_that_do_not_fit_are_refused(change: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="tables"):
        dataclasses.replace(Calibration(), **change)


def test_an_edit_says_how_similar_the_person_is(tiny_editor: FaceEditor, astronaut: Path) -> None:
    table = Calibration(distance=(0.0, 50.0), similarity=(1.0, 0.0))
    editor = FaceEditor(dataclasses.replace(tiny_editor.model, calibration=table))
    edit = editor.edit(astronaut, {"Smiling": True}, 0.0)
    assert edit.similarity == pytest.approx(1 - edit.z_distance / 50)
    assert tiny_editor.edit(edit.reading, {"Smiling": True}).similarity is None


def test_a_change_goes_as_far_as_it_needs(tiny_editor: FaceEditor, astronaut: Path) -> None:
    def with_step_scales(scales: dict[str, float]) -> FaceEditor:
        table = Calibration(actor=(1.0, 1.0), step_scales=scales)
        return FaceEditor(dataclasses.replace(tiny_editor.model, calibration=table))

    shorter, plain = with_step_scales({"Smiling=1": 0.5}), with_step_scales({})
    reading = plain.read(astronaut)
    for changes, ratio in (({"Smiling": True}, 0.5), ({"Smiling": False}, 1.0)):
        near, far = (editor.edit(reading, changes).z_edited - reading.z for editor in (shorter, plain))
        torch.testing.assert_close(near, ratio * far)
    z = reading.z[None]

    def step_scale(editor: FaceEditor, changes: dict[str, bool]) -> float:
        return pose(editor.space, z, constraints_of(editor.space, changes)).step_scale

    assert step_scale(shorter, {"Young": True, "Smiling": True}) == 1  # the scale is that of a smile alone
    blond = with_step_scales({"Blond_Hair=1": 0.7})
    assert step_scale(blond, {"Black_Hair": False, "Blond_Hair": True}) == 0.7  # no more than blond asks for anyway


def test_a_step_scale_is_the_first_that_shows() -> None:
    calibrate = pytest.importorskip("train.calibrate", exc_type=ImportError)
    scales = (0.5, 1.0, 1.5)
    assert calibrate.smallest(scales, np.array([0.2, 0.8, 1.0]), 0.9) == pytest.approx(1.25)
    assert calibrate.smallest(scales, np.array([0.95, 1.0, 1.0]), 0.9) == 0.5
    # Where nothing shows it, as far as anything changes.
    assert 0.9 < calibrate.smallest(scales, np.array([0.1, 0.4, 0.4]), 0.9) <= 1.0


def test_the_slider_runs_in_equal_steps_over_what_both_reach() -> None:
    calibrate = pytest.importorskip("train.calibrate", exc_type=ImportError)
    actor = calibrate.Curve((1.5, 1.2, 1.0), (0.2, 0.4, 0.5))
    optimiser = calibrate.Curve((1.6, 1.2, 1.0), (0.3, 0.35, 0.55))
    table = calibrate.lay_out(actor, optimiser, 5)
    for curve, knobs in ((actor, table.actor), (optimiser, table.optimiser)):
        order = np.argsort(curve.knob)
        found = np.interp(knobs, np.array(curve.knob)[order], np.array(curve.similarity)[order])
        np.testing.assert_allclose(found, np.linspace(0.3, 0.5, 5), atol=1e-6)
    with pytest.raises(SystemExit, match="differently"):
        calibrate.lay_out(calibrate.Curve((0.0, 1.0), (0.1, 0.2)), optimiser, 5)


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(-0.5, 1)), min_size=1, max_size=40))
def test_similarity_never_rises_with_distance(pairs: list[tuple[float, float]]) -> None:
    calibrate = pytest.importorskip("train.calibrate", exc_type=ImportError)
    distance, similarity = map(np.array, zip(*pairs, strict=True))
    x, y = calibrate.similarity_by_distance(distance, similarity)
    assert (x[0], y[0]) == (0, 1)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) <= 0).all()
    Calibration(distance=tuple(x), similarity=tuple(y))


@pytest.mark.slow
def test_a_folder_is_calibrated(celeba: Path, tmp_path: Path) -> None:
    pytest.importorskip("train.calibrate", exc_type=ImportError)
    weights = tmp_path / "weights"
    shutil.copytree(DEFAULT_WEIGHTS, weights)
    (weights / FILE).unlink()
    classifier = tmp_path / "calibration"
    torch.manual_seed(0)
    save_classifier(classifier, "guide", Classifier(ClassifierConfig(widths=(8, 8, 8, 8))).eval())
    options = ["--celeba", str(celeba), "--skip", "0", "--edits", "1", "--tried", "2", "--calibration", str(classifier)]
    options += ["--step-scales", "0.6", "1.4", "--target-margins", "1", "4", "--least", "Smiling=1", "9"]
    options += ["--actor", "1.6", "0.4", "--optimiser", "1.6", "0.4", "--steps", "3", "--device", "cpu"]
    finish_here(["train.calibrate", "--weights", str(weights), *options])
    table = load_calibration(weights)
    assert list(table.slider) == [0.0, 0.5, 1.0]
    for knob in (table.actor, table.optimiser):
        assert 1.6 >= knob[0] > knob[1] > knob[2] >= 0.4
    assert table.step_scales.keys() <= {f"{name}={wanted}" for name in ATTRIBUTES for wanted in (0, 1)}
    assert len(table.step_scales) > 10
    assert table.target_margins["Smiling=1"] == 9.0
    assert set(table.target_margins.values()) <= {4.0, 9.0}
    assert table.similarity[0] == 1.0
    assert list(table.similarity) == sorted(table.similarity, reverse=True)

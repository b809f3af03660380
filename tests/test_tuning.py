"""lc.tuning: numbers that belong to weights, and the sentences for wrong ones."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc.editor import DEFAULT_WEIGHTS, FaceEditor
from lc.errors import WeightsError
from lc.tuning import Tuning
from lc.weights import load_model, load_tuning, save_config, save_tuning
from train.tuning import LEGACY_TUNING, tuning_of

NAMES = [field.name for field in dataclasses.fields(Tuning)]


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    tuning = Tuning.from_dict(LEGACY_TUNING)
    save_tuning(tmp_path, tuning)
    assert load_tuning(tmp_path) == tuning
    assert Tuning.from_dict(json.loads(json.dumps(tuning.to_dict()))) == tuning
    assert tuning.to_dict() == LEGACY_TUNING


def test_the_shipped_weights_have_the_legacy_tuning() -> None:
    assert load_tuning(DEFAULT_WEIGHTS).to_dict() == LEGACY_TUNING


def test_a_folder_without_one_names_the_way_out(weights_copy: Path) -> None:
    config = json.loads((weights_copy / "config.json").read_text())
    del config["tuning"]
    (weights_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"python -m train\.migrate .*weights NEW\.$"):
        load_model(weights_copy, "cpu")
    assert tuning_of(weights_copy).to_dict() == LEGACY_TUNING


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 1e12, "3", None, True, [1], {}], ids=str)
def test_a_wrong_number_is_a_sentence(name: str, value: object) -> None:
    with pytest.raises(WeightsError, match=rf"^'{name}' .*\.$"):
        Tuning.from_dict({**LEGACY_TUNING, name: value})


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Tuning) if f.type == "int"])
def test_a_count_is_whole(name: str) -> None:
    with pytest.raises(WeightsError, match="whole number"):
        Tuning.from_dict({**LEGACY_TUNING, name: 3.5})


@given(st.sampled_from(NAMES), st.data())
def test_a_number_in_range_is_taken(name: str, data: st.DataObject) -> None:
    (field,) = (one for one in dataclasses.fields(Tuning) if one.name == name)
    low, high = field.metadata["range"]
    whole = field.type == "int"
    value = data.draw(st.integers(low, high) if whole else st.floats(low, high))
    assert getattr(Tuning.from_dict({**LEGACY_TUNING, name: value}), name) == value


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.floats(), st.text(max_size=3))))
def test_other_tables_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match=r"\.$"):
        Tuning.from_dict(values)


@pytest.mark.parametrize("section", [[], 3, "x", None, {}], ids=str)
def test_a_section_that_is_no_table_is_refused(weights_copy: Path, section: object) -> None:
    save_config(weights_copy, tuning=section)
    with pytest.raises(WeightsError, match=r"tuning.*\.$"):
        load_model(weights_copy, "cpu")


def test_the_editor_takes_its_numbers_from_the_weights(tiny_editor: FaceEditor, astronaut: Path) -> None:
    def tuned(**changes: float) -> FaceEditor:
        tuning = dataclasses.replace(tiny_editor.model.tuning, **changes)  # type: ignore[arg-type]
        return FaceEditor(dataclasses.replace(tiny_editor.model, tuning=tuning))

    reading = tiny_editor.read(astronaut)
    assert tuned(inversion_steps=0).inversion_steps == 0
    assert not bool((tuned(sigma_x=0.5).read(astronaut).z == reading.z).all())
    assert tuned(optimiser_steps=2).edit(reading, {"Bald": True}, method="optimise").steps <= 2
    as_it_is = {"Smiling": reading.attributes["Smiling"] > 0.5}
    easy, strict = (
        editor.edit(reading, as_it_is, method="optimise").converged
        for editor in (tuned(realism_level=0.0, margin=0.0), tuned(realism_level=1.0, optimiser_steps=20))
    )
    assert easy
    assert not strict

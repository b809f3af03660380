"""Glasses and hats are read by latents and by what the parser finds, together; train.evidence learns how."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from processes import finish_here

from lc.attributes import Attribute, AttributeSet
from lc.editor import DEFAULT_WEIGHTS, FaceEditor
from lc.errors import WeightsError
from lc.evidence import Evidence
from lc.weights import load_attributes, save_config
from train.attributes import ATTRIBUTE_SET
from train.evidence import EvidenceConfig, chosen, fitted
from train.toys import ToysConfig, write

EVIDENCE = Evidence(0.5, 1.2, 3.0)
HAT = Attribute("Wearing_Hat", "Hat", part="hat", evidence=EVIDENCE)
PARTS = st.floats(0, 1)


@given(probability=PARTS, share=PARTS, more=PARTS)
def test_it_is_a_probability_that_grows_with_both(probability: float, share: float, more: float) -> None:
    read = EVIDENCE.read(probability, share)
    assert 0 < read < 1
    assert EVIDENCE.read(max(probability, more), share) >= read
    assert EVIDENCE.read(probability, max(share, more)) >= read


def test_a_cap_that_latents_miss_is_read_and_a_shadow_is_none() -> None:
    assert EVIDENCE.read(0.2, 0.2) > 0.5
    assert EVIDENCE.read(0.6, 0.0) < 0.1


def test_it_comes_back_from_json_and_two_numbers_are_refused() -> None:
    section = AttributeSet((HAT,)).as_json()
    assert AttributeSet.of(json.loads(json.dumps(section)))["Wearing_Hat"] == HAT
    section["attributes"][0]["evidence"] = [1, 2]
    with pytest.raises(WeightsError, match="does not fit this program"):
        AttributeSet.of(section)


def test_what_labels_follow_is_found_and_stays_finite() -> None:
    chance = torch.Generator().manual_seed(0)
    logits, shares = torch.randn(4000, generator=chance) * 3, torch.rand(4000, generator=chance) ** 6
    true = 0.7 * logits + 1.5 * (shares + 1e-3).log() + 5
    labels = (torch.rand(4000, generator=chance) < torch.sigmoid(true)).float()
    assert fitted(logits, shares, labels, torch.ones(4000)) == pytest.approx((0.7, 1.5, 5), rel=0.15)
    separate = fitted(logits, shares, (logits > 0).float(), torch.ones(4000))
    assert all(map(math.isfinite, separate))
    assert separate[0] > 1


def test_photos_that_count_less_are_heard_less() -> None:
    logits, shares = torch.zeros(100), torch.full((100,), 0.1)
    labels = torch.tensor([1.0] * 50 + [0.0] * 50)
    _, seen, offset = fitted(logits, shares, labels, torch.tensor([1.0] * 50 + [9.0] * 50))
    assert 1 / (1 + math.exp(-(seen * math.log(0.101) + offset))) == pytest.approx(0.1, abs=0.01)


def test_photos_of_each_kind_are_chosen_and_the_same_ones_every_time() -> None:
    labels = [(row % 50 == 0, row % 80 == 1) for row in range(4000)]
    config = EvidenceConfig(Path(), photos=30, others=100)
    rows = chosen(labels, config)
    assert rows == chosen(labels, config)
    assert len(set(rows)) == len(rows)
    for column in range(2):
        assert 30 <= sum(labels[row][column] for row in rows) < 45
    assert 100 <= len(rows) <= 160


def test_a_reading_says_what_both_say_and_bares_a_head_by_that(editor: FaceEditor) -> None:
    classes = editor.model.parser.config.classes  # type: ignore[union-attr]
    hat, glasses = classes.index("hat"), classes.index("glasses")
    maps = np.zeros((len(classes), 192, 192), np.uint8)
    maps[hat, :90], maps[classes.index("skin"), 90:] = 200, 255
    read = {entry.name: 0.3 for entry in editor.attributes.attributes}
    told = editor.steerer.told(maps, read)
    assert told["Wearing_Hat"] > 0.6
    assert told["Eyeglasses"] < 0.1
    assert {told[name] for name in told.keys() - {"Wearing_Hat", "Eyeglasses"}} == {0.3}
    assert (maps[hat, :90] == 200).all()
    maps[hat, :90], maps[glasses, :90] = 0, 0
    maps[hat, :4] = 200  # a strip on the border, in a photo of somebody who wears none
    assert editor.steerer.told(maps, {**read, "Wearing_Hat": 0.02})["Wearing_Hat"] < 0.01
    assert not maps[hat].any()


@pytest.mark.slow
def test_the_folder_gets_what_was_learned_and_keeps_the_rest(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEFAULT_WEIGHTS, tmp_path / "weights"))
    before = load_attributes(folder)
    plain = tuple(replace(entry, evidence=None) for entry in before.attributes)
    save_config(folder, attributes=replace(before, attributes=plain).as_json(), note="kept")
    write(ToysConfig(tmp_path / "toys", photos=120, unlabelled=0))
    finish_here(["train.evidence", "--weights", str(folder), "--celeba", str(tmp_path / "toys"), "--others", "40"])
    after = load_attributes(folder)
    for entry, old in zip(after.attributes, plain, strict=True):
        assert (entry.evidence is not None) == (entry.part != "")
        assert replace(entry, evidence=None) == old
    assert json.loads((folder / "config.json").read_text())["note"] == "kept"
    assert (after.one_of, after.names) == (ATTRIBUTE_SET.one_of, ATTRIBUTE_SET.names)

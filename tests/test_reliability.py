"""lc.reliability and train.evaluate.reliability: what seldom works on whom is measured, kept and said."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lc.attributes import Attribute, AttributeSet
from lc.editor import FaceEditor
from lc.errors import Sentence, WeightsError
from lc.parser import CLASSES
from lc.reliability import DARK, LIGHT, Reliability, load_reliability, save_reliability
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.evaluate.reliability import chosen, counted, lines, seen

SMALL = AttributeSet((Attribute("Hat", "Hat", people=("", "people in a hat")), Attribute("Smile", "Smile")))
KNOWN = Reliability(
    {"Smile=1": {"Hat=1": (3, 12), LIGHT: (11, 12), DARK: (2, 4)}, "Smile=0": {"Hat=1": (9, 9)}}, (40, 70)
)
HATTED, BARE = {"Hat": 0.9, "Smile": 0.1}, {"Hat": 0.1, "Smile": 0.1}


def test_a_change_that_was_seldom_seen_on_such_a_face_is_doubted_in_words() -> None:
    sentence = KNOWN.doubt(SMALL, {"Smile": True}, HATTED, 55)
    assert sentence == ("Smile: this change was seen in 3 of 12 photos of people in a hat, so it may not look real.")
    assert KNOWN.doubt(SMALL, {"Smile": 0.8}, HATTED, 55) == sentence  # a strength is of the same direction


@pytest.mark.parametrize(
    ("changes", "read", "tone"),
    [
        ({"Smile": False}, HATTED, 55),  # the other direction works
        ({"Smile": True}, BARE, 55),  # nobody of that kind
        ({"Smile": True}, BARE, 80),  # it works on light skin
        ({"Smile": True}, BARE, 20),  # too few to say so
        ({"Hat": True}, BARE, None),  # nobody measured it
        ({}, HATTED, 55),
    ],
)
def test_where_nothing_says_so_nothing_is_doubted(
    changes: dict[str, bool], read: dict[str, float], tone: float | None
) -> None:
    assert KNOWN.doubt(SMALL, changes, read, tone) is None
    assert Reliability().doubt(SMALL, {"Smile": True}, HATTED, 55) is None


def test_it_is_kept_in_the_weights_folder(tmp_path: Path) -> None:
    assert load_reliability(tmp_path) == Reliability()
    save_reliability(tmp_path, KNOWN)
    assert load_reliability(tmp_path) == KNOWN
    (tmp_path / "reliability.json").write_text("{}")
    with pytest.raises(WeightsError, match="checksum"):
        load_reliability(tmp_path)
    with pytest.raises(ValueError, match="more edits"):
        Reliability({"Smile=1": {"Hat=1": (3, 2)}})


def test_an_edit_says_it_and_is_made_all_the_same(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    assert editor.steerer.tone(reading) == pytest.approx(70, abs=15)
    told = {"Smiling=0": {"Male=0": (1, 10)}}
    doubtful = FaceEditor(dataclasses.replace(editor.model, reliability=Reliability(told)), 0, 0)
    words = doubtful.edit(reading, {"Smiling": False})
    assert words.warning is not None
    assert "1 of 10 photos of women" in words.warning
    assert words.result.tobytes() != reading.photo.rgb.tobytes()
    assert doubtful.edit(reading, {"Eyeglasses": True}).warning is None


def test_hair_that_is_not_seen_is_not_recoloured_without_a_word(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    assert editor.steerer.scarce(reading, {"Blond_Hair": True}) is None
    assert reading.maps is not None
    bare = reading.maps.copy()
    bare[CLASSES.index("hair")] = 0
    hairless = dataclasses.replace(reading, maps=bare)
    sentence = editor.steerer.scarce(hairless, {"Smiling": True, "Blond_Hair": True})
    assert sentence == "Blond hair: hardly any hair is seen in this photo, so the change may not show."
    assert editor.steerer.scarce(hairless, {"Eyeglasses": True}) is None
    warning = FaceEditor(editor.model, 0, 0).edit(hairless, {"Blond_Hair": True}).warning
    assert warning == sentence
    assert isinstance(warning, Sentence)  # which the page can say in another language


def test_what_is_before_a_mouth_stays_and_a_sentence_says_so(editor: FaceEditor) -> None:
    """A mask or a hand is no place for a smile."""
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    assert reading.maps is not None
    speechless = reading.maps.copy()
    speechless[CLASSES.index("skin")] += speechless[CLASSES.index("mouth")]
    speechless[CLASSES.index("mouth")] = 0
    masked = dataclasses.replace(reading, maps=speechless)
    photo, size = np.asarray(reading.photo.rgb, dtype=np.int16), reading.aligned.crop.width
    x, y = (reading.aligned.matrix @ (size / 2, 0.8 * size, 1)).round().astype(int)  # the mouth
    for one, changes in ((reading, True), (masked, False)):
        edit = editor.edit(one, {"Smiling": False})
        change = np.abs(np.asarray(edit.result, dtype=np.int16) - photo)[y - 15 : y + 15, x - 20 : x + 20]
        assert (change.max() > 30) == changes
        assert (edit.warning is None) == changes
    assert edit.warning is not None
    assert "something is before the mouth" in edit.warning
    assert editor.steerer.scarce(masked, {"Blond_Hair": True, "Eyeglasses": True}) is None


def test_photos_of_every_kind_are_taken() -> None:
    labels = torch.zeros(40, len(ATTRIBUTES), dtype=torch.bool)
    labels[30:33, ATTRIBUTES.index("Wearing_Hat")] = True
    labels[::2, ATTRIBUTES.index("Male")] = True
    labels[:, ATTRIBUTES.index("Young")] = labels[:, ATTRIBUTES.index("No_Beard")] = True
    rows = chosen(labels, 4)
    assert rows["Wearing_Hat=1"] == [30, 31, 32]
    assert rows["Male=1"] == [0, 2, 4, 6]
    assert rows["Male=0"] == [1, 3, 5, 7]
    assert rows["anybody"] == list(range(12))
    assert sum(bool(people) for entry in ATTRIBUTE_SET.attributes for people in entry.people) >= 9


def test_most_of_those_who_judge_decide_and_shares_are_counted_by_kind() -> None:
    nan = math.nan
    columns = {
        "evaluation": torch.tensor([1.0, 0.0, 1.0, nan]),
        "outside": torch.tensor([1.0, 0.0, nan, nan]),
        "masks": torch.tensor([0.0, 1.0, 0.0, nan]),
        "guidance": torch.tensor([1.0, 1.0, 1.0, 1.0]),  # which made the edit, and is no judge
    }
    found = seen(columns)
    assert found[:3].tolist() == [1, 0, 1]
    assert found[3].isnan()
    kinds = {"Hat=1": [0, 1, 3], DARK: [1], LIGHT: []}
    direction = (ATTRIBUTES[0], True)
    counts = counted({direction: found}, {direction: [0, 1, 2, 3]}, kinds)
    assert counts == {f"{ATTRIBUTES[0]}=1": {"Hat=1": (1, 2), DARK: (0, 1)}}
    assert lines(Reliability(counts))[2] == f"| {ATTRIBUTES[0]}=1 | 1/2 | 0/1 |"

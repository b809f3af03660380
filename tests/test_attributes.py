"""lc.attributes: names, parsing, one-of groups."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lc.attributes import AttributeSet
from lc.errors import UnknownAttributeError, WeightsError
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES

changes = st.dictionaries(st.sampled_from(ATTRIBUTES), st.booleans())


def test_there_are_ten_in_celebas_order() -> None:
    assert len(ATTRIBUTES) == 10
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert all(one.title for one in ATTRIBUTE_SET.attributes)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_answers_to_all_its_spellings(name: str) -> None:
    spellings = [
        name,
        name.lower(),
        name.upper(),
        name.replace("_", " "),
        name.replace("_", "-"),
        ATTRIBUTE_SET[name].title,
    ]
    assert {ATTRIBUTES[ATTRIBUTE_SET.index(spelling)] for spelling in spellings} == {name}


@given(changes)
def test_parsing_reads_back_what_was_written(wanted: dict[str, bool]) -> None:
    assert ATTRIBUTE_SET.parse([f"{name}={int(value)}" for name, value in wanted.items()]).wanted == wanted


@given(st.sampled_from(ATTRIBUTES), st.floats(0, 1).map(lambda value: round(value, 4)))
def test_a_strength_is_read_as_it_was_written(name: str, strength: float) -> None:
    read = ATTRIBUTE_SET.parse([f"{name}={strength:.4f}"]).wanted
    assert read == {name: strength}
    assert isinstance(read[name], bool) == (strength in (0, 1))
    assert ATTRIBUTE_SET.changes(read).partial == ({} if strength in (0, 1) else read)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_one_sentence(value: float) -> None:
    with pytest.raises(UnknownAttributeError, match=r"from 0 to 1\.$"):
        ATTRIBUTE_SET.changes({"Smiling": value})


def test_half_of_a_hair_colour_clears_the_others() -> None:
    assert ATTRIBUTE_SET.changes({"Blond_Hair": 0.6}).resolved["Black_Hair"] is False
    assert "Black_Hair" not in ATTRIBUTE_SET.changes({"Blond_Hair": 0.4}).resolved


def test_the_last_assignment_wins() -> None:
    assert ATTRIBUTE_SET.parse(["Young=1", "young=0"]).wanted == {"Young": False}


@pytest.mark.parametrize(
    "text",
    [
        "Young",
        "Young=",
        "Young=2",
        "Young=yes",
        "=1",
        "Moustache=1",
        "",
        "Young=1=1",
        "Young=1.5",
        "Young=-0.1",
        "Young=nan",
        "Young=1e-1",
    ],
)
def test_a_bad_assignment_is_one_sentence(text: str) -> None:
    with pytest.raises(UnknownAttributeError) as caught:
        ATTRIBUTE_SET.parse([text])
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownAttributeError, match="Eyeglasses"):
        ATTRIBUTE_SET.changes({"Spectacles": True})


@given(changes)
def test_resolving_never_overrules_what_was_asked(wanted: dict[str, bool]) -> None:
    resolved = ATTRIBUTE_SET.changes(wanted).resolved
    assert {name: resolved[name] for name in wanted} == wanted
    assert not any(value for name, value in resolved.items() if name not in wanted)  # only ever clears


@given(changes)
def test_resolving_twice_changes_nothing(wanted: dict[str, bool]) -> None:
    assert (
        ATTRIBUTE_SET.changes(ATTRIBUTE_SET.changes(wanted).resolved).resolved == ATTRIBUTE_SET.changes(wanted).resolved
    )


@pytest.mark.parametrize("colour", ATTRIBUTE_SET.one_of[0])
def test_a_hair_colour_clears_the_others(colour: str) -> None:
    resolved = ATTRIBUTE_SET.changes({colour: True}).resolved
    assert [name for name in (*ATTRIBUTE_SET.one_of[0], "Bald") if resolved[name]] == [colour]


def test_taking_a_hair_colour_away_says_nothing_of_the_others() -> None:
    assert ATTRIBUTE_SET.changes({"Black_Hair": False}).resolved == {"Black_Hair": False}


@given(changes, st.integers(0, 2**32 - 1))
def test_applying_changes_only_the_masked(wanted: dict[str, bool], seed: int) -> None:
    y = torch.rand(3, 10, generator=torch.Generator().manual_seed(seed))
    before = y.clone()
    target, mask = ATTRIBUTE_SET.changes(wanted).apply(y)
    assert torch.equal(y, before)
    assert torch.equal(target[~mask], y[~mask])
    for i, name in enumerate(ATTRIBUTES):
        implied = ATTRIBUTE_SET.changes(wanted).resolved.get(name)
        elsewhere = torch.zeros(3, dtype=torch.bool) if implied is None else (y[:, i] >= 0.5) != implied
        assert torch.equal(mask[:, i], torch.ones(3, dtype=torch.bool) if name in wanted else elsewhere)
    for name, value in wanted.items():
        assert (target[:, ATTRIBUTE_SET.index(name)] == float(value)).all()


def labels(**values: float) -> list[float]:
    usual = {"Male": 1.0, "No_Beard": 1.0, "Young": 1.0}
    return [{**usual, **values}.get(name, 0.0) for name in ATTRIBUTES]


@pytest.mark.parametrize(
    "rare", [{"Bald": 1, "Male": 0}, {"Bald": 1, "Blond_Hair": 1}, {"No_Beard": 0, "Male": 0}], ids=str
)
def test_what_nobody_has_is_warned_of(rare: dict[str, float]) -> None:
    assert (ATTRIBUTE_SET.warning(labels(**rare)) or "").endswith(".")
    assert ATTRIBUTE_SET.warning(labels(**rare), {next(iter(rare))}) is None  # no generator draws it


@pytest.mark.parametrize("usual", [{}, {"Bald": 1}, {"Male": 0, "Blond_Hair": 1}, {"No_Beard": 0}], ids=str)
def test_what_people_have_is_not(usual: dict[str, float]) -> None:
    assert ATTRIBUTE_SET.warning(labels(**usual)) is None


def test_a_title_counts_in_its_own_sense() -> None:
    assert ATTRIBUTE_SET.changes({"beard": True}).wanted == {"No_Beard": False}
    assert ATTRIBUTE_SET.parse(["Beard=0.75"]).wanted == {"No_Beard": 0.25}


@given(changes, changes)
def test_later_changes_win_and_keep_what_they_say_nothing_of(first: dict[str, bool], second: dict[str, bool]) -> None:
    both = ATTRIBUTE_SET.changes(second).over(ATTRIBUTE_SET.changes(first)).wanted
    assert {name: both[name] for name in second} == second
    resolved = ATTRIBUTE_SET.changes(second).resolved
    assert {name: both[name] for name in first if name not in resolved} == {
        name: value for name, value in first.items() if name not in resolved
    }


def test_json_reads_back_as_it_was() -> None:
    assert AttributeSet.of(json.loads(json.dumps(ATTRIBUTE_SET.as_json()))) == ATTRIBUTE_SET


@pytest.mark.parametrize(
    "section",
    [
        None,
        ["Bald"],
        {"attributes": []},
        {"attributes": [{"name": "A", "title": "A"}, {"name": "A", "title": "B"}]},
        {"attributes": [{"name": "A"}]},
        {"attributes": [{"name": "A", "title": "A"}], "one_of": [["A", "B"]]},
        {"attributes": [{"name": "A", "title": "A"}], "unlikely": [{"when": {"B": True}, "people": "them"}]},
    ],
    ids=str,
)
def test_a_damaged_section_is_one_sentence(section: object) -> None:
    with pytest.raises(WeightsError, match=r"train\.migrate"):
        AttributeSet.of(section)

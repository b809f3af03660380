"""lc.numbers: what counts as a number, and a sentence for the rest."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc.errors import LatentConstraintsError
from lc.numbers import MAX_SEED, number, whole_number

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.complex_numbers(),
)


@settings(max_examples=50)
@given(ANYTHING)
def test_anything_gives_a_number_or_a_sentence(value: object) -> None:
    for read, high in ((whole_number, MAX_SEED), (lambda x: number(x, 0, 1), 1)):
        try:
            assert 0 <= read(value) <= high
        except LatentConstraintsError as error:
            message = str(error)
            assert message.endswith(".")
            assert "\n" not in message
            assert len(message) < 150


@pytest.mark.parametrize("value", [0, 1, MAX_SEED, "0", " 12 ", "9223372036854775807", 3.0, np.int64(5), Fraction(4)])
def test_whole_numbers(value: object) -> None:
    assert whole_number(value) == int(value)  # type: ignore[call-overload]


TEXTS = ["", " ", "-1", "1.5", "1_000", "٣", "nan", "inf", "1e3", "9" * 5000]
OTHERS = [MAX_SEED + 1, 10**400, -1, 1.5, 2.0**63, math.nan, math.inf, -math.inf, None, True, b"1", [1]]


@pytest.mark.parametrize("value", [*TEXTS, *OTHERS])
def test_what_is_no_seed(value: object) -> None:
    with pytest.raises(LatentConstraintsError, match="is not a whole number from 0 to 9223372036854775807"):
        whole_number(value)


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e999", -0.1, 1.1, math.nan, math.inf, None, 10**400, [0.5]])
def test_what_is_no_share(value: object) -> None:
    with pytest.raises(LatentConstraintsError, match="is not a number from 0 to 1"):
        number(value, 0, 1)


def test_more_digits_than_python_writes() -> None:
    for read in (whole_number, lambda value: number(value, 0, 1)):
        with pytest.raises(LatentConstraintsError, match="What was given"):
            read(10**5000)

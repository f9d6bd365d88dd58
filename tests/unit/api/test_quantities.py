"""Quantities read, written, compared and added as the original does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import quantities

pytestmark = pytest.mark.unit

CANONICAL = [
    ("0.5", "500m"), ("1500m", "1500m"), ("1000m", "1"), ("1000", "1k"), ("1Gi", "1Gi"), ("1024Ki", "1Mi"),
    ("1.5Gi", "1536Mi"), ("1024", "1024"), ("0", "0"), ("0Gi", "0"), ("100Mi", "100Mi"), ("1e3", "1e3"),
    ("1000e3", "1e6"), ("9E", "9E"), ("5e", None), ("-0.5", "-500m"), ("+5", "5"), ("1.", "1"), (".5", "500m"),
    ("0.1Ki", "102400m"), ("1500", "1500"), ("2000Ki", "2000Ki"), ("0.0000000001", "1n"), ("1100u", "1100u"),
    ("3k", "3k"), ("1k5", None), ("", None), ("abc", None), ("1 Gi", None), ("1i", None), (".", None), ("1,5", None),
    ("12E", "9223372036854775807"), ("1E2", "100"), (5, "5"), (0.25, "250m"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_the_spelling_is_the_originals(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"quantities must match|quantity's suffix"):
            quantities.parse(text)
    else:
        assert quantities.canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "value", "milli"),
    [("1500m", 2, 1500), ("1Gi", 2**30, 2**30 * 1000), ("100u", 1, 1), ("-1500m", -2, -1500), ("2", 2, 2000)],
)
def test_whole_and_thousandth_amounts_round_away_from_zero(text: str, value: int, milli: int) -> None:
    quantity = quantities.parse(text)
    assert (quantity.value(), quantity.milli()) == (value, milli)


def test_sums_keep_the_format_of_the_first() -> None:
    assert str(quantities.parse("1Gi") + quantities.parse("1024Mi")) == "2Gi"
    assert str(quantities.ZERO + quantities.parse("1Gi")) == "1Gi"
    assert str(quantities.parse("2") - quantities.parse("500m")) == "1500m"
    assert quantities.parse("1Gi") == quantities.parse("1024Mi")
    assert quantities.parse("999m") < quantities.parse("1")


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3", "E6"]),
)
def test_writing_and_reading_again_changes_nothing(number: int, suffix: str) -> None:
    quantity = quantities.parse(f"{number}{suffix}")
    again = quantities.parse(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)

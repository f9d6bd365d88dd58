"""Which taints a toleration meets."""

from __future__ import annotations

import pytest

from api.tolerations import tolerates

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("operator", "bound", "value", "expected"),
    [
        ("Gt", "100", "200", True),
        ("Gt", "100", "100", False),
        ("Gt", "-100", "-50", True),
        ("Lt", "100", "99", True),
        ("Lt", "0", "-1", True),
        ("Lt", "-50", "-49", False),
        ("Gt", "9223372036854775806", "9223372036854775807", True),
        # Numbers are written in one way only, and what is no number is on neither side.
        *(("Gt", bound, "200", False) for bound in ("0100", "+100", "1.5", "-", "", "x", "-0")),
        *(("Lt", "100", value, False) for value in ("007", "+7", " 7 ", "", "x")),
        ("Equal", "100", "100", True),
        ("", "100", "101", False),
    ],
)
def test_a_toleration_by_value(operator: str, bound: str, value: str, expected: bool) -> None:
    toleration = {"key": "k", "operator": operator, "value": bound, "effect": "NoSchedule"}
    assert tolerates(toleration, {"key": "k", "value": value, "effect": "NoSchedule"}) is expected

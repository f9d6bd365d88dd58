"""Versions in expressions: which texts are some, and in which order they come."""

from __future__ import annotations

import pytest

from api import cel

pytestmark = pytest.mark.unit

ENVIRONMENT = cel.Environment({})
CASES = [
    ("isSemver('1.2.3')", True), ("isSemver('v1.2.3')", False), ("isSemver('v1.2', true)", True),
    ("isSemver('1.02.3')", False), ("isSemver('1.02.3', true)", True), ("isSemver('1.2.3-01')", False),
    ("semver('1.2.3').major()", 1), ("semver('1.2.3').minor()", 2), ("semver('1.2.3-rc.1+b').patch()", 3),
    ("semver('1.2.3').compareTo(semver('1.2.3-rc.1'))", 1), ("semver('1.0.0').compareTo(semver('1.0.0+b'))", 0),
    ("semver('1.10.0').isGreaterThan(semver('1.9.9'))", True),
    ("semver('1.0.0-a.2').isLessThan(semver('1.0.0-a.10'))", True),
    ("semver('1.0.0-2').isLessThan(semver('1.0.0-a'))", True), ("semver('v2', true) == semver('2.0.0')", True),
    ("quantity('2').isGreaterThan(quantity('1'))", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), CASES, ids=[case[0] for case in CASES])
def test_versions_are_read_and_ordered(text: str, value: object) -> None:
    assert ENVIRONMENT.compile(text).evaluate({}) == value


def test_a_text_that_is_no_version_fails_the_expression() -> None:
    with pytest.raises(cel.CelError):
        ENVIRONMENT.compile("semver('one')").evaluate({})

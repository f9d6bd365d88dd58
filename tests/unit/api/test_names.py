"""Names, labels and keys: which are good, and the sentences that refuse the others."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from api import names

pytestmark = pytest.mark.unit

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)

CASES: list[tuple[Callable[[str], list[str]], str, list[str]]] = [
    (names.dns_label_problems, "web-1", []),
    (names.dns_label_problems, "Web", [LABEL]),
    (names.dns_label_problems, "a.b", ["must not contain dots"]),
    (names.dns_label_problems, "a" * 64, ["must be no more than 63 bytes"]),
    (names.dns_label_problems, "web\n", [LABEL]),
    (names.dns_subdomain_problems, "a.b-c.d", []),
    (names.label_value_problems, "", []),
    (names.label_value_problems, "-x", [VALUE]),
    (names.label_key_problems, "example.com/role", []),
    (names.label_key_problems, "/role", ["prefix part must be non-empty"]),
    (names.path_segment_problems, "system:node", []),
    (names.path_segment_problems, "a/b", ["may not contain '/'"]),
    (names.path_segment_problems, "..", ["may not be '..'"]),
    (names.config_key_problems, "key.json", []),
    (names.config_key_problems, "..x", ["must not start with '..'"]),
    (names.port_name_problems, "http", []),
    (names.port_name_problems, "80", ["must contain at least one letter (a-z)"]),
    (names.port_name_problems, "a--b", ["must not contain consecutive hyphens"]),
    (names.environment_variable_problems, "A.b-c 1", []),
]


@pytest.mark.parametrize(("check", "value", "expected"), CASES)
def test_names_are_checked_in_the_originals_words(
    check: Callable[[str], list[str]], value: str, expected: list[str]
) -> None:
    assert check(value) == expected


def test_generated_names_fit_and_use_the_originals_alphabet() -> None:
    source = random.Random(1)
    assert len(names.generate("x" * 200, source)) == 63
    name = names.generate("web-", source)
    assert name.startswith("web-")
    assert len(name) == 9
    assert set(name[4:]) <= set(names.SUFFIX_ALPHABET)

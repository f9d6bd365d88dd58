"""Versions as semver.org orders them.

Invariant: equal versions have equal canonical texts; metadata of a build does not count in comparisons.
Source: Semantic Versioning 2.0.0; apiserver/pkg/cel/library/semver.go for what `normalize` forgives.
"""

from __future__ import annotations

import re

_NUMBER = r"(0|[1-9][0-9]*)"
_PART = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?", re.ASCII
)


def canonical(text: str, normalize: bool = False) -> str:
    """The text of a version; with `normalize` after a leading `v`, missing numbers and leading zeros are mended.

    Raises ValueError.
    """
    if normalize:
        text = _normalized(text)
    if not _VERSION.fullmatch(text):
        raise ValueError(f'invalid semantic version "{text}"')
    return text


def _normalized(text: str) -> str:
    core = re.match(r"[^+-]*", text.removeprefix("v"))
    assert core is not None
    given = core[0].split(".")
    numbers = [(part.lstrip("0") or "0") if part.isdigit() else part for part in given]
    rest = text.removeprefix("v")[core.end() :]
    return ".".join([*numbers, *["0"] * (3 - len(numbers))]) + rest


def numbers(text: str) -> tuple[int, int, int]:
    """Major, minor and patch of a canonical text."""
    found = _VERSION.fullmatch(text)
    assert found is not None
    return int(found[1]), int(found[2]), int(found[3])


def compare(left: str, right: str) -> int:
    """-1, 0 or 1."""
    one, other = _order(left), _order(right)
    return (one > other) - (one < other)


def _order(text: str) -> tuple[object, ...]:
    """A value that sorts as versions do: a release after what came before it, numbers before words."""
    found = _VERSION.fullmatch(text)
    assert found is not None
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in (found[4] or "").split(".") if part]
    return (*numbers(text), not found[4], parts)

"""Jinja2 tests that Ansible adds: `is changed`, `is match`, `is version`, …

Source: Ansible, "Tests".
"""

from __future__ import annotations

import operator
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlparse

from playbooks.engine.evaluation.filters_vault import is_vaulted_file
from playbooks.engine.helper.options import boolean
from playbooks.errors import TemplateError

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("==", "=", "eq"), operator.eq),
    **dict.fromkeys(("!=", "<>", "ne"), operator.ne),
    **dict.fromkeys(("<", "lt"), operator.lt),
    **dict.fromkeys(("<=", "le"), operator.le),
    **dict.fromkeys((">", "gt"), operator.gt),
    **dict.fromkeys((">=", "ge"), operator.ge),
}
_STRICT = re.compile(r"^(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?$")
_SEMVER = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$")


def _result(name: str, key: str) -> Callable[[Any], bool]:
    def check(result: Any) -> bool:
        if not isinstance(result, Mapping):
            raise TemplateError(f"the test {name!r} is for a task's result, not {type(result).__name__}")
        return bool(result.get(key, False))

    return check


def _changed(result: Any) -> bool:
    if not isinstance(result, Mapping):
        raise TemplateError(f"the test 'changed' is for a task's result, not {type(result).__name__}")
    if "changed" in result:
        return bool(result["changed"])
    return any(item.get("changed") for item in result.get("results", ()) if isinstance(item, Mapping))


_failed = _result("failed", "failed")


def _pattern(value: Any, pattern: str, ignorecase: bool, multiline: bool, find: str) -> bool:
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    return bool(getattr(re.compile(pattern, flags), find)(str(value)))


def match(value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False) -> bool:
    """Whether the text begins with the pattern."""
    return _pattern(value, pattern, ignorecase, multiline, "match")


def search(value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False) -> bool:
    """Whether the pattern is anywhere in the text."""
    return _pattern(value, pattern, ignorecase, multiline, "search")


def regex(
    value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False, match_type: str = "search"
) -> bool:
    """`match`, `search` or `fullmatch`."""
    return _pattern(value, pattern, ignorecase, multiline, match_type)


def version(
    value: Any, other: Any, operator: str = "eq", strict: bool | None = None, version_type: str | None = None
) -> bool:
    """Compare version numbers. Raises TemplateError for an unknown operator or a malformed version."""
    if operator not in _OPERATORS:
        raise TemplateError(f"version: the operator {operator!r} is none of {', '.join(_OPERATORS)}")
    if strict is not None and version_type:
        raise TemplateError("version: 'strict' and 'version_type' exclude each other")
    kind = "strict" if strict else version_type or "loose"
    if kind not in _VERSIONS:
        raise TemplateError(f"version: the version_type {kind!r} is none of {', '.join(_VERSIONS)}")
    if not str(value) or not str(other):
        raise TemplateError("version: a version must not be empty")
    return _OPERATORS[operator](_VERSIONS[kind](str(value)), _VERSIONS[kind](str(other)))


def _loose(text: str) -> list[int | str]:
    # A number and a word in the same place cannot be compared, in Ansible either.
    parts = [part for part in re.split(r"(\d+|[a-z]+|\.)", text) if part and part != "."]
    return [int(part) if part.isdigit() else part for part in parts]


def _strict(text: str) -> Any:
    found = _STRICT.match(text)
    if not found:
        raise TemplateError(f"invalid version number {text!r}")
    # A final version comes after those that lead to it.
    before = (0, found[4], int(found[5])) if found[4] else (1, "", 0)
    return (int(found[1]), int(found[2]), int(found[3] or 0)), before


def _pep440(text: str) -> Any:
    from packaging.version import Version

    return Version(text)


def _semver(text: str) -> Any:
    found = _SEMVER.match(text)
    if not found:
        raise TemplateError(f"{text!r} is not a semantic version")
    pre = found[4]
    identifiers = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
    return (int(found[1]), int(found[2]), int(found[3])), pre is None, identifiers


_VERSIONS: dict[str, Callable[[str], Any]] = {
    "loose": _loose,
    "strict": _strict,
    "semver": _semver,
    "semantic": _semver,
    "pep440": _pep440,
}


def _truthy(value: Any, convert_bool: bool = False) -> bool:
    if convert_bool:
        try:
            return boolean(value)
        except (ValueError, TypeError):
            return bool(value)
    return bool(value)


def _url(value: Any, schemes: list[str] | None = None) -> bool:
    parsed = _parsed(value, schemes)
    return parsed is not None and bool(parsed.netloc or parsed.scheme == "file")


def _parsed(value: Any, schemes: list[str] | None = None) -> Any:
    """The parts of an address; None if it has none, or another scheme than one of those."""
    try:
        parsed = urlparse(value)
    except (AttributeError, TypeError, ValueError):
        return None
    return parsed if not schemes or parsed.scheme in schemes else None


TESTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("failed", "failure"), _failed),
    **dict.fromkeys(("succeeded", "success", "successful"), lambda result: not _failed(result)),
    **dict.fromkeys(("changed", "change"), _changed),
    **dict.fromkeys(("skipped", "skip"), _result("skipped", "skipped")),
    "unreachable": _result("unreachable", "unreachable"),
    "reachable": lambda result: not result.get("unreachable", False),
    "finished": lambda result: bool(result.get("finished", 1)),
    "started": lambda result: bool(result.get("started", 1)),
    "timedout": lambda result: bool(result.get("timedout", False)),
    "match": match,
    "search": search,
    "regex": regex,
    **dict.fromkeys(("version", "version_compare"), version),
    "contains": lambda collection, value: value in collection,
    "all": all,
    "any": any,
    **dict.fromkeys(("subset", "issubset"), lambda a, b: all(item in b for item in a)),
    **dict.fromkeys(("superset", "issuperset"), lambda a, b: all(item in a for item in b)),
    "truthy": _truthy,
    "falsy": lambda value, convert_bool=False: not _truthy(value, convert_bool),
    **dict.fromkeys(("directory", "is_dir"), posixpath.isdir),
    **dict.fromkeys(("file", "is_file"), posixpath.isfile),
    **dict.fromkeys(("link", "is_link"), posixpath.islink),
    "exists": posixpath.exists,
    "link_exists": posixpath.lexists,
    **dict.fromkeys(("mount", "is_mount"), posixpath.ismount),
    **dict.fromkeys(("abs", "is_abs"), posixpath.isabs),
    **dict.fromkeys(("same_file", "is_same_file"), posixpath.samefile),
    **dict.fromkeys(("nan", "isnan"), lambda value: value != value),
    "url": _url,
    "uri": lambda value, schemes=None: _parsed(value, schemes) is not None,
    "urn": lambda value: _parsed(value, ["urn"]) is not None,
    "vaulted_file": is_vaulted_file,
    "vault_encrypted": lambda value: str(value).startswith("$ANSIBLE_VAULT;"),
}

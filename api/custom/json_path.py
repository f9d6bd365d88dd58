"""The part of JSONPath that definitions of custom resources use for columns, scale and selectable fields.

`.spec.replicas`, `.metadata.labels['a.b/c']`, `.items[0]`, `.items[*].name`, `.conditions[?(@.type=="Ready")].status`.
Invariant: a path is parsed once; finding never fails, it only finds nothing.
Source: "JSONPath Support" in the kubectl reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_Step = Callable[[Any], list[Any]]
_TOKEN = re.compile(
    r"""\.(?P<field>[^.\[\]*\s]+)                # .name
      | \[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]  # ['name']
      | \[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]
      | \[(?P<index>-?\d+)\]
      | (?P<all>\[\*\]|\.\*)
      | \[\?\(\s*@(?P<path>[^=!<>\s]*)\s*(?P<operator>==|!=|>=|<=|>|<)\s*(?P<value>.+?)\s*\)\]
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[_Step, ...]:
    """The steps of a path, with or without braces and a leading `$`. Raises ValueError."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$").replace("\\.", "\0")
    steps: list[_Step] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"unrecognized character in {path!r} at {position}")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def find(path: str, value: Any) -> list[Any]:
    """Every value at the path, in order. Raises ValueError for a path that cannot be read."""
    found = [value]
    for step in parse(path):
        found = [inner for one in found for inner in step(one)]
    return found


def first(path: str, value: Any) -> Any:
    """The first value at the path, or None."""
    found = find(path, value)
    return found[0] if found else None


def _step(match: re.Match[str]) -> _Step:
    parts = match.groupdict()
    name = parts.get("field") or parts.get("single") or parts.get("double")
    if name is not None:
        return _field(name.replace("\0", "."))
    if parts.get("index") is not None:
        return _index(int(parts["index"]))
    return _each if parts.get("all") else _filter(parts["path"], parts["operator"], parts["value"])


def _field(name: str) -> _Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _index(number: int) -> _Step:
    return lambda value: [value[number]] if isinstance(value, list) and -len(value) <= number < len(value) else []


def _each(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _filter(path: str, operator: str, literal: str) -> _Step:
    wanted: Any = literal.strip("'\"") if literal[:1] in "'\"" else _literal(literal)
    return lambda value: [item for item in _each(value) if _holds(first(path, item), operator, wanted)]


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    return float(text) if "." in text else int(text) if re.fullmatch(r"-?\d+", text) else text


def _holds(have: Any, operator: str, wanted: Any) -> bool:
    if operator in ("==", "!="):
        return bool(have == wanted) == (operator == "==")
    try:
        below, equal = bool(have < wanted), bool(have == wanted)
    except TypeError:
        return False
    return {"<": below, "<=": below or equal, ">": not below and not equal, ">=": not below}[operator]

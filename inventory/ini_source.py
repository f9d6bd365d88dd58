"""Reads an inventory in INI: hosts with variables on their line, `[group]`, `[group:children]`, `[group:vars]`.

Invariant: values on host lines are Python literals where they parse as such, else text; so are values in `:vars`.
Source: Ansible's `ini` inventory plugin.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

from inventory.builder import Builder
from inventory.documents import Mark
from inventory.errors import InventoryError
from inventory.ranges import named

_SECTION = re.compile(r"^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:[#;].*)?$")
_KINDS = ("hosts", "children", "vars")


@dataclass(slots=True)
class _State:
    builder: Builder
    group: str = "ungrouped"
    kind: str = "hosts"
    # Sections may name groups that a later section defines.
    mentioned: dict[str, tuple[Mark, str]] = field(default_factory=dict)


def read(text: str, path: str, builder: Builder) -> None:
    """Add the inventory in `text` to `builder`. Raises InventoryError with file and line."""
    state = _State(builder)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            _line(state, stripped, Mark(path, number))
    for group, (mark, kind) in state.mentioned.items():
        raise InventoryError(
            f"{mark}: section [{group}:{kind}] is about a group that nobody defines; add a section [{group}]"
        )


def _line(state: _State, line: str, mark: Mark) -> None:
    if line[0] == "[" and (section := _SECTION.match(line)):
        _section(state, section[1], section[2] or "hosts", mark)
    elif state.kind == "vars":
        name, separator, value = line.partition("=")
        if not separator:
            raise InventoryError(f"{mark}: expected name=value in [{state.group}:vars], found {line!r}")
        state.builder.group_variables(state.group, {name.strip(): literal(value.strip())})
    elif state.kind == "children":
        child = line.split("#")[0].strip()
        state.builder.child(state.group, child, mark)
    else:
        _host(state, line, mark)


def _section(state: _State, group: str, kind: str, mark: Mark) -> None:
    if kind not in _KINDS:
        raise InventoryError(f"{mark}: section [{group}:{kind}]: only {', '.join(_KINDS)} may follow the colon")
    state.group, state.kind = group, kind
    if kind == "vars":
        if not state.builder.has_group(group):
            state.mentioned.setdefault(group, (mark, kind))
            return
    else:
        state.mentioned.pop(group, None)
    state.builder.group(group)


def _host(state: _State, line: str, mark: Mark) -> None:
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise InventoryError(f"{mark}: {error}") from error
    if not words:
        return
    pattern, variables = words[0], _pairs(words[1:], mark)
    if pattern.count("[") != pattern.count("]"):
        raise InventoryError(f"{mark}: {pattern!r}: a bracket is missing its partner")
    try:
        hosts, port = named(pattern)
    except InventoryError as error:
        raise InventoryError(f"{mark}: {error}") from error
    for host in hosts:
        state.builder.host(host, state.group, {**port, **variables})


def _pairs(words: list[str], mark: Mark) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise InventoryError(f"{mark}: expected name=value after the host, found {word!r}")
        pairs[name] = literal(value)
    return pairs


def literal(value: str) -> Any:
    """The Python literal that `value` spells, or the text itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parsed = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return value
    if isinstance(parsed, bytes):
        return parsed.decode("utf-8", "surrogateescape")
    if isinstance(parsed, set):
        return sorted(parsed, key=str)
    return value if isinstance(parsed, complex | EllipsisType) else parsed

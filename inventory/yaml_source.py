"""Reads an inventory in YAML: groups at the top, each with `hosts`, `children` and `vars`.

Source: Ansible's `yaml` inventory plugin.
"""

from __future__ import annotations

from typing import Any

from inventory.builder import Builder
from inventory.documents import Mark, MarkedDict, MarkedList, parse
from inventory.errors import InventoryError
from inventory.ranges import named

_SECTIONS = ("children", "hosts", "vars")


def read(text: str, path: str, builder: Builder) -> None:
    """Add the inventory in `text` to `builder`. Raises InventoryError with file and line."""
    document = parse(text, path)
    if document is None:
        raise InventoryError(f"{path}:1: the inventory is empty; give it a group `all` with hosts")
    if not isinstance(document, MarkedDict):
        raise InventoryError(f"{path}:1: an inventory is a mapping of groups, not {_kind(document)}")
    for name, body in document.items():
        _group(builder, str(name), body, document.mark_of(name))


def _group(builder: Builder, name: str, body: Any, mark: Mark) -> None:
    builder.group(name)
    if body is None:
        return
    if not isinstance(body, MarkedDict):
        raise InventoryError(
            f"{mark}: group {name!r} must be a mapping with hosts, children or vars, not {_kind(body)}"
        )
    for section in body:
        if section not in _SECTIONS:
            raise InventoryError(
                f"{body.mark_of(section)}: group {name!r} has the unknown entry {section!r}; "
                f"a group has only {', '.join(_SECTIONS)}"
            )
    variables = _section(body, "vars", name)
    builder.group_variables(name, {str(key): value for key, value in variables.items()})
    children = _section(body, "children", name)
    for child, child_body in children.items():
        builder.child(name, str(child), children.mark_of(child))
        _group(builder, str(child), child_body, children.mark_of(child))
    hosts = _section(body, "hosts", name)
    for host, host_body in hosts.items():
        _host(builder, name, str(host), host_body, hosts.mark_of(host))


def _host(builder: Builder, group: str, pattern: str, variables: Any, mark: Mark) -> None:
    if variables is not None and not isinstance(variables, MarkedDict):
        raise InventoryError(f"{mark}: the variables of host {pattern!r} must be a mapping, not {_kind(variables)}")
    try:
        names, port = named(pattern)
    except InventoryError as error:
        raise InventoryError(f"{mark}: {error}") from error
    for host in names:
        builder.host(host, group, {**port, **(variables or {})})


def _section(body: MarkedDict, section: str, group: str) -> MarkedDict:
    value = body.get(section)
    mark = body.mark_of(section)
    if value is None:
        return MarkedDict(mark)
    if isinstance(value, str) and section != "vars":
        single = MarkedDict(mark)
        single[value] = None
        return single
    if not isinstance(value, MarkedDict):
        raise InventoryError(f"{mark}: {section!r} of group {group!r} must be a mapping, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, MarkedList):
        return "a list"
    return "a mapping" if isinstance(value, dict) else f"the value {value!r}"

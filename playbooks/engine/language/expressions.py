"""Refuses filters, tests and lookups that Wherry does not have, before the first task runs.

Invariant: only names are judged; a template that is no template at all is left to the task that has it, which may
never run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import jinja2
from jinja2 import nodes

from inventory.documents import EncryptedText, Mark, MarkedDict, MarkedList, UnsafeText
from playbooks.engine.evaluation import environment, lookups
from playbooks.engine.language import keywords

_CONDITIONS = ("when", "until", "changed_when", "failed_when")


def check(item: MarkedDict) -> None:
    """Judge every template and condition of a task. Raises PlaybookError."""
    for word, value in item.items():
        if word in _CONDITIONS:
            for condition in value if isinstance(value, list) else [value]:
                if isinstance(condition, str):
                    _refuse_unknown(_as_template(condition), item.mark_of(word))
        else:
            for text, mark in _texts(value, item.mark_of(word)):
                _refuse_unknown(text, mark)


def _texts(value: Any, mark: Mark) -> Iterator[tuple[str, Mark]]:
    """All templates in a value, each with the best place known for it."""
    if isinstance(value, MarkedDict):
        for key, inner in value.items():
            if key == "that":
                conditions = inner if isinstance(inner, list) else [inner]
                yield from ((_as_template(text), value.mark_of(key)) for text in conditions if isinstance(text, str))
            else:
                yield from _texts(inner, value.mark_of(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, value.mark if isinstance(value, MarkedList) else mark)
    elif (
        isinstance(value, str)
        and not isinstance(value, UnsafeText | EncryptedText)
        and ("{{" in value or "{%" in value)
    ):
        yield value, mark


def _as_template(condition: str) -> str:
    return condition if "{{" in condition or "{%" in condition else "{{ (" + condition + ") }}"


def _refuse_unknown(text: str, mark: Mark) -> None:
    for what, name, known in _unknown(text):
        raise keywords.refuse(mark, what, name, known)


@functools.cache
def _environment() -> Any:
    return environment.native(lookups.GLOBALS)


@functools.lru_cache(4096)
def _unknown(text: str) -> tuple[tuple[str, str, Iterable[str]], ...]:
    known = _environment()
    try:
        tree = known.parse(environment.with_plain_backslashes(known, text))
    except jinja2.TemplateSyntaxError:
        return ()
    found: list[tuple[str, str, Iterable[str]]] = []
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call)):
        if isinstance(node, nodes.Filter) and node.name not in known.filters:
            found.append(("filter", node.name, known.filters))
        elif isinstance(node, nodes.Test) and node.name not in known.tests:
            found.append(("test", node.name, known.tests))
        elif isinstance(node, nodes.Call):
            name = _lookup_name(node)
            if name and name.removeprefix("ansible.builtin.") not in lookups.names():
                found.append(("lookup", name, lookups.names()))
    return tuple(found)


def _lookup_name(call: nodes.Call) -> str:
    """The lookup that a call names plainly, else ""."""
    if not isinstance(call.node, nodes.Name) or call.node.name not in environment.LOOKUPS or not call.args:
        return ""
    first = call.args[0]
    return str(first.value) if isinstance(first, nodes.Const) else ""

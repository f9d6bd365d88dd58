"""Which text a condition may run as an expression: what a playbook says itself, and nothing else.

A condition may be a template that picks an expression, `when: "{{ rule }}"`. What a host said, in a result or a fact,
is never run, or a host could run lookups on the operator's machine.

Invariant: pure; text that was put together counts as not said by the playbook, as in ansible-core.
"""

from __future__ import annotations

import functools
from typing import Any

import jinja2
from jinja2 import nodes

from inventory.documents import EncryptedText, UnsafeText
from playbooks.engine.evaluation.namespace import Namespace

_OPENING, _CLOSING = ("{{", "{%", "{#"), ("}}", "%}", "#}")
# They hold variables of every kind, or bring text from anywhere.
_ALL = frozenset(("vars", "hostvars", "ansible_delegated_vars", "lookup", "query", "q"))
# The filters that give one of the values they get, or all of them, as they are.
_PICKING = frozenset(("default", "d", "first", "last", "list"))
# What is written out in the template itself, and what is true or false.
_NO_OTHER_TEXT = (nodes.Const, nodes.Compare, nodes.Not, nodes.Test)


def is_template(condition: str) -> bool:
    """Whether a condition as a whole is a template, whose value counts. Any other is an expression."""
    text = condition.strip()
    return text.startswith(_OPENING) and text.endswith(_CLOSING)


def has_template(value: Any) -> bool:
    """Whether a raw value holds a template anywhere."""
    if isinstance(value, dict):
        return any(map(has_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_template, value))
    return isinstance(value, str) and any(sign in value for sign in _OPENING)


def picks(value: Any, namespace: Namespace) -> bool:
    """Whether all text that this raw value comes to stands in the playbook as it is."""
    if isinstance(value, dict):
        return all(picks(inner, namespace) for inner in value.values())
    if isinstance(value, list | tuple):
        return all(picks(inner, namespace) for inner in value)
    return not has_template(value) or (_parsed(str(value))[1] and not told(value, namespace))


def told(value: Any, namespace: Namespace, _above: frozenset[str] = frozenset()) -> bool:
    """Whether a raw value is made of something that a host said."""
    if isinstance(value, dict):
        return any(told(inner, namespace, _above) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(told(inner, namespace, _above) for inner in value)
    if not isinstance(value, str) or isinstance(value, UnsafeText | EncryptedText):
        return isinstance(value, UnsafeText)
    for name in _parsed(value)[0] - _above:
        if name in _ALL:
            return True
        found = namespace.find(name)
        if found is not None and (found.told if found.final else told(found.value, namespace, _above | {name})):
            return True
    return False


@functools.lru_cache(4096)
def _parsed(source: str) -> tuple[frozenset[str], bool]:
    """The names in a template, and whether it only picks a value."""
    if not has_template(source):
        return frozenset(), False
    try:
        body = jinja2.Environment().parse(source.strip()).body
    except jinja2.TemplateSyntaxError:
        return frozenset(), False
    names = frozenset(name.name for node in body for name in node.find_all(nodes.Name))
    only = body[0].nodes if len(body) == 1 and isinstance(body[0], nodes.Output) else []
    return names, len(only) == 1 and _is_pick(only[0])


def _is_pick(node: nodes.Node | None) -> bool:
    """Whether an expression comes to a variable, or a part of one, as it is."""
    if isinstance(node, nodes.CondExpr):
        return _is_side(node.expr1) and _is_side(node.expr2)
    if isinstance(node, nodes.Or | nodes.And):
        return _is_side(node.left) and _is_side(node.right)
    if isinstance(node, nodes.Filter):
        given = (*node.args, *(keyword.value for keyword in node.kwargs))
        return _named(node) in _PICKING and _is_pick(node.node) and all(map(_is_side, given))
    return isinstance(node, nodes.Name) or (isinstance(node, nodes.Getattr | nodes.Getitem) and _is_pick(node.node))


def _named(node: nodes.Filter) -> str:
    return str(node.name).removeprefix("ansible.builtin.")


def _is_side(node: nodes.Node | None) -> bool:
    """Whether one of two values is such a pick, or written out there, or no text."""
    return node is None or isinstance(node, _NO_OTHER_TEXT) or _is_pick(node)

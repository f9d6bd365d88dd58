"""What a task's loop goes over, and the variables that each turn sees.

Invariant: pure but for lookups that the loop itself names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from playbooks.engine.evaluation import lookups, trust
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.helper.options import boolean
from playbooks.engine.language.values import Task
from playbooks.errors import TemplateError, UndefinedError


def items(task: Task, scope: Evaluator) -> list[Any] | None:
    """The items of the task's loop, None if it has none. Raises TemplateError."""
    if task.loop is None or task.loop.expression is None:
        return None
    if task.loop.lookup == "first_found":
        return _first_found(task, scope)
    value = scope.template(task.loop.expression)
    if not task.loop.lookup:
        if not isinstance(value, list):
            raise TemplateError(
                f"Invalid data passed to 'loop', it requires a list, got this instead: {value!r}. "
                "Hint: If you passed a list/dict of just one element, try adding wantlist=True to your lookup "
                "invocation or use q/query instead of lookup."
            )
        return value
    terms = value if isinstance(value, list) else [value]
    if task.loop.lookup == "list" and isinstance(value, list):
        return value
    return lookups.run(task.loop.lookup, terms, {}, scope)


def told(task: Task, scope: Evaluator) -> bool:
    """Whether the items are made of what a host said, or of what a lookup brings from anywhere."""
    assert task.loop is not None
    brings = bool(task.loop.lookup) and task.loop.lookup not in lookups.WHOLE_TERMS
    return brings or trust.told(task.loop.expression, scope.namespace)


def _first_found(task: Task, scope: Evaluator) -> list[Any]:
    """The file to use: what the task is for decides where it is looked for, and undefined names are none."""
    assert task.loop is not None
    kind = next((f"{word}s" for word in ("template", "var") if word in task.action), "files")
    given = task.loop.expression
    terms: list[Any] = []
    for term in given if isinstance(given, list) else [given]:
        with contextlib.suppress(UndefinedError):
            value = scope.template(term)
            terms.extend(value if isinstance(value, list) else [value])
    return lookups.run("first_found", terms, {"kind": kind}, scope)


def variables(task: Task, all_items: list[Any], index: int, scope: Evaluator) -> Mapping[str, Any]:
    """What one turn adds to the variables: the item, its index, and `ansible_loop` if asked for."""
    control = task.loop_control
    name, counter = str(scope.template(control.loop_var)), scope.template(control.index_var)
    added: dict[str, Any] = {name: all_items[index], "ansible_loop_var": name}
    if counter:
        added[str(counter)] = index
        added["ansible_index_var"] = str(counter)
    if boolean(scope.template(control.extended)):
        total = len(all_items)
        extended: dict[str, Any] = {
            "index": index + 1,
            "index0": index,
            "first": index == 0,
            "last": index + 1 == total,
            "length": total,
            "revindex": total - index,
            "revindex0": total - index - 1,
        }
        if boolean(scope.template(control.extended_allitems)):
            extended["allitems"] = all_items
        if index:
            extended["previtem"] = all_items[index - 1]
        if index + 1 < total:
            extended["nextitem"] = all_items[index + 1]
        added["ansible_loop"] = extended
    return added

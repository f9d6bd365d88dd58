"""What a result counts as: `changed_when`, `failed_when`, and the sum of a loop.

Invariant: pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.namespace import Layer
from playbooks.engine.language.values import Task
from playbooks.engine.result import item_results
from playbooks.errors import TemplateError


def skipped(condition: Any) -> dict[str, Any]:
    """The result of a task whose condition does not hold."""
    return {
        "changed": False,
        "skipped": True,
        "skip_reason": "Conditional result was False",
        "false_condition": condition,
    }


def failed(result: Mapping[str, Any]) -> bool:
    """Whether a result is a failure: what `failed_when` said of it counts, else what it says itself."""
    said = (result, *item_results(result))
    told = [item["failed_when_result"] for item in said if "failed_when_result" in item]
    return any(told) if told else bool(result.get("failed"))


def with_result(task: Task, scope: Evaluator, result: dict[str, Any]) -> Evaluator:
    """A scope in which the registered name already has the result."""
    for key in ("stdout", "stderr"):
        if key in result and task.action != "pause" and f"{key}_lines" not in result:
            result[f"{key}_lines"] = str(result[key]).splitlines()
    return scope.over(Layer({task.register: result} if task.register else {}, final=True, told=True))


def judged(task: Task, scope: Evaluator, result: dict[str, Any]) -> dict[str, Any]:
    """The result with the task's own idea of changed and failed."""
    result.setdefault("changed", False)
    inner = with_result(task, scope, result)
    if result.get("skipped"):
        return result
    result.setdefault("failed", False)
    word = "changed"
    try:
        if task.changed_when:
            result["changed"] = all(inner.condition(condition) for condition in task.changed_when)
            inner = with_result(task, scope, result)
        word = "failed"
        if task.failed_when:
            failed = all(inner.condition(condition) for condition in task.failed_when)
            result["failed"] = result["failed_when_result"] = failed
    except TemplateError as error:
        # The task has run all the same: its result stays, and says what could not be told of it.
        result.update({"failed": True, f"{word}_when_result": str(error), "msg": f"{word}_when: {error}"})
    return result


def of_loop(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of a task from those of its items."""
    whole: dict[str, Any] = {"results": results, "changed": any(item.get("changed") for item in results)}
    if not results:
        return {**whole, "skipped": True, "skipped_reason": "No items in the list"}
    if all(item.get("skipped") for item in results):
        return {**whole, "skipped": True, "msg": "All items skipped"}
    whole["skipped"] = False
    if any(item.get("unreachable") for item in results):
        lost = next(item for item in results if item.get("unreachable"))
        return {**whole, "unreachable": True, "msg": lost["msg"]}
    if any(item.get("failed") for item in results):
        return {**whole, "failed": True, "msg": "One or more items failed"}
    return {**whole, "failed": False, "msg": "All items completed"}

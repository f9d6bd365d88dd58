"""Runs one task on one host to its end: conditions, loop, retries, what counts as changed or failed.

Invariant: never raises for what happens to the task; the outcome says it all.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inventory.documents import unsafe
from playbooks.engine.display.events import Finished, Status
from playbooks.engine.evaluation import loops
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.namespace import Layer
from playbooks.engine.executor import verdict
from playbooks.engine.executor.attempt import Attempt
from playbooks.engine.executor.play_state import PlayState
from playbooks.engine.language.loading import many
from playbooks.engine.language.values import Task
from playbooks.engine.result import censored
from playbooks.errors import PlaybookError, TemplateError, UndefinedError, Unreachable

INCLUDES = ("include_tasks", "include_role")


@dataclass(frozen=True, slots=True)
class Include:
    """What an include asks for: its evaluated arguments and the variables of its loop's turn."""

    arguments: Mapping[str, Any]
    variables: Mapping[str, Any]


@dataclass(slots=True)
class Outcome:
    """How a task ended on a host."""

    host: str
    task: Task
    result: dict[str, Any]
    seconds: float = 0.0
    hidden: bool = False
    delegate: str = ""
    diff: bool = False
    ignored: bool = False
    includes: list[Include] = field(default_factory=list)
    # Handlers and topics to notify if the task changed something; a loop's items may name their own.
    topics: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the task failed, ignored or not."""
        return verdict.failed(self.result)

    @property
    def unreachable(self) -> bool:
        """Whether the host could not be reached."""
        return bool(self.result.get("unreachable"))

    @property
    def changed(self) -> bool:
        """Whether the task changed something."""
        return bool(self.result.get("changed"))

    @property
    def skipped(self) -> bool:
        """Whether the task did not run."""
        return bool(self.result.get("skipped"))


class TaskRunner:
    """Runs a task for one host; made anew for each."""

    def __init__(self, play: PlayState, host: str, task: Task) -> None:
        self._play = play
        self._host = host
        self._task = task
        self._outcome = Outcome(host, task, {})

    def run(self) -> Outcome:
        """The task's outcome."""
        started = time.monotonic()
        outcome = self._outcome
        outcome.result = self._guarded(lambda: self._all(self._play.evaluator(self._host, self._task)))
        if outcome.failed or outcome.unreachable:
            outcome.ignored = self._ignored()
        outcome.seconds = time.monotonic() - started
        return outcome

    def _ignored(self) -> bool:
        """Whether the play goes on after this failure; a flag that cannot be evaluated is the failure then."""
        word = "ignore_unreachable" if self._outcome.unreachable else "ignore_errors"
        try:
            scope = self._play.evaluator(self._host, self._task)
            return Attempt(self._play, self._host, self._task, scope).flag(word)
        except PlaybookError as error:
            self._outcome.result["msg"] = f"{word}: {error}"
            return False

    @staticmethod
    def _guarded(turn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a turn gives; what it raises, as a result."""
        try:
            return turn()
        except Unreachable as error:
            return {"unreachable": True, "msg": str(error), "changed": False}
        except PlaybookError as error:
            return {"failed": True, "msg": str(error), "changed": False}

    def _all(self, scope: Evaluator) -> dict[str, Any]:
        attempt = Attempt(self._play, self._host, self._task, scope)
        self._outcome.hidden = attempt.flag("no_log", self._play.run.options.no_log)
        try:
            items = loops.items(self._task, scope)
        except TemplateError as error:
            skipped = self._skipped_before_loop(scope)
            if skipped is None and isinstance(error, UndefinedError):
                raise
            # No turn has said whether it changed anything.
            return skipped or {"failed": True, "msg": str(error)}
        if items is None:
            return self._turn(scope, {})
        return self._loop(scope, items)

    def _skipped_before_loop(self, scope: Evaluator) -> dict[str, Any] | None:
        """A task whose loop cannot be evaluated is skipped if its conditions do not hold without an item."""
        try:
            failing = scope.all_hold(self._task.when)
        except TemplateError:
            return None
        return None if failing is None else verdict.skipped(failing)

    def _loop(self, scope: Evaluator, items: list[Any]) -> dict[str, Any]:
        results: list[dict[str, Any]] = []
        control = self._task.loop_control
        told = loops.told(self._task, scope)
        for index in range(len(items)):
            pause = scope.template(control.pause)
            if index and pause:
                self._play.run.wait(float(pause))
            added = loops.variables(self._task, items, index, scope)
            inner = scope.over(Layer(added, final=True, told=told))
            started = time.monotonic()
            result = self._guarded(functools.partial(self._turn, inner, added))
            label, fault = self._label(self._registering(inner, result), added)
            result = {**result, **fault, **added}
            results.append(result)
            self._show_item(label, result, time.monotonic() - started)
            if result.get("unreachable") or (control.break_when and self._breaks(inner, result)):
                break
        return verdict.of_loop(results)

    def _breaks(self, scope: Evaluator, result: dict[str, Any]) -> bool:
        judged = self._registering(scope, result)
        return any(judged.condition(condition) for condition in self._task.loop_control.break_when)

    def _registering(self, scope: Evaluator, result: dict[str, Any]) -> Evaluator:
        if not self._task.register:
            return scope
        return scope.over(Layer({self._task.register: result}, final=True, told=True))

    def _label(self, scope: Evaluator, added: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """What the turn is shown as; one that cannot be told fails the turn, with this as its result."""
        item = added[added["ansible_loop_var"]]
        if self._task.loop_control.label is None or self._task.action in INCLUDES:
            return str(item), {}
        try:
            return str(scope.template(self._task.loop_control.label)), {}
        except TemplateError as error:
            return str(item), {"failed": True, "msg": f"label: {error}"}

    def _show_item(self, label: str, result: dict[str, Any], seconds: float) -> None:
        if self._task.action in INCLUDES:
            return
        shown = Finished(
            self._host,
            self._play.shown(self._task, self._host),
            status(result),
            censored(result) if self._outcome.hidden else result,
            seconds,
            self._outcome.hidden,
            label=label,
            diff=self._outcome.diff,
        )
        self._play.run.display.item_finished(shown)

    def _turn(self, scope: Evaluator, added: Mapping[str, Any]) -> dict[str, Any]:
        task = self._task
        attempt = Attempt(self._play, self._host, task, scope)
        delegate = attempt.delegate()
        if delegate:
            known = {"ansible_delegated_vars": self._play.delegated(self._host, task, delegate)}
            address = scope.namespace.find("ansible_host")
            if address is not None and address.final and address.value == self._host:
                # Only implied so far, and then it is where the work is done.
                known["ansible_host"] = known["ansible_delegated_vars"][delegate]["ansible_host"]
            scope = scope.over(Layer(known, final=True))
            attempt = Attempt(self._play, self._host, task, scope)
        failing = scope.all_hold(task.when)
        if failing is not None:
            return verdict.skipped(failing)
        self._outcome.delegate = delegate
        if task.action in INCLUDES:
            arguments = scope.template(dict(task.arguments))
            # An item seen by included tasks is a value there, not a template.
            self._outcome.includes.append(Include(arguments, unsafe(dict(added))))
            return {"changed": False, "include_args": arguments}
        result = self._with_retries(scope, attempt)
        if task.notify and not result.get("failed"):
            self._outcome.topics.extend(str(topic) for entry in task.notify for topic in many(scope.template(entry)))
        return result

    def _with_retries(self, scope: Evaluator, attempt: Attempt) -> dict[str, Any]:
        task = self._task
        given = task.retries if task.retries is not None else 3 if task.until else 0
        retries, delay = int(attempt.number("retries", given)), attempt.number("delay", task.delay)
        self._outcome.diff = attempt.flag("diff", self._play.run.options.diff)
        number = 0
        while True:
            number += 1
            result = attempt.run()
            self._outcome.hidden = self._outcome.hidden or bool(result.get("_hidden"))
            if task.until or retries:
                result["attempts"] = number
            result = verdict.judged(task, scope, result)
            self._play.absorb(self._host, task, result, self._outcome.delegate)
            if not (task.until or retries):
                return result
            if self._enough(scope, result):
                return result
            if number > retries:
                return {**result, "failed": True, "attempts": number - 1 or 1}
            self._play.run.display.retrying(task, self._host, retries - number + 1)
            self._play.run.wait(delay)

    def _enough(self, scope: Evaluator, result: dict[str, Any]) -> bool:
        if not self._task.until:
            return not result.get("failed")
        judged = verdict.with_result(self._task, scope, result)
        return all(judged.condition(condition) for condition in self._task.until)


def status(result: Mapping[str, Any]) -> Status:
    """How a result is shown."""
    if result.get("unreachable"):
        return Status.UNREACHABLE
    if verdict.failed(result):
        return Status.FAILED
    if result.get("skipped"):
        return Status.SKIPPED
    return Status.CHANGED if result.get("changed") else Status.OK

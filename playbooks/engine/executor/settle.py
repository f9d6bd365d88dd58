"""Takes over what a task came to: registered values, notifications, counts, where the host goes next.

Invariant: called for one outcome at a time; it alone moves cursors and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from inventory.documents import unsafe
from inventory.model import Inventory
from playbooks.engine.display.events import Finished, Status
from playbooks.engine.executor import handlers
from playbooks.engine.executor.failed_task import described as described_task
from playbooks.engine.executor.includes import Includes, described
from playbooks.engine.executor.play_state import HostState, PlayState
from playbooks.engine.executor.task_runner import Outcome, status
from playbooks.engine.language.values import Node
from playbooks.engine.result import CENSORED, Failure, censored, item_results
from playbooks.errors import MissingHandlerError, PlaybookError


class Settler:
    """Settles the outcomes of one play."""

    def __init__(self, play: PlayState) -> None:
        self._play = play
        self._run = play.run
        self._includes = Includes(play)

    def settle(self, state: HostState, outcome: Outcome) -> None:
        """Move one host on by one outcome. Raises MissingHandlerError."""
        nodes: tuple[Node, ...] = ()
        missed = False
        if not outcome.failed and not outcome.unreachable:
            try:
                nodes = self._brought(state, outcome)
            except MissingHandlerError as error:
                self._play.aborted = True
                raise MissingHandlerError(f"{outcome.task.mark}: {error}") from error
            except PlaybookError as error:
                outcome.result = {**outcome.result, "failed": True, "msg": str(error)}
                missed = bool(outcome.includes)
        self.remember(state, outcome)
        if outcome.task.role and not (outcome.skipped or outcome.unreachable):
            state.begun.add(outcome.task.role.use)
        self._count_and_show(state, outcome)
        if outcome.unreachable and not outcome.ignored:
            state.unreachable = True
            self._run.failed.add(state.name)
            self._failure(outcome, unreachable=True)
        elif missed:
            self._miss(state, outcome)
        elif outcome.failed and not outcome.ignored:
            self.fail(state, outcome)
        elif nodes:
            state.cursor.insert(nodes)
        else:
            state.cursor.advance()

    def remember(self, state: HostState, outcome: Outcome) -> None:
        """Register the result for a host."""
        if outcome.task.register:
            # As in Ansible only items of a loop, and what a rescue is told of, keep how their module was called.
            kept = {key: value for key, value in _registered(outcome.result).items() if key != "invocation"}
            variables = self._run.variables(state.name)
            variables.set[outcome.task.register] = kept
            variables.told[outcome.task.register] = None

    def fail(self, state: HostState, outcome: Outcome | None) -> None:
        """The host's task failed: on to rescue or always, or out."""
        rescued = state.cursor.will_be_rescued()
        state.cursor.fail()
        if outcome is not None and rescued:
            self._set_rescue_variables(state, outcome)
            self._run.count(state.name).rescued += 1
        elif outcome is not None:
            self._failure(outcome)
            self._run.count(state.name).failed += 1
        self.lost(state)

    def _miss(self, state: HostState, outcome: Outcome) -> None:
        """What a host includes cannot be had: as in Ansible a failure of the host, even if the play is rescued."""
        if state.cursor.will_be_rescued():
            self._run.rescued.add(state.name)
        else:
            self._failure(outcome)
        self._run.count(state.name).failed += 1
        self._run.failed.add(state.name)
        state.cursor.fail()
        self.lost(state)

    def lost(self, state: HostState) -> bool:
        """Take a host whose failure nothing rescued out of the run; True if it has handlers to run before it goes.

        That a host is lost may show only when the `always` of its block has ended.
        """
        if not state.cursor.failed:
            return False
        self._run.failed.add(state.name)
        said = self._play.play.force_handlers
        forced = self._run.options.force_handlers if said is None else said
        if not forced or state.cursor.in_handlers or not (due := self._play.due_handlers(state)):
            return False
        state.cursor.resume(due)
        return True

    def _set_rescue_variables(self, state: HostState, outcome: Outcome) -> None:
        scope = self._play.evaluator(state.name, outcome.task)

        def evaluated(value: Any) -> Any:
            try:
                return scope.template(value)
            except PlaybookError:
                return value

        variables = self._run.variables(state.name)
        variables.set["ansible_failed_task"] = described_task(outcome.task, evaluated)
        variables.set["ansible_failed_result"] = _registered(outcome.result)
        variables.told.update(dict.fromkeys(("ansible_failed_task", "ansible_failed_result")))

    def _brought(self, state: HostState, outcome: Outcome) -> tuple[Node, ...]:
        """What a good outcome brings: notified handlers, hosts and groups, included nodes. Raises PlaybookError."""
        results = item_results(outcome.result) or [outcome.result]
        judged = outcome.task.changed_when is not None
        for result in results:
            self._grow_inventory(state, result, judged)
        if outcome.task.action in ("add_host", "group_by"):
            outcome.result["changed"] = any(result.get("changed") for result in results)
        if outcome.changed:
            self._notify(state, outcome)
        if not outcome.includes:
            return ()
        for include in outcome.includes:
            self._run.display.included(state.name, described(outcome.task, include))
        return self._includes.nodes(outcome.task, outcome.includes)

    def _notify(self, state: HostState, outcome: Outcome) -> None:
        if not outcome.topics:
            return
        scope = self._play.evaluator(state.name, outcome.task)
        for topic in dict.fromkeys(outcome.topics):
            found = handlers.find(self._play.handlers, topic, scope)
            if state.cursor.in_handlers:
                state.notified.update(dict.fromkeys(found))
            else:
                state.topics[topic] = None

    def _grow_inventory(self, state: HostState, result: dict[str, Any], judged: bool) -> None:
        """Add what a result brings; that the inventory grew is a change, unless `changed_when` has said."""
        added = result.get("add_host")
        if added:
            # They may repeat what a host said, and templates in that are nobody's here.
            variables = unsafe(added["host_vars"])
            grown = self._run.grow(lambda it: it.with_host(added["host_name"], added["groups"], variables))
            if not judged:
                result["changed"] = grown
        group = result.get("add_group")
        if group:
            groups = self._run.inventory.groups
            known = group in groups and state.name in groups[group].hosts
            self._run.grow(_joining(state.name, group, result["parent_groups"], self._run.inventory.hosts))
            if not judged:
                result["changed"] = result["changed"] or not known

    def _count_and_show(self, state: HostState, outcome: Outcome) -> None:
        counts = self._run.count(state.name)
        shown = status(outcome.result)
        if outcome.unreachable:
            if outcome.ignored:
                counts.ok += 1
                counts.ignored += 1
            else:
                counts.unreachable += 1
        elif outcome.failed:
            if outcome.ignored:
                shown = Status.IGNORED
                counts.ok += 1
                counts.ignored += 1
                counts.changed += outcome.changed
            elif state.cursor.will_be_rescued():
                shown = Status.RESCUED
        elif outcome.skipped:
            counts.skipped += 1
        else:
            # Ansible counts what is included, not the task that includes.
            counts.ok += len(outcome.includes) or 1
            counts.changed += outcome.changed
        self._run.display.task_finished(self._finished(outcome, shown))

    def _finished(self, outcome: Outcome, shown: Status) -> Finished:
        result = censored(outcome.result) if outcome.hidden else outcome.result
        task = self._play.shown(outcome.task, outcome.host)
        told = (outcome.seconds, outcome.hidden, outcome.delegate)
        return Finished(outcome.host, task, shown, result, *told, diff=outcome.diff)

    def _failure(self, outcome: Outcome, *, unreachable: bool = False) -> None:
        from playbooks.engine.display.reasons import authored, reason

        task = self._play.shown(outcome.task, outcome.host)
        said = authored if outcome.task.action in ("fail", "assert") else reason
        message = CENSORED if outcome.hidden else said(outcome.result)
        self._run.failures.append(Failure(outcome.host, task.title, str(task.mark), message, unreachable))


def _joining(host: str, group: str, parents: Iterable[str], hosts: Container[str]) -> Callable[[Inventory], Inventory]:
    """Puts a host into a group, unless the host was in the inventory and is not any more."""
    listed = host in hosts

    def join(inventory: Inventory) -> Inventory:
        if listed and host not in inventory.hosts:
            return inventory
        inventory = inventory.with_host(host, [group], {})
        for parent in parents:
            inventory = inventory.with_child(parent, group)
        return inventory

    return join


def _registered(result: dict[str, Any]) -> dict[str, Any]:
    """A result as `register` keeps it: whether it failed, and text also by lines."""
    kept = {key: value for key, value in result.items() if not key.startswith("_")}
    kept.setdefault("changed", False)
    if not kept.get("skipped"):
        kept.setdefault("failed", False)
    for key in ("stdout", "stderr"):
        if key in kept and f"{key}_lines" not in kept:
            kept[f"{key}_lines"] = str(kept[key]).splitlines()
    return kept

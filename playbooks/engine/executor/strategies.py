"""Who runs which task when: `linear` keeps all hosts at one task, `free` lets each go on alone.

Invariant: at most `forks` hosts run at a time; outcomes are settled one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from playbooks.engine.executor import batches, meta
from playbooks.engine.executor.attempt import Attempt
from playbooks.engine.executor.play_state import HostState, PlayState
from playbooks.engine.executor.settle import Settler
from playbooks.engine.executor.task_runner import Outcome, TaskRunner
from playbooks.engine.language import tags
from playbooks.engine.language.values import Task
from playbooks.engine.result import item_results
from playbooks.errors import PlaybookError

# They are done once, whatever the number of hosts, unless each goes alone.
_FOR_ALL = ("add_host", "pause")


class Strategy:
    """What both strategies share: choosing a host's next task and settling its outcome."""

    def __init__(self, play: PlayState) -> None:
        self.play = play
        self.run = play.run
        self.settler = Settler(play)
        self._throttles: dict[Task, threading.Semaphore] = {}

    def next_task(self, state: HostState) -> Task | None:
        """The host's next task that its tags and notifications let run."""
        while True:
            task = state.cursor.task()
            if task is None:
                if self.settler.lost(state):
                    continue
                return None
            if state.cursor.at_handler:
                if task in state.notified:
                    return task
            elif state.cursor.in_handlers or (self._chosen(task) and not _repeated(state, task)):
                return task
            state.cursor.advance()

    def _chosen(self, task: Task) -> bool:
        options = self.run.options
        if not tags.chosen(task.tags, options.tags, options.skip_tags):
            return False
        return self.run.reached_start(task)

    def execute(self, state: HostState, task: Task) -> Outcome:
        """Run a task on a host, in whatever thread this is."""
        self.run.display.host_started(self.play.shown(task, state.name), state.name)
        limit = self._limit(state, task)
        if not limit:
            return TaskRunner(self.play, state.name, task).run()
        with self.play.lock:
            throttle = self._throttles.setdefault(task, threading.Semaphore(limit))
        with throttle:
            return TaskRunner(self.play, state.name, task).run()

    def _limit(self, state: HostState, task: Task) -> int:
        """How many hosts may do the task at a time, 0 for any number."""
        if not task.keywords.get("throttle"):
            return 0
        try:
            scope = self.play.evaluator(state.name, task)
            return int(Attempt(self.play, state.name, task, scope).number("throttle", task.keywords["throttle"]))
        except PlaybookError:
            # The task itself says so when it comes to that.
            return 0

    def settle(self, state: HostState, outcome: Outcome) -> None:
        """Take over an outcome."""
        if state.cursor.at_handler:
            state.notified.pop(outcome.task, None)
        self.settler.settle(state, outcome)

    def fatal(self, outcome: Outcome) -> bool:
        """Whether an outcome is fatal for every host of the batch."""
        lost = (outcome.failed or outcome.unreachable) and not outcome.ignored
        if not lost:
            return False
        scope = self.play.evaluator(outcome.host, outcome.task)
        return Attempt(self.play, outcome.host, outcome.task, scope).flag("any_errors_fatal")


def _repeated(state: HostState, task: Task) -> bool:
    """Whether the host has run the task's role before, and is to run it once."""
    return task.role is not None and not task.role.repeats and task.role.use in state.done


class Linear(Strategy):
    """All hosts at the same task; the next one begins when the last host has ended this one."""

    def go(self, pool: ThreadPoolExecutor) -> None:
        """Run the play to its end."""
        while not self.play.aborted:
            ready = {
                state.name: task
                for state in self.play.hosts.values()
                if not (state.unreachable or state.ended) and (task := self.next_task(state)) is not None
            }
            if not ready:
                return
            states = [self.play.hosts[name] for name in ready]
            first = min(state.cursor.position for state in states)
            level = [state for state in states if state.cursor.position == first]
            task = ready[level[0].name]
            self._step(pool, [state for state in level if ready[state.name].mark == task.mark], ready)

    def _step(self, pool: ThreadPoolExecutor, states: Sequence[HostState], tasks: dict[str, Task]) -> None:
        task = tasks[states[0].name]
        if task.action == "meta":
            meta.perform(self.play, task, states)
            return
        shown = self.play.shown(task, states[0].name)
        self.run.display.task_started(shown, [state.name for state in states], handler=states[0].cursor.in_handlers)
        if self._runs_once(states[0], task):
            self._once(states, task)
            return
        outcomes = self._parallel(pool, states, tasks)
        self._consequences(outcomes)

    def _runs_once(self, state: HostState, task: Task) -> bool:
        if task.action in _FOR_ALL or "run_once" not in task.keywords:
            return task.action in _FOR_ALL
        scope = self.play.evaluator(state.name, task)
        return Attempt(self.play, state.name, task, scope).flag("run_once")

    def _once(self, states: Sequence[HostState], task: Task) -> None:
        """The first host runs the task; all take over its result."""
        first, rest = states[0], states[1:]
        outcome = self.execute(first, task)
        for state in rest:
            self.settler.remember(state, outcome)
            for result in item_results(outcome.result) or [outcome.result]:
                self.play.absorb(state.name, task, result, outcome.delegate)
        self.settle(first, outcome)
        lost = (outcome.failed or outcome.unreachable) and not outcome.ignored
        if lost:
            # Ansible fails the others for the host that failed, and once more for a fatal error.
            self._lose(lambda state: state is not first, times=2 if outcome.failed else 1)
        for state in rest:
            state.notified.pop(task, None)
            if not lost:
                # What is included once is for the first host alone.
                state.cursor.advance()
        if lost and all(state.cursor.failed or state.unreachable for state in states):
            self.play.aborted = True

    def _lose(self, which: Callable[[HostState], bool], times: int = 1) -> None:
        """Fail hosts for what another one failed: what rescues them lets them end this play, but begin no other."""
        for state in self.play.hosts.values():
            if not which(state) or state.unreachable:
                continue
            if state.alive:
                for _ in range(times):
                    self.settler.fail(state, None)
            # One that has ended this play by itself begins no other, either.
            self.run.failed.add(state.name)

    def _parallel(self, pool: ThreadPoolExecutor, states: Sequence[HostState], tasks: dict[str, Task]) -> list[Outcome]:
        if len(states) == 1:
            outcome = self.execute(states[0], tasks[states[0].name])
            self.settle(states[0], outcome)
            return [outcome]
        waiting: dict[Future[Outcome], HostState] = {
            pool.submit(self.execute, state, tasks[state.name]): state for state in states
        }
        outcomes = []
        for future in as_completed(waiting):
            outcome = future.result()
            outcomes.append(outcome)
            self.settle(waiting[future], outcome)
        return outcomes

    def _consequences(self, outcomes: Sequence[Outcome]) -> None:
        """Other hosts that end with these: any_errors_fatal, max_fail_percentage."""
        if any(self.fatal(outcome) for outcome in outcomes):
            settled = {outcome.host for outcome in outcomes if outcome.failed or outcome.unreachable}
            self._lose(lambda state: state.name not in settled)
        lost = len(self.play.hosts) - len(self.play.alive())
        if lost and batches.too_many_failed(lost, self.play.size, self.play.play.max_fail_percentage):
            self.play.aborted = self.play.fatal = True


class Free(Strategy):
    """Each host runs its tasks as fast as it can."""

    def go(self, pool: ThreadPoolExecutor) -> None:
        """Run the play to its end."""
        done: list[Future[Any]] = [pool.submit(self._host, state) for state in self.play.hosts.values()]
        for future in done:
            future.result()

    def _host(self, state: HostState) -> None:
        while not self.play.aborted and not (state.unreachable or state.ended):
            with self.play.lock:
                task = self.next_task(state)
            if task is None:
                return
            if task.action == "meta":
                with self.play.lock:
                    meta.perform(self.play, task, [state])
                continue
            shown = self.play.shown(task, state.name)
            self.run.display.task_started(shown, [state.name], handler=state.cursor.in_handlers)
            outcome = self.execute(state, task)
            with self.play.lock:
                self.settle(state, outcome)
                if self.fatal(outcome):
                    self.play.aborted = True


STRATEGIES: dict[str, Callable[[PlayState], Linear | Free]] = {"linear": Linear, "free": Free}

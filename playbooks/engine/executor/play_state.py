"""What one play knows while it runs: its hosts and where each stands, its variables, handlers and roles.

Invariant: an evaluator made here sees the variables as they are at that moment.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jinja2.utils import missing

from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.lookups import Services
from playbooks.engine.evaluation.namespace import Layer
from playbooks.engine.executor import handlers
from playbooks.engine.executor.cursor import Cursor
from playbooks.engine.executor.magic import Magic, ScopeView
from playbooks.engine.executor.run_state import RunState
from playbooks.engine.helper.options import boolean
from playbooks.engine.language.tasks import Collected, TaskParser
from playbooks.engine.language.values import Node, Play, Role, Task
from playbooks.engine.variables.precedence import PlayVariables, namespace, of_host
from playbooks.errors import PlaybookError, TemplateError


@dataclass(slots=True)
class HostState:
    """One host in one play."""

    name: str
    cursor: Cursor
    # What was notified since handlers last ran, and the handlers that it means by then.
    topics: dict[str, None] = field(default_factory=dict)
    notified: dict[Task, None] = field(default_factory=dict)
    unreachable: bool = False
    ended: bool = False
    # Uses of roles of which a task has run, and those run to their end.
    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)

    def complete(self, role: Role | None) -> None:
        """A role's tasks are all done; it counts if any of them ran."""
        if role is not None and role.use in self.begun:
            self.done.add(role.use)

    @property
    def alive(self) -> bool:
        """Whether the host still takes part."""
        return not (self.cursor.failed or self.unreachable or self.ended)


class PlayState:
    """One play over one batch of hosts."""

    def __init__(
        self,
        run: RunState,
        play: Play,
        all_hosts: list[str],
        batch: list[str],
        prompted: Mapping[str, Any],
        *,
        size: int,
    ) -> None:
        self.run: RunState = run
        self.play: Play = play
        self.all_hosts: list[str] = all_hosts
        self.handlers: list[Task] = list(play.handlers)
        self.roles: list[Role] = list(play.roles)
        # One entry a use: the roles that the play itself names, without those they depend on.
        self.role_names: list[str] = [role.name for role in play.roles if not role.parents]
        self.prompted = prompted
        # Of the whole batch, those that an earlier play lost included: percentages are of this.
        self.size = size
        self.hosts = {name: HostState(name, Cursor(())) for name in batch}
        self.lock = threading.RLock()
        self.aborted = False
        self.fatal = False
        self.ended = False
        self._shown: dict[Task, Task] = {}
        self._files: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {}

    def start(self, nodes: tuple[Node, ...]) -> None:
        """Put every host at the beginning."""
        for state in self.hosts.values():
            state.cursor = Cursor(nodes)

    def alive(self) -> list[str]:
        """The hosts of the batch that still take part."""
        return [name for name, state in self.hosts.items() if not (state.cursor.failed or state.unreachable)]

    def batch(self) -> list[str]:
        """The hosts of the batch that go on: neither lost nor ended."""
        return [name for name in self.alive() if not self.hosts[name].ended and name not in self.run.failed]

    def alive_in_play(self) -> list[str]:
        """The hosts of the whole play that go on."""
        gone = set(self.hosts) - set(self.batch())
        return [name for name in self.all_hosts if name not in self.run.failed and name not in gone]

    def evaluator(self, host: str, task: Task | None = None) -> Evaluator:
        """The variables of a host, as a task sees them."""
        bare = self._evaluator(host, task, {})
        files = self._variable_files(host, bare)
        return self._evaluator(host, task, files) if files else bare

    def delegated(self, host: str, task: Task, target: str) -> dict[str, Any]:
        """`ansible_delegated_vars`: what the host that does the work knows, under its name."""
        scope = self.evaluator(target, task).over(Layer({"inventory_hostname": host}, final=True))
        return {target: ScopeView(scope)}

    def shown(self, task: Task, host: str) -> Task:
        """The task as displays show it: with its name evaluated, for the first host that comes to it."""
        if "{{" not in task.name:
            return task
        with self.lock:
            if task not in self._shown:
                try:
                    name = str(self.evaluator(host, task).template(task.name))
                except PlaybookError:
                    name = task.name
                self._shown[task] = replace(task, name=name)
            return self._shown[task]

    def places(self, task: Task | None) -> tuple[Path, ...]:
        """Where a task's files are looked for."""
        return search_path(self.run.playbook.directory, task)

    def absorb(self, host: str, task: Task, result: Mapping[str, Any], delegate: str = "") -> None:
        """Take over the variables that a result brings, at once: the next turn of a loop may read them."""
        facts = result.get("ansible_facts")
        if not isinstance(facts, Mapping) or result.get("failed") or task.action == "debug":
            return
        owner = delegate if delegate and boolean(task.keywords.get("delegate_facts", False)) else host
        if task.action == "set_fact":
            variables = self.run.variables(owner)
            variables.set.update(facts)
            told = result.get("_told", ())
            variables.told = {name: None for name in (*variables.told, *told) if name in told or name not in facts}
            if result.get("_ansible_facts_cacheable"):
                self.run.add_facts(owner, facts)
        elif task.action == "include_vars":
            self.run.variables(owner).included.update(facts)
        else:
            self.run.add_facts(owner, of_host(facts))

    def due_handlers(self, state: HostState) -> tuple[Task, ...]:
        """All handlers if any is to run on a host: of one name the last that is known now, not when it was notified."""
        scope = self.evaluator(state.name)
        for topic in state.topics:
            state.notified.update(dict.fromkeys(handlers.find(self.handlers, topic, scope)))
        state.topics.clear()
        return tuple(self.handlers) if state.notified else ()

    def parser(self, collected: Collected) -> TaskParser:
        """A parser for what is included while the play runs."""
        return TaskParser(self.run.loader, collected, lambda text, given: text)

    def join(self, collected: Collected, *, public: bool) -> None:
        """Take over handlers, and with `public` the variables, of roles that were included."""
        with self.lock:
            self.handlers.extend(collected.handlers)
            self.role_names.extend(role.name for role in collected.roles if not role.parents)
            if public:
                self.roles.extend(collected.roles)

    def outside(self, host: str) -> Evaluator:
        """What other hosts see of a host's variables (`hostvars`): nothing that only this play says."""
        return self._evaluator(host, None, {}, PlayVariables())

    def _evaluator(
        self, host: str, task: Task | None, files: Mapping[str, Any], said: PlayVariables | None = None
    ) -> Evaluator:
        run = self.run
        said = said or PlayVariables(self.play.variables, self.prompted, files, tuple(self.roles))
        layers = namespace(
            magic=Magic(self, host, task),
            extra=run.options.extra_variables,
            host=run.variables(host),
            facts=run.facts(host),
            inventory=run.inventory_variables(host),
            play=said,
            task=task,
            implied={"ansible_host": host, "environment": []} if task else {"ansible_host": host},
        )
        return Evaluator(run.templates, layers, Services(run.loader, self.places(task)))

    def _variable_files(self, host: str, evaluator: Evaluator) -> Mapping[str, Any]:
        """The play's `vars_files` for a host; a name that needs facts waits until there are facts."""
        if not self.play.vars_files:
            return {}
        names: list[str] = []
        for entry in self.play.vars_files:
            choices = entry if isinstance(entry, list) else [entry]
            found = next((path for choice in choices if (path := self._variable_file(choice, evaluator))), None)
            if found:
                names.append(found)
            elif not any("{{" in str(choice) for choice in choices):
                raise PlaybookError(f"{self.play.mark}: vars_files: none of {choices} exists")
        key, cached = self._files.get(host, ((), {}))
        if key != tuple(names):
            cached = {}
            for name in names:
                cached.update(self.run.loader.variables(Path(name)))
            self._files[host] = (tuple(names), cached)
        return cached

    def _variable_file(self, name: Any, evaluator: Evaluator) -> str | None:
        try:
            named = str(evaluator.template(name))
        except TemplateError:
            if evaluator.variable("ansible_distribution") is missing:
                return None
            raise
        beside = Path(self.play.mark.path).parent
        return next((str(path) for path in (beside / "vars" / named, beside / named) if path.is_file()), None)


def search_path(playbook: Path, task: Task | None) -> tuple[Path, ...]:
    """Where a task's files are looked for: its role, beside its own file, beside the playbook."""
    places: list[Path] = []
    if task is not None:
        if task.role:
            places.append(task.role.path)
        beside = Path(task.mark.path).parent
        places.extend([beside.parent, beside] if beside.name in ("tasks", "handlers") else [beside])
    places.append(playbook)
    return tuple(dict.fromkeys(places))

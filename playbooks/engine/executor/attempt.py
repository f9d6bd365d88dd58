"""One attempt of a task on a host: parameters evaluated, module chosen, connection found.

Invariant: whatever goes wrong on the host is a result with `failed`; only `Unreachable` is raised.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from playbooks.engine.actions.context import ActionCall
from playbooks.engine.connection import settings as connections
from playbooks.engine.connection.host import HostConnection
from playbooks.engine.connection.settings import Become
from playbooks.engine.evaluation.evaluator import OMIT, Evaluator
from playbooks.engine.executor import background, invocation
from playbooks.engine.executor.play_state import PlayState
from playbooks.engine.helper.options import OptionError, boolean, resolve
from playbooks.engine.language import modules
from playbooks.engine.language.values import Task
from playbooks.errors import PlaybookError, TaskError, UndefinedError, Unreachable

# Ansible's default: seconds between two looks at a job.
_POLL = 15
_CONNECTION_VARIABLES = (
    "ansible_connection", "ansible_host", "ansible_ssh_host", "ansible_port", "ansible_ssh_port", "ansible_user",
    "ansible_ssh_user", "ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_timeout",
    "ansible_ssh_private_key_file", "ansible_private_key_file", "ansible_ssh_common_args", "ansible_ssh_extra_args",
    "ansible_host_key_checking", "ansible_ssh_host_key_checking", "ansible_python_interpreter", "ansible_ssh_timeout",
)  # fmt: skip
_BECOME_VARIABLES = (
    "ansible_become", "ansible_become_user", "ansible_become_method", "ansible_become_password",
    "ansible_become_pass", "ansible_become_exe", "ansible_become_flags",
)  # fmt: skip

_LONGEST = 100_000_000


class Attempt:
    """Runs a task once for one host, in a scope that may hold a loop item."""

    def __init__(self, play: PlayState, host: str, task: Task, scope: Evaluator) -> None:
        self._play = play
        self._options = play.run.options
        self._host = host
        self._task = task
        self._scope = scope
        # The parameters as they were given, once they are evaluated.
        self._given: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """The task's result. Raises Unreachable."""
        try:
            return self._run()
        except Unreachable:
            raise
        except TaskError as error:
            return {"changed": False, **error.result, "failed": True, "msg": str(error)}
        except PlaybookError as error:
            return {"changed": False, "failed": True, "msg": str(error)}
        except OSError as error:
            return {"changed": False, "failed": True, "msg": f"on this machine: {error}"}

    def flag(self, word: str, default: bool = False) -> bool:
        """A keyword that is true or false, evaluated. Raises TemplateError."""
        value = self._scope.template(self._task.keywords.get(word))
        return default if value is None or value is OMIT else boolean(value)

    def number(self, word: str, given: Any) -> float:
        """A keyword that is a number, evaluated; nothing is 0. Raises TemplateError, TaskError."""
        value = self._scope.template(given)
        try:
            number = 0.0 if value in (None, "", OMIT) else float(value)
        except (TypeError, ValueError) as error:
            raise TaskError(f"{word} is {value!r}; it must be a number") from error
        if word == "timeout" and not 0 <= number <= _LONGEST:
            raise TaskError(f"timeout is {value!r}; it must be from 0 to {_LONGEST} seconds")
        return number

    def delegate(self) -> str:
        """The host that does the work instead, or "". Raises TemplateError, TaskError."""
        given = self._task.keywords.get("delegate_to")
        if not given:
            return ""
        value = self._scope.template(given)
        if value in (None, ""):
            raise TaskError(f"Empty hostname produced from delegate_to: {given!r}")
        return "" if value is OMIT else str(value)

    def _run(self) -> dict[str, Any]:
        module = modules.module(self._task.action)
        assert module is not None
        try:
            parameters = self._parameters(module)
        except OptionError as error:
            return {"changed": False, "failed": True, "msg": str(error), **self._invocation(module, None)}
        check = self.flag("check_mode", self._options.check)
        if check and not module.supports_check:
            message = module.unchecked or f"remote module ({module.name}) does not support check mode"
            return {"skipped": True, "changed": False, "msg": message, **self._invocation(module, parameters)}
        timeout = self.number("timeout", self._task.keywords.get("timeout")) or None
        self.number("throttle", self._task.keywords.get("throttle"))
        limit = self.number("async", self._task.keywords.get("async"))
        if limit and module.run_here:
            # What has a near half cannot be left alone: there, `async` limits the time.
            timeout = min(limit, timeout) if timeout else limit
        call = ActionCall(
            host=self._host,
            task=self._task,
            parameters=parameters,
            scope=self._scope,
            connect=self._connect,
            check=check,
            diff=self.flag("diff", self._options.diff),
            environment=self._environment(),
            timeout=timeout,
            verbosity=self._options.verbosity,
            wait=self._play.run.wait,
            transferring=functools.partial(self._play.run.display.transferring, self._host),
        )
        if module.prepare:
            parameters = module.prepare(call)
        if limit and not module.run_here and not check:
            poll = self.number("poll", self._task.keywords.get("poll", _POLL))
            return background.run(call, module.name, parameters, limit, poll)
        result: dict[str, Any] = module.run_here(call) if module.run_here else call.remote(module.name, parameters)
        return {**self._invocation(module, parameters), **result}

    def _invocation(self, module: modules.Module, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
        return invocation.of(module.name, module.options, self._given, parameters)

    def _parameters(self, module: modules.Module) -> dict[str, Any]:
        scope = self._scope
        given: dict[str, Any] = {}
        defaults = scope.template(self._task.keywords.get("module_defaults")) or {}
        for layer in defaults if isinstance(defaults, list) else [defaults]:
            for name, values in layer.items():
                if modules.canonical(name) == module.name:
                    given.update(values)
        if self._task.late_arguments is not None:
            late = scope.template(self._task.late_arguments)
            if not isinstance(late, Mapping):
                raise TaskError(f"the parameters of {module.name} must be a mapping, not {type(late).__name__}")
            given.update(late)
        given.update(scope.template(dict(self._task.arguments)))
        self._given = kept = {key: _without_omitted(value) for key, value in given.items() if value is not OMIT}
        if module.open_ended:
            return kept
        return resolve(module.name, module.options, kept, module.exclusive)

    def _environment(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for layer in self._task.environment:
            value = self._of_environment(layer)
            for entry in value if isinstance(value, list) else [value]:
                # As in Ansible, what is no mapping says nothing.
                if isinstance(entry, Mapping):
                    merged.update({str(key): str(item) for key, item in entry.items() if item is not OMIT})
        return merged

    def _of_environment(self, layer: Any) -> Any:
        """What a layer says; what is made of the host's own environment says nothing until that is known."""
        if isinstance(layer, Mapping):
            found = {self._scope.template(key): self._of_environment(value) for key, value in layer.items()}
            return {key: value for key, value in found.items() if value is not OMIT}
        try:
            return self._scope.template(layer)
        except UndefinedError as error:
            if "ansible_env" in str(error) or "ansible_facts.env" in str(error):
                return OMIT
            raise

    def _connect(self) -> tuple[HostConnection, Become | None]:
        target = self.delegate()
        scope = self._play.evaluator(target, self._task) if target and target != self._host else self._scope
        host = target or self._host
        defaults = self._options.variables
        known = {**defaults, **_known(scope, _CONNECTION_VARIABLES)}
        found = connections.settings(host, known, self._overrides(scope, host))
        words = {word: self._scope.template(self._task.keywords.get(word)) for word in _BECOME_WORDS}
        if words["become"] is None:
            words["become"] = self._options.become
        words["become_user"] = words["become_user"] or self._options.become_user
        variables = _known(scope, _BECOME_VARIABLES)
        words["become_method"] = words["become_method"] or defaults.get("ansible_become_method")
        words["become_exe"] = words["become_exe"] or defaults.get("ansible_become_exe")
        words["become_flags"] = words["become_flags"] or defaults.get("ansible_become_flags")
        if self._options.become_password is not None:
            variables.setdefault("ansible_become_password", self._options.become_password)
        return self._play.run.connection(found), connections.become(variables, words)

    def _overrides(self, scope: Evaluator, host: str) -> dict[str, Any]:
        options = self._options
        overrides: dict[str, Any] = {
            "connection": options.connection,
            "remote_user": options.remote_user,
            "private_key": options.private_key,
            "password": options.connection_password,
            "timeout": options.timeout,
            "host_key_checking": options.host_key_checking,
        }
        for word in ("connection", "remote_user", "port"):
            value = self._scope.template(self._task.keywords.get(word))
            if value is not None:
                overrides[word] = value
        return overrides


_BECOME_WORDS = ("become", "become_user", "become_method", "become_exe", "become_flags")


def _known(scope: Evaluator, names: tuple[str, ...]) -> dict[str, Any]:
    """The variables among `names` that the host has."""
    return {name: scope.get(name) for name in names if scope.namespace.find(name) is not None}


def _without_omitted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_omitted(item) for key, item in value.items() if item is not OMIT}
    if isinstance(value, list):
        return [_without_omitted(item) for item in value if item is not OMIT]
    return value

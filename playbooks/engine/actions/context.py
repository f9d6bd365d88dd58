"""One execution of a task, as its action sees it.

Invariant: parameters are templated and converted; `remote` runs a module on the host (or the delegate) as the
task's user, `check` and `diff` are the task's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from playbooks.engine.connection.counted import CountedSink, CountedSource, Told
from playbooks.engine.connection.host import HostConnection
from playbooks.engine.connection.settings import Become
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.helper.call import Sink
from playbooks.engine.language.values import Task
from playbooks.errors import TaskError

Result = dict[str, Any]


@dataclass(slots=True)
class ActionCall:
    """Handed to an action's `run`."""

    host: str
    task: Task
    parameters: dict[str, Any]
    scope: Evaluator
    connect: Callable[[], tuple[HostConnection, Become | None]]
    check: bool = False
    diff: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    verbosity: int = 0
    wait: Callable[[float], None] = lambda seconds: None
    transferring: Told = lambda moved, size: None

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def remote(
        self,
        module: str,
        parameters: Mapping[str, Any],
        *,
        source: BinaryIO | None = None,
        sink: Sink | None = None,
        check: bool | None = None,
        background: float | None = None,
    ) -> Result:
        """Run a module on the host, or begin it as a job of `background` seconds at most.

        Raises Unreachable, TaskError after the task's timeout.
        """
        connection, become = self.connect()
        message = {
            "module": module,
            "parameters": dict(parameters),
            "check": self.check if check is None else check,
            "diff": self.diff,
            "environment": dict(self.environment),
            "background": background,
        }
        try:
            return connection.request(
                message,
                become,
                source=source and CountedSource(source, self.transferring),  # type: ignore[arg-type]
                sink=sink and CountedSink(sink, self.transferring),
                timeout=self.timeout,
            )
        except TimeoutError as error:
            raise TaskError(
                f"The {module} action failed to execute in the expected time frame ({self.timeout:g}) "
                "and was terminated",
                timedout={"period": self.timeout},
            ) from error

    def find(self, kind: str, name: str) -> Path:
        """A file of this machine, looked for in the role, beside the task's file, beside the playbook."""
        path: Path = self.scope.services.find(kind, name)
        return path

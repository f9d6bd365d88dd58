"""Runs playbook texts and remembers what ended, so that tests can say of each task how it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from playbooks.engine.display.events import Display, Finished
from playbooks.engine.result import Options, Result
from playbooks.engine.run import run_playbook


class Record(Display):
    """Remembers what ended, in order."""

    def __init__(self) -> None:
        self.finished_tasks: list[Finished] = []
        self.items: list[Finished] = []

    def item_finished(self, finished: Finished) -> None:
        self.items.append(finished)

    def task_finished(self, finished: Finished) -> None:
        self.finished_tasks.append(finished)


@dataclass
class Run:
    """A finished run."""

    result: Result
    display: Record
    directory: Path

    @property
    def last(self) -> str:
        """The last failure as it is shown."""
        return str(self.result.failures[-1])

    def of(self, name: str, host: str = "") -> Finished:
        """How the task of a name ended."""
        return next(
            found for found in self.display.finished_tasks if found.task.name == name and host in ("", found.host)
        )


@dataclass
class Playbooks:
    """Runs playbook texts against hosts with given variables."""

    directory: Path
    hosts: dict[str, dict[str, object]] = field(default_factory=dict)

    def __call__(self, text: str, options: Options | None = None) -> Run:
        import yaml

        (self.directory / "site.yml").write_text(text)
        (self.directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": self.hosts}}))
        display = Record()
        result = run_playbook(self.directory / "site.yml", [self.directory / "hosts.yml"], options, display)
        return Run(result, display, self.directory)

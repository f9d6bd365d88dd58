"""What a run is asked for, and what it came to.

Invariant: values; `Result.status` is the exit status of `wherry playbook`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a playbook; each is an option of `ansible-playbook` too."""

    check: bool = False
    diff: bool = False
    limit: str | None = None
    tags: frozenset[str] = frozenset()
    skip_tags: frozenset[str] = frozenset()
    forks: int = 20
    extra_variables: Mapping[str, Any] = field(default_factory=dict)
    verbosity: int = 0
    remote_user: str | None = None
    private_key: str | None = None
    connection: str | None = None
    timeout: float | None = None
    become: bool = False
    become_user: str | None = None
    become_password: str | None = field(default=None, repr=False)
    connection_password: str | None = field(default=None, repr=False)
    host_key_checking: bool = True
    vault_secrets: Sequence[bytes] = field(default=(), repr=False)
    start_at_task: str | None = None
    force_handlers: bool = False
    roles_path: Sequence[str] = ()
    # What every host has that says nothing else: how to reach it.
    variables: Mapping[str, Any] = field(default_factory=dict)
    gathering: str = "implicit"
    strategy: str = "linear"
    no_log: bool = False


CENSORED = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"


@dataclass(slots=True)
class Counts:
    """One host's line of the recap; `ok` includes `changed`."""

    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that ended a host's run."""

    host: str
    task: str
    where: str
    message: str
    unreachable: bool = False

    def __str__(self) -> str:
        kind = "unreachable" if self.unreachable else "failed"
        return f"{self.host}: task {self.task!r} ({self.where}) {kind}: {self.message}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a playbook came to: counts by host, and every failure that was neither ignored nor rescued."""

    counts: Mapping[str, Counts]
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False
    # Ended by any_errors_fatal or max_fail_percentage.
    broken_off: bool = False
    # Hosts that are out because of what others failed.
    lost: frozenset[str] = frozenset()

    @property
    def status(self) -> int:
        """0 if all went well, 2 after failed tasks, 4 if hosts were unreachable, 130 after an interruption.

        A run that was broken off has failed, whatever began it: so says Ansible.
        """
        if self.interrupted:
            return 130
        if not self.broken_off and any(failure.unreachable for failure in self.failures):
            return 4
        return 2 if self.failures or self.lost else 0

    @property
    def changed(self) -> int:
        """How many tasks changed something, over all hosts."""
        return sum(counts.changed for counts in self.counts.values())


def item_results(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of a loop's items; of no loop none, whatever its module calls `results`."""
    found = result.get("results")
    items = found if isinstance(found, list) else ()
    return [item for item in items if isinstance(item, dict) and "ansible_loop_var" in item]


def censored(result: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of a result that `no_log` hides."""
    return {"censored": CENSORED, "changed": bool(result.get("changed"))}

"""The variables that the engine itself provides: `hostvars`, `groups`, `inventory_hostname`, `role_path`, …

Invariant: each is computed when a template asks for it, never before.
Source: Ansible, "Special variables".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jinja2.utils import missing

from playbooks.engine.evaluation.evaluator import OMIT, Evaluator
from playbooks.engine.executor.run_state import LOCAL_NAMES
from playbooks.engine.language.values import Task

if TYPE_CHECKING:
    from playbooks.engine.executor.play_state import PlayState

# The version whose language this is; playbooks compare with it.
_ANSIBLE_VERSION = {"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"}


class Magic(Mapping[str, Any]):
    """The magic variables of one host in one task."""

    def __init__(self, play: PlayState, host: str, task: Task | None) -> None:
        self._play = play
        self._host = host
        self._task = task

    def __contains__(self, name: object) -> bool:
        if name == "ansible_limit":
            return bool(self._play.run.options.limit)
        if name in _OF_INCLUDED_ROLES:
            return self._task is not None and self._task.role is not None and bool(self._task.role.includers)
        return name in _COMPUTED and (
            name not in _ROLE_ONLY or (self._task is not None and self._task.role is not None)
        )

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return _COMPUTED[name](self._play, self._host, self._task)

    def __iter__(self) -> Iterator[str]:
        return (name for name in _COMPUTED if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class HostVariablesView(Mapping[str, Any]):
    """`hostvars`: every host's variables, also of hosts outside the play."""

    def __init__(self, play: PlayState) -> None:
        self._play = play

    def __getitem__(self, host: str) -> Mapping[str, Any]:
        run = self._play.run
        # This machine is always known, also where no inventory names it.
        if host not in run.inventory.hosts and host not in run.known_hosts() and host not in LOCAL_NAMES:
            raise KeyError(host)
        return ScopeView(self._play.outside(host))

    def __iter__(self) -> Iterator[str]:
        return iter(self._play.run.inventory.hosts)

    def __len__(self) -> int:
        return len(self._play.run.inventory.hosts)


class ScopeView(Mapping[str, Any]):
    """The variables of a scope as a mapping."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def __getitem__(self, name: str) -> Any:
        value = self._evaluator.variable(name)
        if value is missing:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return self._evaluator.namespace.names()

    def __len__(self) -> int:
        return sum(1 for _ in self)


_Compute = Callable[["PlayState", str, Task | None], Any]


def _groups(play: PlayState, host: str, task: Task | None) -> dict[str, list[str]]:
    inventory = play.run.inventory
    return {name: list(inventory.hosts_of(name)) for name in inventory.groups}


def _group_names(play: PlayState, host: str, task: Task | None) -> list[str]:
    return sorted(name for name in play.run.inventory.groups_of(host) if name != "all")


def _role(task: Task | None) -> Any:
    assert task is not None and task.role is not None
    return task.role


def _source(play: PlayState) -> str:
    sources = play.run.inventory.sources
    return sources[0] if sources and "," not in sources[0] else ""


def _inventory_directory(play: PlayState) -> str:
    from pathlib import Path

    source = _source(play)
    if not source:
        return ""
    path = Path(source).absolute()
    return str(path if path.is_dir() else path.parent)


_COMPUTED: dict[str, _Compute] = {
    "omit": lambda play, host, task: OMIT,
    "inventory_hostname": lambda play, host, task: host,
    "inventory_hostname_short": lambda play, host, task: host.split(".")[0],
    "inventory_file": lambda play, host, task: _source(play),
    "inventory_dir": lambda play, host, task: _inventory_directory(play),
    "hostvars": lambda play, host, task: HostVariablesView(play),
    "groups": _groups,
    "group_names": _group_names,
    "playbook_dir": lambda play, host, task: str(play.run.playbook.directory.absolute()),
    "play_hosts": lambda play, host, task: play.batch(),
    "ansible_search_path": lambda play, host, task: [str(place.absolute()) for place in play.places(task)],
    "ansible_play_name": lambda play, host, task: play.play.name,
    "ansible_play_hosts": lambda play, host, task: play.alive_in_play(),
    "ansible_play_hosts_all": lambda play, host, task: list(play.all_hosts),
    "ansible_play_batch": lambda play, host, task: play.batch(),
    "ansible_check_mode": lambda play, host, task: play.run.options.check,
    "ansible_diff_mode": lambda play, host, task: play.run.options.diff,
    "ansible_verbosity": lambda play, host, task: play.run.options.verbosity,
    "ansible_forks": lambda play, host, task: play.run.options.forks,
    "ansible_limit": lambda play, host, task: play.run.options.limit or "",
    "ansible_run_tags": lambda play, host, task: sorted(play.run.options.tags) or ["all"],
    "ansible_skip_tags": lambda play, host, task: sorted(play.run.options.skip_tags),
    "ansible_version": lambda play, host, task: dict(_ANSIBLE_VERSION),
    "ansible_playbook_python": lambda play, host, task: sys.executable,
    "ansible_config_file": lambda play, host, task: "",
    "ansible_inventory_sources": lambda play, host, task: list(play.run.inventory.sources),
    "ansible_dependent_role_names": lambda play, host, task: sorted({role.name for role in play.roles if role.parents}),
    "ansible_role_names": lambda play, host, task: sorted({*play.role_names, *(r.name for r in play.roles)}),
    "ansible_play_role_names": lambda play, host, task: list(play.role_names),
    "role_names": lambda play, host, task: list(play.role_names),
    "role_name": lambda play, host, task: _role(task).name,
    "ansible_role_name": lambda play, host, task: _role(task).name,
    "role_path": lambda play, host, task: str(_role(task).path.absolute()),
    "ansible_parent_role_names": lambda play, host, task: [role.name for role in reversed(_role(task).includers)],
    "ansible_parent_role_paths": lambda play, host, task: [
        str(role.path.absolute()) for role in reversed(_role(task).includers)
    ],
}
_OF_INCLUDED_ROLES = ("ansible_parent_role_names", "ansible_parent_role_paths")
_ROLE_ONLY = frozenset(("role_name", "ansible_role_name", "role_path"))
NAMES = frozenset(_COMPUTED)

"""The control groups that a host's processes live in, on machines with cgroup version 1 (or both) and version 2.

Whatever a host starts stays inside its group, so the group is also how the lab finds every process of a host, and
how it cuts the host's power.

Invariant: a process of a host is in the host's group of at least one hierarchy until it is gone.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from control.cli.errors import CommandError

_CONTROL = Path("/sys/fs/cgroup")
_FOLDER = "wherry-lab"
_GONE_WITHIN_SECONDS = 15.0


class Cgroups(ABC):
    """The groups of one lab's hosts."""

    unified = True

    def __init__(self, lab: str) -> None:
        self._lab = lab

    @abstractmethod
    def hosts(self) -> set[str]:
        """The hosts of the lab that have a group."""

    @abstractmethod
    def groups(self, host: str) -> list[Path]:
        """The host's group in each hierarchy; they need not exist."""

    @abstractmethod
    def create(self, host: str) -> list[Path]:
        """Make the host's groups; returns those that the launcher has to join."""

    def launcher(self, host: str) -> list[str]:
        """Words to put before the launcher's command line."""
        return []

    def processes(self, host: str) -> set[int]:
        """The host's living processes."""
        return {pid for group in self.groups(host) for pid in _members(group) if _alive(pid)}

    def kill(self, host: str) -> None:
        """SIGKILL to all of the host's processes; returns when they are gone. Raises CommandError if one stays."""
        deadline = time.monotonic() + _GONE_WITHIN_SECONDS
        while living := self.processes(host):
            if time.monotonic() > deadline:
                raise CommandError(f"process {min(living)} of lab host {host} does not end; see /proc/{min(living)}")
            for pid in living:
                _kill(pid)
            time.sleep(0.02)

    def remove(self, host: str) -> None:
        """Remove the host's groups, whose processes are gone."""
        for group in self.groups(host):
            _remove_tree(group)
            for parent in (group.parent, group.parent.parent):
                if parent.name in (self._lab, _FOLDER):
                    _remove_if_empty(parent)


class _Version1(Cgroups):
    unified = False

    def hosts(self) -> set[str]:
        return {name for tree in _hierarchies("cgroup") for name in _folders(tree / _FOLDER / self._lab)}

    def groups(self, host: str) -> list[Path]:
        return [hierarchy / _FOLDER / self._lab / host for hierarchy in _hierarchies("cgroup")]

    def create(self, host: str) -> list[Path]:
        groups = self.groups(host)
        for group in groups:
            group.mkdir(parents=True, exist_ok=True)
            # A new cpuset is empty and takes no process until it has its processors and memory.
            for level in (group.parent.parent, group.parent, group):
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if (level / name).exists() and not (level / name).read_text().strip():
                        (level / name).write_text((level.parent / name).read_text())
        return groups


class _Version2(Cgroups):
    def hosts(self) -> set[str]:
        return _folders(_CONTROL / _FOLDER / self._lab)

    def groups(self, host: str) -> list[Path]:
        return [_CONTROL / _FOLDER / self._lab / host]

    def create(self, host: str) -> list[Path]:
        group = self.groups(host)[0]
        group.mkdir(parents=True, exist_ok=True)
        for parent in (_CONTROL, group.parent.parent, group.parent):
            controllers = (parent / "cgroup.controllers").read_text().split()
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        return [group]


class _SystemdScope(Cgroups):
    """Version 2 under systemd, which wants to be asked: a scope that it delegates."""

    def hosts(self) -> set[str]:
        prefix, suffix = self._unit("\0").split("\0")
        units = _folders(_CONTROL / "wherrylab.slice")
        return {unit[len(prefix) : -len(suffix)] for unit in units if unit.startswith(prefix)}

    def groups(self, host: str) -> list[Path]:
        return [_CONTROL / "wherrylab.slice" / self._unit(host)]

    def create(self, host: str) -> list[Path]:
        return []

    def launcher(self, host: str) -> list[str]:
        return [
            "systemd-run", "--scope", "--quiet", "--collect", "--slice=wherrylab.slice", "--property=Delegate=yes",
            f"--unit={self._unit(host)}", "--",
        ]  # fmt: skip

    def remove(self, host: str) -> None:
        """systemd removes an empty scope by itself."""

    def _unit(self, host: str) -> str:
        return f"wherrylab.{self._lab}.{host}.scope"


def detect(lab: str) -> Cgroups:
    """The groups as this machine has them. Raises CommandError if it has none."""
    if _hierarchies("cgroup"):
        return _Version1(lab)
    if _CONTROL in _hierarchies("cgroup2"):
        return _SystemdScope(lab) if Path("/run/systemd/system").is_dir() else _Version2(lab)
    raise CommandError("this machine has no control groups at /sys/fs/cgroup; lab hosts cannot run here")


def _folders(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir() if entry.is_dir()} if directory.is_dir() else set()


def _hierarchies(kind: str) -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(mount[1]) for mount in mounts if mount[2] == kind]


def _members(group: Path) -> Iterable[int]:
    for directory, _, _ in os.walk(group):
        try:
            yield from map(int, Path(directory, "cgroup.procs").read_text().split())
        except OSError:
            continue  # the group was removed meanwhile, and its processes with it


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "\nState:\tZ" not in status and "\nState:\tX" not in status


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove_tree(group: Path) -> None:
    for directory, _, _ in os.walk(group, topdown=False):
        _remove_if_empty(Path(directory))
    deadline = time.monotonic() + _GONE_WITHIN_SECONDS
    while group.exists():
        if time.monotonic() > deadline:
            raise CommandError(f"control group {group} cannot be removed; look at its cgroup.procs")
        time.sleep(0.02)
        for directory, _, _ in os.walk(group, topdown=False):
            _remove_if_empty(Path(directory))


def _remove_if_empty(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:
        return

"""The control groups of pods: limited, found, and taken away once a pod is gone.

Podman makes the parent that it is told to use and never removes it. Under systemd the groups are slices: systemd makes
them with the first container and removes them with the last, and is told of limits by `systemctl`, because it would
undo what others write. Monitors of commands that ran in the pod stay in its group for minutes to keep an exit status
nobody asks for.

Invariant: a group is removed only once all containers of its pod are gone, so whatever is left in it may go.
Source: cgroups(7); Podman's exit_command_delay; `limits.cgroup_parent` for where the groups lie.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.kubelet.runtime.interface import CPU_PERIOD, Limits

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 2.0
_LEAST_SHARES, _MOST_SHARES = 2, 262144
# Controllers of version 2 that groups of pods are given, as far as the kernel has them.
_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")
_SLICES = (
    "kubepods.slice",
    "kubepods.slice/kubepods-burstable.slice",
    "kubepods.slice/kubepods-besteffort.slice",
)
_PLACES = ("kubepods", "kubepods/burstable", "kubepods/besteffort")


def run_systemctl(words: Sequence[str]) -> None:
    """Tell systemd something; what it does not take is said and borne."""
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=30.0, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("systemctl %s: %s", " ".join(words), error)
        return
    if done.returncode != 0:
        log.warning("systemctl %s: %s", " ".join(words), done.stderr.strip())


@dataclass(frozen=True, slots=True)
class PodCgroups:
    """The groups of one kubelet's pods. `parent` is the group that holds /kubepods: "" or /a/b."""

    parent: str = ""
    root: Path = ROOT
    systemctl: Callable[[Sequence[str]], None] = run_systemctl

    def known(self) -> set[str]:
        """The uids of pods that have a group in any hierarchy."""
        plain = {
            entry.name.removeprefix("pod") for base in self._bases() for entry in base.glob("pod*") if entry.is_dir()
        }
        return plain | {_uid_of(entry) for entry in self._slices("*")}

    def limit(self, group: str, limits: Limits) -> None:
        """Put a pod's limits into effect on its group (`limits.cgroup_parent`), making it where it is missing."""
        if group.endswith(".slice"):
            self.systemctl(["set-property", "--runtime", group, *_properties(limits)])
            return
        for hierarchy in self._controllers(group):
            for name, value in (_unified_values if self.unified else _values)(limits).items():
                _write(hierarchy / name, value)

    @property
    def unified(self) -> bool:
        """Whether the groups are those of version 2."""
        return (self.root / "cgroup.controllers").exists()

    def limits_huge_pages(self) -> bool:
        """Whether the kernel counts huge pages by group here."""
        if self.unified:
            return "hugetlb" in _words(self.root / "cgroup.controllers")
        return (self.root / "hugetlb").is_dir()

    def _controllers(self, group: str) -> list[Path]:
        """The group's directories that have the controllers needed."""
        relative = group.strip("/")
        found = []
        for base in [self.root] if self.unified else [self.root / name for name in ("cpu", "memory", "pids")]:
            if base.is_dir():
                _make(base, relative, self.unified)
                found.append(base / relative)
        return found

    def remove(self, uid: str) -> None:
        """Remove a pod's groups in every hierarchy, with all in them."""
        groups = [base / f"pod{uid}" for base in self._bases() if (base / f"pod{uid}").is_dir()]
        directories = [directory for group in groups for directory in _deepest_first(group)]
        for process in {process for directory in directories for process in _processes(directory)}:
            _end(process)
        for directory in directories:
            _remove(directory)
        for name in sorted({entry.name for entry in self._slices(uid)}):
            self.systemctl(["stop", name])
            self.systemctl(["revert", name])

    def controllers(self, uid: str) -> dict[str, Path]:
        """A pod's directories by controller; "" stands for all of version 2."""
        found = {}
        for hierarchy in self._hierarchies():
            plain = (hierarchy / self.parent.strip("/") / place / f"pod{uid}" for place in _PLACES)
            for path in (*plain, *self._slices(uid)):
                if path.is_dir() and path.is_relative_to(hierarchy):
                    found["" if hierarchy == self.root else hierarchy.name] = path
        return found

    def of_all_pods(self) -> dict[str, Path]:
        """The directories of the group that holds all pods, by controller as above."""
        found = {}
        for hierarchy in self._hierarchies():
            for path in (hierarchy / self.parent.strip("/") / "kubepods", hierarchy / "kubepods.slice"):
                if path.is_dir():
                    found["" if hierarchy == self.root else hierarchy.name] = path
        return found

    def _slices(self, uid: str) -> list[Path]:
        """The slices of a pod, or with "*" of all, in every hierarchy."""
        name = uid.replace("-", "_")
        return [
            path
            for hierarchy in self._hierarchies()
            for place in _SLICES
            for path in (hierarchy / place).glob(f"{Path(place).stem}-pod{name}.slice")
        ]

    def _hierarchies(self) -> list[Path]:
        """The one of version 2, or those of version 1; a directory where nothing is mounted is neither."""
        if self.unified:
            return [self.root]
        return [entry for entry in self.root.iterdir() if not entry.is_symlink() and (entry / "cgroup.procs").exists()]

    def _bases(self) -> list[Path]:
        """Where pods' groups lie."""
        places = [hierarchy / self.parent.strip("/") / place for hierarchy in self._hierarchies() for place in _PLACES]
        return [place for place in places if place.is_dir()]


def _uid_of(slice_: Path) -> str:
    return slice_.stem.rpartition("-pod")[2].replace("_", "-")


def _properties(limits: Limits) -> list[str]:
    """What systemd calls the limits. Source: systemd.resource-control(5)."""
    quota = f"{limits.cpu_quota * 100 / CPU_PERIOD:g}%" if limits.cpu_quota else ""
    return [
        f"CPUWeight={_weight(limits)}",
        f"CPUQuota={quota}",
        f"MemoryMax={limits.memory or 'infinity'}",
        f"TasksMax={limits.pids or 'infinity'}",
    ]


def _weight(limits: Limits) -> int:
    """Shares of 2 to 262144 become weights of 1 to 10000, and the shares that groups have unasked the weight of those.

    Source: opencontainers/cgroups ConvertCPUSharesToCgroupV2Value.
    """
    if limits.cpu_shares <= _LEAST_SHARES:
        return 1
    if limits.cpu_shares >= _MOST_SHARES:
        return 10000
    power = math.log2(limits.cpu_shares)
    return math.ceil(10 ** ((power**2 + 125 * power) / 612 - 7 / 34))


def _make(base: Path, relative: str, unified: bool) -> None:
    directory = base
    for part in relative.split("/"):
        if unified:
            _hand_on_controllers(directory)
        directory /= part
        directory.mkdir(exist_ok=True)


def _hand_on_controllers(directory: Path) -> None:
    """Give the groups within one the controllers that it has; asking for one that it lacks would cost all others."""
    file = directory / "cgroup.subtree_control"
    has, given = _words(directory / "cgroup.controllers"), _words(file)
    lacking = [name for name in _CONTROLLERS if name in has and name not in given]
    if lacking:
        _write(file, " ".join(f"+{name}" for name in lacking))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except FileNotFoundError:
        return []


def _values(limits: Limits) -> dict[str, str]:
    """Files of version 1 and what is to be written into them."""
    return {
        "cpu.shares": str(limits.cpu_shares or _LEAST_SHARES),
        "cpu.cfs_quota_us": str(limits.cpu_quota or -1),
        "memory.limit_in_bytes": str(limits.memory or -1),
        "pids.max": str(limits.pids or "max"),
    }


def _unified_values(limits: Limits) -> dict[str, str]:
    """Files of version 2."""
    return {
        "cpu.weight": str(_weight(limits)),
        "cpu.max": f"{limits.cpu_quota or 'max'} {CPU_PERIOD}",
        "memory.max": str(limits.memory or "max"),
        "pids.max": str(limits.pids or "max"),
    }


def _write(file: Path, value: str) -> None:
    """Write a setting; that the kernel does not have it or not take it (usage above the limit) is said and borne."""
    try:
        if file.exists():
            file.write_text(value)
    except OSError as error:
        log.info("%s cannot be set to %s: %s", file, value, error.strerror)


def _deepest_first(group: Path) -> list[Path]:
    return sorted((group, *group.rglob("*/")), key=lambda entry: len(entry.parts), reverse=True)


def _processes(directory: Path) -> list[int]:
    try:
        return [int(word) for word in (directory / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _end(process: int) -> None:
    """Kill and wait until it is gone."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _PATIENCE)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno != errno.ENOENT:
            log.info("the control group %s stays for now: %s", directory, error.strerror)

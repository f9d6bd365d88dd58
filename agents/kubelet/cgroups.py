"""The control groups of pods: found, and taken away once a pod is gone.

Podman makes the parent that it is told to use and never removes it; under systemd an empty slice goes by itself.
Monitors of commands that ran in the pod stay in its group for minutes to keep an exit status nobody asks for.

Invariant: a group is removed only once all containers of its pod are gone, so whatever is left in it may go.
Source: cgroups(7); Podman's exit_command_delay; `limits.cgroup_parent` for where the groups lie.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 2.0
_PLACES = ("kubepods", "kubepods/burstable", "kubepods/besteffort")


@dataclass(frozen=True, slots=True)
class PodCgroups:
    """The groups of one kubelet's pods. `parent` is the group that holds /kubepods: "" or /a/b."""

    parent: str = ""
    root: Path = ROOT

    def known(self) -> set[str]:
        """The uids of pods that have a group in any hierarchy."""
        return {
            entry.name.removeprefix("pod") for base in self._bases() for entry in base.glob("pod*") if entry.is_dir()
        }

    def remove(self, uid: str) -> None:
        """Remove a pod's groups in every hierarchy, with all in them."""
        groups = [base / f"pod{uid}" for base in self._bases() if (base / f"pod{uid}").is_dir()]
        directories = [directory for group in groups for directory in _deepest_first(group)]
        for process in {process for directory in directories for process in _processes(directory)}:
            _end(process)
        for directory in directories:
            _remove(directory)

    def _bases(self) -> list[Path]:
        """Where pods' groups lie: below the one hierarchy of version 2, or below each of version 1."""
        hierarchies = [self.root, *(entry for entry in self.root.iterdir() if not entry.is_symlink())]
        places = [hierarchy / self.parent.strip("/") / place for hierarchy in hierarchies for place in _PLACES]
        return [place for place in places if place.is_dir()]


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

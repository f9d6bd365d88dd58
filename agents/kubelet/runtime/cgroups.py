"""Takes away the control groups that a removed pod leaves behind.

Podman makes the parent that it is told to use and never removes it; under systemd an empty slice goes by itself.
Monitors of commands that ran in the pod stay in its group for minutes to keep an exit status nobody asks for.

Invariant: called only once all containers of the pod are gone, so that whatever is left in its group may go.
Source: cgroups(7); Podman's exit_command_delay.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 2.0


def remove_cgroup(parent: str, root: Path = ROOT) -> None:
    """Remove the group /a/b of every hierarchy, with all in it. Slices are left to systemd."""
    relative = parent.strip("/")
    if not relative or relative.endswith(".slice") or ".." in relative:
        return
    groups = [hierarchy / relative for hierarchy in (root, *root.iterdir()) if not hierarchy.is_symlink()]
    directories = [
        directory
        for group in groups
        if group.is_dir()
        for directory in sorted((group, *group.rglob("*/")), key=lambda entry: len(entry.parts), reverse=True)
    ]
    for process in {process for directory in directories for process in _processes(directory)}:
        _end(process)
    for directory in directories:
        _remove(directory)


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

"""Takes away the control groups that a removed pod leaves behind.

Podman makes the parent that it is told to use and never removes it; under systemd an empty slice goes by itself.

Invariant: only empty groups go: the kernel refuses to remove one with a process in it.
Source: cgroups(7).
"""

from __future__ import annotations

import errno
import logging
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")


def remove_cgroup(parent: str, root: Path = ROOT) -> None:
    """Remove the group /a/b of every hierarchy, with the empty groups in it. Slices are left to systemd."""
    relative = parent.strip("/")
    if not relative or relative.endswith(".slice") or ".." in relative:
        return
    for hierarchy in (root, *root.iterdir()):
        group = hierarchy / relative
        if hierarchy.is_symlink() or not group.is_dir():
            continue
        inner = [entry for entry in group.rglob("*") if entry.is_dir()]
        for directory in [*sorted(inner, key=lambda entry: len(entry.parts), reverse=True), group]:
            _remove(directory)


def _remove(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno != errno.ENOENT:
            log.info("the control group %s stays for now: %s", directory, error.strerror)

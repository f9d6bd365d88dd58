"""Hands what a volume holds to the group that a pod's files belong to (`fsGroup`).

Volumes of claims only: what the kubelet makes itself is the group's from the start, and a host path is the host's.

Invariant: no link is followed, and the top is handed over last, so that a job which was broken off is seen as not done.
Source: kubelet's SetVolumeOwnership and the local volume plugin.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from agents.kubelet.pods import spec
from api.objects import Object

log = logging.getLogger(__name__)

_FILE = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP
_DIRECTORY = _FILE | stat.S_IXUSR | stat.S_IXGRP | stat.S_ISGID


def wanted_group(pod: Object, volume: Object) -> int | None:
    """The group to which the pod's volume of a claim is to belong, if any."""
    group: int | None = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if spec.reads_claim_only(volume) else group


def hand_over(pod: Object, root: Path, group: int, breathe: Callable[[], None]) -> None:
    """Let the group read and write all under `root`; `breathe` is called between directories.

    What cannot be handed over, on a file system that knows no groups for instance, stays as it is.
    """
    policy = (pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
    top = root.resolve()
    if not top.is_dir() or (policy == "OnRootMismatch" and _belongs(top.stat(), group)):
        return
    failures: list[OSError] = []
    for _, _, files, directory in os.fwalk(top, topdown=False):
        for name in files:
            _give(name, directory, group, failures)
        _give(".", directory, group, failures)
        breathe()
    if failures:
        log.warning("%d files of %s were not given to group %d: %s", len(failures), root, group, failures[0])


def _belongs(found: os.stat_result, group: int) -> bool:
    return found.st_gid == group and found.st_mode & _DIRECTORY == _DIRECTORY


def _give(name: str, directory: int, group: int, failures: list[OSError]) -> None:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return
        os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
        wanted = _DIRECTORY if stat.S_ISDIR(found.st_mode) else _FILE
        os.chmod(name, stat.S_IMODE(found.st_mode) | wanted, dir_fd=directory)
    except OSError as error:
        failures.append(error)

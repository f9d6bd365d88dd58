"""Keeps containers' logs from filling the disk: a log that is too large is put aside and begun anew.

A runtime that does so by itself keeps nothing of what was before. So a second name is given to such a log in time, by
which it is still there when the runtime has let go of it.

Invariant: of one container no more than so many files of about that size are kept; the newest has the plain name, as
readers expect.
Source: kubelet/logs container_log_manager.go (containerLogMaxSize, containerLogMaxFiles).
"""

from __future__ import annotations

import logging
from pathlib import Path

from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.runtime.interface import ContainerRuntime, ContainerRuntimeError, State

log = logging.getLogger(__name__)

_HELD = ".held"


def rotate(runtime: ContainerRuntime, logs: PodLogs, stamp: str, *, by_itself: bool = False) -> None:
    """Look at the log of every running container; `by_itself` says that the runtime begins logs anew.

    Raises ContainerRuntimeError if they cannot be listed.
    """
    for found in runtime.list().containers:
        path = Path(found.log_path)
        if found.state is not State.RUNNING or not found.log_path:
            continue
        try:
            if by_itself:
                _hold(path, logs, stamp)
            elif not path.exists() and any(path.parent.glob(f"{path.name}.*")):
                # A kubelet was killed between the two steps.
                runtime.reopen_log(found.id)
            elif path.exists() and path.stat().st_size >= logs.largest:
                _rotate(runtime, found.id, path, logs.files, stamp)
        except (OSError, ContainerRuntimeError) as error:
            log.warning("the log %s was not rotated: %s", path, error)


def _hold(path: Path, logs: PodLogs, stamp: str) -> None:
    """Keep what was held and is no longer the log; hold the log once it will soon be too large."""
    held = path.with_name(f"{path.name}{_HELD}")
    if not path.exists():
        return
    if held.exists() and not held.samefile(path):
        held.rename(path.with_name(f"{path.name}.{stamp}"))
        _forget_oldest(path, logs.files)
    if path.stat().st_size >= logs.largest // 2 and not held.exists():
        held.hardlink_to(path)


def _rotate(runtime: ContainerRuntime, container_id: str, path: Path, files: int, stamp: str) -> None:
    aside = path.with_name(f"{path.name}.{stamp}")
    path.rename(aside)
    try:
        runtime.reopen_log(container_id)
    except ContainerRuntimeError:
        # The runtime writes on into the file that was moved: readers must find it where it was.
        aside.rename(path)
        raise
    _forget_oldest(path, files)


def _forget_oldest(path: Path, files: int) -> None:
    aside = sorted(one for one in path.parent.glob(f"{path.name}.*") if one.suffix.removeprefix(".").isdigit())
    for old in aside[: len(aside) - (files - 1)] if len(aside) >= files else ():
        old.unlink()

"""Keeps containers' logs from filling the disk: a log that is too large is put aside and begun anew.

Invariant: of one container no more than `FILES` files of about that size are kept; the newest has the plain
name, as readers expect.
Source: kubelet/logs container_log_manager.go (containerLogMaxSize, containerLogMaxFiles).
"""

from __future__ import annotations

import logging
from pathlib import Path

from agents.kubelet.runtime.interface import LARGEST_LOG, ContainerRuntime, ContainerRuntimeError, State

log = logging.getLogger(__name__)

FILES = 5


def rotate(runtime: ContainerRuntime, stamp: str, largest: int = LARGEST_LOG) -> None:
    """Look at the log of every running container. Raises ContainerRuntimeError if they cannot be listed."""
    for found in runtime.list().containers:
        path = Path(found.log_path)
        if found.state is not State.RUNNING or not found.log_path:
            continue
        try:
            if not path.exists() and any(path.parent.glob(f"{path.name}.*")):
                # A kubelet was killed between the two steps.
                runtime.reopen_log(found.id)
            elif path.exists() and path.stat().st_size >= largest:
                _rotate(runtime, found.id, path, stamp)
        except (OSError, ContainerRuntimeError) as error:
            log.warning("the log %s was not rotated: %s", path, error)


def _rotate(runtime: ContainerRuntime, container_id: str, path: Path, stamp: str) -> None:
    aside = path.with_name(f"{path.name}.{stamp}")
    path.rename(aside)
    try:
        runtime.reopen_log(container_id)
    except ContainerRuntimeError:
        # The runtime writes on into the file that was moved: readers must find it where it was.
        aside.rename(path)
        raise
    for old in sorted(path.parent.glob(f"{path.name}.*"))[: -(FILES - 1)]:
        old.unlink()

"""Where containers' logs lie, which is where collectors of logs look for them.

`ROOT/NAMESPACE_POD_UID/CONTAINER/ATTEMPT.log` is the log of one attempt of a container; beside ROOT, in `containers`,
lies a link to it that names the container's id.

Invariant: a pod's uid is the last part of its directory's name, so that what is left is found by the uid alone. That a
link cannot be made keeps nobody from starting a container.
Source: kuberuntime helpers.go BuildContainerLogsDirectory, legacy.go logSymlink.
"""

from __future__ import annotations

import glob
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from agents.kubelet.runtime.interface import Container, ContainerSpec, PodIdentity

log = logging.getLogger(__name__)

DIRECTORY = Path("/var/log/pods")
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class PodLogs:
    """The logs of one node's containers, below `root`: of each container `files` files of at most `largest` bytes."""

    root: Path = DIRECTORY
    largest: int = 10 * 1024**2
    files: int = 5

    def directory(self, pod: PodIdentity) -> Path:
        """Where the logs of a pod's containers lie, each in a directory of its own."""
        return self.root / f"{pod.namespace}_{pod.name}_{pod.uid}"

    def path(self, pod: PodIdentity, container: str, attempt: int) -> Path:
        """The log of one attempt of a container; what it lies in is made. Raises OSError."""
        directory = self.directory(pod) / container
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        return directory / f"{attempt}.log"

    def show(self, started: ContainerSpec, container_id: str) -> None:
        """Link to the log of a container that has just started."""
        link = self._link(started.pod, started.name, container_id)
        try:
            link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            link.symlink_to(started.log_path)
        except OSError as error:
            log.warning("there is no link to the log of container %s: %s", started.name, error)

    def discard(self, removed: Container) -> None:
        """Take the log of a container that was removed away, with its older parts."""
        try:
            self._link(removed.pod, removed.name, removed.id).unlink(missing_ok=True)
            path = Path(removed.log_path)
            # A container that has no log has an empty path, which would be that of anything.
            for part in path.parent.glob(f"{glob.escape(path.name)}*") if path.name else ():
                part.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the log %s was not removed: %s", removed.log_path, error)

    def release(self, uid: str) -> None:
        """Take away all logs of a pod. Raises OSError."""
        for directory in self.root.glob(f"*_{glob.escape(uid)}"):
            for link in self._links.glob("*.log"):
                if link.is_symlink() and link.readlink().is_relative_to(directory):
                    link.unlink(missing_ok=True)
            shutil.rmtree(directory)

    def known(self) -> set[str]:
        """The uids of pods that have logs here."""
        return {entry.name.rpartition("_")[2] for entry in self.root.glob("*_*_?*")}

    @property
    def _links(self) -> Path:
        return self.root.parent / "containers"

    def _link(self, pod: PodIdentity, container: str, container_id: str) -> Path:
        name = f"{pod.name}_{pod.namespace}_{container}-{container_id}"
        return self._links / f"{name[: _LONGEST_NAME - len('.log')]}.log"

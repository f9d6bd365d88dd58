"""Sandboxes that no process holds: namespaces kept by mounts, and a record of whose they are.

A pod whose containers do not see each other's processes needs nobody to be their init. Its IPC and UTS namespaces, the
memory that its containers share and its host name lie below one directory, and containers join them by path. That
saves the second container which would otherwise hold them: half of a pod's start, and its processes.

Invariant: the record is written before anything is mounted and removed after all is unmounted, so whatever is left by
a kill or a loss of power is found again, as a sandbox that has ended.
Source: namespaces(7); core/v1 PodSpec.shareProcessNamespace says when a process is needed.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from agents.kubelet.runtime import labels
from agents.kubelet.runtime.interface import ContainerRuntimeError, PodIdentity, Sandbox, SandboxSpec, State
from agents.kubelet.volumes.mounts import mount_tmpfs, unmount_under
from agents.network import namespaces
from api.runtime import Runtime

_SHARED_MEMORY = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Pins:
    """The paths by which a container joins a sandbox; "" for what it shares with the node."""

    ipc: str = ""
    uts: str = ""
    shared_memory: str = ""
    host_name: str = ""


def is_enough(spec: SandboxSpec) -> bool:
    """Whether such a sandbox does for the pod: nothing in it asks for a process."""
    return not (spec.share_processes or spec.sysctls or spec.first_user)


class PinnedSandboxes:
    """The sandboxes below one directory."""

    def __init__(self, root: Path, clock: Runtime) -> None:
        self._root = root
        self._clock = clock

    def create(self, spec: SandboxSpec) -> str:
        """Make a sandbox; its id. Raises ContainerRuntimeError."""
        sandbox_id = f"{spec.pod.uid}-{spec.attempt}"
        directory = self._root / sandbox_id
        private = (["ipc"] if not spec.host_ipc else []) + (["uts"] if spec.network_namespace else [])
        record = {
            "pod": asdict(spec.pod),
            "attempt": spec.attempt,
            "created": self._clock.time(),
            "labels": labels.of_sandbox(spec),
            "private": private,
        }
        try:
            namespaces.share(self._root)
            directory.mkdir(exist_ok=True)
            _write(directory / "record", orjson.dumps(record))
            if "ipc" in private:
                namespaces.create(directory / "ipc", namespaces.Kind.IPC)
            if "uts" in private:
                _write(directory / "hostname", f"{spec.hostname}\n".encode())
                namespaces.create(directory / "uts", namespaces.Kind.UTS, lambda: socket.sethostname(spec.hostname))
            _mount_shared_memory(directory / "shm")
        except OSError as error:
            self.stop(sandbox_id)
            raise ContainerRuntimeError(f"the namespaces of pod {spec.pod.name} cannot be made: {error}") from error
        return sandbox_id

    def owns(self, sandbox_id: str) -> bool:
        """Whether it is one of these."""
        return (self._root / sandbox_id).is_dir()

    def pins(self, sandbox_id: str) -> Pins | None:
        """How containers join it; None if it is none of these."""
        directory = self._root / sandbox_id
        record = _read(directory)
        if record is None:
            return None
        ipc, uts = ("ipc" in record["private"]), ("uts" in record["private"])
        return Pins(
            ipc=str(directory / "ipc") if ipc else "",
            uts=str(directory / "uts") if uts else "",
            shared_memory=str(directory / "shm") if ipc else "",
            host_name=str(directory / "hostname") if uts else "",
        )

    def stop(self, sandbox_id: str) -> None:
        """Let the namespaces go. Raises ContainerRuntimeError."""
        directory = self._root / sandbox_id
        try:
            unmount_under(directory)
        except OSError as error:
            raise ContainerRuntimeError(f"the sandbox {sandbox_id} cannot be unmounted: {error}") from error

    def remove(self, sandbox_id: str) -> None:
        """Remove a sandbox and all that it has. Raises ContainerRuntimeError."""
        directory = self._root / sandbox_id
        if not directory.exists():
            return
        self.stop(sandbox_id)
        try:
            shutil.rmtree(directory)
        except OSError as error:
            raise ContainerRuntimeError(f"the sandbox {sandbox_id} cannot be removed: {error}") from error

    def list(self, pod_uid: str = "") -> tuple[Sandbox, ...]:
        """The sandboxes of one pod, or of all."""
        return tuple(self._found(pod_uid))

    def _found(self, pod_uid: str) -> Iterator[Sandbox]:
        for directory in self._root.glob(f"{pod_uid}-*" if pod_uid else "*"):
            record = _read(directory)
            if record is None:
                continue
            alive = (
                all(namespaces.exists(directory / name) for name in record["private"])
                and (directory / "shm").is_mount()
            )
            yield Sandbox(
                id=directory.name,
                pod=PodIdentity(**record["pod"]),
                attempt=record["attempt"],
                state=State.RUNNING if alive else State.EXITED,
                created=record["created"],
                labels=record["labels"],
            )


def _mount_shared_memory(path: Path) -> None:
    """Mounted last: with it the sandbox is whole."""
    path.mkdir(exist_ok=True)
    if not path.is_mount():
        mount_tmpfs(path, _SHARED_MEMORY, mode="1777")


def _write(path: Path, content: bytes) -> None:
    """Write as a whole or not at all."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_bytes(content)
    fresh.replace(path)


def _read(directory: Path) -> dict[str, Any] | None:
    """The record; None if the sandbox is not there, or a kill or a loss of power came before it was whole."""
    try:
        found: dict[str, Any] = orjson.loads((directory / "record").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found

"""Any runtime that speaks the Container Runtime Interface; containerd is the one that is tested.

The interface has no events that every version knows, so `events` compares what it lists every second. It has no
signals either: a container is asked to stop, or it is killed. Others are sent by a service of containerd's own.

Invariant: nothing is remembered here but how containers ended, which cannot change.
Source: k8s.io/cri-api runtime/v1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agents.kubelet.runtime import cri_spec, labels
from agents.kubelet.runtime.cri_api import CriApi, StillRunning
from agents.kubelet.runtime.cri_session import CriSession
from agents.kubelet.runtime.image_mounts import mount_of
from agents.kubelet.runtime.interface import (
    POD_UID,
    Container,
    ContainerRuntimeError,
    ContainerSpec,
    Credentials,
    Image,
    ImageMount,
    ImageNotPresent,
    ImagePullError,
    Inventory,
    Limits,
    Mount,
    NoSuchContainer,
    RuntimeEvent,
    SandboxSpec,
    Session,
    State,
    Version,
    Written,
)
from agents.kubelet.runtime.snapshots import Snapshots
from api.runtime import Runtime

_POLL = 1.0
_ASK_TO_STOP = 1.0
_PATIENCE = 24 * 3600


class CriRuntime:
    """The runtime behind one socket. `pause_image` is what its sandboxes run and must stay."""

    def __init__(self, socket_path: str, clock: Runtime, pause_image: str, lowest_oom_score: int = -1000) -> None:
        self._api = CriApi(socket_path)
        self._snapshots = Snapshots(self._api)
        self._clock = clock
        self._pause_image = pause_image
        self._lowest_oom_score = lowest_oom_score
        self._closed = clock.event()
        self._ended: dict[str, Container] = {}
        self._image_directory = ""

    def version(self) -> Version:
        found = self._api.runtime("Version", "Empty -> VersionResponse", {})
        if not self._image_directory:
            disks = self._api.images("ImageFsInfo", "Empty -> ImageFsInfoResponse", {}).get("image_filesystems") or [{}]
            self._image_directory = (disks[0].get("fs_id") or {}).get("mountpoint") or "/"
        return Version(
            found["runtime_name"], found["runtime_version"].lstrip("v"), image_directory=self._image_directory
        )

    def list_images(self) -> list[Image]:
        listed = self._api.images("ListImages", "Empty -> ListImagesResponse", {}).get("images") or []
        images = [cri_spec.image_of(entry) for entry in listed]
        return [dataclasses.replace(image, pinned=image.pinned or self._pause_image in image.names) for image in images]

    def image(self, reference: str) -> Image | None:
        found = self._api.images(
            "ImageStatus", "ImageReference -> ImageStatusResponse", {"image": {"image": reference}}
        )
        return cri_spec.image_of(found["image"]) if found.get("image") else None

    def pull_image(self, reference: str, credentials: Credentials | None = None) -> Image:
        request: dict[str, Any] = {"image": {"image": reference}}
        if credentials is not None:
            request["auth"] = {"username": credentials.username, "password": credentials.password}
        try:
            answer = self._api.images("PullImage", "PullImageRequest -> PullImageResponse", request, timeout=None)
        except ContainerRuntimeError as error:
            raise ImagePullError(str(error)) from error
        found = self.image(answer["image_ref"])
        if found is None:
            raise ImagePullError(f"the runtime pulled {reference} but does not have it")
        return found

    def remove_image(self, image_id: str) -> None:
        self._api.images("RemoveImage", "ImageReference", {"image": {"image": image_id}})

    def create_sandbox(self, spec: SandboxSpec) -> str:
        request = {"config": cri_spec.sandbox_config(spec), "runtime_handler": spec.handler}
        answer = self._api.runtime("RunPodSandbox", "RunPodSandboxRequest -> SandboxReference", request)
        return str(answer["pod_sandbox_id"])

    def stop_sandbox(self, sandbox_id: str) -> None:
        self._unless_gone("StopPodSandbox", "SandboxReference", {"pod_sandbox_id": sandbox_id})

    def remove_sandbox(self, sandbox_id: str) -> None:
        self._unless_gone("RemovePodSandbox", "SandboxReference", {"pod_sandbox_id": sandbox_id})

    def create_container(self, spec: ContainerSpec) -> str:
        adjusted = dataclasses.replace(
            spec,
            oom_score_adjust=max(self._lowest_oom_score, spec.oom_score_adjust),
            mounts=(*spec.mounts, *(self._image(image, spec) for image in spec.images)),
        )
        directory = spec.log_path.rpartition("/")[0].rpartition("/")[0]
        request = {
            "pod_sandbox_id": spec.sandbox_id,
            "config": cri_spec.container_config(adjusted, directory),
            "sandbox_config": {
                "metadata": {"name": spec.pod.name, "namespace": spec.pod.namespace, "uid": spec.pod.uid},
                "hostname": spec.hostname,
                "log_directory": directory,
                "linux": {
                    "cgroup_parent": spec.cgroup_parent,
                    "security_context": {"privileged": spec.security.privileged},
                },
            },
        }
        answer = self._api.runtime("CreateContainer", "CreateContainerRequest -> ContainerReference", request)
        return str(answer["container_id"])

    def _image(self, image: ImageMount, spec: ContainerSpec) -> Mount:
        root = Path(image.directory)
        self._snapshots.mount(image.image_id, root, f"wherry-{spec.pod.uid}-{root.name}")
        return mount_of(image, root, spec.name)

    def start_container(self, container_id: str) -> None:
        self._api.runtime("StartContainer", "ContainerReference", {"container_id": container_id})

    def signal_container(self, container_id: str, signal: str = "") -> None:
        kill = signal == "SIGKILL"
        if signal and not kill:
            request = {"container_id": container_id, "signal": cri_spec.signal_number(signal)}
            with suppress(NoSuchContainer):
                self._api.own("tasks.v1.Tasks", "Kill", "KillRequest", request)
            return
        request = {"container_id": container_id, "timeout": 0 if kill else _PATIENCE}
        try:
            # The call lasts until the container has ended; given up, it has still sent the signal.
            self._unless_gone("StopContainer", "StopContainerRequest", request, 120.0 if kill else _ASK_TO_STOP)
        except StillRunning:
            return

    def update_container(self, container_id: str, limits: Limits) -> None:
        request = {"container_id": container_id, "linux": cri_spec.resources(limits)}
        self._api.runtime("UpdateContainerResources", "UpdateContainerResourcesRequest", request)

    def reopen_log(self, container_id: str) -> None:
        self._api.runtime("ReopenContainerLog", "ContainerReference", {"container_id": container_id})

    def remove_container(self, container_id: str) -> None:
        self._unless_gone("RemoveContainer", "ContainerReference", {"container_id": container_id})
        self._ended.pop(container_id, None)

    def inspect(self, container_id: str) -> Container:
        known = self._ended.get(container_id)
        if known is not None:
            return known
        kinds = "ContainerReference -> ContainerStatusResponse"
        answer = self._api.runtime("ContainerStatus", kinds, {"container_id": container_id})
        found = cri_spec.container_of(answer["status"])
        if found.state is State.EXITED:
            self._ended[container_id] = found
        return found

    def list(self, pod_uid: str = "") -> Inventory:
        selected = {"filter": {"label_selector": {POD_UID: pod_uid}}} if pod_uid else {}
        sandboxes = self._api.runtime("ListPodSandbox", "ListPodSandboxRequest -> ListPodSandboxResponse", selected)
        listed = self._api.runtime("ListContainers", "ListContainersRequest -> ListContainersResponse", selected)
        containers = [entry for entry in listed.get("containers") or [] if labels.are_ours(entry.get("labels"))]
        if not pod_uid:
            present = {entry["id"] for entry in containers}
            # Other workers add to it meanwhile.
            self._ended = {key: found for key, found in self._ended.copy().items() if key in present}
        return Inventory(
            tuple(
                cri_spec.sandbox_of(entry)
                for entry in sandboxes.get("items") or []
                if labels.are_ours(entry.get("labels"))
            ),
            tuple(found for entry in containers if (found := self._find(entry["id"])) is not None),
        )

    def exec(self, container_id: str, command: tuple[str, ...], *, terminal: bool, stdin: bool) -> Session:
        request = {
            "container_id": container_id,
            "cmd": list(command),
            "tty": terminal,
            "stdin": stdin,
            "stdout": True,
            "stderr": not terminal,
        }
        url = self._api.runtime("Exec", "ExecRequest -> StreamResponse", request)["url"]
        return CriSession(url, terminal=terminal, stdin=stdin)

    def attach(self, container_id: str, *, terminal: bool, stdin: bool) -> Session:
        request = {
            "container_id": container_id,
            "stdin": stdin,
            "tty": terminal,
            "stdout": True,
            "stderr": not terminal,
        }
        url = self._api.runtime("Attach", "AttachRequest -> StreamResponse", request)["url"]
        return CriSession(url, terminal=terminal, stdin=stdin)

    def disk_use(self, pod_uid: str) -> dict[str, Written]:
        kinds = "ListContainerStatsRequest -> ListContainerStatsResponse"
        answer = self._api.runtime("ListContainerStats", kinds, {"filter": {"label_selector": {POD_UID: pod_uid}}})
        return {entry["attributes"]["id"]: _written(entry) for entry in answer.get("stats") or []}

    def events(self) -> Iterator[RuntimeEvent]:
        kinds = "ListContainersRequest -> ListContainersResponse"
        before: dict[str, tuple[str, int]] = {}
        while not self._closed.is_set():
            listed = self._api.runtime("ListContainers", kinds, {}).get("containers") or []
            now = {
                e["id"]: (e["labels"][POD_UID], e.get("state", 0)) for e in listed if labels.are_ours(e.get("labels"))
            }
            for key, (uid, state) in now.items():
                if before.get(key, (uid, state))[1] != state:
                    yield RuntimeEvent(uid, key, "died" if state == 2 else "start")
            for key in before.keys() - now.keys():
                yield RuntimeEvent(before[key][0], key, "remove")
            before = now
            self._closed.wait(_POLL)

    def close(self) -> None:
        self._closed.set()

    def _find(self, container_id: str) -> Container | None:
        try:
            return self.inspect(container_id)
        except NoSuchContainer:
            return None

    def _unless_gone(self, method: str, kinds: str, values: dict[str, Any], timeout: float = 120.0) -> None:
        try:
            self._api.runtime(method, kinds, values, timeout)
        except (NoSuchContainer, ImageNotPresent):
            return


def _written(entry: dict[str, Any]) -> Written:
    """What ContainerStats says of a container's writable layer."""
    layer = entry.get("writable_layer") or {}
    files = layer.get("inodes_used")
    return Written((layer.get("used_bytes") or {}).get("value", 0), None if files is None else files.get("value", 0))

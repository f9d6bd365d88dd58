"""Podman as the container runtime, by its REST API.

A sandbox is a set of pinned namespaces (`pinned_sandboxes`), or, where the pod needs a process to hold it, an infra
container; the pod's containers join it, and the network namespace that the pod network has made. (Podman's own pods
refuse a network namespace given by path.)

Invariant: nothing is remembered here but what cannot change: an image's accounts, who a process began as, and where a
container's layer lies. All else comes from Podman and the sandboxes' records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agents.kubelet.runtime import labels, podman_spec
from agents.kubelet.runtime.accounts import Accounts
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
    ProcessUser,
    RuntimeEvent,
    SandboxSpec,
    Security,
    Session,
    State,
    Version,
    Written,
)
from agents.kubelet.runtime.pinned_sandboxes import PinnedSandboxes, is_enough
from agents.kubelet.runtime.podman_api import PodmanApi, stream_lines
from agents.kubelet.runtime.podman_images import credentials_header, pull_result
from agents.kubelet.runtime.podman_session import AttachSession, ExecSession
from agents.kubelet.usage import disk_use
from agents.network import namespaces
from api.transport import Response

_RUNNING = ("running", "stopping")
_LISTINGS = 4
_REMOVE = {"force": "true", "v": "true"}


def _is_alive(process: int) -> bool:
    """Whether it runs: one that has ended and that nobody has asked after yet does not."""
    try:
        return process > 0 and Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _is_lost(state: dict[str, Any]) -> bool:
    """Whether a container that should run has lost both its process and the monitor that would tell."""
    return (
        state.get("Status") in _RUNNING
        and not _is_alive(int(state.get("Pid") or 0))
        and not _is_alive(int(state.get("ConmonPid") or 0))
    )


class PodmanRuntime:
    """One Podman service. `pause_image` is what infra containers run; it must be present where one is needed.

    `lowest_oom_score` is the lowest that Podman may set here: without CAP_SYS_RESOURCE it cannot go below its own.
    """

    def __init__(
        self,
        socket_path: str,
        pause_image: str,
        sandboxes: PinnedSandboxes,
        lowest_oom_score: int = -1000,
        largest_log: int = 10 * 1024**2,
    ) -> None:
        self._api = PodmanApi(socket_path)
        self._pinned = sandboxes
        self._pause_image = pause_image
        self._lowest_oom_score = lowest_oom_score
        self._largest_log = largest_log
        self._events: Response | None = None
        self._bundles: Path | None = None
        self._layered: bool | None = None
        self._layers: dict[str, Path] = {}
        self._users: dict[str, ProcessUser | None] = {}
        self._known_accounts: dict[str, Accounts] = {}

    def version(self) -> Version:
        info = self._api.get("/info")
        store = info.get("store") or {}
        systemd = info["host"].get("cgroupManager") == "systemd"
        self._layered = store.get("graphDriverName") == "overlay"
        self._bundles = Path(store.get("graphRoot") or "/") / f"{store.get('graphDriverName')}-containers"
        return Version(
            "podman",
            info["version"]["Version"],
            systemd_cgroups=systemd,
            image_directory=store.get("graphRoot") or "/",
            group_policy=True,
            user_namespaces=podman_spec.has_users(info),
            rotates_logs=True,
        )

    def list_images(self) -> list[Image]:
        images = [podman_spec.image_of(entry) for entry in self._api.get("/images/json")]
        return [dataclasses.replace(image, pinned=self._pause_image in image.names) for image in images]

    def image(self, reference: str) -> Image | None:
        try:
            return podman_spec.image_of(self._api.get(f"/images/{reference.removeprefix('sha256:')}/json"))
        except (ImageNotPresent, NoSuchContainer):
            return None

    def pull_image(self, reference: str, credentials: Credentials | None = None) -> Image:
        headers = credentials_header(credentials)
        try:
            response = self._api.lines("/images/pull", {"reference": reference}, method="POST", headers=headers)
            try:
                image_id = pull_result(stream_lines(response))
            finally:
                response.close()
        except ContainerRuntimeError as error:
            raise ImagePullError(str(error)) from error
        found = self.image(image_id)
        if found is None:
            raise ImagePullError(f"podman pulled {reference} but does not have it")
        return found

    def remove_image(self, image_id: str) -> None:
        self._api.delete(f"/images/{image_id.removeprefix('sha256:')}", {"force": "true"})

    def create_sandbox(self, spec: SandboxSpec) -> str:
        # The API cannot choose an OCI runtime: only that which Podman is configured with can be asked for.
        if spec.handler and spec.handler != self._api.get("/info")["host"]["ociRuntime"]["name"]:
            raise ContainerRuntimeError(f'no runtime for "{spec.handler}" is configured')
        return self._pinned.create(spec) if is_enough(spec) else self._create_holder(spec)

    def _create_holder(self, spec: SandboxSpec) -> str:
        try:
            request = podman_spec.sandbox_request(spec, self._pause_image)
            created = self._api.post("/containers/create", self._allowed(request))
        except ImageNotPresent as error:
            message = f"the pause image {self._pause_image} is not on this node: load it, or name one by --pause-image"
            raise ImageNotPresent(message) from error
        sandbox_id: str = created["Id"]
        try:
            self.start_container(sandbox_id)
            if spec.first_user:
                self._adopt_network(sandbox_id, Path(spec.network_namespace))
        except ContainerRuntimeError:
            self.remove_sandbox(sandbox_id)
            raise
        return sandbox_id

    def _adopt_network(self, sandbox_id: str, path: Path) -> None:
        """Name the network that was made with the users of a sandbox, who own it."""
        process = int(self._api.get(f"/containers/{sandbox_id}/json")["State"]["Pid"])
        try:
            namespaces.share(path.parent)
            namespaces.adopt(path, process)
        except OSError as error:
            raise ContainerRuntimeError(f"the network of sandbox {sandbox_id} cannot be named: {error}") from error

    def stop_sandbox(self, sandbox_id: str) -> None:
        if self._pinned.owns(sandbox_id):
            self._pinned.stop(sandbox_id)
        else:
            self.signal_container(sandbox_id, "SIGKILL")

    def remove_sandbox(self, sandbox_id: str) -> None:
        if self._pinned.owns(sandbox_id):
            self._pinned.remove(sandbox_id)
            return
        self._api.delete(f"/containers/{sandbox_id}", _REMOVE)

    def create_container(self, spec: ContainerSpec) -> str:
        parts = tuple(self._part(image, spec) for image in spec.images if image.sub_path)
        security = self._with_groups(spec)
        spec = dataclasses.replace(spec, security=security, mounts=(*spec.mounts, *parts))
        request = podman_spec.container_request(spec, self._largest_log, self._pinned.pins(spec.sandbox_id))
        created = self._api.post("/containers/create", self._allowed(request))
        container_id: str = created["Id"]
        return container_id

    def _part(self, image: ImageMount, spec: ContainerSpec) -> Mount:
        """A part of an image, which Podman mounts as a whole only: taken from a container of it that never starts.

        What is mounted from there stays when that container goes, as its layers lie over those of the image.
        """
        if self._layered is None:
            self.version()
        if not self._layered:
            raise ContainerRuntimeError("podman has no subPath of an image volume without the storage driver overlay")
        with self._unstarted(dataclasses.replace(spec, image_id=image.image_id)) as container_id:
            # The answer is the bare path, not JSON.
            root = self._api.send("POST", f"/containers/{container_id}/mount").decode().strip()
            return mount_of(image, Path(root), spec.name)

    def start_container(self, container_id: str) -> None:
        self._api.post(f"/containers/{container_id}/start")

    def signal_container(self, container_id: str, signal: str = "") -> None:
        query = {"signal": signal or self._stop_signal(container_id)}
        try:
            self._api.post(f"/containers/{container_id}/kill", query=query)
        except NoSuchContainer:
            return
        except ContainerRuntimeError as error:
            # Podman refuses to signal what has ended; that is what the caller wanted.
            if "not running" not in str(error) and "improper" not in str(error):
                raise

    def update_container(self, container_id: str, limits: Limits) -> None:
        # The answer is the container's bare id, not JSON.
        self._api.send("POST", f"/containers/{container_id}/update", body=podman_spec.resource_limits(limits))

    def reopen_log(self, container_id: str) -> None:
        raise ContainerRuntimeError("podman's monitor keeps logs small by itself and cannot be told to")

    def remove_container(self, container_id: str) -> None:
        self._api.delete(f"/containers/{container_id}", _REMOVE)
        self._users.pop(container_id, None)
        self._layers.pop(container_id, None)

    def inspect(self, container_id: str) -> Container:
        return self._whole(podman_spec.container_of(self._look(container_id)))

    def list(self, pod_uid: str = "") -> Inventory:
        label = f"{POD_UID}={pod_uid}" if pod_uid else POD_UID
        listed = self._listed({"all": "true", "filters": {"label": [label]}})
        ours = [self._settled(entry) for entry in listed if labels.are_ours(entry.get("Labels"))]
        return Inventory(
            (
                *self._pinned.list(pod_uid),
                *(podman_spec.sandbox_of(entry) for entry in ours if podman_spec.is_sandbox(entry)),
            ),
            tuple(self._whole(podman_spec.container_of(entry)) for entry in ours if not podman_spec.is_sandbox(entry)),
        )

    def _with_groups(self, spec: ContainerSpec) -> Security:
        """Groups as the policy has them: Podman adds those of the image exactly where no primary group is named."""
        security = spec.security
        if security.only_these_groups and not security.group:
            return dataclasses.replace(security, group=str(self._accounts(spec).primary_group(security.user)))
        if security.group and not security.only_these_groups:
            of_image = self._accounts(spec).memberships(security.user)
            groups = dict.fromkeys((*security.supplemental_groups, *of_image))
            return dataclasses.replace(security, supplemental_groups=tuple(groups))
        return security

    def _accounts(self, spec: ContainerSpec) -> Accounts:
        """The accounts of a container's image, read from a container of it that never starts."""
        known = self._known_accounts.get(spec.image_id)
        if known is None:
            with self._unstarted(spec) as container_id:
                texts = [self._file(container_id, name) for name in ("/etc/passwd", "/etc/group")]
            known = self._known_accounts[spec.image_id] = Accounts(*texts)
        return known

    @contextmanager
    def _unstarted(self, spec: ContainerSpec) -> Iterator[str]:
        """A container of the same image that is only looked into."""
        request = podman_spec.unstarted_request(spec)
        # One of a kubelet that was killed at this point would be in the way.
        self.remove_container(request["name"])
        container_id: str = self._api.post("/containers/create", request)["Id"]
        try:
            yield container_id
        finally:
            self.remove_container(container_id)

    def _file(self, container_id: str, name: str) -> str:
        """A file of a container, "" if it has none."""
        try:
            body = self._api.send("GET", f"/containers/{container_id}/archive", {"path": name})
        except NoSuchContainer:
            return ""
        return podman_spec.only_file(body)

    def _whole(self, found: Container) -> Container:
        """The container with who its process began as, which Podman tells to its OCI runtime only."""
        if found.state is State.CREATED:
            return found
        if found.id not in self._users:
            self._users[found.id] = podman_spec.user_of(self._bundle(found.id))
        return dataclasses.replace(found, user=self._users[found.id])

    def _bundle(self, container_id: str) -> bytes:
        if self._bundles is None:
            self.version()
        assert self._bundles is not None
        try:
            return (self._bundles / container_id / "userdata" / "config.json").read_bytes()
        except OSError:
            return b"{}"

    def _listed(self, query: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """What Podman lists; it gives up when a container goes while it looks, and is then asked again."""
        for _ in range(_LISTINGS - 1):
            with suppress(NoSuchContainer):
                return self._api.get("/containers/json", query) or []
        return self._api.get("/containers/json", query) or []

    def _settled(self, listed: dict[str, Any]) -> dict[str, Any]:
        """A listed container; one that should run and has no process is looked at more closely."""
        if listed["State"] not in _RUNNING or _is_alive(int(listed.get("Pid") or 0)):
            return listed
        try:
            return self._look(listed["Id"])
        except NoSuchContainer:
            return listed

    def _inspection(self, container_id: str) -> dict[str, Any]:
        try:
            return dict(self._api.get(f"/containers/{container_id}/json"))
        except ContainerRuntimeError as error:
            # Its process ended while Podman looked at it.
            if "no such process" not in str(error):
                raise
            return dict(self._api.get(f"/containers/{container_id}/json"))

    def _look(self, container_id: str) -> dict[str, Any]:
        """An inspection in the form of the list's."""
        found = self._inspection(container_id)
        if _is_lost(found["State"]):
            # Without its monitor Podman does not learn of the end; asked to stop it, it looks for itself.
            self._api.post(f"/containers/{container_id}/stop", query={"timeout": "0"})
            found = self._api.get(f"/containers/{container_id}/json")
            if found["State"]["Status"] not in ("exited", "stopped"):
                found["State"] |= podman_spec.UNSEEN_END | {"FinishedAt": found["State"]["StartedAt"]}
        return podman_spec.inspected(found)

    def exec(self, container_id: str, command: tuple[str, ...], *, terminal: bool, stdin: bool) -> Session:
        return ExecSession(self._api, container_id, command, terminal=terminal, stdin=stdin)

    def attach(self, container_id: str, *, terminal: bool, stdin: bool) -> Session:
        return AttachSession(self._api, container_id, terminal=terminal, stdin=stdin)

    def disk_use(self, pod_uid: str) -> dict[str, Written]:
        query = {"all": "true", "filters": {"label": [f"{POD_UID}={pod_uid}"]}}
        if self._layered:
            layers = {entry["Id"]: self._layer(entry["Id"]) for entry in self._listed(query)}
            used = {key: disk_use(layer) for key, layer in layers.items() if layer is not None}
            return {key: Written(found.bytes, found.inodes) for key, found in used.items()}
        sizes = {entry["Id"]: entry.get("Size") or {} for entry in self._listed(query | {"size": "true"})}
        return {key: Written(int(size.get("rwSize") or 0)) for key, size in sizes.items()}

    def _layer(self, container_id: str) -> Path | None:
        """The directory that holds what a container writes; None if it has gone."""
        if container_id not in self._layers:
            try:
                driver = self._api.get(f"/containers/{container_id}/json").get("GraphDriver") or {}
            except NoSuchContainer:
                return None
            self._layers[container_id] = Path((driver.get("Data") or {})["UpperDir"])
        return self._layers[container_id]

    def events(self) -> Iterator[RuntimeEvent]:
        # No filter by label: it would have to name a value, and with a name alone nothing comes.
        query = {"stream": "true", "filters": {"type": ["container"]}}
        self._events = response = self._api.lines("/events", query)
        try:
            for event in stream_lines(response):
                actor = event.get("Actor") or {}
                uid = (actor.get("Attributes") or {}).get(POD_UID)
                if uid:
                    yield RuntimeEvent(uid, actor.get("ID", ""), event.get("Action") or event.get("status") or "")
        finally:
            self._events = None
            response.close()

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    def _allowed(self, request: dict[str, Any]) -> dict[str, Any]:
        return request | {"oom_score_adj": max(self._lowest_oom_score, request["oom_score_adj"])}

    def _stop_signal(self, container_id: str) -> str:
        try:
            found = self._api.get(f"/containers/{container_id}/json")
        except NoSuchContainer:
            return "SIGTERM"
        # Podman gives the number of the image's STOPSIGNAL; 15 if it has none.
        return str(found["Config"].get("StopSignal") or 15)

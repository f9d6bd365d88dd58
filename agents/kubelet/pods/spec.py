"""What a pod's spec says, read in one place.

Invariant: pure functions over the pod object; an absent field reads as the API's default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import orjson

from agents.kubelet.runtime.interface import PodIdentity
from api import pod_resources, restarts
from api.objects import Object, is_deleting, name_of, namespace_of, uid_of
from api.runtime import parse_timestamp

TERMINAL = ("Succeeded", "Failed")


def identity(pod: Object) -> PodIdentity:
    """Which pod this is."""
    return PodIdentity(name_of(pod), namespace_of(pod), uid_of(pod))


def long_name(pod: Object) -> str:
    """`NAME_NAMESPACE(UID)`, as the kubelet's messages name a pod."""
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


def containers(pod: Object) -> list[Object]:
    """The regular containers."""
    return list(pod["spec"].get("containers") or [])


def init_containers(pod: Object) -> list[Object]:
    """Init containers and sidecars, in their order."""
    return list(pod["spec"].get("initContainers") or [])


def ephemeral_containers(pod: Object) -> list[Object]:
    """Containers added to the running pod (kubectl debug)."""
    return list(pod["spec"].get("ephemeralContainers") or [])


def all_containers(pod: Object) -> Iterator[Object]:
    """Every container of the spec, of whatever kind."""
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def find_container(pod: Object, name: str) -> Object | None:
    """The container of that name."""
    return next((entry for entry in all_containers(pod) if entry["name"] == name), None)


def image_mounts(pod: Object, container: Object) -> list[tuple[Object, Object]]:
    """A container's mounts of image volumes, each with the volume's source."""
    images = {entry["name"]: entry["image"] for entry in pod["spec"].get("volumes") or [] if entry.get("image")}
    mounts = container.get("volumeMounts") or []
    return [(mount, images[mount["name"]]) for mount in mounts if mount["name"] in images]


def claim_of(pod: Object, volume: Object) -> str:
    """The claim behind one of a pod's volumes, "" if there is none."""
    if volume.get("ephemeral") is not None:
        return f"{name_of(pod)}-{volume['name']}"
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")


def reads_claim_only(volume: Object) -> bool:
    """Whether a pod's volume is that of a claim and may only be read."""
    return bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def field_path(pod: Object, name: str) -> str:
    """Where events say that a container is: `spec.containers{NAME}`."""
    for field in ("initContainers", "ephemeralContainers"):
        if any(entry["name"] == name for entry in pod["spec"].get(field) or []):
            return f"spec.{field}{{{name}}}"
    return f"spec.containers{{{name}}}"


def is_sidecar(container: Object) -> bool:
    """Whether an init container keeps running beside the pod's containers."""
    return bool(container.get("restartPolicy") == "Always")


def is_initial(pod: Object, container: Object) -> bool:
    """Whether a container has to end well before those after it begin."""
    return container in init_containers(pod) and not is_sidecar(container)


def stop_signal(container: Object) -> str:
    """The signal that ends a container, "" for its image's."""
    return str((container.get("lifecycle") or {}).get("stopSignal") or "")


def may_restart(pod: Object) -> bool:
    """Whether some container of the pod may run again after a failure."""
    return any(restarts_after(pod, container, 1) for container in containers(pod))


def restart_policy(pod: Object) -> str:
    """Always, OnFailure or Never."""
    return str(pod["spec"].get("restartPolicy") or "Always")


def restarts_after(pod: Object, container: Object, exit_code: int) -> bool:
    """Whether a container that ended with that status is to run again."""
    return container not in ephemeral_containers(pod) and restarts.restarts_after(pod["spec"], container, exit_code)


def restarts_unwell(pod: Object, container: Object) -> bool:
    """Whether a container whose probe says that it is not well is to run again, however it ends."""
    return (container.get("restartPolicy") or restart_policy(pod)) != "Never"


def grace_period(pod: Object) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if seconds is None else float(seconds)


def deadline_of_deletion(pod: Object) -> float | None:
    """When a deleted pod's containers must be gone, seconds since the epoch; None if it is not deleted."""
    if not is_deleting(pod):
        return None
    return parse_timestamp(pod["metadata"]["deletionTimestamp"])


def is_host_network(pod: Object) -> bool:
    """Whether the pod uses the node's own network."""
    return bool(pod["spec"].get("hostNetwork"))


def shares_processes(pod: Object) -> bool:
    """Whether the pod's containers see each other's processes."""
    return bool(pod["spec"].get("shareProcessNamespace"))


def has_strict_groups(pod: Object) -> bool:
    """Whether its processes have no groups but those that the spec names."""
    return (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict"


def has_own_users(pod: Object) -> bool:
    """Whether the pod asks for a user namespace of its own."""
    return pod["spec"].get("hostUsers") is False


def is_terminal(pod: Object) -> bool:
    """Whether the API already says that the pod has ended for good."""
    return (pod.get("status") or {}).get("phase") in TERMINAL


def container_hash(container: Object) -> str:
    """What makes a running container out of date when it changes: its name and image.

    Source: kubelet/container HashContainer, which hashes the fields that may be changed in place.
    """
    content = orjson.dumps([container["name"], container.get("image")])
    return hashlib.sha256(content).hexdigest()[:16]


def resources_text(pod: Object, container: Object) -> str:
    """The CPU and memory of a container in one canonical text, to see whether they changed; with those of its pod.

    What the pod as a whole may use holds for each container that has no limit of its own.
    """
    chosen: Object = _cpu_and_memory(container)
    if pod["spec"].get("resources"):
        chosen["pod"] = _cpu_and_memory(pod["spec"])
    return orjson.dumps(chosen, option=orjson.OPT_SORT_KEYS).decode()


def _cpu_and_memory(holder: Object) -> Object:
    resources = holder.get("resources") or {}
    return {
        kind: {name: amount for name, amount in (resources.get(kind) or {}).items() if name in ("cpu", "memory")}
        for kind in ("limits", "requests")
    }


def resize_restarts(container: Object, before: str, after: str) -> bool:
    """Whether the change of resources asks for a restart of the container."""
    old, new = orjson.loads(before), orjson.loads(after)
    changed = {
        name
        for name in ("cpu", "memory")
        if any((old.get(kind) or {}).get(name) != (new.get(kind) or {}).get(name) for kind in ("limits", "requests"))
    }
    policies = {entry["resourceName"]: entry["restartPolicy"] for entry in container.get("resizePolicy") or []}
    return any(policies.get(name) == "RestartContainer" for name in changed)


def is_critical(pod: Object) -> bool:
    """Whether the node must run the pod before others. Source: kubelet/types IsCriticalPod."""
    return int(pod["spec"].get("priority") or 0) >= 2_000_000_000 or is_static(pod)


def is_node_critical(pod: Object) -> bool:
    """Whether the node itself cannot do without the pod. Source: kubelet/types IsNodeCriticalPod."""
    return is_critical(pod) and pod["spec"].get("priorityClassName") == "system-node-critical"


def is_static(pod: Object) -> bool:
    """Whether the pod comes from a file of the node and not from the API."""
    source = (pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.source")
    return source is not None and source != "api"


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort: as the server has written, or as it would."""
    return str((pod.get("status") or {}).get("qosClass") or pod_resources.qos_class(pod["spec"]))

"""The columns of nodes, namespaces, configuration, quotas, events and volumes.

Source: `kubectl get` of the original for the core group.
"""

from __future__ import annotations

from api import objects
from api.objects import Object
from control.apiserver.printing.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Doc,
    Printer,
    age,
    core,
    joined,
    since,
)  # fmt: skip

_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _node(node: Object, now: float) -> Cells:
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    return [
        objects.name_of(node),
        _node_word(node),
        _roles(node),
        age(node, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_word(node: Object) -> str:
    ready = objects.condition(node, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Object) -> str:
    labels = objects.labels_of(node)
    roles = {key[len(_ROLE_PREFIX) :] for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get(_ROLE_LABEL, ""))
    return joined(sorted(roles - {""}))


def _address(status: Object, kind: str) -> str:
    for address in status.get("addresses") or []:
        if address.get("type") == kind:
            return str(address.get("address"))
    return NONE


def _namespace(namespace: Object, now: float) -> Cells:
    return [objects.name_of(namespace), (namespace.get("status") or {}).get("phase", ""), age(namespace, now)]


def _secret(secret: Object, now: float) -> Cells:
    return [objects.name_of(secret), secret.get("type", ""), len(secret.get("data") or {}), age(secret, now)]


def _config_map(config: Object, now: float) -> Cells:
    entries = len(config.get("data") or {}) + len(config.get("binaryData") or {})
    return [objects.name_of(config), entries, age(config, now)]


def _service_account(account: Object, now: float) -> Cells:
    return [objects.name_of(account), len(account.get("secrets") or []), age(account, now)]


def _event(event: Object, now: float) -> Cells:
    is_new = event.get("apiVersion") == "events.k8s.io/v1"
    prefix = "deprecated" if is_new else ""
    first = event.get("deprecatedFirstTimestamp" if is_new else "firstTimestamp") or event.get("eventTime")
    last = event.get("deprecatedLastTimestamp" if is_new else "lastTimestamp") or first
    count = event.get("deprecatedCount" if is_new else "count") or 1
    series = event.get("series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    target = event.get("regarding" if is_new else "involvedObject") or {}
    kind = str(target.get("kind", "")).lower()
    source = event.get(f"{prefix}Source" if is_new else "source") or {}
    return [
        since(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{target['name']}" if target.get("name") else kind,
        target.get("fieldPath", ""),
        _source(source, event),
        str(event.get("note" if is_new else "message") or "").strip(),
        since(first, now),
        count,
        objects.name_of(event),
    ]


def _source(source: Object, event: Object) -> str:
    reporter = event.get("reportingController") or event.get("reportingComponent") or ""
    component, host = source.get("component") or reporter, source.get("host") or event.get("reportingInstance")
    return f"{component}, {host}" if host else str(component)


def _quota(quota: Object, now: float) -> Cells:
    status = quota.get("status") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name, hard in sorted((status.get("hard") or {}).items()):
        text = f"{name}: {(status.get('used') or {}).get(name, '0')}/{hard}"
        (limits if name.startswith("limits") else requests).append(text)
    return [objects.name_of(quota), ", ".join(requests), ", ".join(limits), age(quota, now)]


def _component_status(component: Object, now: float) -> Cells:
    healthy = objects.condition({"status": component}, "Healthy") or {}
    word = "Healthy" if healthy.get("status") == "True" else "Unhealthy" if healthy else "Unknown"
    return [objects.name_of(component), word, healthy.get("message", ""), healthy.get("error", "")]


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES[mode] for mode in _MODES if mode in (modes or []))


def _volume(volume: Object, now: float) -> Cells:
    spec, status = volume.get("spec") or {}, volume.get("status") or {}
    claim = spec.get("claimRef")
    return [
        objects.name_of(volume),
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if objects.is_deleting(volume) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age(volume, now),
        spec.get("volumeMode") or UNSET,
    ]


def _claim(claim: Object, now: float) -> Cells:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        objects.name_of(claim),
        "Terminating" if objects.is_deleting(claim) else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        age(claim, now),
        spec.get("volumeMode") or UNSET,
    ]


_EVENT_COLUMNS = (
    Column("Last Seen", "string", core("Event", "lastTimestamp")),
    Column("Type", "string", core("Event", "type")),
    Column("Reason", "string", core("Event", "reason")),
    Column("Object", "string", core("Event", "involvedObject")),
    Column("Subobject", "string", core("ObjectReference", "fieldPath"), priority=1),
    Column("Source", "string", core("Event", "source"), priority=1),
    Column("Message", "string", core("Event", "message")),
    Column("First Seen", "string", core("Event", "firstTimestamp"), priority=1),
    Column("Count", "string", core("Event", "count"), priority=1),
    Column("Name", "string", Doc("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "name"), "name", 1),
)

PRINTERS = {
    "Node": Printer(
        (
            NAME,
            Column("Status", "string", "The status of the node"),
            Column("Roles", "string", "The roles of the node"),
            AGE,
            Column("Version", "string", core("NodeSystemInfo", "kubeletVersion")),
            Column("Internal-IP", "string", core("NodeStatus", "addresses"), priority=1),
            Column("External-IP", "string", core("NodeStatus", "addresses"), priority=1),
            Column("OS-Image", "string", core("NodeSystemInfo", "osImage"), priority=1),
            Column("Kernel-Version", "string", core("NodeSystemInfo", "kernelVersion"), priority=1),
            Column("Container-Runtime", "string", core("NodeSystemInfo", "containerRuntimeVersion"), priority=1),
        ),
        _node,
    ),
    "Namespace": Printer((NAME, Column("Status", "string", "The status of the namespace"), AGE), _namespace),
    "Secret": Printer(
        (
            NAME,
            Column("Type", "string", core("Secret", "type")),
            Column("Data", "string", core("Secret", "data")),
            AGE,
        ),
        _secret,
    ),
    "ConfigMap": Printer((NAME, Column("Data", "string", core("ConfigMap", "data")), AGE), _config_map),
    "ServiceAccount": Printer(
        (NAME, Column("Secrets", "string", core("ServiceAccount", "secrets")), AGE), _service_account
    ),
    "Event": Printer(_EVENT_COLUMNS, _event),
    "ResourceQuota": Printer(
        (
            NAME,
            Column("Request", "string", "Request represents a minimum amount of cpu/memory that a container may"
                   " consume."),
            Column("Limit", "string", "Limits control the maximum amount of cpu/memory that a container may use"
                   " independent of contention on the node."),
            AGE,
        ),
        _quota,
    ),
    "ComponentStatus": Printer(
        (
            NAME,
            Column("Status", "string", "Status of the component conditions"),
            Column("Message", "string", "Message of the component conditions"),
            Column("Error", "string", "Error of the component conditions"),
        ),
        _component_status,
    ),
    "PersistentVolume": Printer(
        (
            NAME,
            Column("Capacity", "string", core("PersistentVolumeSpec", "capacity")),
            Column("Access Modes", "string", core("PersistentVolumeSpec", "accessModes")),
            Column("Reclaim Policy", "string", core("PersistentVolumeSpec", "persistentVolumeReclaimPolicy")),
            Column("Status", "string", core("PersistentVolumeStatus", "phase")),
            Column("Claim", "string", core("PersistentVolumeSpec", "claimRef")),
            Column("StorageClass", "string", "StorageClass of the pv"),
            Column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
            Column("Reason", "string", core("PersistentVolumeStatus", "reason")),
            AGE,
            Column("VolumeMode", "string", core("PersistentVolumeSpec", "volumeMode"), priority=1),
        ),
        _volume,
    ),
    "PersistentVolumeClaim": Printer(
        (
            NAME,
            Column("Status", "string", core("PersistentVolumeClaimStatus", "phase")),
            Column("Volume", "string", core("PersistentVolumeClaimSpec", "volumeName")),
            Column("Capacity", "string", core("PersistentVolumeClaimStatus", "capacity")),
            Column("Access Modes", "string", core("PersistentVolumeClaimStatus", "accessModes")),
            Column("StorageClass", "string", "StorageClass of the pvc"),
            Column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
            AGE,
            Column("VolumeMode", "string", core("PersistentVolumeClaimSpec", "volumeMode"), priority=1),
        ),
        _claim,
    ),
}  # fmt: skip

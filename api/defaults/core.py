"""Defaults of the core group.

Source: the core group in the API reference.
"""

from __future__ import annotations

from api.defaults import pods
from api.defaults.fill import child, fill, fill_absent, items
from api.objects import Object

_AFFINITY_TIMEOUT = 10800


def default_claim_spec(spec: Object) -> None:
    """The spec of a PersistentVolumeClaim, also inside templates."""
    fill(spec, volumeMode="Filesystem")
    pods.default_resources(child(spec, "resources"))


def _service(service: Object) -> None:
    spec = service["spec"]
    fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        fill_absent(child(spec, "sessionAffinityConfig", "clientIP"), timeoutSeconds=_AFFINITY_TIMEOUT)
    for port in items(spec, "ports"):
        fill(port, protocol="TCP", targetPort=port.get("port"))
    kind = spec["type"]
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, externalTrafficPolicy="Cluster")
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        fill_absent(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        fill_absent(spec, allocateLoadBalancerNodePorts=True)
    ingress = child(service, "status", "loadBalancer")
    if kind == "LoadBalancer":
        for point in items(ingress, "ingress"):
            if point.get("ip"):
                fill_absent(point, ipMode="VIP")


def _replication_controller(controller: Object) -> None:
    spec = controller["spec"]
    fill_absent(spec, replicas=1)
    template = spec.get("template")
    if not isinstance(template, dict):
        return
    pods.default_template(template)
    labels = template["metadata"].get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not controller["metadata"].get("labels"):
            controller["metadata"]["labels"] = dict(labels)


def _namespace(namespace: Object) -> None:
    fill(namespace["status"], phase="Active")
    name = namespace["metadata"].get("name")
    if name:
        child(namespace["metadata"], "labels")["kubernetes.io/metadata.name"] = name


def _node(node: Object) -> None:
    # The older field tells the first of the newer one's ranges; who writes one of them finds both.
    spec, status = node["spec"], node["status"]
    if spec.get("podCIDR"):
        fill(spec, podCIDRs=[spec["podCIDR"]])
    if spec.get("podCIDRs"):
        fill(spec, podCIDR=spec["podCIDRs"][0])
    if status.get("capacity") is not None:
        fill_absent(status, allocatable=dict(status["capacity"]))
    for field in ("capacity", "allocatable"):
        pods.default_resources({"limits": status.get(field) or {}})


def _persistent_volume(volume: Object) -> None:
    spec = volume["spec"]
    fill(volume["status"], phase="Pending")
    fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    pods.default_volume_source(spec)


def _persistent_volume_claim(claim: Object) -> None:
    fill(claim["status"], phase="Pending")
    default_claim_spec(claim["spec"])


def _endpoints(endpoints: Object) -> None:
    for subset in items(endpoints, "subsets"):
        for port in items(subset, "ports"):
            fill(port, protocol="TCP")


def _limit_range(limits: Object) -> None:
    for item in items(limits["spec"], "limits"):
        if item.get("type") != "Container":
            continue
        default = (item.get("max") or {}) | (item.get("default") or {})
        request = (item.get("min") or {}) | default | (item.get("defaultRequest") or {})
        item |= {"default": default} if default else {}
        item |= {"defaultRequest": request} if request else {}


def _pod_template(template: Object) -> None:
    pods.default_template(child(template, "template"))


def _secret(secret: Object) -> None:
    fill(secret, type="Opaque")


DEFAULTERS = {
    "Pod": pods.default_pod,
    "PodTemplate": _pod_template,
    "Service": _service,
    "ReplicationController": _replication_controller,
    "Namespace": _namespace,
    "Node": _node,
    "PersistentVolume": _persistent_volume,
    "PersistentVolumeClaim": _persistent_volume_claim,
    "Endpoints": _endpoints,
    "LimitRange": _limit_range,
    "Secret": _secret,
}

"""Defaults of pod specs, wherever one is embedded, and of pods themselves.

Invariant: what only a Pod gets (requests from limits, service links, one second instead of a negative grace) does not
appear in templates.
Source: "Pod" in the API reference.
"""

from __future__ import annotations

from api import quantities
from api.defaults.fill import child, fill, fill_absent, items
from api.objects import Object
from api.pod_resources import asked_together

_DEFAULT_MODE = 0o644
_MODE_SOURCES = ("secret", "configMap", "downwardAPI", "projected")
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def default_pod(pod: Object) -> None:
    """A Pod."""
    spec = pod["spec"]
    default_pod_spec(spec)
    for field in ("containers", "initContainers"):
        for container in items(spec, field):
            _requests_from_limits(container["resources"])
            if spec.get("hostNetwork"):
                for port in items(container, "ports"):
                    fill(port, hostPort=port.get("containerPort"))
    if isinstance(spec.get("resources"), dict):
        _default_pod_resources(spec)
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    fill_absent(spec, enableServiceLinks=True)


def default_pod_spec(spec: Object) -> None:
    """The spec of a pod or of a template."""
    fill(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    fill_absent(spec, securityContext={}, terminationGracePeriodSeconds=30)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in items(spec, "volumes"):
        _default_volume(volume)
    for field in _CONTAINER_LISTS:
        for container in items(spec, field):
            _default_container(container)
    for name in spec.get("overhead") or {}:
        spec["overhead"][name] = _rounded(spec["overhead"][name])


def default_template(template: Object) -> None:
    """A PodTemplateSpec."""
    child(template, "metadata")
    default_pod_spec(child(template, "spec"))


def default_resources(resources: Object) -> None:
    """Limits and requests in whole thousandths."""
    for field in ("limits", "requests"):
        amounts = resources.get(field) or {}
        for name, text in amounts.items():
            amounts[name] = _rounded(text)


def pull_policy(image: str) -> str:
    """Always for the tag `latest`, said or implied; IfNotPresent for any other tag or a digest."""
    name, digest, _ = image.partition("@")
    if digest:
        return "IfNotPresent"
    _, colon, tag = name.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _default_container(container: Object) -> None:
    fill(
        container,
        imagePullPolicy=pull_policy(str(container.get("image") or "")),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    default_resources(child(container, "resources"))
    for port in items(container, "ports"):
        fill(port, protocol="TCP")
    for variable in items(container, "env"):
        _default_field_reference(variable.get("valueFrom"))
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(field)
        if isinstance(probe, dict):
            fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            _default_http_get(probe)
            if isinstance(probe.get("grpc"), dict):
                fill_absent(probe["grpc"], service="")
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _default_http_get(handler)
    if isinstance(container.get("securityContext"), dict):
        _default_proc_mount(container["securityContext"])


def _default_proc_mount(context: Object) -> None:
    if "procMount" in context:
        fill(context, procMount="Default")


def _default_http_get(handler: Object) -> None:
    if isinstance(handler.get("httpGet"), dict):
        fill(handler["httpGet"], path="/", scheme="HTTP")


def _default_field_reference(source: Object | None) -> None:
    if source and isinstance(source.get("fieldRef"), dict):
        fill(source["fieldRef"], apiVersion="v1")


def _default_volume(volume: Object) -> None:
    if all(value is None for name, value in volume.items() if name != "name"):
        volume["emptyDir"] = {}
    for field in _MODE_SOURCES:
        if isinstance(volume.get(field), dict):
            fill_absent(volume[field], defaultMode=_DEFAULT_MODE)
    default_volume_source(volume)
    for item in items(volume.get("downwardAPI"), "items"):
        _default_field_reference(item)
    for source in items(volume.get("projected"), "sources"):
        if isinstance(source.get("serviceAccountToken"), dict):
            fill_absent(source["serviceAccountToken"], expirationSeconds=3600)
        for item in items(source.get("downwardAPI"), "items"):
            _default_field_reference(item)
    if isinstance(volume.get("image"), dict):
        fill(volume["image"], pullPolicy=pull_policy(str(volume["image"].get("reference") or "")))
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if isinstance(claim, dict):
        fill(child(claim, "spec"), volumeMode="Filesystem")


def default_volume_source(source: Object) -> None:
    """The sources that pods and persistent volumes share."""
    if isinstance(source.get("hostPath"), dict):
        fill_absent(source["hostPath"], type="")
    if isinstance(source.get("iscsi"), dict):
        fill(source["iscsi"], iscsiInterface="default")
    if isinstance(source.get("rbd"), dict):
        fill(source["rbd"], pool="rbd", user="admin", keyring="/etc/ceph/keyring")
    if isinstance(source.get("azureDisk"), dict):
        fill(source["azureDisk"], cachingMode="ReadWrite", kind="Shared", fsType="ext4")
        fill_absent(source["azureDisk"], readOnly=False)
    if isinstance(source.get("scaleIO"), dict):
        fill(source["scaleIO"], storageMode="ThinProvisioned", fsType="xfs")


def _requests_from_limits(resources: Object) -> None:
    limits = resources.get("limits")
    if limits:
        resources["requests"] = limits | (resources.get("requests") or {})


def _default_pod_resources(spec: Object) -> None:
    """Pod-level requests: what the containers ask for together, else the pod-level limits."""
    resources = spec["resources"]
    default_resources(resources)
    limits = resources.get("limits") or {}
    if not limits:
        return
    try:
        asked = asked_together(spec)
    except (ValueError, TypeError):
        # What is no quantity is left for validation to refuse.
        return
    summed = {name: str(amount) for name, amount in asked.items() if name in ("cpu", "memory")}
    requests = resources.get("requests") or {}
    resources["requests"] = limits | summed | requests


def _rounded(text: object) -> object:
    """In whole thousandths; what is no quantity is left for validation to refuse."""
    try:
        return str(quantities.parse(text).rounded_to_milli())
    except (ValueError, TypeError):
        return text

"""What a pod refers to: the secrets, config maps, claims and account that its node must be able to read.

Invariant: a reference is (plural, namespace, name); an optional reference counts like any other.
Source: pkg/api/v1/pod/util.go, VisitPodSecretNames and VisitPodConfigmapNames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.objects import Object

Reference = tuple[str, str, str]


def references(pod: Object) -> frozenset[Reference]:
    """Everything that a pod refers to in its namespace."""
    spec, namespace = pod.get("spec") or {}, pod["metadata"].get("namespace", "")
    return frozenset((plural, namespace, name) for plural, name in _named(spec, pod["metadata"]["name"]) if name)


def _named(spec: Object, pod_name: str) -> Iterator[tuple[str, str]]:
    yield "serviceaccounts", spec.get("serviceAccountName", "")
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _of_environment(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, pod_name)


def _of_environment(container: Object) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        yield "secrets", (source.get("secretRef") or {}).get("name", "")
        yield "configmaps", (source.get("configMapRef") or {}).get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield "secrets", (source.get("secretKeyRef") or {}).get("name", "")
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name", "")


def _of_volume(volume: Object, pod_name: str) -> Iterator[tuple[str, str]]:
    yield "secrets", (volume.get("secret") or {}).get("secretName", "")
    yield "configmaps", (volume.get("configMap") or {}).get("name", "")
    yield "persistentvolumeclaims", (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", f"{pod_name}-{volume.get('name', '')}"
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "secrets", (source.get("secret") or {}).get("name", "")
        yield "configmaps", (source.get("configMap") or {}).get("name", "")
    for kind in ("azureFile", "cephfs", "csi", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
        yield from _of_driver(volume.get(kind) or {})


def _of_driver(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "secrets", source.get("secretName", "")
    for field in ("secretRef", "nodePublishSecretRef"):
        yield "secrets", (source.get(field) or {}).get("name", "")

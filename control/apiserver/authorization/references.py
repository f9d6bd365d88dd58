"""What a pod refers to, the secrets, config maps, claims and account that its node must be able to read, and what the
volumes that it claims do.

Invariant: a reference is (plural, namespace, name); an optional reference counts like any other.
Source: pkg/api/v1/pod/util.go, VisitPodSecretNames and VisitPodConfigmapNames; pkg/api/v1/persistentvolume/util.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.objects import Object

Reference = tuple[str, str, str]

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a pod that a node tells of, which is no word of the cluster's."""


def references(pod: Object) -> frozenset[Reference]:
    """Everything that a pod refers to in its namespace."""
    spec, namespace = pod.get("spec") or {}, pod["metadata"].get("namespace", "")
    named = [*_named(spec, pod["metadata"]["name"]), *_generated(pod.get("status") or {})]
    return frozenset((plural, namespace, name) for plural, name in named if name)


def volume_secrets(volume: Object) -> frozenset[Reference]:
    """The secrets by which a node mounts a persistent volume; those of its controller are none of the node's."""
    spec = volume.get("spec") or {}
    namespace = (spec.get("claimRef") or {}).get("namespace", "")
    found = [(namespace, (spec.get("azureFile") or {}).get("secretName"))]
    if (spec.get("azureFile") or {}).get("secretNamespace"):
        found = [(spec["azureFile"]["secretNamespace"], spec["azureFile"].get("secretName"))]
    for kind in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos", "csi"):
        source = spec.get(kind) or {}
        for field in ("secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"):
            secret = source.get(field) or {}
            found.append((secret.get("namespace") or namespace, secret.get("name")))
    return frozenset(("secrets", where, name) for where, name in found if name)


def _generated(status: Object) -> Iterator[tuple[str, str]]:
    """The claims of devices that were made for the pod."""
    for claim in status.get("resourceClaimStatuses") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""
    yield "resourceclaims", (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName") or ""


def _named(spec: Object, pod_name: str) -> Iterator[tuple[str, str]]:
    yield "serviceaccounts", spec.get("serviceAccountName", "")
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _of_environment(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, pod_name)
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""


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

"""The labels that sandboxes and containers carry, whatever the runtime: all that the kubelet must find again.

Invariant: what is written here is read here, so that a driver only says where its runtime keeps labels.
Source: the names are the original's (kubelet's kuberuntime labels.go), so that other tools know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from agents.kubelet.runtime.interface import (
    CONTAINER_HASH,
    CONTAINER_IMAGE,
    CONTAINER_IMAGE_DIGEST,
    CONTAINER_IMAGE_ID,
    CONTAINER_NAME,
    CONTAINER_RESOURCES,
    KIND,
    LOG_PATH,
    MOUNTED_IMAGES,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RESTART_COUNT,
    SANDBOX_ID,
    ContainerSpec,
    PodIdentity,
    SandboxSpec,
)


class Remembered(TypedDict):
    """The part of a `Container` that its labels tell."""

    pod: PodIdentity
    name: str
    attempt: int
    sandbox_id: str
    image: str
    image_digest: str
    log_path: str
    spec_hash: str
    resources: str
    mounted_images: tuple[str, ...]


def of_sandbox(spec: SandboxSpec) -> dict[str, str]:
    """The labels of a sandbox to make."""
    return _of_pod(spec.pod) | dict(spec.labels) | {KIND: "sandbox", RESTART_COUNT: str(spec.attempt)}


def of_container(spec: ContainerSpec) -> dict[str, str]:
    """The labels of a container to make."""
    own = {
        KIND: "container",
        CONTAINER_NAME: spec.name,
        CONTAINER_IMAGE: spec.image,
        CONTAINER_IMAGE_ID: spec.image_id,
        CONTAINER_IMAGE_DIGEST: spec.image_digest,
        RESTART_COUNT: str(spec.attempt),
        SANDBOX_ID: spec.sandbox_id,
        LOG_PATH: spec.log_path,
    }
    if spec.images:
        own[MOUNTED_IMAGES] = ",".join(mount.image_id for mount in spec.images)
    return _of_pod(spec.pod) | dict(spec.labels) | own


def are_ours(labels: Mapping[str, str] | None) -> bool:
    """Whether the kubelet made what carries these labels."""
    return labels is not None and POD_UID in labels and KIND in labels


def pod(labels: Mapping[str, str]) -> PodIdentity:
    """Whose the labels are."""
    return PodIdentity(labels.get(POD_NAME, ""), labels.get(POD_NAMESPACE, ""), labels[POD_UID])


def attempt(labels: Mapping[str, str]) -> int:
    """How often the same was made before."""
    return int(labels.get(RESTART_COUNT) or 0)


def remembered(labels: Mapping[str, str]) -> Remembered:
    """What a container's labels tell of it."""
    return {
        "pod": pod(labels),
        "name": labels[CONTAINER_NAME],
        "attempt": attempt(labels),
        "sandbox_id": labels.get(SANDBOX_ID, ""),
        "image": labels.get(CONTAINER_IMAGE, ""),
        "image_digest": labels.get(CONTAINER_IMAGE_DIGEST, ""),
        "log_path": labels.get(LOG_PATH, ""),
        "spec_hash": labels.get(CONTAINER_HASH, ""),
        "resources": labels.get(CONTAINER_RESOURCES, ""),
        "mounted_images": tuple(filter(None, labels.get(MOUNTED_IMAGES, "").split(","))),
    }


def _of_pod(pod: PodIdentity) -> dict[str, str]:
    return {POD_NAME: pod.name, POD_NAMESPACE: pod.namespace, POD_UID: pod.uid}

"""Who a container runs as: the pod's and the container's security context, and the image's user.

Invariant: the container's word counts before the pod's; the image's only where both are silent.
Source: kubelet's securitycontext.DetermineEffectiveSecurityContext and verifyRunAsNonRoot.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import StartProblem
from agents.kubelet.runtime.interface import Image, Security
from api.objects import Object

_CONFIG_ERROR = "CreateContainerConfigError"


@dataclass(frozen=True, slots=True)
class Seccomp:
    """Where profiles of the node lie, and whether the runtime's own holds for containers that name none."""

    root: Path
    by_default: bool = False


def effective(pod: Object, container: Object, field: str) -> Any:
    """A field of the security context: the container's, else the pod's, else None."""
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(field)


def security(pod: Object, container: Object, image: Image, seccomp: Seccomp) -> Security:
    """What the runtime is told. Raises StartProblem if the pod demands a user other than root and gets root."""
    context = container.get("securityContext") or {}
    pod_context = pod["spec"].get("securityContext") or {}
    user, group = effective(pod, container, "runAsUser"), effective(pod, container, "runAsGroup")
    _verify_not_root(pod, container, image, user)
    capabilities = context.get("capabilities") or {}
    groups = list(pod_context.get("supplementalGroups") or [])
    if pod_context.get("fsGroup") is not None:
        groups.append(pod_context["fsGroup"])
    privileged = bool(context.get("privileged"))
    strict = spec.has_strict_groups(pod)
    return Security(
        user=str(user) if user is not None else _image_user(image, chosen=group is not None or strict),
        group=str(group) if group is not None else _image_group(image) if strict and user is None else "",
        supplemental_groups=tuple(int(entry) for entry in groups),
        only_these_groups=strict,
        privileged=privileged,
        read_only_root=bool(context.get("readOnlyRootFilesystem")),
        no_new_privileges=context.get("allowPrivilegeEscalation") is False,
        capabilities_added=tuple(_capability(name) for name in capabilities.get("add") or []),
        capabilities_dropped=tuple(_capability(name) for name in capabilities.get("drop") or []),
        unmasked=context.get("procMount") == "Unmasked",
        seccomp_profile=_seccomp(effective(pod, container, "seccompProfile"), privileged, seccomp),
    )


def _image_user(image: Image, *, chosen: bool) -> str:
    """The image's user where it has to be named, because something else about it is."""
    return image.user.partition(":")[0] if chosen else ""


def _image_group(image: Image) -> str:
    return image.user.partition(":")[2]


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"


def _seccomp(profile: Object | None, privileged: bool, seccomp: Seccomp) -> str:
    """The profile's path; "" is the runtime's default. Source: kuberuntime getSeccompProfile."""
    kind = (profile or {}).get("type") or ("RuntimeDefault" if seccomp.by_default else "Unconfined")
    if kind == "Localhost":
        return str(seccomp.root / (profile or {})["localhostProfile"])
    return "unconfined" if kind == "Unconfined" or privileged else ""


def _verify_not_root(pod: Object, container: Object, image: Image, user: int | None) -> None:
    if not effective(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{spec.long_name(pod)}", container: {container["name"]})'
    if user is not None:
        if user == 0:
            raise StartProblem(_CONFIG_ERROR, f"container's runAsUser breaks non-root policy {where}")
        return
    name_in_image = image.user.partition(":")[0]
    if name_in_image in ("", "0"):
        raise StartProblem(_CONFIG_ERROR, f"container has runAsNonRoot and image will run as root {where}")
    if not name_in_image.isdigit():
        message = (
            f"container has runAsNonRoot and image has non-numeric user ({name_in_image}), "
            f"cannot verify user is non-root {where}"
        )
        raise StartProblem(_CONFIG_ERROR, message)

"""The checks of the level Restricted: what a hardened pod must say of itself.

Invariant: a check names every container that offends, in the original's words.
Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.admission.pod_security.judging import (
    Judged,
    Violation,
    adds_beyond,
    bad_seccomp,
    named,
    quoted,
    security,
    who,
)

_VOLUMES = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip


def escalation(judged: Judged) -> Violation | None:
    """Processes that may gain more privileges than their parents have."""
    if judged.is_windows:
        return None
    found = [one for one in judged.containers if security(one).get("allowPrivilegeEscalation") is not False]
    detail = "must set securityContext.allowPrivilegeEscalation=false"
    return ("allowPrivilegeEscalation != false", f"{named(found)} {detail}") if found else None


def capabilities(judged: Judged) -> Violation | None:
    """Capabilities that are not given up."""
    if judged.is_windows:
        return None

    def drops(container: Object) -> list[str]:
        return (security(container).get("capabilities") or {}).get("drop") or []

    keeping = [one for one in judged.containers if "ALL" not in drops(one)]
    details = [f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    adding = adds_beyond(judged, frozenset({"NET_BIND_SERVICE"}))
    details += [adding] if adding else []
    return ("unrestricted capabilities", "; ".join(details)) if details else None


def volume_types(judged: Judged) -> Violation | None:
    """Volumes that are neither the pod's own nor claimed."""
    found: list[tuple[str, str]] = []
    for volume in judged.spec.get("volumes") or ():
        kind = next((field for field in volume if field != "name"), "unknown")
        if kind not in _VOLUMES:
            found.append((volume["name"], kind))
    if not found:
        return None
    kinds = sorted({kind for _, kind in found})
    use = "use restricted volume type" if len(found) > 1 else "uses restricted volume type"
    names = f"volume{'s' * (len(found) > 1)} {quoted(name for name, _ in found)}"
    return "restricted volume types", f"{names} {use}{'s' * (len(kinds) > 1)} {quoted(kinds)}"


def non_root(judged: Judged) -> Violation | None:
    """Containers that are not bound to run as somebody else than root."""
    if judged.has_own_users:
        return None
    whole = security(judged.spec).get("runAsNonRoot")
    explicit = [one for one in judged.containers if security(one).get("runAsNonRoot") is False]
    setters = who(whole is False, explicit)
    if setters:
        return "runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false"
    silent = [one for one in judged.containers if security(one).get("runAsNonRoot") is None]
    if whole or not silent:
        return None
    return "runAsNonRoot != true", f"pod or {named(silent)} must set securityContext.runAsNonRoot=true"


def root_user(judged: Judged) -> Violation | None:
    """Containers that run as root."""
    if judged.has_own_users:
        return None
    found = [one for one in judged.containers if security(one).get("runAsUser") == 0]
    setters = who(security(judged.spec).get("runAsUser") == 0, found)
    return ("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def seccomp(judged: Judged) -> Violation | None:
    """Containers that no seccomp profile confines."""
    if judged.is_windows:
        return None
    bad = bad_seccomp(judged)
    if bad:
        return bad
    silent = [one for one in judged.containers if not security(one).get("seccompProfile")]
    if security(judged.spec).get("seccompProfile") or not silent:
        return None
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {named(silent)} {wanted}"

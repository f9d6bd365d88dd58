"""The Pod Security Standards: which checks make up a level, as of which version.

Two rules that came late hold as of every version, as in the original: that volumes of images are harmless, and that
AppArmor is judged by fields too.

Invariant: checks are in the original's order: those of Baseline first, each group by its identifiers.
Source: k8s.io/pod-security-admission/policy, registry.go.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.admission.pod_security import baseline, restricted
from control.apiserver.admission.pod_security.judging import LATEST, Check, Judged, Violation

LEVELS = ("privileged", "baseline", "restricted")

_END = LATEST + 1

# Each check with the minor version as of which it holds, and the one as of which it no longer does: for Restricted
# that is where a check of its own takes the place of one of Baseline.
_BASELINE: tuple[tuple[int, int, Check], ...] = (
    (0, _END, baseline.apparmor),
    (0, _END, baseline.capabilities),
    (0, _END, baseline.host_namespaces),
    (0, _END, baseline.host_path),
    (0, _END, baseline.host_ports),
    (34, _END, baseline.host_probes),
    (0, _END, baseline.privileged),
    (0, _END, baseline.proc_mount),
    (0, _END, baseline.selinux),
    (0, 19, baseline.seccomp_annotations),
    (19, _END, baseline.seccomp),
    (0, _END, baseline.sysctls),
    (0, _END, baseline.host_process),
)
_OVERRIDDEN: dict[Check, int] = {
    baseline.capabilities: 22,
    baseline.host_path: 0,
    baseline.proc_mount: 35,
    baseline.seccomp: 19,
}
_CHECKS: dict[str, tuple[tuple[int, int, Check], ...]] = {
    "baseline": _BASELINE,
    "restricted": (
        *((since, _OVERRIDDEN.get(check, until), check) for since, until, check in _BASELINE),
        (8, _END, restricted.escalation),
        (22, _END, restricted.capabilities),
        (35, _END, baseline.unmasked),
        (0, _END, restricted.volume_types),
        (0, _END, restricted.non_root),
        (23, _END, restricted.root_user),
        (19, _END, restricted.seccomp),
    ),
}


def violations(level: str, pod: Object, minor: int = LATEST) -> list[Violation]:
    """What a pod violates at a level as of a minor version, as (reason, detail)."""
    spec, metadata = pod["spec"], pod.get("metadata") or {}
    containers = [
        one for field in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(field) or ()
    ]
    judged = Judged(spec, containers, metadata.get("annotations") or {}, minor)
    found = (check(judged) for since, until, check in _CHECKS.get(level, ()) if since <= minor < until)
    return [violation for violation in found if violation is not None]

"""The checks of the level Baseline: what lets a pod out of its isolation.

Invariant: a check names every container that offends, in the original's words.
Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Iterator

from api.app_armor import ANNOTATION
from api.objects import Object
from api.seccomp import SECCOMP_OF_CONTAINER, SECCOMP_OF_POD
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

_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
# Since which minor version a sysctl, or a type of SELinux, is harmless.
_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0, "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27, "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29, "net.ipv4.tcp_keepalive_probes": 29, "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32, "net.ipv4.tcp_slow_start_after_idle": 37, "net.ipv4.tcp_notsent_lowat": 37,
}  # fmt: skip
_SELINUX_TYPES = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}


def apparmor(judged: Judged) -> Violation | None:
    """Profiles other than the runtime's own and the node's."""

    def kind(holder: Object) -> str:
        found = (security(holder).get("appArmorProfile") or {}).get("type")
        return "" if found in (None, "RuntimeDefault", "Localhost") else str(found)

    found = [one for one in judged.containers if kind(one)]
    noted = sorted(
        f'{key}="{value}"'
        for key, value in judged.annotations.items()
        if key.startswith(ANNOTATION) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    values = [*sorted({kind(one) for one in (judged.spec, *found)} - {""}), *noted]
    if not values:
        return None
    others = ["annotations" if len(noted) > 1 else "annotation"] * bool(noted)
    setters = who(bool(kind(judged.spec)), found, *others)
    reason = f"forbidden AppArmor profile{'s' * (len(values) > 1)}"
    return reason, f"{setters} must not set AppArmor profile type to {quoted(values)}"


def capabilities(judged: Judged) -> Violation | None:
    """Capabilities beyond those that runtimes give."""
    detail = adds_beyond(judged, _DEFAULT_CAPABILITIES)
    return ("non-default capabilities", detail) if detail else None


def host_namespaces(judged: Judged) -> Violation | None:
    """The node's network, processes and shared memory."""
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if judged.spec.get(field)]
    return ("host namespaces", ", ".join(found)) if found else None


def host_path(judged: Judged) -> Violation | None:
    """The node's files."""
    found = [volume["name"] for volume in judged.spec.get("volumes") or () if volume.get("hostPath") is not None]
    return ("hostPath volumes", f"volume{'s' * (len(found) > 1)} {quoted(found)}") if found else None


def host_ports(judged: Judged) -> Violation | None:
    """Ports of the node; sorted as texts, as the original has them."""
    found = [one for one in judged.containers if any(port.get("hostPort") for port in one.get("ports") or ())]
    if not found:
        return None
    ports = sorted({str(port["hostPort"]) for one in found for port in one["ports"] if port.get("hostPort")})
    verb = "use" if len(found) > 1 else "uses"
    return "hostPort", f"{named(found)} {verb} hostPort{'s' * (len(ports) > 1)} {', '.join(ports)}"


def host_probes(judged: Judged) -> Violation | None:
    """Probes and hooks that make the node speak to other hosts."""
    found = [(one, set(_hosts(one))) for one in judged.containers]
    names = sorted({str(one["name"]) for one, hosts in found if hosts})
    hosts = sorted(set().union(*(hosts for _, hosts in found)))
    if not names:
        return None
    containers = f"container{'s' * (len(names) > 1)} {quoted(names)} {'use' if len(names) > 1 else 'uses'}"
    reason = "probe or lifecycle host"
    return reason, f"{containers} {reason}{'s' * (len(hosts) > 1)} {quoted(hosts)}"


def _hosts(container: Object) -> Iterator[str]:
    hooks = container.get("lifecycle") or {}
    handlers = [container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    for handler in (*handlers, hooks.get("postStart"), hooks.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(kind) or {}).get("host")
            if host:
                yield host


def privileged(judged: Judged) -> Violation | None:
    """Containers that may do everything."""
    found = [one for one in judged.containers if security(one).get("privileged")]
    return ("privileged", f"{named(found)} must not set securityContext.privileged=true") if found else None


def proc_mount(judged: Judged) -> Violation | None:
    """A /proc of which nothing is hidden."""
    return None if judged.has_own_users else unmasked(judged)


def unmasked(judged: Judged) -> Violation | None:
    """The same, whoever the pod's users are."""
    found = [one for one in judged.containers if security(one).get("procMount") not in (None, "Default")]
    if not found:
        return None
    kinds = sorted({security(one)["procMount"] for one in found})
    return "procMount", f"{named(found)} must not set securityContext.procMount to {quoted(kinds)}"


def selinux(judged: Judged) -> Violation | None:
    """Labels that are not those of containers."""

    def options(holder: Object) -> Object:
        return security(holder).get("seLinuxOptions") or {}

    def odd(holder: Object) -> str:
        kind = options(holder).get("type") or ""
        return "" if _SELINUX_TYPES.get(kind, judged.minor + 1) <= judged.minor else str(kind)

    def bad(holder: Object) -> bool:
        return bool(odd(holder) or options(holder).get("user") or options(holder).get("role"))

    holders = [holder for holder in (judged.spec, *judged.containers) if bad(holder)]
    if not holders:
        return None
    kinds = sorted({odd(one) for one in holders} - {""})
    parts = [f"type{'s' * (len(kinds) > 1)} {quoted(kinds)}"] if kinds else []
    parts += [
        f"{field} may not be set" for field in ("user", "role") if any(options(one).get(field) for one in holders)
    ]
    setters = who(bad(judged.spec), [one for one in judged.containers if bad(one)])
    return "seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"


def seccomp_annotations(judged: Judged) -> Violation | None:
    """Seccomp as it was told before there were fields for it."""
    keys = [SECCOMP_OF_POD, *(f"{SECCOMP_OF_CONTAINER}{one['name']}" for one in judged.containers)]
    told = {key: judged.annotations[key] for key in keys if key in judged.annotations}
    bad = sorted(
        f'{key}="{value}"'
        for key, value in told.items()
        if value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    )
    return ("seccompProfile", f"forbidden annotation{'s' * (len(bad) > 1)} {', '.join(bad)}") if bad else None


def seccomp(judged: Judged) -> Violation | None:
    """Seccomp switched off."""
    return bad_seccomp(judged)


def sysctls(judged: Judged) -> Violation | None:
    """Settings of the kernel that reach beyond the pod."""
    asked = [one["name"] for one in security(judged.spec).get("sysctls") or ()]
    found = [name for name in asked if _SAFE_SYSCTLS.get(name, judged.minor + 1) > judged.minor]
    return ("forbidden sysctls", ", ".join(found)) if found else None


def host_process(judged: Judged) -> Violation | None:
    """Processes of the node itself, on Windows."""

    def asks(holder: Object) -> bool:
        return bool((security(holder).get("windowsOptions") or {}).get("hostProcess"))

    setters = who(asks(judged.spec), [one for one in judged.containers if asks(one)])
    what = "must not set securityContext.windowsOptions.hostProcess=true"
    return ("hostProcess", f"{setters} {what}") if setters else None

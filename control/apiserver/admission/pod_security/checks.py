"""The checks of the Pod Security Standards: pure functions from a pod to what it violates.

Invariant: a check names every container that offends, in the original's words.
Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from api.objects import Object

LEVELS = ("privileged", "baseline", "restricted")

Violation = tuple[str, str]
Check = Callable[[Object, list[Object]], Violation | None]

_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_RESTRICTED_VOLUMES = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip
_GOOD_SECCOMP = ("RuntimeDefault", "Localhost")


def violations(level: str, pod: Object) -> list[Violation]:
    """What a pod violates at a level, as (reason, detail)."""
    spec = pod["spec"]
    containers = [
        one for field in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(field) or ()
    ]
    found = (check(spec, containers) for check in _CHECKS.get(level, ()))
    return [violation for violation in found if violation is not None]


def _security(holder: Object) -> Object:
    return holder.get("securityContext") or {}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _containers(found: list[Object]) -> str:
    return f"container{'s' * (len(found) > 1)} {_quoted(one['name'] for one in found)}"


def _host_namespaces(spec: Object, containers: list[Object]) -> Violation | None:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return ("host namespaces", ", ".join(found)) if found else None


def _host_path(spec: Object, containers: list[Object]) -> Violation | None:
    found = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return ("hostPath volumes", f"volume{'s' * (len(found) > 1)} {_quoted(found)}") if found else None


def _host_ports(spec: Object, containers: list[Object]) -> Violation | None:
    found = [one for one in containers if any(port.get("hostPort") for port in one.get("ports") or ())]
    if not found:
        return None
    ports = sorted({port["hostPort"] for one in found for port in one["ports"] if port.get("hostPort")})
    listed = ", ".join(map(str, ports))
    verb = "use" if len(found) > 1 else "uses"
    return "hostPort", f"{_containers(found)} {verb} hostPort{'s' * (len(ports) > 1)} {listed}"


def _host_process(spec: Object, containers: list[Object]) -> Violation | None:
    def asks(holder: Object) -> bool:
        return bool((_security(holder).get("windowsOptions") or {}).get("hostProcess"))

    found = [one for one in containers if asks(one)]
    who = ["pod"] * asks(spec) + [_containers(found)] * bool(found)
    return (
        ("hostProcess", f"{' and '.join(who)} must not set securityContext.windowsOptions.hostProcess=true")
        if who
        else None
    )


def _privileged(spec: Object, containers: list[Object]) -> Violation | None:
    found = [one for one in containers if _security(one).get("privileged")]
    return ("privileged", f"{_containers(found)} must not set securityContext.privileged=true") if found else None


def _added(container: Object) -> list[str]:
    return list((_security(container).get("capabilities") or {}).get("add") or ())


def _adds_beyond(containers: list[Object], allowed: frozenset[str]) -> str:
    found = [one for one in containers if set(_added(one)) - allowed]
    if not found:
        return ""
    extra = sorted({name for one in found for name in _added(one)} - allowed)
    return f"{_containers(found)} must not include {_quoted(extra)} in securityContext.capabilities.add"


def _capabilities(spec: Object, containers: list[Object]) -> Violation | None:
    detail = _adds_beyond(containers, _DEFAULT_CAPABILITIES)
    return ("non-default capabilities", detail) if detail else None


def _proc_mount(spec: Object, containers: list[Object]) -> Violation | None:
    found = [one for one in containers if _security(one).get("procMount") not in (None, "Default")]
    if not found or spec.get("hostUsers") is False:
        return None
    kinds = sorted({_security(one)["procMount"] for one in found})
    return "procMount", f"{_containers(found)} must not set securityContext.procMount to {_quoted(kinds)}"


def _unconfined(field: str, reason: str, what: str) -> Check:
    def check(spec: Object, containers: list[Object]) -> Violation | None:
        def bad(holder: Object) -> bool:
            return (_security(holder).get(field) or {}).get("type") == "Unconfined"

        found = [one for one in containers if bad(one)]
        who = ["pod"] * bad(spec) + [_containers(found)] * bool(found)
        return (reason, f'{" and ".join(who)} must not set {what} to "Unconfined"') if who else None

    return check


def _selinux(spec: Object, containers: list[Object]) -> Violation | None:
    def options(holder: Object) -> Object:
        return _security(holder).get("seLinuxOptions") or {}

    def bad(holder: Object) -> bool:
        found = options(holder)
        return found.get("type", "") not in _SELINUX_TYPES or bool(found.get("user") or found.get("role"))

    found = [one for one in containers if bad(one)]
    who = ["pod"] * bad(spec) + [_containers(found)] * bool(found)
    if not who:
        return None
    holders = [holder for holder in (spec, *containers) if bad(holder)]
    kinds = sorted({options(one)["type"] for one in holders if options(one).get("type", "") not in _SELINUX_TYPES})
    parts = [f"type{'s' * (len(kinds) > 1)} {_quoted(kinds)}"] if kinds else []
    parts += [
        f"{field} may not be set" for field in ("user", "role") if any(options(one).get(field) for one in holders)
    ]
    verb = "set" if len(who) > 1 or len(found) > 1 else "sets"
    detail = f"{' and '.join(who)} {verb} forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"
    return "seLinuxOptions", detail


def _sysctls(spec: Object, containers: list[Object]) -> Violation | None:
    found = [one["name"] for one in _security(spec).get("sysctls") or () if one["name"] not in _SAFE_SYSCTLS]
    return ("forbidden sysctls", ", ".join(found)) if found else None


def _escalation(spec: Object, containers: list[Object]) -> Violation | None:
    found = [one for one in containers if _security(one).get("allowPrivilegeEscalation") is not False]
    detail = "must set securityContext.allowPrivilegeEscalation=false"
    return ("allowPrivilegeEscalation != false", f"{_containers(found)} {detail}") if found else None


def _restricted_capabilities(spec: Object, containers: list[Object]) -> Violation | None:
    def drops(container: Object) -> Any:
        return (_security(container).get("capabilities") or {}).get("drop") or ()

    keeping = [one for one in containers if "ALL" not in drops(one)]
    details = [f'{_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    adding = _adds_beyond(containers, frozenset({"NET_BIND_SERVICE"}))
    details += [adding] if adding else []
    return ("unrestricted capabilities", "; ".join(details)) if details else None


def _volume_types(spec: Object, containers: list[Object]) -> Violation | None:
    found: list[tuple[str, str]] = []
    for volume in spec.get("volumes") or ():
        kind = next((field for field in volume if field != "name"), "unknown")
        if kind not in _RESTRICTED_VOLUMES:
            found.append((volume["name"], kind))
    if not found:
        return None
    kinds = list(dict.fromkeys(kind for _, kind in found))
    use = "use restricted volume type" if len(found) > 1 else "uses restricted volume type"
    names = f"volume{'s' * (len(found) > 1)} {_quoted(name for name, _ in found)}"
    return "restricted volume types", f"{names} {use}{'s' * (len(kinds) > 1)} {_quoted(kinds)}"


def _non_root(spec: Object, containers: list[Object]) -> Violation | None:
    whole = _security(spec).get("runAsNonRoot")
    explicit = [one for one in containers if _security(one).get("runAsNonRoot") is False]
    if explicit:
        who = ["pod"] * (whole is False) + [_containers(explicit)]
        return "runAsNonRoot != true", f"{' and '.join(who)} must not set securityContext.runAsNonRoot=false"
    silent = [one for one in containers if _security(one).get("runAsNonRoot") is None]
    if whole is True or not silent:
        return None
    if whole is False:
        return "runAsNonRoot != true", "pod must not set securityContext.runAsNonRoot=false"
    return "runAsNonRoot != true", f"pod or {_containers(silent)} must set securityContext.runAsNonRoot=true"


def _root_user(spec: Object, containers: list[Object]) -> Violation | None:
    found = [one for one in containers if _security(one).get("runAsUser") == 0]
    who = ["pod"] * (_security(spec).get("runAsUser") == 0) + [_containers(found)] * bool(found)
    return ("runAsUser=0", f"{' and '.join(who)} must not set runAsUser=0") if who else None


def _seccomp(spec: Object, containers: list[Object]) -> Violation | None:
    def kind(holder: Object) -> Any:
        return (_security(holder).get("seccompProfile") or {}).get("type")

    bad = [one for one in containers if kind(one) not in (None, *_GOOD_SECCOMP)]
    if bad or kind(spec) not in (None, *_GOOD_SECCOMP):
        kinds = sorted({kind(one) for one in (spec, *containers)} - {None, *_GOOD_SECCOMP})
        who = ["pod"] * (kind(spec) not in (None, *_GOOD_SECCOMP)) + [_containers(bad)] * bool(bad)
        return (
            "seccompProfile",
            f"{' and '.join(who)} must not set securityContext.seccompProfile.type to {_quoted(kinds)}",
        )
    silent = [one for one in containers if kind(one) is None]
    if kind(spec) is not None or not silent:
        return None
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {_containers(silent)} {wanted}"


_ALWAYS: tuple[Check, ...] = (
    _unconfined("appArmorProfile", "forbidden AppArmor profile", "AppArmor profile type"),
    _host_namespaces,
    _host_ports,
    _privileged,
    _proc_mount,
    _selinux,
    _sysctls,
    _host_process,
)
_CHECKS: dict[str, tuple[Check, ...]] = {
    "baseline": (
        _ALWAYS[0],
        _capabilities,
        _host_namespaces,
        _host_path,
        *_ALWAYS[2:6],
        _unconfined("seccompProfile", "seccompProfile", "securityContext.seccompProfile.type"),
        *_ALWAYS[6:],
    ),
    "restricted": (
        *_ALWAYS,
        _escalation,
        _restricted_capabilities,
        _volume_types,
        _non_root,
        _root_user,
        _seccomp,
    ),
}

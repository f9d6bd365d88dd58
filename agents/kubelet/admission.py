"""Whether the node takes a pod that has been bound to it.

Invariant: pure; reasons and messages are the original's.
Source: kubelet's lifecycle predicate admit handler (GeneralPredicates, taints with NoExecute, host ports).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import host_ports
from agents.kubelet.pods.resizes import ResizeProblem
from agents.network.interface import HostPort
from api.node_selection import wanted
from api.objects import Object, labels_of, name_of, uid_of
from api.pod_resources import requests_of, taken_by
from api.quantities import Quantity, parse
from api.tolerations import tolerated


def refusal(
    pod: Object, others: Iterable[Object], node: Object, allowed_sysctls: tuple[str, ...] = ()
) -> tuple[str, str] | None:
    """(reason, message) of the first thing that speaks against the pod, or None."""
    missing = shortfalls(pod, others, node)
    return _out_of(missing[0]) if missing else unfit(pod, others, node, allowed_sysctls)


def unfit(
    pod: Object, others: Iterable[Object], node: Object, allowed_sysctls: tuple[str, ...] = ()
) -> tuple[str, str] | None:
    """(reason, message) of the first thing beside a lack of resources that speaks against the pod, or None."""
    return (
        _node_affinity(pod, node)
        or _ports(pod, _present(pod, others))
        or _taints(pod, node)
        or _operating_system(pod)
        or _sysctls(pod, allowed_sysctls)
        or _app_armor(pod)
        or _groups(pod, node)
        or _users(pod, node)
    )


def _present(pod: Object, others: Iterable[Object]) -> list[Object]:
    return [other for other in others if uid_of(other) != uid_of(pod) and not spec.is_terminal(other)]


def resize_problem(pod: Object, others: Iterable[Object], node: Object) -> ResizeProblem | None:
    """Why the resources that a running pod asks for now cannot be given: Infeasible for ever, or Deferred.

    Source: kubelet's allocation manager canResizePod; core/v1 PodResizePending.
    """
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    asked = {name: amount for name, amount in requests_of(pod["spec"]).items() if name in ("cpu", "memory")}
    for name, amount in asked.items():
        capacity = parse(allocatable.get(name, "0"))
        if allocatable and amount.nano > capacity.nano:
            unit = Quantity.milli if name == "cpu" else Quantity.value
            message = f"Node didn't have enough capacity: {name}, requested: {unit(amount)}, capacity: {unit(capacity)}"
            return ResizeProblem("Infeasible", message, "Infeasible")
    missing = shortfalls(pod, others, node)
    if not missing:
        return None
    reason, message = _out_of(missing[0])
    return ResizeProblem("Deferred", message.removeprefix("Pod was rejected: "), reason)


def _add(total: dict[str, Quantity], more: Mapping[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _node_affinity(pod: Object, node: Object) -> tuple[str, str] | None:
    if wanted(pod["spec"], name_of(node), labels_of(node)):
        return None
    return (
        "NodeAffinity",
        "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    )


def _taints(pod: Object, node: Object) -> tuple[str, str] | None:
    if spec.is_static(pod):
        return None
    tolerations = pod["spec"].get("tolerations") or []
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint.get("effect") == "NoExecute" and not tolerated(tolerations, taint):
            return (
                "TaintToleration",
                "Pod was rejected: Predicate TaintToleration failed: node(s) had untolerated taint",
            )
    return None


class Shortfall(NamedTuple):
    """A resource of which a pod asks for more than is left; cpu in millicores."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        """How much more there would have to be."""
        return self.requested - (self.capacity - self.used)


def shortfalls(pod: Object, others: Iterable[Object], node: Object) -> list[Shortfall]:
    """What the node lacks for the pod beside the others. A resource that others manage and the node has not is none.

    Source: kubelet/lifecycle GeneralPredicates and removeMissingExtendedResources.
    """
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    present, found = _present(pod, others), []
    if not allocatable:
        return []
    if "pods" in allocatable and len(present) + 1 > parse(allocatable["pods"]).value():
        found.append(Shortfall("pods", 1, len(present), parse(allocatable["pods"]).value()))
    used: dict[str, Quantity] = {}
    for other in present:
        _add(used, taken_by(other))
    asked = requests_of(pod["spec"])
    for name in sorted(asked, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)):
        if asked[name].nano == 0 or (_is_extended(name) and name not in allocatable):
            continue
        unit = Quantity.milli if name == "cpu" else Quantity.value
        capacity, taken = parse(allocatable.get(name, "0")), used.get(name, Quantity(0))
        if taken.nano + asked[name].nano > capacity.nano:
            found.append(Shortfall(name, unit(asked[name]), unit(taken), unit(capacity)))
    return found


_FIRST = ("cpu", "memory", "ephemeral-storage")


def _is_extended(name: str) -> bool:
    """Whether a resource is none of Kubernetes' own."""
    return "/" in name and not name.partition("/")[0].endswith("kubernetes.io")


def _out_of(short: Shortfall) -> tuple[str, str]:
    message = (
        f"Pod was rejected: Node didn't have enough resource: {short.resource}, requested: {short.requested}, "
        f"used: {short.used}, capacity: {short.capacity}"
    )
    return f"OutOf{short.resource}", message


def _ports(pod: Object, present: list[Object]) -> tuple[str, str] | None:
    taken = {(port.host_port, port.protocol): port.host_address for other in present for port in _taken_ports(other)}
    for port in _taken_ports(pod):
        held = taken.get((port.host_port, port.protocol))
        anywhere = ("", "0.0.0.0", "::")
        if held is not None and (held == port.host_address or held in anywhere or port.host_address in anywhere):
            message = (
                "Pod was rejected: Predicate NodePorts failed: "
                "node(s) didn't have free ports for the requested pod ports"
            )
            return "NodePorts", message
    return None


def _taken_ports(pod: Object) -> tuple[HostPort, ...]:
    """The node's ports that a pod takes: those it asks for, and on the node's network those it names."""
    if not spec.is_host_network(pod):
        return host_ports(pod)
    return tuple(
        HostPort(port.get("hostPort") or port["containerPort"], port["containerPort"], port.get("protocol") or "TCP")
        for container in spec.all_containers(pod)
        for port in container.get("ports") or []
    )


def _sysctls(pod: Object, allowed: tuple[str, ...]) -> tuple[str, str] | None:
    """Source: kubelet/sysctl allowlist."""
    for entry in (pod["spec"].get("securityContext") or {}).get("sysctls") or []:
        name = entry["name"].replace("/", ".")
        named = any(fnmatchcase(name, pattern) for pattern in allowed)
        if name not in _SAFE_SYSCTLS and not named:
            return "SysctlForbidden", f'Pod was rejected: forbidden sysctl: "{name}" not allowlisted'
        if name.startswith("net.") and spec.is_host_network(pod):
            message = f'Pod was rejected: forbidden sysctl: "{name}" not allowed with host net enabled'
            return "SysctlForbidden", message
        if name.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")) and pod["spec"].get("hostIPC"):
            message = f'Pod was rejected: forbidden sysctl: "{name}" not allowed with host ipc enabled'
            return "SysctlForbidden", message
    return None


_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)


def _app_armor(pod: Object) -> tuple[str, str] | None:
    contexts = [entry.get("securityContext") or {} for entry in (pod["spec"], *spec.all_containers(pod))]
    kinds = {(context.get("appArmorProfile") or {}).get("type") for context in contexts}
    if kinds & {"Localhost", "RuntimeDefault"} and not _APP_ARMOR.exists():
        return "AppArmor", "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
    return None


_APP_ARMOR = Path("/sys/kernel/security/apparmor")


def _groups(pod: Object, node: Object) -> tuple[str, str] | None:
    """Source: kubelet's supplementalGroupsPolicy admit handler."""
    features = (node.get("status") or {}).get("features") or {}
    if not spec.has_strict_groups(pod) or features.get("supplementalGroupsPolicy"):
        return None
    message = "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node"
    return "SupplementalGroupsPolicyNotSupported", message


def _users(pod: Object, node: Object) -> tuple[str, str] | None:
    """A pod that asks for users of its own must not run as the node's."""
    handlers = (node.get("status") or {}).get("runtimeHandlers") or []
    supported = any((handler.get("features") or {}).get("userNamespaces") for handler in handlers)
    if not spec.has_own_users(pod) or supported:
        return None
    message = (
        "Pod was rejected: hostUsers is false, and this node's container runtime cannot give pods user namespaces: "
        "leave it out, or choose a node whose status.runtimeHandlers says userNamespaces"
    )
    return "UserNamespacesNotSupported", message


def _operating_system(pod: Object) -> tuple[str, str] | None:
    system = (pod["spec"].get("os") or {}).get("name")
    if system and system != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    return None

"""Which strategy each resource has, and the few facts that set ordinary resources apart.

Invariant: every resource has exactly one strategy in a server, made when the server is.
Source: the registries of the original, pkg/registry/GROUP/RESOURCE/strategy.go.
"""

from __future__ import annotations

from collections.abc import Callable

from api.registry import Entry
from control.apiserver.strategies.base import Strategy

Address = tuple[str, str]

_GENERATION = frozenset(
    {
        ("", "replicationcontrollers"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("discovery.k8s.io", "endpointslices"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourceslices"),
    }
)
RETURNS_DELETED = frozenset(
    {
        ("", "pods"),
        ("", "services"),
        ("", "serviceaccounts"),
        ("", "podtemplates"),
        ("", "persistentvolumes"),
        ("", "persistentvolumeclaims"),
        ("", "resourcequotas"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csistoragecapacities"),
    }
)
_CREATE_ON_UPDATE = frozenset(
    {
        ("", "endpoints"),
        ("", "events"),
        ("events.k8s.io", "events"),
        ("", "services"),
        ("", "limitranges"),
        ("coordination.k8s.io", "leases"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
    }
)
_CONDITIONAL_ONLY = frozenset(
    {
        ("coordination.k8s.io", "leases"),
        ("apiregistration.k8s.io", "apiservices"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    }
)
# As before there was a garbage collector.
_ORPHANS = frozenset({("", "replicationcontrollers"), ("batch", "jobs")})


def strategy_for(entry: Entry, special: dict[Address, Callable[[], Strategy]]) -> Strategy:
    """The strategy of a built-in resource."""
    address = entry.resource.group, entry.resource.plural
    made = special.get(address, Strategy)()
    made.has_status = made.has_status or "status" in entry.subresources
    made.has_generation = made.has_generation or address in _GENERATION
    made.returns_deleted = made.returns_deleted or address in RETURNS_DELETED
    made.create_on_update = made.create_on_update or address in _CREATE_ON_UPDATE
    made.orphans = address in _ORPHANS
    if address in _CONDITIONAL_ONLY:
        made.unconditional_update = False
    return made

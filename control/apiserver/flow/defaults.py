"""The flow schemas and priority levels that every cluster has.

Invariant: mandatory ones say what they say here; the others too, unless an administrator has taken off the mark that
lets them be updated.
Source: apiserver/pkg/apis/flowcontrol/bootstrap/default.go; pkg/registry/flowcontrol/ensurer.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.defaults import apply_defaults
from api.objects import Object, copy

_UPDATED = "apf.kubernetes.io/autoupdate-spec"
MANDATORY = ("exempt", "catch-all")
_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_EVERYBODY = ("Group", "system:unauthenticated"), ("Group", "system:authenticated")
_ACCOUNTS = (("Group", "system:serviceaccounts"),)
_SYSTEM_ACCOUNTS = (("ServiceAccount", "kube-system/*"),)
_ENDPOINT_ACCOUNTS = tuple(
    ("ServiceAccount", f"kube-system/{name}") for name in ("endpoint-controller", "endpointslicemirroring-controller")
)

# Shares, queues (0: reject), hand size, lendable percent.
_LEVELS: dict[str, tuple[int, int, int, int]] = {
    "system": (30, 64, 6, 33), "node-high": (40, 64, 6, 25), "leader-election": (10, 16, 4, 0),
    "workload-high": (40, 128, 6, 50), "workload-low": (100, 128, 6, 90), "global-default": (20, 128, 6, 50),
    "catch-all": (5, 0, 0, 0),
}  # fmt: skip
_QUEUE_LENGTH = 50

Resources = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], bool]
"""Verbs, groups, resources, namespaces, whether cluster-scoped too."""

_ALL: Resources = (("*",), ("*",), ("*",), ("*",), True)
_ANYWHERE = (("*",), ("*",))
_ELECTIONS: Resources = (("get", "create", "update"), ("coordination.k8s.io",), ("leases",), ("*",), False)


def priority_levels() -> list[Object]:
    """Every default PriorityLevelConfiguration."""
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    return [_object("exempt", exempt), *(_object(name, _limited(*level)) for name, level in _LEVELS.items())]


def _limited(shares: int, queues: int, hand: int, lendable: int) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": _QUEUE_LENGTH}
        response = {"type": "Queue", "queuing": queuing}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return {"type": "Limited", "limited": limited}


def flow_schemas() -> list[Object]:
    """Every default FlowSchema."""
    nodes = (("Group", "system:nodes"),)
    node_rules: tuple[Resources, ...] = (
        (("*",), ("",), ("nodes", "nodes/status"), (), True),
        (("*",), ("coordination.k8s.io",), ("leases",), ("*",), False),
    )
    endpoint_rules: tuple[Resources, ...] = (
        (("get", "create", "update"), ("",), ("endpoints",), ("*",), False),
        (("get", "create", "update"), ("discovery.k8s.io",), ("endpointslices",), ("*",), False),
    )
    leaders = (*_users(_MANAGER, _SCHEDULER), *_SYSTEM_ACCOUNTS)
    endpoints = (*_users(_MANAGER), *_ENDPOINT_ACCOUNTS)
    probes = ("get",), ("/healthz", "/readyz", "/livez")
    return [
        _schema("exempt", "exempt", 1, "", (("Group", "system:masters"),), (_ALL,), _ANYWHERE),
        _schema("probes", "exempt", 2, "", _EVERYBODY, (), probes),
        _schema("system-leader-election", "leader-election", 100, "ByUser", leaders, (_ELECTIONS,)),
        _schema("endpoint-controller", "workload-high", 150, "ByUser", endpoints, endpoint_rules),
        _schema("workload-leader-election", "leader-election", 200, "ByUser", _SYSTEM_ACCOUNTS, (_ELECTIONS,)),
        _schema("system-node-high", "node-high", 400, "ByUser", nodes, node_rules),
        _schema("system-nodes", "system", 500, "ByUser", nodes, (_ALL,), _ANYWHERE),
        # Services must follow their pods also while users keep the server busy.
        _schema("wherry-node-proxies", "system", 500, "ByUser", _users("system:kube-proxy"), (_ALL,), _ANYWHERE),
        _schema("kube-controller-manager", "workload-high", 800, "ByNamespace", _users(_MANAGER), (_ALL,), _ANYWHERE),
        _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _users(_SCHEDULER), (_ALL,), _ANYWHERE),
        _schema(
            "kube-system-service-accounts", "workload-high", 900, "ByNamespace", _SYSTEM_ACCOUNTS, (_ALL,), _ANYWHERE
        ),
        _schema("service-accounts", "workload-low", 9000, "ByUser", _ACCOUNTS, (_ALL,), _ANYWHERE),
        _schema("global-default", "global-default", 9900, "ByUser", _EVERYBODY, (_ALL,), _ANYWHERE),
        _schema("catch-all", "catch-all", 10000, "ByUser", _EVERYBODY, (_ALL,), _ANYWHERE),
    ]


def _users(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple(("User", name) for name in names)


def _schema(
    name: str,
    level: str,
    precedence: int,
    method: str,
    subjects: Iterable[tuple[str, str]],
    resources: Iterable[Resources],
    paths: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
) -> Object:
    rule: Object = {"subjects": [_subject(*subject) for subject in subjects]}
    rules = [_resource_rule(*resource) for resource in resources]
    if rules:
        rule["resourceRules"] = rules
    if paths:
        rule["nonResourceRules"] = [{"verbs": list(paths[0]), "nonResourceURLs": list(paths[1])}]
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return _object(name, spec)


def _subject(kind: str, name: str) -> Object:
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "serviceAccount": {"namespace": namespace, "name": account}}
    return {"kind": kind, kind.lower(): {"name": name}}


def _resource_rule(
    verbs: tuple[str, ...],
    groups: tuple[str, ...],
    resources: tuple[str, ...],
    namespaces: tuple[str, ...],
    cluster: bool,
) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}
    if cluster:
        rule["clusterScope"] = True
    if namespaces:
        rule["namespaces"] = list(namespaces)
    return rule


def _object(name: str, spec: Object) -> Object:
    return {"metadata": {"name": name, "annotations": {_UPDATED: "true"}}, "spec": spec}


def fixed_spec(kind: str, name: str) -> Object | None:
    """What a mandatory object says, None if the object of that name is none."""
    if name not in MANDATORY:
        return None
    made = flow_schemas() if kind == "FlowSchema" else priority_levels()
    return next(_completed(one, kind) for one in made if one["metadata"]["name"] == name)


def maintained(kind: str, present: Object, wanted: Object) -> Object | None:
    """The object with the spec that it should have, None if it has it or is its administrator's."""
    name, annotations = wanted["metadata"]["name"], present["metadata"].get("annotations") or {}
    spec = _completed(wanted, kind)
    if name not in MANDATORY and annotations.get(_UPDATED) != "true":
        return None
    if "exempt" in spec and "exempt" in present["spec"]:
        # How much others may borrow from it is the administrator's, as in the original.
        spec["exempt"] = present["spec"]["exempt"]
    return None if present["spec"] == spec else present | {"spec": spec}


def _completed(obj: Object, kind: str) -> Object:
    made = apply_defaults({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind, **copy(obj)})
    return dict(made["spec"])

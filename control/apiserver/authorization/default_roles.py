"""The roles and bindings that every cluster has.

Invariant: this is data; `default_policy.py` brings it into the store and never takes a rule away that an
administrator added.
Source: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.authorization.controller_roles import (
    CONTROLLERS,
    NAMESPACED,
    NAMESPACED_BINDINGS,
    role_named,
    rules_of,
)

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
READ_WRITE = READ + WRITE

_PROXY_CLIENT = "wherry:node-proxy-client"

_EVENTS = (("create", "patch", "update"), ("", "events.k8s.io"), ("events",))
_ENDPOINT_LEASES = (("create", "get", "list", "watch", "update", "patch"), ("coordination.k8s.io",), ("leases",))

_WORKLOADS_APPS = (
    "controllerrevisions", "daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale",
    "statefulsets", "statefulsets/scale",
)  # fmt: skip
_STATUS_APPS = ("daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status")
_CORE_VIEW = (
    "configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods",
    "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services", "services/status",
    "bindings", "events", "limitranges", "namespaces/status", "pods/log", "pods/status",
    "replicationcontrollers/status", "resourcequotas", "resourcequotas/status", "namespaces",
)  # fmt: skip

Grant = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Verbs, API groups, resources."""

RESOURCE_ROLES: dict[str, tuple[Grant, ...]] = {
    "system:aggregate-to-view": (
        (READ, ("",), _CORE_VIEW),
        (READ, ("discovery.k8s.io",), ("endpointslices",)),
        (READ, ("apps",), (*_WORKLOADS_APPS, *_STATUS_APPS)),
        (READ, ("autoscaling",), ("horizontalpodautoscalers", "horizontalpodautoscalers/status")),
        (READ, ("batch",), ("cronjobs", "cronjobs/status", "jobs", "jobs/status")),
        (READ, ("policy",), ("poddisruptionbudgets", "poddisruptionbudgets/status")),
        (READ, ("networking.k8s.io",), ("ingresses", "ingresses/status", "networkpolicies")),
        (READ, ("resource.k8s.io",), ("resourceclaims", "resourceclaims/status", "resourceclaimtemplates")),
    ),
    "system:aggregate-to-edit": (
        (READ, ("",), ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy")),
        (("impersonate",), ("",), ("serviceaccounts",)),
        (
            WRITE,
            ("",),
            ("pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
        ),
        (("create",), ("",), ("pods/eviction",)),
        (
            WRITE,
            ("",),
            (
                "configmaps", "events", "persistentvolumeclaims", "replicationcontrollers",
                "replicationcontrollers/scale", "secrets", "serviceaccounts", "services", "services/proxy",
            ),
        ),
        (("create",), ("",), ("serviceaccounts/token",)),
        (WRITE, ("apps",), _WORKLOADS_APPS[1:]),
        (WRITE, ("autoscaling",), ("horizontalpodautoscalers",)),
        (WRITE, ("batch",), ("cronjobs", "jobs")),
        (WRITE, ("policy",), ("poddisruptionbudgets",)),
        (WRITE, ("networking.k8s.io",), ("ingresses", "networkpolicies")),
        (WRITE, ("resource.k8s.io",), ("resourceclaims", "resourceclaimtemplates")),
        (READ_WRITE, ("coordination.k8s.io",), ("leases",)),
    ),
    "system:aggregate-to-admin": (
        (("create",), ("authorization.k8s.io",), ("localsubjectaccessreviews",)),
        (READ_WRITE, ("rbac.authorization.k8s.io",), ("roles", "rolebindings")),
    ),
    "system:basic-user": (
        (("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
        (("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    ),
    "system:auth-delegator": (
        (("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        (("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
    ),
    "system:kube-aggregator": ((READ, ("",), ("endpoints", "services")),),
    "system:kubelet-api-admin": (
        (READ, ("",), ("nodes",)),
        (("proxy",), ("",), ("nodes",)),
        (
            ("*",),
            ("",),
            tuple(f"nodes/{part}" for part in ("log", "metrics", "proxy", "stats", "spec", "healthz", "pods")),
        ),
    ),
    "system:node": (
        (("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        (("create",), ("authorization.k8s.io",), ("localsubjectaccessreviews", "subjectaccessreviews")),
        (READ, ("",), ("services",)),
        (("create", *READ), ("",), ("nodes",)),
        (("patch", "update"), ("",), ("nodes/status",)),
        (("patch", "update"), ("",), ("nodes",)),
        (("create", "patch", "update"), ("", "events.k8s.io"), ("events",)),
        (READ, ("",), ("pods",)),
        (("create", "delete"), ("",), ("pods",)),
        (("patch", "update"), ("",), ("pods/status",)),
        (("create",), ("",), ("pods/eviction",)),
        (READ, ("",), ("configmaps", "secrets")),
        (("get",), ("",), ("persistentvolumeclaims", "persistentvolumes")),
        (("get", "patch", "update"), ("",), ("persistentvolumeclaims/status",)),
        (("get",), ("",), ("endpoints",)),
        (("create", *READ), ("certificates.k8s.io",), ("certificatesigningrequests",)),
        (READ, ("certificates.k8s.io",), ("clustertrustbundles",)),
        (("create", *READ), ("certificates.k8s.io",), ("podcertificaterequests",)),
        (("get",), ("",), ("serviceaccounts",)),
        (("create", "delete", "get", "patch", "update"), ("coordination.k8s.io",), ("leases",)),
        (("create",), ("",), ("serviceaccounts/token",)),
        (READ, ("node.k8s.io",), ("runtimeclasses",)),
        (READ, ("storage.k8s.io",), ("csidrivers",)),
        (("create", "delete", "get", "patch", "update"), ("storage.k8s.io",), ("csinodes",)),
        (("get",), ("storage.k8s.io",), ("volumeattachments",)),
        (("get",), ("resource.k8s.io",), ("resourceclaims",)),
        (("deletecollection",), ("resource.k8s.io",), ("resourceslices",)),
    ),
    "system:node-problem-detector": (
        (("get",), ("",), ("nodes",)),
        (("patch",), ("",), ("nodes/status",)),
        _EVENTS,
    ),
    "system:node-proxier": (
        (("list", "watch"), ("",), ("services", "endpoints")),
        (READ, ("",), ("nodes",)),
        _EVENTS,
        (("list", "watch"), ("discovery.k8s.io",), ("endpointslices",)),
        (("list", "watch"), ("networking.k8s.io",), ("servicecidrs",)),
    ),
    # What else Wherry's proxy does: it keeps policies, knows names, and asks again who announces an address.
    "wherry:node-proxy": (
        (("list", "watch"), ("",), ("pods", "namespaces")),
        (("list", "watch"), ("networking.k8s.io",), ("networkpolicies",)),
        (("get",), ("",), ("services",)),
    ),
    _PROXY_CLIENT: ((("create",), ("certificates.k8s.io",), ("certificatesigningrequests/nodeproxyclient",)),),
    "system:node-bootstrapper": (
        (("create", *READ), ("certificates.k8s.io",), ("certificatesigningrequests",)),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        (("create",), ("certificates.k8s.io",), ("certificatesigningrequests/nodeclient",)),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        (("create",), ("certificates.k8s.io",), ("certificatesigningrequests/selfnodeclient",)),
    ),
    "system:heapster": (
        (READ, ("",), ("events", "namespaces", "nodes", "pods")),
        (READ, ("apps",), ("deployments",)),
    ),
    "system:kube-dns": ((("list", "watch"), ("",), ("endpoints", "services")),),
    "system:persistent-volume-provisioner": (
        (("create", "delete", *READ), ("",), ("persistentvolumes",)),
        (("get", "list", "update", "watch"), ("",), ("persistentvolumeclaims",)),
        (READ, ("storage.k8s.io",), ("storageclasses",)),
        (("watch",), ("",), ("events",)),
        _EVENTS,
    ),
    "system:kube-scheduler": (
        _EVENTS,
        _ENDPOINT_LEASES,
        (READ, ("",), ("nodes",)),
        (("delete", *READ), ("",), ("pods",)),
        (("create",), ("",), ("bindings", "pods/binding")),
        (("patch", "update"), ("",), ("pods/status",)),
        (READ, ("",), ("replicationcontrollers", "services", "namespaces")),
        (READ, ("apps",), ("replicasets", "statefulsets")),
        (READ, ("policy",), ("poddisruptionbudgets",)),
        (("get", "list", "patch", "update", "watch"), ("",), ("persistentvolumeclaims", "persistentvolumes")),
        (("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        (("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
        (READ, ("scheduling.k8s.io",), ("priorityclasses",)),
        (READ, ("storage.k8s.io",), ("csidrivers", "csinodes", "csistoragecapacities", "storageclasses")),
    ),
    "system:kube-controller-manager": (
        _EVENTS,
        _ENDPOINT_LEASES,
        # Garbage collection and namespace deletion reach every resource, so the manager's role does as well.
        ((*READ, "delete", "deletecollection", "patch", "update"), ("*",), ("*",)),
        (
            ("create",),
            ("",),
            (
                "configmaps", "endpoints", "namespaces", "persistentvolumes", "persistentvolumeclaims", "pods",
                "pods/binding", "pods/eviction", "replicationcontrollers", "secrets", "serviceaccounts",
                "serviceaccounts/token",
            ),
        ),
        (("create",), ("apps",), ("controllerrevisions", "replicasets")),
        (("create",), ("batch",), ("jobs",)),
        (("create",), ("discovery.k8s.io",), ("endpointslices",)),
        (("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        (("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
        (("approve", "sign"), ("certificates.k8s.io",), ("signers",)),
        (("update",), ("certificates.k8s.io",), ("certificatesigningrequests/approval",)),
        (("escalate", "bind"), ("rbac.authorization.k8s.io",), ("clusterroles", "roles")),
    ),
    "system:cloud-controller-manager": (
        _EVENTS,
        _ENDPOINT_LEASES,
        (("*",), ("",), ("nodes",)),
        (("patch", "update"), ("",), ("nodes/status",)),
        (("get", "list", "patch", "update", "watch"), ("",), ("services",)),
        (("patch", "update"), ("",), ("services/status",)),
        (("create", *READ), ("",), ("serviceaccounts",)),
        (READ, ("",), ("configmaps", "endpoints", "pods", "namespaces")),
        (READ, ("discovery.k8s.io",), ("endpointslices",)),
        (("create",), ("authentication.k8s.io",), ("tokenreviews",)),
        (("create",), ("authorization.k8s.io",), ("subjectaccessreviews",)),
    ),
    "system:volume-scheduler": (
        (("get", "list", "patch", "update", "watch"), ("",), ("persistentvolumes",)),
        (READ, ("storage.k8s.io",), ("storageclasses",)),
        (("get", "list", "patch", "update", "watch"), ("",), ("persistentvolumeclaims",)),
    ),
    "cluster-admin": ((("*",), ("*",), ("*",)),),
}  # fmt: skip

PATH_ROLES: dict[str, tuple[str, ...]] = {
    "system:discovery": (
        "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
        "/version/",
    ),
    "system:public-info-viewer": ("/healthz", "/livez", "/readyz", "/version", "/version/"),
    "system:monitoring": (
        "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*",
    ),
    "system:service-account-issuer-discovery": (
        "/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks",
        "/openid/v1/jwks/",
    ),
    "cluster-admin": ("*",),
}  # fmt: skip

AGGREGATED = {
    "admin": ("rbac.authorization.k8s.io/aggregate-to-admin",),
    "edit": ("rbac.authorization.k8s.io/aggregate-to-edit",),
    "view": ("rbac.authorization.k8s.io/aggregate-to-view",),
}
AGGREGATE_LABELS = {
    "system:aggregate-to-admin": "rbac.authorization.k8s.io/aggregate-to-admin",
    "system:aggregate-to-edit": "rbac.authorization.k8s.io/aggregate-to-edit",
    "system:aggregate-to-view": "rbac.authorization.k8s.io/aggregate-to-view",
    "edit": "rbac.authorization.k8s.io/aggregate-to-admin",
    "view": "rbac.authorization.k8s.io/aggregate-to-edit",
}

_NODE_CLIENT = "system:certificates.k8s.io:certificatesigningrequests:nodeclient"
_SELF_NODE_CLIENT = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"

CLUSTER_BINDINGS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "cluster-admin": ("cluster-admin", (("Group", "system:masters"),)),
    "system:monitoring": ("system:monitoring", (("Group", "system:monitoring"),)),
    "system:discovery": ("system:discovery", (("Group", "system:authenticated"),)),
    "system:basic-user": ("system:basic-user", (("Group", "system:authenticated"),)),
    "system:public-info-viewer": (
        "system:public-info-viewer",
        (("Group", "system:authenticated"), ("Group", "system:unauthenticated")),
    ),
    # Nobody: what nodes may do is told by the node authorizer.
    "system:node": ("system:node", ()),
    "system:node-proxier": ("system:node-proxier", (("User", "system:kube-proxy"),)),
    "system:kube-controller-manager": (
        "system:kube-controller-manager",
        (("User", "system:kube-controller-manager"),),
    ),
    "system:cloud-controller-manager": (
        "system:cloud-controller-manager",
        (("User", "system:cloud-controller-manager"),),
    ),
    "system:kube-dns": ("system:kube-dns", (("ServiceAccount", "kube-system/kube-dns"),)),
    "system:kube-scheduler": ("system:kube-scheduler", (("User", "system:kube-scheduler"),)),
    "system:volume-scheduler": ("system:volume-scheduler", (("User", "system:kube-scheduler"),)),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery",
        (("Group", "system:serviceaccounts"),),
    ),
    "wherry:node-proxy": ("wherry:node-proxy", (("User", "system:kube-proxy"),)),
    "wherry:node-bootstrappers": ("system:node-bootstrapper", (("Group", "system:bootstrappers"),)),
    "wherry:node-autoapprove-bootstrap": (_NODE_CLIENT, (("Group", "system:bootstrappers"),)),
    "wherry:node-autoapprove-renewal": (_SELF_NODE_CLIENT, (("Group", "system:nodes"),)),
    "wherry:node-autoapprove-proxy": (_PROXY_CLIENT, (("Group", "system:nodes"),)),
}

_SIGNERS = ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
_GROUP = "rbac.authorization.k8s.io"

_MARKS: Object = {
    "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
}


def cluster_roles() -> list[Object]:
    """Every default ClusterRole."""
    names = dict.fromkeys((*RESOURCE_ROLES, *PATH_ROLES, *AGGREGATED))
    by_lines = {f"system:controller:{name}": text for name, text in CONTROLLERS.items()}
    for signer in _SIGNERS:
        text = f"approve | certificates.k8s.io | signers | kubernetes.io/{signer}"
        by_lines[f"system:certificates.k8s.io:{signer}-approver"] = text
    roles = [{"metadata": _metadata(name), "rules": rules_of(text)} for name, text in by_lines.items()]
    return [_role(name) for name in names] + roles


def roles() -> list[Object]:
    """Every default Role of a namespace."""
    return [
        {"metadata": _metadata(name) | {"namespace": namespace}, "rules": rules_of(text)}
        for (namespace, name), text in NAMESPACED.items()
    ]


def _role(name: str) -> Object:
    rules: list[Object] = [
        {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}
        for verbs, groups, resources in RESOURCE_ROLES.get(name, ())
    ]
    if name in PATH_ROLES:
        verbs = ["*"] if name == "cluster-admin" else ["get"]
        rules.append({"verbs": verbs, "nonResourceURLs": list(PATH_ROLES[name])})
    role: Object = {"metadata": _metadata(name), "rules": rules}
    if name in AGGREGATE_LABELS:
        role["metadata"]["labels"][AGGREGATE_LABELS[name]] = "true"
    if name in AGGREGATED:
        role["aggregationRule"] = {
            "clusterRoleSelectors": [{"matchLabels": {label: "true"}} for label in AGGREGATED[name]]
        }
    return role


def cluster_role_bindings() -> list[Object]:
    """Every default ClusterRoleBinding."""
    bindings = dict(CLUSTER_BINDINGS)
    for name in CONTROLLERS:
        role = f"system:controller:{name}"
        bindings[role] = role, (("ServiceAccount", f"kube-system/{name}"),)
    return [
        {
            "metadata": _metadata(name),
            "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [_subject(kind, subject) for kind, subject in subjects],
        }
        for name, (role, subjects) in bindings.items()
    ]


def role_bindings() -> list[Object]:
    """Every default RoleBinding."""
    return [
        {
            "metadata": _metadata(binding[1]) | {"namespace": binding[0]},
            "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": role_named(binding)},
            "subjects": [_subject("ServiceAccount" if "/" in name else "User", name) for name in subjects],
        }
        for binding, subjects in NAMESPACED_BINDINGS.items()
    ]


def _metadata(name: str) -> Object:
    return {"name": name} | {key: dict(value) for key, value in _MARKS.items()}


def _subject(kind: str, name: str) -> Object:
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"apiGroup": _GROUP, "kind": kind, "name": name}

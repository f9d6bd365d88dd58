"""What no published package says about the built-in resources: short names, categories, and subresources that stream.

Invariant: a small table for the distiller; nothing reads it at run time.
Source: the `ShortNames`, `Categories` and `ConnectMethods` of the original's registries.
"""

from __future__ import annotations

# Groups whose objects need migrations or machinery that a small cluster does not have.
LEFT_OUT = {"storagemigration.k8s.io", "internal.apiserver.k8s.io", "lifecycle.k8s.io"}

SHORT_NAMES = {
    "componentstatuses": ["cs"],
    "configmaps": ["cm"],
    "endpoints": ["ep"],
    "events": ["ev"],
    "limitranges": ["limits"],
    "namespaces": ["ns"],
    "nodes": ["no"],
    "persistentvolumeclaims": ["pvc"],
    "persistentvolumes": ["pv"],
    "pods": ["po"],
    "replicationcontrollers": ["rc"],
    "resourcequotas": ["quota"],
    "serviceaccounts": ["sa"],
    "services": ["svc"],
    "customresourcedefinitions": ["crd", "crds"],
    "daemonsets": ["ds"],
    "deployments": ["deploy"],
    "replicasets": ["rs"],
    "statefulsets": ["sts"],
    "horizontalpodautoscalers": ["hpa"],
    "cronjobs": ["cj"],
    "certificatesigningrequests": ["csr"],
    "ingresses": ["ing"],
    "networkpolicies": ["netpol"],
    "ipaddresses": ["ip"],
    "poddisruptionbudgets": ["pdb"],
    "priorityclasses": ["pc"],
    "storageclasses": ["sc"],
    "volumeattributesclasses": ["vac"],
}

_ALL = ["all"]
CATEGORIES = {
    "pods": _ALL,
    "replicationcontrollers": _ALL,
    "services": _ALL,
    "daemonsets": _ALL,
    "deployments": _ALL,
    "replicasets": _ALL,
    "statefulsets": _ALL,
    "horizontalpodautoscalers": _ALL,
    "cronjobs": _ALL,
    "jobs": _ALL,
    "customresourcedefinitions": ["api-extensions"],
    "apiservices": ["api-extensions"],
    "mutatingwebhookconfigurations": ["api-extensions"],
    "validatingwebhookconfigurations": ["api-extensions"],
    "validatingadmissionpolicies": ["api-extensions"],
    "validatingadmissionpolicybindings": ["api-extensions"],
    "mutatingadmissionpolicies": ["api-extensions"],
    "mutatingadmissionpolicybindings": ["api-extensions"],
}

NOT_WATCHED = frozenset({"componentstatuses"})
"""Resources that nobody can watch, although the published operations of the original name it."""

_PROXY_VERBS = ["create", "delete", "get", "patch", "update"]
STREAMS = {
    "pods": {
        "attach": ("PodAttachOptions", ["create", "get"]),
        "exec": ("PodExecOptions", ["create", "get"]),
        "portforward": ("PodPortForwardOptions", ["create", "get"]),
        "proxy": ("PodProxyOptions", _PROXY_VERBS),
    },
    "services": {"proxy": ("ServiceProxyOptions", _PROXY_VERBS)},
    "nodes": {"proxy": ("NodeProxyOptions", _PROXY_VERBS)},
}

# The original prefers these versions of a group when it lists them.
GROUP_ORDER = [
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
    "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
    "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
]  # fmt: skip

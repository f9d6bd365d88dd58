"""Where a resource lives in the API: group, version, plural, kind and scope, and the paths that follow from them.

Invariant: a `Resource` is only an address. What the server knows beyond that (schema, columns, strategy) is
found in the registry by this address.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """The address of a resource, e.g. Resource("apps", "v1", "deployments", "Deployment", True)."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods` or `deployments.apps`, as RBAC and messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; without a namespace all namespaces, without a name the collection."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


# group, version, then plural: kind; a leading + marks resources of the cluster's scope.
_BUILT_IN: dict[tuple[str, str], dict[str, str]] = {
    ("", "v1"): {
        "+namespaces": "Namespace", "+nodes": "Node", "+persistentvolumes": "PersistentVolume",
        "pods": "Pod", "services": "Service", "endpoints": "Endpoints", "configmaps": "ConfigMap",
        "secrets": "Secret", "serviceaccounts": "ServiceAccount", "events": "Event",
        "replicationcontrollers": "ReplicationController", "resourcequotas": "ResourceQuota",
        "limitranges": "LimitRange", "podtemplates": "PodTemplate",
        "persistentvolumeclaims": "PersistentVolumeClaim",
    },
    ("apps", "v1"): {
        "deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet",
        "daemonsets": "DaemonSet", "controllerrevisions": "ControllerRevision",
    },
    ("batch", "v1"): {"jobs": "Job", "cronjobs": "CronJob"},
    ("policy", "v1"): {"poddisruptionbudgets": "PodDisruptionBudget"},
    ("discovery.k8s.io", "v1"): {"endpointslices": "EndpointSlice"},
    ("coordination.k8s.io", "v1"): {"leases": "Lease"},
    ("scheduling.k8s.io", "v1"): {"+priorityclasses": "PriorityClass"},
    ("rbac.authorization.k8s.io", "v1"): {
        "roles": "Role", "rolebindings": "RoleBinding", "+clusterroles": "ClusterRole",
        "+clusterrolebindings": "ClusterRoleBinding",
    },
    ("certificates.k8s.io", "v1"): {"+certificatesigningrequests": "CertificateSigningRequest"},
    ("authentication.k8s.io", "v1"): {"+tokenreviews": "TokenReview"},
    ("authorization.k8s.io", "v1"): {
        "+subjectaccessreviews": "SubjectAccessReview", "localsubjectaccessreviews": "LocalSubjectAccessReview",
        "+selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "+selfsubjectrulesreviews": "SelfSubjectRulesReview",
    },
}  # fmt: skip


@lru_cache(maxsize=1)
def built_in() -> dict[str, Resource]:
    """Every built-in resource by its text form (`pods`, `deployments.apps`)."""
    found = {}
    for (group, version), kinds in _BUILT_IN.items():
        for plural, kind in kinds.items():
            resource = Resource(group, version, plural.lstrip("+"), kind, not plural.startswith("+"))
            found[resource.name] = resource
    return found


def find(name: str) -> Resource:
    """The built-in resource of that text form. Raises KeyError with the name."""
    return built_in()[name]

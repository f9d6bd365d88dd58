"""The roles of single controllers and of what runs beside them, by which clusters and add-ons grant one task's rights.

Invariant: this is data, one line a rule: verbs | group | resources | names of the only objects, "core" being the group
without a name and "events" the right to write events.
Source: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/{controller_policy,namespace_policy}.go.
"""

from __future__ import annotations

from api.objects import Object

CONTROLLERS: dict[str, str] = {
    "attachdetach-controller": """
        list watch | core | persistentvolumeclaims persistentvolumes
        get list watch | core | nodes
        patch update | core | nodes/status
        list watch | core | pods
        create delete get list patch watch | storage.k8s.io | volumeattachments
        get list watch | storage.k8s.io | csidrivers csinodes
        events""",
    "certificate-controller": """
        delete get list watch | certificates.k8s.io | certificatesigningrequests
        update | certificates.k8s.io | certificatesigningrequests/approval certificatesigningrequests/status
        approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet
        sign | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client \
            kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown
        create | authorization.k8s.io | subjectaccessreviews
        events""",
    "podcertificaterequestcleaner": """
        delete get list watch | certificates.k8s.io | podcertificaterequests
        events""",
    "clusterrole-aggregation-controller": """
        escalate get list patch update watch | rbac.authorization.k8s.io | clusterroles""",
    "cronjob-controller": """
        get list update watch | batch | cronjobs
        create delete get list patch update watch | batch | jobs
        update | batch | cronjobs/status cronjobs/finalizers
        delete list | core | pods
        events""",
    "daemon-set-controller": """
        get list watch | apps | daemonsets
        update | apps | daemonsets/status daemonsets/finalizers
        list watch | core | nodes
        create delete list patch watch | core | pods
        create | core | pods/binding
        create delete get list patch update watch | apps | controllerrevisions
        events""",
    "deployment-controller": """
        get list update watch | apps | deployments
        update | apps | deployments/status deployments/finalizers
        create delete get list patch update watch | apps | replicasets
        get list update watch | core | pods
        events""",
    "disruption-controller": """
        get list watch | apps | deployments replicasets statefulsets
        get list watch | core | replicationcontrollers
        get list watch | policy | poddisruptionbudgets
        update | policy | poddisruptionbudgets/status
        patch update | core | pods/status
        get | * | */scale
        events""",
    "endpoint-controller": """
        get list watch | core | pods services
        create delete get list update | core | endpoints
        create | core | endpoints/restricted
        events""",
    "endpointslice-controller": """
        get list watch | core | nodes pods services
        update | core | services/finalizers
        create delete get list update | discovery.k8s.io | endpointslices
        events""",
    "endpointslicemirroring-controller": """
        get list watch | core | endpoints services
        update | core | endpoints/finalizers services/finalizers
        create delete get list update | discovery.k8s.io | endpointslices
        events""",
    "ephemeral-volume-controller": """
        get list watch | core | pods
        update | core | pods/finalizers
        create get list watch | core | persistentvolumeclaims
        events""",
    "expand-controller": """
        get list patch update watch | core | persistentvolumes
        patch update | core | persistentvolumeclaims/status
        get list watch | core | persistentvolumeclaims
        get | core | endpoints secrets services
        events""",
    "generic-garbage-collector": """
        delete get list patch update watch | * | *
        events""",
    "horizontal-pod-autoscaler": """
        get list watch | autoscaling | horizontalpodautoscalers
        update | autoscaling | horizontalpodautoscalers/status
        get update | * | */scale
        list | core | pods
        list | metrics.k8s.io | pods
        get list | custom.metrics.k8s.io | *
        get list | external.metrics.k8s.io | *
        events""",
    "job-controller": """
        get list patch update watch | batch | jobs
        update | batch | jobs/status jobs/finalizers
        create delete list patch watch | core | pods
        events""",
    "namespace-controller": """
        delete get list watch | core | namespaces
        update | core | namespaces/finalize namespaces/status
        delete deletecollection get list | * | *""",
    "node-controller": """
        delete get list patch update | core | nodes
        patch update | core | nodes/status
        patch update | core | pods/status
        delete get list | core | pods
        events""",
    "persistent-volume-binder": """
        create delete get list update watch | core | persistentvolumes
        update | core | persistentvolumes/status persistentvolumeclaims/status
        get list update watch | core | persistentvolumeclaims
        create delete get list watch | core | pods
        get list watch | storage.k8s.io | storageclasses
        create delete get update | core | endpoints
        create delete get | core | services
        get | core | secrets
        get list | core | nodes
        events""",
    "pod-garbage-collector": """
        delete list watch | core | pods
        get list | core | nodes
        patch | core | pods/status""",
    "pv-protection-controller": """
        get list update watch | core | persistentvolumes
        events""",
    "pvc-protection-controller": """
        get list update watch | core | persistentvolumeclaims
        get list watch | core | pods
        events""",
    "replicaset-controller": """
        get list update watch | apps | replicasets
        update | apps | replicasets/status replicasets/finalizers
        create delete list patch watch | core | pods
        events""",
    "replication-controller": """
        get list update watch | core | replicationcontrollers
        update | core | replicationcontrollers/status replicationcontrollers/finalizers
        create delete list patch watch | core | pods
        events""",
    "resourcequota-controller": """
        list watch | * | *
        update | core | resourcequotas/status
        events""",
    "root-ca-cert-publisher": """
        create update | core | configmaps
        events""",
    "route-controller": """
        list watch | core | nodes
        patch | core | nodes/status
        events""",
    "service-account-controller": """
        create | core | serviceaccounts
        events""",
    "service-cidrs-controller": """
        get list patch update watch | networking.k8s.io | servicecidrs
        patch update | networking.k8s.io | servicecidrs/finalizers servicecidrs/status
        get list watch | networking.k8s.io | ipaddresses
        events""",
    "service-controller": """
        get list watch | core | services
        patch update | core | services/status
        list watch | core | nodes
        events""",
    "statefulset-controller": """
        list watch | core | pods
        get list watch | apps | statefulsets
        update | apps | statefulsets/status statefulsets/finalizers
        create delete get patch update | core | pods
        create delete get list patch update watch | apps | controllerrevisions
        create delete get list update watch | core | persistentvolumeclaims
        events""",
    "ttl-after-finished-controller": """
        delete get list watch | batch | jobs
        events""",
    "ttl-controller": """
        list patch update watch | core | nodes
        events""",
    "volumeattributesclass-protection-controller": """
        get list watch | core | persistentvolumeclaims
        get list watch | core | persistentvolumes
        get list update watch | storage.k8s.io | volumeattributesclasses
        events""",
}

_LEADER = """
        watch | core | configmaps
        get update | core | configmaps | {}"""
NAMESPACED: dict[tuple[str, str], str] = {
    ("kube-public", "system:controller:bootstrap-signer"): """
        get list watch | core | configmaps
        update | core | configmaps | cluster-info
        events""",
    ("kube-system", "extension-apiserver-authentication-reader"): """
        get list watch | core | configmaps | extension-apiserver-authentication""",
    ("kube-system", "system::leader-locking-kube-controller-manager"): _LEADER.format("kube-controller-manager"),
    ("kube-system", "system::leader-locking-kube-scheduler"): _LEADER.format("kube-scheduler"),
    ("kube-system", "system:controller:bootstrap-signer"): """
        get list watch | core | secrets""",
    ("kube-system", "system:controller:cloud-provider"): """
        create get list watch | core | configmaps""",
    ("kube-system", "system:controller:token-cleaner"): """
        delete get list watch | core | secrets
        events""",
}
_AUTHENTICATION = ("kube-system", "system::extension-apiserver-authentication-reader")
NAMESPACED_BINDINGS: dict[tuple[str, str], tuple[str, ...]] = {
    ("kube-public", "system:controller:bootstrap-signer"): ("kube-system/bootstrap-signer",),
    _AUTHENTICATION: ("system:kube-controller-manager", "system:kube-scheduler"),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system:kube-controller-manager",
        "kube-system/kube-controller-manager",
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): ("system:kube-scheduler", "kube-system/kube-scheduler"),
    ("kube-system", "system:controller:bootstrap-signer"): ("kube-system/bootstrap-signer",),
    ("kube-system", "system:controller:cloud-provider"): ("kube-system/cloud-provider",),
    ("kube-system", "system:controller:token-cleaner"): ("kube-system/token-cleaner",),
}
"""Who has them: accounts by namespace and name, users by name."""


def rules_of(text: str) -> list[Object]:
    """The rules that the lines of a text say."""
    return [_rule(line.strip()) for line in text.strip().splitlines()]


def _rule(line: str) -> Object:
    if line == "events":
        return {"verbs": ["create", "patch", "update"], "apiGroups": ["", "events.k8s.io"], "resources": ["events"]}
    verbs, group, resources, *names = (part.split() for part in line.split("|"))
    rule: Object = {"verbs": verbs, "apiGroups": ["" if name == "core" else name for name in group]}
    return rule | {"resources": resources} | ({"resourceNames": names[0]} if names else {})


def role_named(binding: tuple[str, str]) -> str:
    """The role that a binding grants: that of its own name, but for one."""
    return "extension-apiserver-authentication-reader" if binding == _AUTHENTICATION else binding[1]

"""The admission plugins of every server, in their order.

Invariant: the order is the original's (kubeapiserver/options/plugins.go).
"""

from __future__ import annotations

from control.apiserver.admission.claim_sizes import ClaimSizes
from control.apiserver.admission.defaults import DefaultIngressClass, DefaultStorageClass, RuntimeClass
from control.apiserver.admission.escalation import Escalation
from control.apiserver.admission.expressions import Expressions
from control.apiserver.admission.limit_ranger import LimitRanger
from control.apiserver.admission.mutating_policies import MutatingPolicies
from control.apiserver.admission.namespaces import NamespaceLifecycle
from control.apiserver.admission.node_restriction import NodeRestriction
from control.apiserver.admission.node_taints import TaintNodes
from control.apiserver.admission.pipeline import Plugin
from control.apiserver.admission.pod_security import PodSecurity
from control.apiserver.admission.priority import Priority
from control.apiserver.admission.resource_quota import ResourceQuota
from control.apiserver.admission.service_account import ServiceAccount
from control.apiserver.admission.signers import Signers
from control.apiserver.admission.tolerations import DefaultTolerationSeconds
from control.apiserver.admission.topology_labels import TopologyLabels
from control.apiserver.admission.validating_policies import ValidatingPolicies
from control.apiserver.admission.volumes import StorageProtection
from control.apiserver.admission.webhooks import MutatingWebhooks, ValidatingWebhooks
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.authorization.rbac import RbacMethod
from control.apiserver.cache import Cache
from control.apiserver.hooks.client import Hooks


def plugins(cache: Cache, hooks: Hooks, authorizer: Authorizer, rbac: RbacMethod) -> list[Plugin]:
    """One of each, over a server's cache."""
    expressions = Expressions(authorizer)
    return [
        NamespaceLifecycle(cache),
        LimitRanger(),
        ServiceAccount(),
        NodeRestriction(),
        TaintNodes(),
        Escalation(rbac),
        PodSecurity(cache),
        DefaultTolerationSeconds(),
        Priority(cache),
        DefaultStorageClass(cache),
        StorageProtection(),
        ClaimSizes(cache),
        RuntimeClass(cache),
        Signers(authorizer),
        DefaultIngressClass(cache),
        TopologyLabels(cache),
        MutatingPolicies(cache, expressions),
        MutatingWebhooks(cache, hooks, expressions),
        ValidatingPolicies(cache, expressions),
        ValidatingWebhooks(cache, hooks, expressions),
        ResourceQuota(),
    ]

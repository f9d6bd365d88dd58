"""The admission plugins of every server, in their order.

Invariant: the order is the original's (kubeapiserver/options/plugins.go).
"""

from __future__ import annotations

from control.apiserver.admission.limit_ranger import LimitRanger
from control.apiserver.admission.namespaces import NamespaceLifecycle
from control.apiserver.admission.node_restriction import NodeRestriction
from control.apiserver.admission.pipeline import Plugin
from control.apiserver.admission.priority import Priority
from control.apiserver.admission.resource_quota import ResourceQuota
from control.apiserver.admission.service_account import ServiceAccount
from control.apiserver.admission.tolerations import DefaultTolerationSeconds
from control.apiserver.cache import Cache


def plugins(cache: Cache) -> list[Plugin]:
    """One of each, over a server's cache."""
    return [
        NamespaceLifecycle(cache),
        LimitRanger(),
        ServiceAccount(),
        NodeRestriction(),
        DefaultTolerationSeconds(),
        Priority(cache),
        ResourceQuota(),
    ]

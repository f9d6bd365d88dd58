"""The steps of the server's start, as health checks under the original's names.

Invariant: a step has been taken once what it makes was there, whoever made it, and stays taken.
Source: the post-start hooks of kube-apiserver, which its /livez and /readyz list.
"""

from __future__ import annotations

from collections.abc import Callable

from api.serving import CheckFailed
from control.apiserver.server import ApiServer

_HOOK = "poststarthook/"
_FILLED = (
    "start-kube-apiserver-admission-initializer", "generic-apiserver-start-informers", "start-apiextensions-informers",
    "start-apiextensions-controllers", "crd-informer-synced", "start-kube-aggregator-informers",
)  # fmt: skip
_MADE = {
    "start-system-namespaces-controller": ("", "namespaces", "kube-system"),
    "bootstrap-controller": ("", "services", "default/kubernetes"),
    "rbac/bootstrap-roles": ("rbac.authorization.k8s.io", "clusterroles", "cluster-admin"),
    "scheduling/bootstrap-system-priority-classes": ("scheduling.k8s.io", "priorityclasses", "system-node-critical"),
    "priority-and-fairness-config-producer": ("flowcontrol.apiserver.k8s.io", "flowschemas", "exempt"),
    "start-cluster-authentication-info-controller": (
        "", "configmaps", "kube-system/extension-apiserver-authentication",
    ),
    "apiservice-registration-controller": ("apiregistration.k8s.io", "apiservices", "v1."),
    "apiservice-status-available-controller": ("apiregistration.k8s.io", "apiservices", "v1."),
    "kube-apiserver-autoregistration": ("apiregistration.k8s.io", "apiservices", "v1."),
    "apiservice-openapi-controller": ("apiregistration.k8s.io", "apiservices", "v1."),
    "apiservice-openapiv3-controller": ("apiregistration.k8s.io", "apiservices", "v1."),
}  # fmt: skip
_COMPLETION = ("autoregister-completion", ("apiregistration.k8s.io", "apiservices", "v1."))


def steps(server: ApiServer, filled: Callable[[], None]) -> dict[str, Callable[[], None]]:
    """The checks by their names; `filled` is the check that the cache has been filled."""
    checks = {f"{_HOOK}{name}": filled for name in _FILLED}
    checks |= {f"{_HOOK}{name}": Step(server, *address) for name, address in _MADE.items()}
    name, address = _COMPLETION
    return checks | {name: Step(server, *address)}


class Step:
    """Whether an object has been made."""

    def __init__(self, server: ApiServer, group: str, plural: str, key: str) -> None:
        self._objects = server.cache.collection(group, plural)
        self._what = f"{plural} {key}"
        self._key = key
        self._taken = False

    def __call__(self) -> None:
        self._taken = self._taken or self._key in self._objects.objects
        if not self._taken:
            raise CheckFailed(f"{self._what} is not there yet")

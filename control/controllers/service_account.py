"""ServiceAccount: every namespace has one called `default`.

Invariant: a namespace being deleted gets none.
Source: kubernetes pkg/controller/serviceaccount.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.errors import AlreadyExists
from api.loop import Loop
from api.objects import Object, is_deleting, name_of, namespace_of
from control.controllers.context import Context

DEFAULT = "default"


def decide(namespace: Object | None, present: Object | None) -> Object | None:
    """The account that has to be made for a namespace, if any; `present` is its default one."""
    if namespace is None or is_deleting(namespace) or present is not None:
        return None
    metadata = {"name": DEFAULT, "namespace": name_of(namespace)}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


class ServiceAccountController(Loop):
    """Creates the default service account."""

    name = "service-account-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._namespaces = self.watch("namespaces")
        self._accounts = self.watch("serviceaccounts", _namespace)

    def reconcile(self, key: str) -> float | None:
        """Make the namespace's default service account if it lacks one."""
        wanted = decide(self._namespaces.get(key), self._accounts.get(f"{key}/{DEFAULT}"))
        if wanted is not None:
            try:
                self.client.create("serviceaccounts", wanted)
            except AlreadyExists:
                return None
        return None


def _namespace(obj: Object) -> Iterable[str]:
    return (namespace_of(obj),) if name_of(obj) == DEFAULT else ()

"""Root CA publisher: every namespace has a ConfigMap with the authority that its pods trust.

Invariant: the ConfigMap's `ca.crt` is always the authority given at start.
Source: kubernetes pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.errors import AlreadyExists
from api.loop import Loop
from api.objects import Object, is_deleting, name_of, namespace_of
from control.controllers.context import Context

NAME = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the"
    " internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of"
    " Kubernetes clusters."
)


def decide(namespace: Object | None, present: Object | None, authority: str) -> Object | None:
    """The ConfigMap that has to be written for a namespace: made if there is none `present`, else mended."""
    if namespace is None or is_deleting(namespace) or not authority:
        return None
    data = {"ca.crt": authority}
    if present is None:
        annotations = {"kubernetes.io/description": _DESCRIPTION}
        metadata = {"name": NAME, "namespace": name_of(namespace), "annotations": annotations}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return present | {"data": data} if present.get("data") != data else None


class RootCaController(Loop):
    """Creates and repairs kube-root-ca.crt."""

    name = "root-ca-certificate-publisher-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._authority = context.options.authority_certificate.decode()
        self._namespaces = self.watch("namespaces")
        self._maps = self.watch("configmaps", _namespace)

    def reconcile(self, key: str) -> float | None:
        """Make the namespace's ConfigMap so."""
        present = self._maps.get(f"{key}/{NAME}")
        wanted = decide(self._namespaces.get(key), present, self._authority)
        if wanted is not None and present is not None:
            self.client.update("configmaps", wanted)
        elif wanted is not None:
            try:
                self.client.create("configmaps", wanted)
            except AlreadyExists:
                return None
        return None


def _namespace(obj: Object) -> Iterable[str]:
    return (namespace_of(obj),) if name_of(obj) == NAME else ()

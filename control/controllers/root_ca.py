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


class RootCaController(Loop):
    """Creates and repairs kube-root-ca.crt."""

    name = "root-ca-certificate-publisher-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.options = context.options
        self._namespaces = self.watch("namespaces")
        self._maps = self.watch("configmaps", _namespace)

    def reconcile(self, key: str) -> float | None:
        """Make the namespace's ConfigMap so."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_deleting(namespace) or not self.options.authority_certificate:
            return None
        data = {"ca.crt": self.options.authority_certificate.decode()}
        present = self._maps.get(f"{key}/{NAME}")
        if present is None:
            self._create(key, data)
        elif present.get("data") != data:
            self.client.update("configmaps", present | {"data": data})
        return None

    def _create(self, namespace: str, data: dict[str, str]) -> None:
        metadata: Object = {"name": NAME, "namespace": namespace}
        metadata["annotations"] = {"kubernetes.io/description": _DESCRIPTION}
        try:
            self.client.create(
                "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            )
        except AlreadyExists:
            return


def _namespace(obj: Object) -> Iterable[str]:
    return (namespace_of(obj),) if name_of(obj) == NAME else ()

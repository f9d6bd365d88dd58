"""Has nodes remove the directories of local-path volumes whose claims are gone.

The kubelet of the node does it, asked through the API server's node proxy: so no pod, image or further right is needed.

Invariant: a volume's object outlives its directory, unless the whole node is gone.
Source: what local-path provisioners do with a helper pod (reclaim policies Delete and Retain).
"""

from __future__ import annotations

from urllib.parse import quote

from api.client import Client
from api.informer import Informer
from api.objects import Object, annotations_of, is_true, labels_of, name_of, uid_of
from api.volumes import LOCAL_PATH, PROVISIONED_BY

# Keeps a volume that is deleted before its claim until its directory is gone, too. The name is the one that
# provisioners outside of the cluster use.
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"


class NotReachable(Exception):
    """The node cannot be asked now; one sentence why."""


def is_ours(volume: Object) -> bool:
    """Whether the volume is a directory that was provisioned here."""
    return annotations_of(volume).get(PROVISIONED_BY) == LOCAL_PATH


def may_end(volume: Object, claim: Object | None) -> bool:
    """Whether a volume that is being deleted waits for nothing but us."""
    reference = volume["spec"].get("claimRef") or {}
    held = claim is not None and uid_of(claim) == reference.get("uid")
    return is_ours(volume) and FINALIZER in (volume["metadata"].get("finalizers") or []) and not held


class LocalDirectories:
    """The shell."""

    def __init__(self, client: Client, nodes: Informer) -> None:
        self._client = client
        self._nodes = nodes

    def remove(self, volume: Object) -> None:
        """Remove the volume's directory. Raises NotReachable, ApiError, TransportError."""
        node = self._node_of(volume)
        if node is None or not _serves(node):
            # With the machine its directories are gone; a node without a server has none.
            return
        name, path = name_of(node), volume["spec"]["hostPath"]["path"]
        if not is_true(node, "Ready"):
            raise NotReachable(f"node {name} is not ready: its directory {path} is removed once it is")
        self._client.raw("DELETE", f"/api/v1/nodes/{name}/proxy/volumes?path={quote(path, safe='')}")

    def _node_of(self, volume: Object) -> Object | None:
        (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        (hostname,) = term["matchExpressions"][0]["values"]
        found = (node for node in self._nodes.items() if labels_of(node).get("kubernetes.io/hostname") == hostname)
        return next(found, None) or self._nodes.get(hostname)


def _serves(node: Object) -> bool:
    endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
    return bool((endpoints.get("kubeletEndpoint") or {}).get("Port", 1))

"""Where the kubelet of a node answers, and how the API server proves itself to it.

Invariant: a kubelet's certificate must be the cluster's and be made out to the address that is called.
Source: pkg/kubelet/client/kubelet_client.go.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from api import errors
from api.objects import Object
from control.apiserver.proxy.backend import Target
from control.apiserver.server import ApiServer

_PORT = 10250
_PREFERRED = ("InternalIP", "InternalDNS", "Hostname", "ExternalIP", "ExternalDNS")


def kubelet_context(directory: Path) -> ssl.SSLContext:
    """TLS towards kubelets, from the files in the PKI directory."""
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    names = ("apiserver-kubelet-client.crt", "apiserver-kubelet-client.key")
    context.load_cert_chain(*(str(directory / name) for name in names))
    return context


def kubelet_target(server: ApiServer, node_name: str, path: str) -> Target:
    """A path of the kubelet of a node. Raises NotFound, ServiceUnavailable."""
    endpoint = server.endpoint("", "v1", "nodes")
    node = server.storage.get(endpoint.key("", node_name)).object()
    status = node.get("status") or {}
    daemon = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    port = int(daemon.get("Port", _PORT))
    if not port:
        raise errors.ServiceUnavailable(f"node {node_name} runs no kubelet server: its kubeletEndpoint has port 0")
    return Target(_address(node), port, path, server.kubelet_tls)


def _address(node: Object) -> str:
    addresses = (node.get("status") or {}).get("addresses") or []
    for kind in _PREFERRED:
        for address in addresses:
            if address.get("type") == kind and address.get("address"):
                return str(address["address"])
    raise errors.ServiceUnavailable(f"no preferred addresses found; known addresses: {addresses}")

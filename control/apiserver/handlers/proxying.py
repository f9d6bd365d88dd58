"""The proxy subresources of nodes, pods and services.

Invariant: a request is passed on as it came, but for the path's beginning and the client's credentials.
Source: "Access Services Running on Clusters"; pkg/registry/core/{node,pod,service}/rest/proxy.go.
"""

from __future__ import annotations

import ssl
from urllib.parse import quote

from api import errors
from api.objects import Object
from control.apiserver.endpoint import Endpoint
from control.apiserver.operation import CONNECT, operation
from control.apiserver.proxy.backend import Target, forward
from control.apiserver.proxy.kubelets import kubelet_target
from control.apiserver.proxy.services import service_address
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer


def proxy(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """Any method on `proxy` and the paths below it."""
    op = operation(server, endpoint, request, CONNECT)
    op.dry_run = False
    server.admission.validate(op, {}, None)
    kind = endpoint.entry.resource.plural
    scheme, name, port = _split(request.info.name)
    path = _path(request)
    if kind == "nodes":
        target = kubelet_target(server, name, path)
    elif kind == "pods":
        target = _pod_target(server, endpoint, request, scheme, name, port, path)
    else:
        target = _service_target(server, request, scheme, name, port, path)
    return forward(server.runtime, request, target)


def _split(text: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `name`, `name:port` or `scheme:name:port`."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0], parts[1], parts[2]
    raise errors.BadRequest(f'invalid request "{text}"')


def _path(request: Request) -> str:
    rest = request.path.split("/proxy", 1)[1] or "/"
    query = request.environ.get("QUERY_STRING") or ""
    return quote(rest, safe="/:@!$&'()*+,;=-._~%") + (f"?{query}" if query else "")


def _pod_target(
    server: ApiServer, endpoint: Endpoint, request: Request, scheme: str, name: str, port: str, path: str
) -> Target:
    pod = server.storage.get(endpoint.key(request.info.namespace, name)).object()
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise errors.BadRequest("address not allowed")
    number = int(port) if port.isdigit() else _container_port(pod, port)
    return Target(address, number, path, _tls(scheme))


def _container_port(pod: Object, name: str) -> int:
    """The port of that name, or the first one; 80 if there is none."""
    for container in pod["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            if not name or port.get("name") == name:
                return int(port["containerPort"])
    if name:
        raise errors.ServiceUnavailable(f'no port named "{name}" found for pod "{pod["metadata"]["name"]}"')
    return 80


def _service_target(server: ApiServer, request: Request, scheme: str, name: str, port: str, path: str) -> Target:
    """A ready endpoint of the service, by the number, name or target of its port."""
    server.cache.catch_up()
    address, number = service_address(server.cache, server.runtime, request.info.namespace, name, port)
    return Target(address, number, path, _tls(scheme))


def _tls(scheme: str) -> ssl.SSLContext | None:
    """Pods have certificates of their own making, so none of them is verified, as in the original."""
    if scheme != "https":
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

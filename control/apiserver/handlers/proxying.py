"""The proxy subresources of nodes, pods and services.

Invariant: a request is passed on as it came, but for the path's beginning and the client's credentials, and never to
this machine itself; links to the other side in what it answers lead through the proxy.
Source: "Access Services Running on Clusters"; pkg/registry/core/{node,pod,service}/rest/proxy.go.
"""

from __future__ import annotations

import gzip
import ipaddress
import ssl
import zlib
from contextlib import closing
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from api import errors
from api.naturals import natural
from api.objects import Object
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.connecting import admit
from control.apiserver.proxy.backend import Body, Target, forward
from control.apiserver.proxy.kubelets import kubelet_target
from control.apiserver.proxy.links import Rewrite, moved, rewrite
from control.apiserver.proxy.services import service_address
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer


def proxy(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """Any method on `proxy` and the paths below it."""
    admit(server, endpoint, request)
    kind = endpoint.entry.resource.plural
    scheme, name, port = _split(request.info.name)
    base, rest = _cut(request)
    query = f"?{request.environ['QUERY_STRING']}" if request.environ.get("QUERY_STRING") else ""
    if not rest and request.method in ("GET", "HEAD") and not request.header("Upgrade"):
        # What is relative in the page behind it would otherwise be looked for beside it.
        return Response(b"", 301, "text/plain", [("Location", f"{base}/{query}")])
    path = (rest or "/") + query
    if kind == "nodes":
        target = kubelet_target(server, name, path)
    elif kind == "pods":
        target = _pod_target(server, endpoint, request, scheme, name, port, path)
    else:
        target = _service_target(server, request, scheme, name, port, path)
    target = replace(target, identity=(*target.identity, ("X-Forwarded-Uri", base + (rest or "/"))))
    return _through(forward(server.runtime, request, target), partial(moved, base=base, target=str(target)))


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


def _cut(request: Request) -> tuple[str, str]:
    """The path up to `proxy`, and what is asked of the other side, both encoded."""
    info = request.info
    end = request.path.index(f"/{info.resource}/{info.name}/proxy") + len(f"/{info.resource}/{info.name}/proxy")
    base, rest = (quote(part, safe="/:@!$&'()*+,;=-._~%") for part in (request.path[:end], request.path[end:]))
    return base, rest


def _through(answer: Response, move: Rewrite) -> Response:
    """The other side's answer with what it refers to moved behind the proxy: a redirection, or the links of a page."""
    if any(name == "Location" for name, _ in answer.headers):
        answer.headers = [(name, move(value) if name == "Location" else value) for name, value in answer.headers]
    elif answer.content_type.partition(";")[0].strip() == "text/html" and isinstance(answer.body, Body):
        encoding = next((value for name, value in answer.headers if name.lower() == "content-encoding"), "")
        if encoding in ("", "gzip"):
            with closing(answer.body) as body:
                page = b"".join(body)
            answer.body = _moved_page(page, encoding, move)
    return answer


def _moved_page(page: bytes, encoding: str, move: Rewrite) -> bytes:
    # Latin-1 gives back every byte as it was, whatever the page is encoded in.
    if encoding != "gzip":
        return rewrite(page.decode("latin-1"), move).encode("latin-1")
    try:
        plain = gzip.decompress(page)
    except (OSError, EOFError, zlib.error):
        return page
    return gzip.compress(rewrite(plain.decode("latin-1"), move).encode("latin-1"))


def _allowed(address: str) -> str:
    """An address that may be reached from here. Raises BadRequest for one of this machine or of its links."""
    found = ipaddress.ip_address(address)
    if found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast:
        raise errors.BadRequest("address not allowed")
    return address


def _pod_target(
    server: ApiServer, endpoint: Endpoint, request: Request, scheme: str, name: str, port: str, path: str
) -> Target:
    pod = server.storage.get(endpoint.key(request.info.namespace, name)).object()
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise errors.BadRequest("address not allowed")
    number = natural(port)
    return Target(_allowed(address), _container_port(pod, port) if number is None else number, path, _tls(scheme))


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
    return Target(_allowed(address), number, path, _tls(scheme))


def _tls(scheme: str) -> ssl.SSLContext | None:
    """Pods have certificates of their own making, so none of them is verified, as in the original."""
    if scheme != "https":
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

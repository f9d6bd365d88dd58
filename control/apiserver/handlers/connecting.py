"""Admission of connections: exec, attach, portforward and proxy.

Invariant: who judges a connection sees its options as the object of the request, in the kind of the subresource.
Source: apiserver/pkg/endpoints/handlers/rest.go, ConnectResource; core/v1 PodExecOptions and its like.
"""

from __future__ import annotations

from typing import Any

from api.objects import Object
from control.apiserver.endpoint import Endpoint
from control.apiserver.operation import CONNECT, operation
from control.apiserver.request import Request
from control.apiserver.server import ApiServer

_FLAGS = ("stdin", "stdout", "stderr", "tty")


def admit(server: ApiServer, endpoint: Endpoint, request: Request) -> None:
    """Raises ApiError if admission refuses the connection."""
    asked = operation(server, endpoint, request, CONNECT)
    options = _options(endpoint, request)
    server.admission.validate(asked, server.admission.mutate(asked, options, None), None)


def _options(endpoint: Endpoint, request: Request) -> Object:
    """The options object that the original makes of the query."""
    subresource = request.info.subresource
    info = endpoint.entry.subresources[subresource]
    options: dict[str, Any] = {"kind": info.kind, "apiVersion": "v1"}
    if subresource == "portforward":
        options |= {"ports": forwarded_ports(request)}
    elif subresource == "proxy":
        options |= {"path": f"/{request.info.rest}"}
    else:
        options |= {flag: True for flag in _FLAGS if request.flag(flag)}
        options |= {"container": request.query.get("container", "")}
        options |= {"command": request.query_lists.get("command", [])}
    return {field: value for field, value in options.items() if value}


def forwarded_ports(request: Request) -> list[int | str]:
    """The ports that a portforward names; what is no number is left to the kubelet to refuse."""
    named = [port for value in request.query_lists.get("ports", []) for port in value.split(",")]
    return [int(port) if port.isdecimal() else port for port in named]

"""log, exec, attach and portforward of pods: passed to the kubelet of the pod's node.

Invariant: the protocol of a stream is spoken by client and kubelet; here only its address is known.
Source: pkg/registry/core/pod/strategy.go (LogLocation, streamLocation); kubelet's server paths.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from api import errors
from api.errors import Cause
from api.objects import Object
from api.runtime import parse_timestamp
from api.validation import fields
from control.apiserver.authorization.attributes import attributes
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.connecting import admit, forwarded_ports
from control.apiserver.proxy.backend import Body, forward, send
from control.apiserver.proxy.kubelets import kubelet_target
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer

_LOG_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_LOG_FLAGS = ("follow", "previous", "timestamps")
_STREAM_FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
_PLAIN = "text/plain"
_STREAMS = ("All", "Stderr", "Stdout")


def logs(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """GET of a container's log."""
    pod = _pod(server, endpoint, request)
    parameters = _log_parameters(request)
    container = _container(pod, request.query.get("container", ""))
    node = pod["spec"].get("nodeName")
    if not node:
        return Response(b"", content_type=_PLAIN)
    path = _path("containerLogs", request, container) + (f"?{urlencode(parameters)}" if parameters else "")
    target = kubelet_target(server, node, path)
    if request.header("Upgrade").lower() == "websocket":
        return forward(server.runtime, request, target)
    answer = send(target, "GET", {})
    if answer.status != 200:
        raise _refusal(request, answer.status, answer.read().decode("utf-8", "replace"))
    return Response(Body(answer), content_type=_PLAIN)


def _log_parameters(request: Request) -> list[tuple[str, str]]:
    """The kubelet's parameters. Raises Invalid."""
    found: list[tuple[str, str]] = [(name, "true") for name in _LOG_FLAGS if request.flag(name)]
    causes = []
    for name in _LOG_NUMBERS:
        number = request.number(name)
        if number is None:
            continue
        least = 0 if name == "tailLines" else 1
        if number < least:
            causes.append(
                Cause("FieldValueInvalid", f"Invalid value: {number}: must be greater than {least - 1}", name)
            )
        found.append((name, str(number)))
    since = request.query.get("sinceTime", "")
    if since:
        try:
            parse_timestamp(since)
        except ValueError as error:
            pattern = "2006-01-02T15:04:05Z07:00"
            raise errors.BadRequest(
                f'parsing time "{since}" as "{pattern}": cannot parse "{since}" as "2006"'
            ) from error
        found.append(("sinceTime", since))
        if request.query.get("sinceSeconds"):
            message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            causes.append(Cause("FieldValueForbidden", message))
    stream = request.query.get("stream")
    if stream:
        found.append(("stream", stream))
        causes += fields.one_of("stream", stream, _STREAMS)
        if stream in _STREAMS[1:] and request.query.get("tailLines"):
            message = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"
            causes.append(Cause("FieldValueForbidden", message))
    if causes:
        raise errors.invalid("PodLogOptions", "", request.info.name, causes)
    return found


def _refusal(request: Request, status: int, text: str) -> errors.ApiError:
    """The kubelet's words as a Status."""
    if status == 400:
        return errors.BadRequest(text)
    if status == 404:
        message = f"the server could not find the requested resource (get pods/log {request.info.name})"
        return errors.NotFound(message, name=request.info.name, kind="pods/log")
    return errors.internal(text)


def exec_or_attach(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """An upgraded connection to a command in a container, or to its main process."""
    _check_create(server, request)
    pod = _pod(server, endpoint, request)
    container = _container(pod, request.query.get("container", ""))
    parameters = [(theirs, "1") for ours, theirs in _STREAM_FLAGS.items() if request.flag(ours)]
    if request.info.subresource == "exec":
        commands = request.query_lists.get("command", [])
        if not commands:
            raise errors.BadRequest("you must specify at least 1 command for the container")
        parameters += [("command", command) for command in commands]
    admit(server, endpoint, request)
    path = f"{_path(request.info.subresource, request, container)}?{urlencode(parameters)}"
    return _connected(server, request, pod, path)


def port_forward(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """An upgraded connection to ports of a pod."""
    _check_create(server, request)
    pod = _pod(server, endpoint, request)
    admit(server, endpoint, request)
    ports = forwarded_ports(request)
    query = f"?{urlencode([('port', ','.join(map(str, ports)))])}" if ports else ""
    info = request.info
    return _connected(server, request, pod, f"/portForward/{quote(info.namespace)}/{quote(info.name)}{query}")


def _connected(server: ApiServer, request: Request, pod: Object, path: str) -> Response:
    """The connection handed through to the pod's kubelet. Raises BadRequest."""
    target = kubelet_target(server, _node(pod), path)
    if not request.header("Upgrade"):
        raise errors.BadRequest("Upgrade request required")
    return forward(server.runtime, request, target)


def _check_create(server: ApiServer, request: Request) -> None:
    """WebSockets begin with a GET, but who may only read runs nothing in a pod. Raises Forbidden."""
    asked = attributes(request)
    if asked.verb != "create":
        server.authorizer.check(asked._replace(verb="create"))


def _pod(server: ApiServer, endpoint: Endpoint, request: Request) -> Object:
    return server.storage.get(endpoint.key(request.info.namespace, request.info.name)).object()


def _node(pod: Object) -> str:
    node = pod["spec"].get("nodeName")
    if not node:
        raise errors.BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _path(kind: str, request: Request, container: str) -> str:
    info = request.info
    return "/".join(["", kind, quote(info.namespace), quote(info.name), quote(container)])


def _container(pod: Object, wanted: str) -> str:
    """The container that is meant. Raises BadRequest."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [container["name"] for container in spec.get("containers") or []]
    first = [container["name"] for container in spec.get("initContainers") or []]
    late = [container["name"] for container in spec.get("ephemeralContainers") or []]
    if wanted:
        if wanted not in (*main, *first, *late):
            raise errors.BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return str(main[0])
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    if first:
        message += f" or one of the init containers: [{' '.join(first)}]"
    raise errors.BadRequest(message)

"""Which handler answers a resource request: by subresource, then by verb.

Invariant: a verb that the registry does not list for a resource is refused with MethodNotAllowed.
"""

from __future__ import annotations

from collections.abc import Callable

from api import errors
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers import (
    binding,
    components,
    creating,
    deleting,
    eviction,
    patching,
    proxying,
    reading,
    reviews,
    scale,
    streams,
    tokens,
    updating,
    usage,
    watching,
)
from control.apiserver.negotiation import accepted
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer, page_not_found

Handler = Callable[[ApiServer, Endpoint, Request], Response]

_MAIN: dict[str, Handler] = {
    "get": reading.get,
    "list": reading.list_objects,
    "watch": watching.watch,
    "create": creating.create,
    "update": updating.update,
    "patch": patching.patch,
    "delete": deleting.delete,
    "deletecollection": deleting.delete_collection,
}
_STATUS: dict[str, Handler] = {"get": reading.get, "update": updating.update, "patch": patching.patch}

_SCALE: dict[str, Handler] = {"get": scale.get, "update": scale.update, "patch": scale.patch}

_SUBRESOURCES: dict[str, dict[str, Handler]] = {
    "status": _STATUS,
    "scale": _SCALE,
    "approval": _STATUS,
    "ephemeralcontainers": _STATUS,
    "resize": _STATUS,
    "finalize": {"update": updating.update},
    "binding": {"create": binding.bind},
    "eviction": {"create": eviction.evict},
    "token": {"create": tokens.create_token},
    "log": {"get": streams.logs},
    "exec": {"get": streams.exec_or_attach, "create": streams.exec_or_attach},
    "attach": {"get": streams.exec_or_attach, "create": streams.exec_or_attach},
    "portforward": {"get": streams.port_forward, "create": streams.port_forward},
    "proxy": dict.fromkeys(("get", "create", "update", "patch", "delete", "head", "options"), proxying.proxy),
}
_TRANSFORMED = frozenset({"status", "scale", "approval", "ephemeralcontainers", "resize", "finalize"})
_CONNECTIONS = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_COMPUTED: dict[tuple[str, str], dict[str, Handler]] = {
    ("", "componentstatuses"): {"get": components.get, "list": components.list_all},
}
_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_ACTIONS: dict[tuple[str, str], Handler] = {
    ("", "bindings"): binding.bind,
    (_AUTHORIZATION, "selfsubjectaccessreviews"): reviews.self_subject_access,
    (_AUTHORIZATION, "subjectaccessreviews"): reviews.subject_access,
    (_AUTHORIZATION, "localsubjectaccessreviews"): reviews.subject_access,
    (_AUTHORIZATION, "selfsubjectrulesreviews"): reviews.self_subject_rules,
    (_AUTHENTICATION, "selfsubjectreviews"): reviews.self_subject,
    (_AUTHENTICATION, "tokenreviews"): tokens.review_token,
}
_DEPRECATED = {
    ("", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


def handle(server: ApiServer, request: Request) -> Response:
    """Answer an authorized resource request. Raises ApiError."""
    info = request.info
    if usage.answers(info.group):
        return usage.respond(server, request)
    endpoint = server.endpoint(info.group, info.version, info.resource)
    if (info.group, info.resource) in _DEPRECATED:
        request.warnings.append(_DEPRECATED[info.group, info.resource])
    if endpoint.custom and (warning := endpoint.custom.warning()):
        request.warnings.append(warning)
    if info.subresource:
        if info.subresource not in endpoint.entry.subresources or (info.rest and info.subresource != "proxy"):
            raise page_not_found()
        handlers = _SUBRESOURCES.get(info.subresource, {})
    else:
        action = _ACTIONS.get((info.group, info.resource))
        handlers = {"create": action} if action else _COMPUTED.get((info.group, info.resource), _MAIN)
        if info.verb not in endpoint.entry.verbs:
            raise not_allowed()
    handler = handlers.get(info.verb)
    if request.method == "HEAD" and info.subresource != "proxy":
        raise not_allowed()
    if handler is None or (info.verb == "create" and info.name and not info.subresource):
        raise not_allowed()
    if info.verb in ("update", "patch") and not info.name:
        raise not_allowed()
    if info.verb in ("create", "deletecollection") and endpoint.entry.resource.namespaced and not info.namespace:
        raise not_allowed()
    if info.subresource not in _CONNECTIONS:
        accepted(request, transforms="list" in handlers or info.subresource in _TRANSFORMED)
    return handler(server, endpoint, request)


def not_allowed() -> errors.MethodNotAllowed:
    """What is known is not asked for that way."""
    return errors.MethodNotAllowed("the server does not allow this method on the requested resource")

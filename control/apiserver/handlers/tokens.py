"""serviceaccounts/token and tokenreviews: issuing and judging tokens.

Invariant: a token bound to an object is issued only while that object exists with the uid that was named.
Source: pkg/registry/core/serviceaccount/storage/token.go; pkg/registry/authentication/tokenreview.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from api import errors
from api.errors import Cause
from api.objects import Object
from api.runtime import timestamp
from api.validation import fields
from control.apiserver.authentication.bootstrap_tokens import is_bootstrap_token
from control.apiserver.authentication.jwt import BadToken
from control.apiserver.authentication.service_accounts import Bound, Tokens
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import action_body
from control.apiserver.handlers.forms import text_response
from control.apiserver.handlers.objects import metadata_of
from control.apiserver.identity import User
from control.apiserver.negotiation import accepted
from control.apiserver.operation import CREATE, Operation, operation
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer, page_not_found

_SHORTEST, _LONGEST, _DEFAULT = 600, 1 << 32, 3600
_BOUND_PLURALS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


def create_token(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a TokenRequest."""
    tokens = _tokens(server)
    body = action_body(request, "io.k8s.api.authentication.v1.TokenRequest", "authentication.k8s.io/v1")
    op = operation(server, endpoint, request, CREATE)
    _check_names(op, metadata_of(body))
    account = server.storage.get(op.key()).object()
    body = server.admission.mutate(op, body, None)
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or _DEFAULT
    _check_seconds(seconds)
    metadata = metadata_of(body)
    metadata |= {"name": op.name, "namespace": op.namespace, "creationTimestamp": op.now}
    server.admission.validate(op, body, None)
    bound = _bound(server, op, spec.get("boundObjectRef"))
    audiences = list(spec.get("audiences") or []) or [tokens.issuer]
    token, expires = tokens.issue(account, audiences, seconds, bound)
    answer: Object = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": metadata,
        "spec": spec | {"audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": timestamp(expires)},
    }
    answer["spec"].setdefault("boundObjectRef", None)
    return text_response(request, accepted(request), orjson.dumps(answer), 201)


def _tokens(server: ApiServer) -> Tokens:
    if server.tokens is None:
        raise page_not_found()
    return server.tokens


def _check_names(op: Operation, metadata: Mapping[str, Any]) -> None:
    """Raises Invalid for a request that is made for another account than the one it says."""
    for field, true, what in (("name", op.name, "name"), ("namespace", op.namespace, "namespace")):
        found = metadata.get(field)
        if found and found != true:
            cause = fields.invalid(f"metadata.{field}", found, f"must match the service account {what} if specified")
            raise errors.invalid("TokenRequest", "authentication.k8s.io", op.name, [cause])


def _check_seconds(seconds: Any) -> None:
    why = ""
    if not isinstance(seconds, int):
        raise errors.BadRequest("spec.expirationSeconds must be a whole number")
    if seconds < _SHORTEST:
        why = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST:
        why = f"Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds"
    if why:
        cause = Cause("FieldValueInvalid", why, "spec.expirationSeconds")
        raise errors.invalid("TokenRequest", "authentication.k8s.io", "", [cause])


def _bound(server: ApiServer, op: Operation, reference: Any) -> list[Bound]:
    """The object that a reference names, and the node of a pod. Raises NotFound, Conflict, BadRequest."""
    if not reference:
        return []
    kind, name, uid = (str(reference.get(field) or "") for field in ("kind", "name", "uid"))
    group, _, version = str(reference.get("apiVersion") or "").rpartition("/")
    plural = "" if group else _BOUND_PLURALS.get(kind, "")
    if not plural:
        raise errors.BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    endpoint = server.endpoint("", "v1", plural)
    obj = server.storage.get(endpoint.key(op.namespace, name)).object()
    if kind == "Pod" and obj["spec"].get("serviceAccountName") != op.name:
        why = f'cannot bind token for serviceaccount "{op.name}" to pod running with different serviceaccount name.'
        raise errors.BadRequest(why)
    if uid and uid != obj["metadata"]["uid"]:
        why = (
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(kind, "", name, why)
    bound = [Bound(kind, name, obj["metadata"]["uid"])]
    node = (obj.get("spec") or {}).get("nodeName") if kind == "Pod" else ""
    if node:
        found = server.cache.peek(server.endpoint("", "v1", "nodes").key("", node))
        bound.append(Bound("Node", node, found.object()["metadata"]["uid"] if found else ""))
    return bound


def review_token(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a TokenReview."""
    body = action_body(request, endpoint.entry.definition, "authentication.k8s.io/v1")
    spec = body.get("spec") or {}
    if not spec.get("token"):
        raise errors.BadRequest("token is required for TokenReview in authentication")
    status: Object = {}
    try:
        user, audiences = _reviewed(server, str(spec["token"]), list(spec.get("audiences") or []))
    except BadToken as error:
        status = {"user": {}, "error": f"[invalid bearer token, {error}]" if str(error) else "invalid bearer token"}
    else:
        status = {"authenticated": True, "user": user_info(user), "audiences": audiences}
    answer = {
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": body.get("metadata") or {"creationTimestamp": None},
        "spec": spec,
        "status": status,
    }
    return text_response(request, accepted(request), orjson.dumps(answer), 201)


def _reviewed(server: ApiServer, token: str, audiences: list[str]) -> tuple[User, list[str]]:
    """(whose the token is, for which of the audiences). Raises BadToken."""
    tokens = _tokens(server)
    if server.bootstrap_tokens is None or not is_bootstrap_token(token):
        return tokens.check(token, audiences)
    user = server.bootstrap_tokens.user_of(token)
    # Such a token names no audience: it is for this server.
    shared = [audience for audience in audiences or [tokens.issuer] if audience == tokens.issuer]
    if user is None or not shared:
        raise BadToken
    return user, shared


def user_info(user: User) -> Object:
    """A UserInfo object."""
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info

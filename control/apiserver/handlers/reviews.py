"""The reviews of authorization.k8s.io and authentication.k8s.io: what one may do, and who one is.

Invariant: a review asks the same authorizer that judges requests, so it cannot disagree with it.
Source: pkg/registry/authorization; pkg/registry/authentication/selfsubjectreview.
"""

from __future__ import annotations

from typing import Any

import orjson

from api import errors
from api.objects import Object
from api.validation import access_reviews, fields
from control.apiserver.authorization import selectors
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import action_body
from control.apiserver.handlers.forms import text_response
from control.apiserver.handlers.tokens import user_info
from control.apiserver.identity import User
from control.apiserver.negotiation import accepted
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.server import ApiServer


def self_subject_access(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a SelfSubjectAccessReview."""
    return _review(server, endpoint, request, request.user)


def subject_access(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a SubjectAccessReview or LocalSubjectAccessReview."""
    return _review(server, endpoint, request, None)


def _review(server: ApiServer, endpoint: Endpoint, request: Request, user: User | None) -> Response:
    resource = endpoint.entry.resource
    body = action_body(request, endpoint.entry.definition, resource.api_version)
    spec = body.get("spec") or {}
    _check(resource.kind, body, request.info.namespace, need_subject=user is None)
    subject = user or User(
        str(spec.get("user") or ""),
        tuple(spec.get("groups") or ()),
        str(spec.get("uid") or ""),
        {key: tuple(values) for key, values in (spec.get("extra") or {}).items()},
    )
    asked, unread = _attributes(subject, spec)
    allowed, reason = server.authorizer.decide(asked)
    status: Object = {"allowed": allowed}
    if reason:
        status["reason"] = reason
    if unread:
        status["evaluationError"] = unread
    return _answer(endpoint, request, body, spec, status)


def _check(kind: str, body: Object, namespace: str, *, need_subject: bool) -> None:
    """Raises Invalid for a review that does not say whom or what it is about, and BadRequest for one of elsewhere."""
    spec, metadata = body.get("spec") or {}, body.get("metadata") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    causes: fields.Causes = []
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        causes.append(fields.invalid("spec.nonResourceAttributes", path, detail))
    if resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(fields.invalid("spec.resourceAttributes", None, detail))
    causes += access_reviews.selectors(resource or {})
    if need_subject and not spec.get("user") and not spec.get("groups"):
        causes.append(fields.invalid("spec.user", "", "at least one of user or group must be specified"))
    ignored = ("managedFields", "namespace") if namespace else ("managedFields",)
    if any(value for field, value in metadata.items() if field not in ignored):
        detail = "must be empty except for namespace" if namespace else "must be empty"
        causes.append(fields.invalid("metadata", metadata, detail))
    if namespace and resource is not None and (resource.get("namespace") or "") != namespace:
        found = resource.get("namespace") or ""
        causes.append(fields.invalid("spec.resourceAttributes.namespace", found, "must match metadata.namespace"))
    if namespace and path is not None:
        causes.append(fields.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"))
    if causes:
        raise errors.invalid(kind, "authorization.k8s.io", "", causes)
    if namespace and metadata.get("namespace") not in (None, "", namespace):
        raise errors.BadRequest(f"spec.resourceAttributes.namespace must match namespace: {namespace}")


def _attributes(user: User, spec: Object) -> tuple[Attributes, str]:
    """What a review asks about, and what of its selectors could not be read."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb", ""), path=path.get("path", "")), ""
    wanted = spec["resourceAttributes"]
    names = ("verb", "group", "version", "namespace", "resource", "subresource", "name")
    terms, unread = selectors.reviewed_fields(wanted.get("fieldSelector") or {})
    labels, unread_too = selectors.reviewed_labels(wanted.get("labelSelector") or {})
    texts = {name: str(wanted.get(name) or "") for name in names}
    return Attributes(user, **texts, fields=terms, labels=labels), "; ".join(filter(None, (unread, unread_too)))


def self_subject_rules(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a SelfSubjectRulesReview."""
    body = action_body(request, endpoint.entry.definition, endpoint.entry.resource.api_version)
    spec = body.get("spec") or {}
    namespace = spec.get("namespace") or ""
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    rules = [rule.to_json() for rule in server.authorizer.rules_of(request.user, namespace)]
    status = {
        "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": request.user.is_node,
    }
    if request.user.is_node:
        status["evaluationError"] = "node authorizer does not support user rule resolution"
    return _answer(endpoint, request, body, spec, status)


def self_subject(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """POST of a SelfSubjectReview."""
    action_body(request, endpoint.entry.definition, endpoint.entry.resource.api_version)
    metadata = {"creationTimestamp": server.now()}
    return _answer(endpoint, request, {"metadata": metadata}, None, {"userInfo": user_info(request.user)})


def _answer(endpoint: Endpoint, request: Request, body: Object, spec: Any, status: Object) -> Response:
    resource = endpoint.entry.resource
    answer: Object = {"kind": resource.kind, "apiVersion": resource.api_version}
    answer["metadata"] = body.get("metadata") or {"creationTimestamp": None}
    if spec is not None:
        answer["spec"] = spec
    answer["status"] = status
    return text_response(request, accepted(request), orjson.dumps(answer), 201)

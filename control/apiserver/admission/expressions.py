"""Expressions of webhooks and policies: what they see, and the questions they may put to the authorizer.

Invariant: an expression asks the same authorizer that judges requests.
Source: apiserver/pkg/admission/plugin/cel; apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import cel
from api.cel.authorizer import Decide, authorizer_functions
from api.objects import Object
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.authorization.selectors import field_terms, label_requirements
from control.apiserver.identity import User
from control.apiserver.operation import Operation


class Expressions:
    """Compiles expressions and keeps them; equal texts are compiled once."""

    def __init__(self, authorizer: Authorizer) -> None:
        functions = authorizer_functions(_decider(authorizer))
        self._environment = cel.Environment(cel.ADMISSION_VARIABLES, functions=functions)
        self._programs: dict[str, cel.Program] = {}

    def compile(self, text: str) -> cel.Program:
        """Raises CelError."""
        found = self._programs.get(text)
        if found is None:
            found = self._programs[text] = self._environment.compile(text)
        return found


def values_of(operation: Operation, request: Object) -> dict[str, Any]:
    """What expressions see of an AdmissionRequest."""
    user = request["userInfo"]
    resource = operation.resource
    here = {
        "user": user,
        "group": resource.group,
        "resource": resource.plural,
        "subresource": operation.subresource,
        "namespace": operation.namespace,
        "name": operation.name,
    }
    seen = {key: value for key, value in request.items() if key not in ("object", "oldObject")}
    return {
        "object": request["object"],
        "oldObject": request["oldObject"],
        "request": seen,
        "params": None,
        "namespaceObject": _namespace(operation),
        "variables": {},
        "authorizer": {"user": user},
        "authorizer.requestResource": here,
    }


def _namespace(operation: Operation) -> Object | None:
    if not operation.resource.namespaced:
        return None
    found = operation.server.cache.collection("", "namespaces").objects.get(operation.namespace)
    return found.object() if found else None


def _decider(authorizer: Authorizer) -> Decide:
    def decide(question: Mapping[str, Any], verb: str) -> tuple[bool, str]:
        info = question["user"]
        extra = {key: tuple(values) for key, values in (info.get("extra") or {}).items()}
        user = User(str(info["username"]), tuple(info.get("groups") or ()), str(info.get("uid") or ""), extra)
        if "path" in question:
            return authorizer.decide(Attributes(user, verb, path=question["path"]))
        names = ("group", "namespace", "resource", "subresource", "name")
        texts = {name: question.get(name, "") for name in names}
        terms = field_terms(question.get("fieldSelector", ""))
        labels = label_requirements(question.get("labelSelector", ""))
        return authorizer.decide(Attributes(user, verb, **texts, fields=terms, labels=labels))

    return decide

"""Expressions of webhooks and policies: what they see, and the questions they may put to the authorizer.

Invariant: an expression asks the same authorizer that judges requests.
Source: apiserver/pkg/admission/plugin/cel; apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel as evaluator

from api import cel
from api.cel.functions import function
from api.objects import Object
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.identity import User, service_account_user
from control.apiserver.operation import Operation

_T = evaluator.Type
VARIABLES = dict.fromkeys(
    ("object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer"), cel.DYN
)
VARIABLES["authorizer.requestResource"] = cel.DYN


class Expressions:
    """Compiles expressions and keeps them; equal texts are compiled once."""

    def __init__(self, authorizer: Authorizer | None) -> None:
        self._environment = cel.Environment(VARIABLES, functions=_functions(authorizer) if authorizer else ())
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


def _user(info: Mapping[str, Any]) -> User:
    extra = {key: tuple(values) for key, values in (info.get("extra") or {}).items()}
    return User(str(info["username"]), tuple(info.get("groups") or ()), str(info.get("uid") or ""), extra)


def _functions(authorizer: Authorizer) -> list[Any]:
    def check(state: dict[str, Any], verb: str) -> dict[str, Any]:
        user = _user(state["user"])
        if "path" in state:
            asked = Attributes(user, verb, path=state["path"])
        else:
            names = ("group", "namespace", "resource", "subresource", "name")
            asked = Attributes(user, verb, **{name: state.get(name, "") for name in names})
        allowed, reason = authorizer.decide(asked)
        return {"allowed": allowed, "reason": reason}

    def with_account(state: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
        user = service_account_user(namespace, name, "", {})
        return state | {"user": {"username": user.name, "groups": list(user.groups)}}

    def setter(name: str) -> Any:
        return function(name, (_T.DYN, [_T.DYN, _T.STRING], True, lambda state, value: state | {name: value}))

    return [
        *(setter(name) for name in ("path", "group", "resource", "subresource", "namespace", "name")),
        function("serviceAccount", (_T.DYN, [_T.DYN, _T.STRING, _T.STRING], True, with_account)),
        function("check", (_T.DYN, [_T.DYN, _T.STRING], True, check)),
        function("allowed", (_T.BOOL, [_T.DYN], True, lambda decision: decision["allowed"])),
        function("reason", (_T.STRING, [_T.DYN], True, lambda decision: decision["reason"])),
        function("errored", (_T.BOOL, [_T.DYN], True, lambda decision: False)),
        function("error", (_T.STRING, [_T.DYN], True, lambda decision: "")),
    ]

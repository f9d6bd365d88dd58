"""The functions by which expressions put questions to the authorizer.

A question is a map that each function adds to, until `check` has it answered.

Source: apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cel_expr_python import cel

from api.cel.declaring import function

_T = cel.Type
_PARTS = ("path", "group", "resource", "subresource", "namespace", "name", "fieldSelector", "labelSelector")

Question = Mapping[str, Any]
Decide = Callable[[Question, str], tuple[bool, str]]
"""(whether, why) the `user` of a question may use a verb on its `path`, or on its group, resource and so on."""


def authorizer_functions(decide: Decide | None) -> list[Any]:
    """The functions; without somebody who decides they are only good for checking types."""

    def check(question: Question, verb: str) -> dict[str, Any]:
        allowed, reason = decide(question, verb) if decide else (False, "")
        return {"allowed": allowed, "reason": reason}

    def with_account(question: Question, namespace: str, name: str) -> dict[str, Any]:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        user = {"username": f"system:serviceaccount:{namespace}:{name}", "groups": groups}
        return {**question, "user": user}

    return [
        *map(_setter, _PARTS),
        function("serviceAccount", (_T.DYN, [_T.DYN, _T.STRING, _T.STRING], True, with_account)),
        function("check", (_T.DYN, [_T.DYN, _T.STRING], True, check)),
        function("allowed", (_T.BOOL, [_T.DYN], True, lambda decision: decision["allowed"])),
        function("reason", (_T.STRING, [_T.DYN], True, lambda decision: decision["reason"])),
        function("errored", (_T.BOOL, [_T.DYN], True, lambda decision: False)),
        function("error", (_T.STRING, [_T.DYN], True, lambda decision: "")),
    ]


def _setter(name: str) -> Any:
    return function(name, (_T.DYN, [_T.DYN, _T.STRING], True, lambda question, value: {**question, name: value}))

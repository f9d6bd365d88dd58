"""Selectors as a part of what is asked of the authorizer: by reviews, and by expressions."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_in_process import ADMIN

from control.apiserver.admission.expressions import Expressions
from control.apiserver.identity import AUTHENTICATED_GROUP, User

pytestmark = pytest.mark.unit

ON_NODE = {"key": "spec.nodeName", "operator": "In", "values": ["n1"]}
NEWER = {"key": "spec.nodeName", "operator": "Newer"}
UNREAD = "spec.resourceAttributes.{} ignored due to parse error"
# Selectors, whether node n1 may list pods by them, and what of them could not be read.
NODES_QUESTIONS: list[tuple[dict[str, Any], bool, str]] = [
    ({}, False, ""),
    ({"fieldSelector": {"rawSelector": "spec.nodeName=n1,status.phase=Running"}}, True, ""),
    ({"fieldSelector": {"requirements": [ON_NODE]}}, True, ""),
    ({"fieldSelector": {"requirements": [ON_NODE | {"operator": "NotIn"}]}}, False, ""),
    ({"fieldSelector": {"requirements": [ON_NODE | {"values": ["n1", "n2"]}]}}, False, UNREAD.format("fieldSelector")),
    ({"fieldSelector": {"requirements": [ON_NODE, NEWER]}}, True, UNREAD.format("fieldSelector partially")),
    ({"fieldSelector": {"rawSelector": "spec.nodeName"}}, False, UNREAD.format("fieldSelector")),
    ({"labelSelector": {"rawSelector": "a in (b)"}, "fieldSelector": {"requirements": [ON_NODE]}}, True, ""),
    ({"labelSelector": {"rawSelector": "a in b"}, "fieldSelector": {"rawSelector": "!"}}, False,
     f"{UNREAD.format('fieldSelector')}; {UNREAD.format('labelSelector')}"),
    ({"labelSelector": {"requirements": [{"key": "a", "operator": "Exists"}, {"key": "-", "operator": "Exists"}]}},
     False, UNREAD.format("labelSelector partially")),
]  # fmt: skip


def test_the_authorizer_hears_of_the_selectors_of_a_review(cluster):
    path = "/apis/authorization.k8s.io/v1/{}subjectaccessreviews"
    for selectors, allowed, unread in NODES_QUESTIONS:
        attributes = {"verb": "list", "resource": "pods", "namespace": "default", **selectors}
        spec = {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": attributes}
        for kind in ("", "self", "namespaces/default/local"):
            user = User("system:node:n1", ("system:nodes", AUTHENTICATED_GROUP)) if kind == "self" else ADMIN
            body = {"spec": {"resourceAttributes": attributes} if kind == "self" else spec}
            _, answer, _ = cluster.request("POST", path.format(kind), body, user=user)
            found = answer["status"]["allowed"], answer["status"].get("evaluationError", "")
            assert found == (allowed, unread), (kind, selectors, answer)


EXPRESSIONS = [
    ("fieldSelector('spec.nodeName=n1').check('list').allowed()", True),
    ("fieldSelector('spec.nodeName=n1').labelSelector('a=b').check('list').allowed()", True),
    ("fieldSelector('spec.nodeName=n2').check('list').allowed()", False),
    ("fieldSelector('spec.nodeName').check('list').allowed()", False),
    ("labelSelector('a in b').check('list').allowed()", False),
    ("fieldSelector('spec.nodeName=n2').check('list').reason() =="
     " 'can only list/watch pods with spec.nodeName field selector'", True),
]  # fmt: skip


def test_the_authorizer_hears_of_the_selectors_of_an_expression(cluster):
    user = {"username": "system:node:n1", "groups": ["system:nodes"]}
    expressions = Expressions(cluster.server.authorizer)
    for text, expected in EXPRESSIONS:
        program = expressions.compile(f"authorizer.group('').resource('pods').{text}")
        assert program.evaluate({"authorizer": {"user": user}}) is expected, text

"""Roles and bindings: nobody gives away what they do not have."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from control.apiserver.authorization.attributes import Attributes
from control.apiserver.identity import AUTHENTICATED_GROUP, User

pytestmark = pytest.mark.unit

GROUP = "/apis/rbac.authorization.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io"
JANE = User("jane", (AUTHENTICATED_GROUP,))
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
MAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}


def role(*rules: dict[str, Any], name: str = "r") -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(role_name: str, kind: str = "Role", name: str = "b") -> dict[str, Any]:
    return {"metadata": {"name": name}, "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role_name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "jane"}]}  # fmt: skip


@pytest.fixture
def jane(cluster):
    """A user who may write roles and bindings in `default`, and read config maps."""
    writes = {"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create", "update", "get"]}
    assert cluster.request("POST", f"{GROUP}/namespaces/default/roles", role(writes, MAPS, name="own"))[0] == 201
    assert cluster.request("POST", f"{GROUP}/namespaces/default/rolebindings", binding("own", name="own"))[0] == 201
    cluster.server.cache.catch_up()

    def request(method: str, plural: str, body: dict[str, Any], name: str = "") -> tuple[int, Any]:
        path = f"{GROUP}/namespaces/default/{plural}" + (f"/{name}" if name else "")
        return cluster.request(method, path, body, user=JANE)[:2]

    return request


def grant(cluster: Any, *rules: dict[str, Any]) -> None:
    cluster.request("POST", f"{GROUP}/namespaces/default/roles", role(*rules, name="more"))
    cluster.request("POST", f"{GROUP}/namespaces/default/rolebindings", binding("more", name="more"))
    cluster.server.cache.catch_up()


def test_a_role_may_hold_what_its_writer_holds_and_no_more(cluster, jane):
    assert jane("POST", "roles", role(MAPS))[0] == 201
    status, refused = jane("PUT", "roles", role(MAPS, SECRETS), "r")
    assert (status, refused["message"]) == (
        403,
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting '
        "to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
    )
    grant(cluster, {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate"]})
    assert jane("PUT", "roles", role(MAPS, SECRETS), "r")[0] == 200


def test_a_binding_needs_the_rules_of_its_role_or_the_verb_bind(cluster, jane):
    assert jane("POST", "rolebindings", binding("none"))[0] == 404
    status, refused = jane("POST", "rolebindings", binding("view", "ClusterRole"))
    assert (status, "not currently held" in refused["message"]) == (403, True)
    bind = {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["view"], "verbs": ["bind"]}
    grant(cluster, bind)
    assert jane("POST", "rolebindings", binding("view", "ClusterRole"))[0] == 201
    assert jane("POST", "rolebindings", binding("edit", "ClusterRole", "c"))[0] == 403


def test_only_who_may_do_everything_lets_a_role_be_made_of_others(cluster):
    rules = [{"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["create", "update"]}]
    made = cluster.request("POST", f"{GROUP}/clusterroles", role(*rules, name="own"))[0]
    subjects = binding("own", "ClusterRole", "own")
    assert (made, cluster.request("POST", f"{GROUP}/clusterrolebindings", subjects)[0]) == (201, 201)
    gathered = role(name="gathered") | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    assert cluster.request("POST", f"{GROUP}/clusterroles", gathered)[0] == 201
    cluster.server.cache.catch_up()
    why = "is forbidden: must have cluster-admin privileges to use the aggregationRule"
    for method, path, body in (
        ("POST", "", gathered | {"metadata": {"name": "more"}}),
        ("PUT", "/gathered", role(name="gathered")),
    ):
        status, refused, _ = cluster.request(method, f"{GROUP}/clusterroles{path}", body, user=JANE)
        assert (status, refused["message"].endswith(why)) == (403, True), refused


def test_a_question_of_megabytes_is_answered_and_forgotten(cluster):
    for name, kept in (("-".join("asked"), True), ("-".join("asked" * 500), False)):
        before = sys.getrefcount(name)
        asked = Attributes(User("jane"), "get", "", "v1", "default", "pods", "", name)
        assert cluster.server.authorizer.decide(asked)[0] is False
        del asked
        assert (sys.getrefcount(name) > before) is kept

"""What every namespace is given: the authority its pods trust and an account. And the older kin of ReplicaSets."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import at

from api.objects import Object
from control.controllers import root_ca, service_account
from control.controllers.replication_controller import ReplicationController

pytestmark = pytest.mark.unit

SHOP: Object = {"metadata": {"name": "shop"}}
GOING: Object = {"metadata": {"name": "shop", "deletionTimestamp": at(0)}}
MAP: Object = {
    "metadata": {"name": root_ca.NAME, "namespace": "shop", "resourceVersion": "7"},
    "data": {"ca.crt": "CA"},
}


@pytest.mark.parametrize(
    ("namespace", "present", "authority", "wanted"),
    [
        (SHOP, None, "CA", {"ca.crt": "CA"}),
        (SHOP, MAP, "CA", None),
        (SHOP, MAP, "NEW", {"ca.crt": "NEW"}),
        (SHOP, MAP | {"data": None}, "CA", {"ca.crt": "CA"}),
        (SHOP, MAP | {"data": {"ca.crt": "CA", "more": "x"}}, "CA", {"ca.crt": "CA"}),
        (SHOP, None, "", None),
        (GOING, None, "CA", None),
        (GOING, MAP, "NEW", None),
        (None, None, "CA", None),
    ],
)
def test_the_authority_is_published(
    namespace: Object | None, present: Object | None, authority: str, wanted: dict[str, str] | None
) -> None:
    found = root_ca.decide(namespace, present, authority)
    assert (found["data"] if found else None) == wanted
    if found:
        assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("kube-root-ca.crt", "shop")
        assert found["metadata"].get("resourceVersion") == (None if present is None else "7"), (
            "nobody else's change is lost"
        )


@pytest.mark.parametrize(
    ("namespace", "present", "made"),
    [(SHOP, None, True), (SHOP, {"metadata": {"name": "default"}}, False), (GOING, None, False), (None, None, False)],
)
def test_an_account_is_made(namespace: Object | None, present: Object | None, made: bool) -> None:
    found = service_account.decide(namespace, present)
    wanted = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "shop"}}
    assert found == (wanted if made else None)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({"app": "web"}, {"app": "web", "tier": "front"}, True),
        ({"app": "web"}, {"app": "api"}, False),
        ({"app": "web", "tier": "front"}, {"app": "web"}, False),
        ({}, {"app": "web"}, False),
        (None, {"app": "web"}, False),
    ],
)
def test_a_replication_controller_selects_by_a_plain_map(selector: Any, labels: dict[str, str], selected: bool) -> None:
    loop = ReplicationController.__new__(ReplicationController)
    assert loop.selector({"spec": {"selector": selector}}).matches(labels) is selected

"""Server-side apply: who holds what, who is in whose way, and what goes when nobody wants it any more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.defaults import apply_defaults
from api.errors import BadRequest, Conflict
from api.objects import Object, copy
from api.patches.apply import apply_patch, paths, update_managed_fields

pytestmark = pytest.mark.unit

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"
T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def config(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}


def pod(*containers: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": list(containers)}}


def entries(obj: Object) -> dict[str, Any]:
    return {f"{entry['manager']}/{entry['operation']}": entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def applied(live: Object | None, wanted: Object, manager: str, definition: str = CONFIG_MAP, **more: Any) -> Object:
    return apply_patch(live, wanted, manager, more.get("force", False), definition, more.get("time", T1)).obj


def test_a_created_object_is_held_as_the_original_writes_it() -> None:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    deployment = apply_defaults({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [container]}}},
    })  # fmt: skip
    held = update_managed_fields(None, deployment, "kubectl-create", "Update", "", T1, DEPLOYMENT)
    fields = entries(held)["kubectl-create/Update"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    assert fields["f:spec"]["f:selector"] == {}
    assert fields["f:spec"]["f:strategy"]["f:rollingUpdate"] == {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}
    containers = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert list(containers) == ['k:{"name":"c"}']
    assert containers['k:{"name":"c"}']["f:ports"] == {
        ".": {},
        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}},
    }
    assert "f:status" not in fields


def test_an_applied_object_is_held_by_its_applier() -> None:
    obj = applied(None, config(a="1"), "me")
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "me", "operation": "Apply", "apiVersion": "v1", "time": T1,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]  # fmt: skip


def test_what_a_manager_states_no_longer_goes() -> None:
    obj = applied(applied(None, config(a="1", b="2"), "me"), config(a="1"), "me")
    assert obj["data"] == {"a": "1"}


def test_what_another_manager_states_too_stays() -> None:
    shared = applied(applied(None, config(a="1", b="2"), "me"), config(b="2"), "you")
    obj = applied(shared, config(a="1"), "me")
    assert obj["data"] == {"a": "1", "b": "2"}
    assert entries(obj)["you/Apply"] == {"f:data": {"f:b": {}}}


def test_the_last_item_takes_its_map_along() -> None:
    obj = applied(applied(None, config(a="1"), "me"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, "me")
    assert "data" not in obj


def test_a_field_that_another_manager_holds_is_a_conflict() -> None:
    live = applied(None, config(a="1"), "you")
    with pytest.raises(Conflict) as raised:
        applied(live, config(a="2"), "me")
    assert raised.value.message == 'Apply failed with 1 conflict: conflict with "you": .data.a'
    assert raised.value.causes[0].to_json() == {
        "reason": "FieldManagerConflict", "message": 'conflict with "you"', "field": ".data.a",
    }  # fmt: skip


def test_several_conflicts_are_listed_by_manager() -> None:
    live = update_managed_fields(None, config(a="1", b="1"), "kubectl-create", "Update", "", T1, CONFIG_MAP)
    with pytest.raises(Conflict) as raised:
        applied(live, config(a="2", b="2"), "me")
    assert raised.value.message == (
        'Apply failed with 2 conflicts: conflicts with "kubectl-create" using v1:\n- .data.a\n- .data.b'
    )


def test_force_takes_the_field_over() -> None:
    obj = applied(applied(None, config(a="1", b="1"), "you"), config(a="2"), "me", force=True)
    assert obj["data"] == {"a": "2", "b": "1"}
    assert entries(obj) == {"me/Apply": {"f:data": {"f:a": {}}}, "you/Apply": {"f:data": {"f:b": {}}}}


def test_the_same_value_is_shared_without_conflict() -> None:
    obj = applied(applied(None, config(a="1"), "you"), config(a="1"), "me")
    assert set(entries(obj)) == {"me/Apply", "you/Apply"}


def test_applying_again_changes_nothing_not_even_the_time() -> None:
    obj = applied(None, config(a="1"), "me")
    again = apply_patch(obj, config(a="1"), "me", False, CONFIG_MAP, T2)
    assert again.obj == obj
    assert not again.changed


def test_list_items_merge_by_key_and_go_when_nobody_states_them() -> None:
    both = applied(None, pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"}), "me", POD)
    more = applied(both, pod({"name": "c", "image": "1"}), "you", POD)
    assert sorted(item["name"] for item in more["spec"]["containers"]) == ["a", "b", "c"]
    obj = applied(more, pod({"name": "b", "image": "2"}), "me", POD)
    assert sorted((item["name"], item["image"]) for item in obj["spec"]["containers"]) == [("b", "2"), ("c", "1")]


def test_defaulted_fields_of_an_item_go_with_it() -> None:
    live = applied(None, pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"}), "me", POD)
    live = apply_defaults(copy(live))
    obj = applied(live, pod({"name": "a", "image": "1"}), "me", POD)
    assert [item["name"] for item in obj["spec"]["containers"]] == ["a"]


def test_sets_are_united_and_shrink() -> None:
    def wanted(*finalizers: str) -> Object:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "finalizers": list(finalizers)}}

    live = applied(applied(None, wanted("a/1", "b/2"), "me", POD), wanted("c/3"), "you", POD)
    obj = applied(live, wanted("b/2"), "me", POD)
    assert sorted(obj["metadata"]["finalizers"]) == ["b/2", "c/3"]


def test_atomic_parts_have_one_holder() -> None:
    def wanted(**labels: str) -> Object:
        spec = {"selector": {"matchLabels": labels}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}

    live = applied(None, wanted(a="1"), "you", DEPLOYMENT)
    with pytest.raises(Conflict) as raised:
        applied(live, wanted(a="1", b="2"), "me", DEPLOYMENT)
    assert raised.value.causes[0].field == ".spec.selector"


def test_an_object_that_nobody_managed_belongs_to_the_time_before() -> None:
    live = config(a="1") | {"metadata": {"name": "x", "creationTimestamp": T1, "uid": "u"}}
    with pytest.raises(Conflict, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        applied(live, config(a="2"), "me")


def test_an_update_takes_what_it_changes() -> None:
    live = applied(None, config(a="1", b="2"), "me")
    new = copy(live) | {"data": {"a": "9", "b": "2", "c": "3"}}
    obj = update_managed_fields(live, new, "editor", "Update", "", T2, CONFIG_MAP)
    assert entries(obj) == {
        "me/Apply": {"f:data": {"f:b": {}}},
        "editor/Update": {"f:data": {"f:a": {}, "f:c": {}}},
    }


def test_an_update_that_changes_nothing_keeps_the_entries() -> None:
    live = applied(None, config(a="1"), "me")
    assert update_managed_fields(live, copy(live), "editor", "Update", "", T2, CONFIG_MAP) == live


def test_an_update_without_entries_keeps_the_live_ones_and_an_empty_entry_resets_them() -> None:
    live = applied(None, config(a="1"), "me")
    obj = update_managed_fields(live, config(a="1"), "editor", "Update", "", T2, CONFIG_MAP)
    assert set(entries(obj)) == {"me/Apply"}
    reset = copy(live)
    reset["metadata"]["managedFields"] = [{}]
    obj = update_managed_fields(live, reset, "editor", "Update", "", T2, CONFIG_MAP)
    assert "managedFields" not in obj["metadata"]


def test_status_is_held_through_its_own_endpoint() -> None:
    live = update_managed_fields(None, pod({"name": "c"}), "me", "Update", "", T1, POD)
    new = copy(live) | {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    obj = update_managed_fields(live, new, "kubelet", "Update", "status", T2, POD)
    entry = next(entry for entry in obj["metadata"]["managedFields"] if entry["manager"] == "kubelet")
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {
        "f:status": {
            "f:conditions": {".": {}, 'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}},
            "f:phase": {},
        }
    }


def test_there_are_at_most_ten_updaters_and_the_oldest_become_one() -> None:
    obj = update_managed_fields(None, config(k0="1"), "m0", "Update", "", "2026-01-01T00:00:00Z", CONFIG_MAP)
    for number in range(1, 13):
        new = copy(obj)
        new["data"][f"k{number}"] = "1"
        obj = update_managed_fields(obj, new, f"m{number}", "Update", "", f"2026-01-01T00:00:{number:02}Z", CONFIG_MAP)
    held = entries(obj)
    assert len(held) == 10
    assert held["ancient-changes/Update"]["f:data"].keys() >= {"f:k0", "f:k1"}


def test_a_configuration_with_managed_fields_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"metadata\.managedFields must be nil"):
        applied(None, applied(None, config(a="1"), "me"), "me")


def test_paths_are_named_as_in_the_original() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', 'v:"x"', "i:0")
    assert paths.text(path) == '.spec[containerPort=80,protocol="TCP"][="x"][0]'


ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"c"}', 'v:"x"'])
SETS = st.frozensets(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=12)


@given(SETS)
def test_sets_of_paths_survive_the_way_there_and_back(found: paths.Paths) -> None:
    assert paths.decode(paths.encode(found)) == found


@given(SETS, st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple))
def test_single_paths_come_and_go_in_the_encoded_form(found: paths.Paths, path: paths.Path) -> None:
    fields = paths.encode(found)
    assert paths.decode(paths.including(fields, path)) == found | {path}
    assert paths.decode(paths.without(fields, path)) == found - {path}
    assert paths.including(fields, path) == paths.encode(found | {path})
    assert paths.encode(found) == fields


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["me", "you", "them"]), DATA), min_size=1, max_size=5))
def test_whoever_applies_last_by_force_gets_what_they_state(steps: list[tuple[str, dict[str, str]]]) -> None:
    live: Object | None = None
    latest: dict[str, dict[str, str]] = {}
    for manager, data in steps:
        live = applied(live, config(**data), manager, force=True)
        latest[manager] = data
        have = live.get("data") or {}
        assert {key: have.get(key) for key in data} == data
        assert set(have) <= {key for stated in latest.values() for key in stated}
        held = [key for fields in entries(live).values() for key in fields.get("f:data", {})] if data else []
        assert {f"f:{key}" for key in data} <= set(held)


NOTE = "kubectl.kubernetes.io/last-applied-configuration"


def client_side_applied(wanted: Object, **later: str) -> Object:
    """What `kubectl apply` without --server-side leaves, and what somebody else changed afterwards."""
    noted = json.dumps(wanted) + "\n"
    made = wanted | {"metadata": wanted["metadata"] | {"annotations": {NOTE: noted}}}
    made = update_managed_fields(None, made, "kubectl-client-side-apply", "Update", "", T1, CONFIG_MAP)
    if not later:
        return made
    changed = made | {"data": made["data"] | later}
    return update_managed_fields(made, changed, "editor", "Update", "", T1, CONFIG_MAP)


def test_kubectl_goes_over_to_apply_on_the_server_without_conflicts_with_itself() -> None:
    live = client_side_applied(config(a="1", b="1"))
    changed = applied(live, config(a="2", b="1"), "kubectl", time=T2)
    assert changed["data"] == {"a": "2", "b": "1"}
    assert json.loads(changed["metadata"]["annotations"][NOTE]) == config(a="2", b="1")
    assert changed["metadata"]["annotations"][NOTE].endswith("}\n")


@pytest.mark.parametrize(
    ("manager", "later", "fields"),
    [
        ("someone", {}, [".data.a"]),
        ("kubectl", {"a": "3"}, [".data.a"]),
        ("kubectl", {"c": "3"}, [".data.c"]),
    ],
)
def test_only_kubectl_overrules_and_only_what_it_had_applied(
    manager: str, later: dict[str, str], fields: list[str]
) -> None:
    live = client_side_applied(config(a="1", b="1"), **later)
    with pytest.raises(Conflict) as refused:
        applied(live, config(a="2", b="1", c="2"), manager)
    assert [cause.field for cause in refused.value.causes] == fields


def test_a_note_is_kept_true_but_never_begun_and_goes_when_it_is_too_long() -> None:
    fresh = applied(None, config(a="1"), "kubectl")
    assert "annotations" not in fresh["metadata"]
    live = client_side_applied(config(a="1"))
    assert json.loads(applied(live, config(a="1"), "someone")["metadata"]["annotations"][NOTE]) == config(a="1")
    assert NOTE not in applied(live, config(a="x" * (256 << 10)), "kubectl")["metadata"]["annotations"]


@pytest.mark.parametrize("count", [3, 300])
def test_few_and_many_members_change_a_set_alike(count: int) -> None:
    before = frozenset(("f:data", f"f:{number}") for number in range(count)) | {("f:data",)}
    removed = frozenset(("f:data", f"f:{number}") for number in range(0, count, 2))
    added = frozenset(("f:data", f"f:{number}", "f:x") for number in range(1, 2 * count))
    assert paths.decode(paths.changed(paths.encode(before), added=added, removed=removed)) == (before - removed) | added
    assert paths.changed(paths.encode(before), removed=before) == {}

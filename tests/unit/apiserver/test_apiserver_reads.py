"""Lists, pages, selectors, watches and the forms of answers."""

from __future__ import annotations

import threading
from urllib.parse import quote

import orjson
import pytest
from apiserver_objects import config_map, pod

from api import errors

pytestmark = pytest.mark.unit


def names(items):
    return [item["metadata"]["name"] for item in items]


def test_pages_show_one_revision(client):
    for number in range(7):
        client.create("configmaps", config_map(f"c{number}"))
    first = client.list("configmaps", "default", limit=3)
    client.create("configmaps", config_map("c9"))
    client.delete("configmaps", "c5", "default")
    second = client.list("configmaps", "default", limit=3, continue_token=first.continue_token)
    third = client.list("configmaps", "default", limit=3, continue_token=second.continue_token)
    assert names(first.items + second.items + third.items) == [f"c{number}" for number in range(7)]
    assert second.resource_version == first.resource_version
    assert third.continue_token == ""


def test_the_first_page_says_how_many_remain(cluster):
    for number in range(5):
        cluster.client().create("configmaps", config_map(f"c{number}"))
    _, body, _ = cluster.request("GET", "/api/v1/namespaces/default/configmaps?limit=2")
    assert body["metadata"]["remainingItemCount"] == 3


def test_list_items_carry_neither_kind_nor_version(cluster):
    cluster.client().create("configmaps", config_map("a", x="1"))
    _, body, _ = cluster.request("GET", "/api/v1/namespaces/default/configmaps")
    assert body["kind"] == "ConfigMapList"
    assert set(body["items"][0]) == {"metadata", "data"}


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=web", ["a"]),
        ("app in (web,db)", ["a", "b"]),
        ("app notin (web)", ["b", "c"]),
        ("!app", ["c"]),
        ("app,tier!=x", ["a", "b"]),
    ],
)
def test_label_selectors(client, selector, found):
    for name, labels in (("a", {"app": "web"}), ("b", {"app": "db"}), ("c", {})):
        body = config_map(name)
        body["metadata"]["labels"] = labels
        client.create("configmaps", body)
    assert names(client.list("configmaps", "default", label_selector=selector).items) == found


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=a", ["a"]),
        ("spec.nodeName=n1", ["a"]),
        ("spec.nodeName=", ["b"]),
        ("spec.nodeName!=n1", ["b"]),
        ("spec.hostNetwork=false", ["a", "b"]),
        ("status.phase=Pending,metadata.namespace=default", ["a", "b"]),
    ],
)
def test_field_selectors(client, selector, found):
    client.create("pods", pod("a", nodeName="n1"))
    client.create("pods", pod("b"))
    assert names(client.list("pods", "default", field_selector=selector).items) == found


@pytest.mark.parametrize(
    ("address", "selector", "status"),
    [
        ("apis/events.k8s.io", "reportingController=test-controller", 200),
        ("apis/events.k8s.io", "regarding.kind=Pod,reason=Tested", 200),
        ("apis/events.k8s.io", "involvedObject.kind=Pod", 400),
        ("api", "reportingComponent=test-controller", 200),
        ("api", "source=test-controller", 200),
        ("api", "regarding.kind=Pod", 400),
    ],
)
def test_events_are_selected_by_the_names_that_each_group_gives_its_fields(cluster, address, selector, status):
    event = {
        "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "eventTime": "2024-01-01T00:00:00.000000Z", "action": "Do", "reason": "Tested", "type": "Normal",
        "reportingController": "test-controller", "reportingInstance": "node",
    }  # fmt: skip
    path = "/{}/v1/namespaces/default/events"
    assert cluster.request("POST", path.format("apis/events.k8s.io"), event)[0] == 201
    found = cluster.request("GET", f"{path.format(address)}?fieldSelector={quote(selector)}")
    assert found[0] == status
    assert status == 400 or names(found[1]["items"]) == ["e"]


def test_a_field_that_cannot_be_selected_is_refused(client):
    with pytest.raises(errors.BadRequest, match=r"field label not supported: spec\.color"):
        client.list("pods", "default", field_selector="spec.color=red")


def test_a_watch_tells_every_change_in_order(client):
    start = client.list("configmaps", "default").resource_version
    watch = client.watch("configmaps", "default", resource_version=start)
    client.create("configmaps", config_map("a", x="1"))
    client.create("configmaps", config_map("z", "kube-system"))
    client.patch("configmaps", "a", {"data": {"x": "2"}}, "default")
    client.delete("configmaps", "a", "default")
    events = [event for _, event in zip(range(3), watch)]
    watch.close()
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


def test_a_selecting_watch_sees_objects_come_and_go(client):
    watch = client.watch("pods", "default", field_selector="spec.nodeName=n1", resource_version="")
    client.create("pods", pod("a"))
    client.create("pods", pod("b", nodeName="n1"))
    bind(client, "a", "n1")
    client.delete("pods", "b", "default", grace_period_seconds=0)
    events = [(event.type, event.object["metadata"]["name"]) for _, event in zip(range(3), watch)]
    watch.close()
    assert events == [("ADDED", "b"), ("ADDED", "a"), ("DELETED", "b")]


def bind(client, name, node):
    body = {"metadata": {"name": name, "namespace": "default"}, "target": {"kind": "Node", "name": node}}
    client.raw("POST", f"/api/v1/namespaces/default/pods/{name}/binding", orjson.dumps(body))


def test_a_watch_without_version_begins_with_what_is_there(client):
    client.create("configmaps", config_map("a"))
    watch = client.watch("configmaps", "default")
    event = next(iter(watch))
    watch.close()
    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "a")


def test_initial_events_end_with_an_annotated_bookmark(cluster):
    cluster.client().create("configmaps", config_map("a"))
    path = (
        "/api/v1/namespaces/default/configmaps?watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
        "&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    )
    _, body, _ = cluster.request("GET", path, headers={"Accept": "application/json;stream=watch"})
    lines = [orjson.loads(line) for line in body.splitlines()]
    assert [line["type"] for line in lines][:2] == ["ADDED", "BOOKMARK"]
    assert lines[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(("form", "kind"), [("PartialObjectMetadata", "PartialObjectMetadata"), ("Table", "Table")])
def test_bookmarks_are_of_the_kind_that_the_watcher_asked_for(cluster, form, kind):
    path = (
        "/api/v1/namespaces/default/configmaps?watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
        "&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    )
    accept = {"Accept": f"application/json;stream=watch;as={form};g=meta.k8s.io;v=v1"}
    _, body, _ = cluster.request("GET", path, headers=accept)
    first = orjson.loads(body.splitlines()[0])
    assert (first["type"], first["object"]["kind"]) == ("BOOKMARK", kind)
    shown = first["object"]["rows"][0]["object"] if kind == "Table" else first["object"]
    assert shown["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


_ONLY_WITH = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
_NOT_WITH_CONTINUE = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
OPTIONS = {
    "watch=1&sendInitialEvents=true": [_ONLY_WITH],
    "watch=1&sendInitialEvents=false&resourceVersionMatch=Exact": [
        _ONLY_WITH, 'Unsupported value: "Exact": supported values: "NotOlderThan"'],
    "watch=1&resourceVersionMatch=NotOlderThan": [
        "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"],
    "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=c": [_NOT_WITH_CONTINUE],
    "resourceVersionMatch=Foo&continue=c": [
        "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided", _NOT_WITH_CONTINUE,
        'Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""'],
    "resourceVersionMatch=Exact&resourceVersion=0": [
        'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'],
}  # fmt: skip


@pytest.mark.parametrize(("query", "sentences"), OPTIONS.items())
def test_all_that_is_wrong_with_the_options_of_a_list_or_a_watch_is_told(cluster, query, sentences):
    status, refused, _ = cluster.request("GET", f"/api/v1/configmaps?{query}")
    causes = refused["details"]["causes"]
    assert (status, [cause["message"] for cause in causes]) == (422, sentences)
    assert {cause["field"] for cause in causes} == {"resourceVersionMatch"}


def test_a_list_has_no_initial_events(cluster):
    path = "/api/v1/configmaps?sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    status, refused, _ = cluster.request("GET", path)
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "sendInitialEvents")


def test_a_watch_ends_when_its_time_is_over(client):
    watch = client.watch("configmaps", "default", timeout_seconds=1, bookmarks=False)
    assert list(watch) == []


def test_a_watch_from_before_the_window_is_expired(cluster):
    collection = cluster.server.cache.collection("", "configmaps")
    collection.floor = 10**6
    watch = cluster.client().watch("configmaps", "default", resource_version="5")
    event = next(iter(watch))
    assert (event.type, event.object["reason"], event.object["code"]) == ("ERROR", "Expired", 410)


def test_many_watchers_share_one_encoding_and_see_the_same(client):
    start = client.list("configmaps").resource_version
    watches = [client.watch("configmaps", resource_version=start) for _ in range(20)]
    seen: list[list[str]] = [[] for _ in watches]

    def follow(index: int) -> None:
        seen[index] = [event.object["metadata"]["name"] for _, event in zip(range(30), watches[index])]

    threads = [threading.Thread(target=follow, args=(index,)) for index in range(len(watches))]
    for thread in threads:
        thread.start()
    for number in range(30):
        client.create("configmaps", config_map(f"c{number:02}"))
    for thread in threads:
        thread.join(20)
    assert seen == [[f"c{number:02}" for number in range(30)]] * len(watches)


def test_a_resource_version_from_the_future_times_out(cluster):
    status, body, _ = cluster.request("GET", "/api/v1/configmaps?resourceVersion=99999999")
    assert (status, body["reason"]) == (504, "Timeout")
    assert body["details"]["causes"] == [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def test_a_table_has_columns_and_rows(cluster):
    cluster.client().create("pods", pod("a"))
    _, body, _ = cluster.request("GET", "/api/v1/namespaces/default/pods", headers={"Accept": TABLE})
    assert body["kind"] == "Table"
    assert body["columnDefinitions"][0]["name"] == "Name"
    assert body["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_metadata_list_has_no_content(cluster):
    cluster.client().create("configmaps", config_map("a", x="1"))
    _, body, _ = cluster.request("GET", "/api/v1/namespaces/default/configmaps", headers={"Accept": PARTIAL})
    assert body["kind"] == "PartialObjectMetadataList"
    assert set(body["items"][0]) == {"kind", "apiVersion", "metadata"}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/yaml", "application/yaml"),
        ("application/vnd.kubernetes.protobuf, application/json", "application/json"),
        ("application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"),
    ],
)
def test_the_answer_comes_in_the_form_asked_for(cluster, accept, content_type):
    cluster.client().create("configmaps", config_map("a", x="1"))
    path = "/api/v1/namespaces/default/configmaps/a"
    status, _, headers = cluster.request("GET", path, headers={"Accept": accept} if accept else None)
    assert (status, headers["Content-Type"]) == (200, content_type)


def test_an_unknown_form_is_not_acceptable(cluster):
    status, body, _ = cluster.request("GET", "/api/v1/namespaces", headers={"Accept": "text/csv"})
    assert (status, body["reason"]) == (406, "NotAcceptable")


def test_a_body_may_be_yaml(cluster):
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {x: 'yes'}\n"
    path = "/api/v1/namespaces/default/configmaps"
    status, body, _ = cluster.request("POST", path, text, {"Content-Type": "application/yaml"})
    assert (status, body["data"]) == (201, {"x": "yes"})

"""Webhooks over real TLS: asked about what their rules name, their patches and refusals taken, their absence borne."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest
from crd_objects import WIDGETS, schema, serve, version, widget, widgets
from webhook_server import webhook_server

pytestmark = pytest.mark.integration

REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ANY = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@pytest.fixture
def hook(tmp_path):
    with webhook_server(tmp_path) as made:
        yield made


def configure(cluster: Any, hook: Any, kind: str, name: str = "hook", **webhook: Any) -> None:
    plural = f"{kind.lower()}webhookconfigurations"
    body = {
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{name}.example.com", "clientConfig": hook.config(), "rules": [ANY], "sideEffects": "None",
                "admissionReviewVersions": ["v1"], **webhook,
            }
        ],
    }  # fmt: skip
    status, refused, _ = cluster.request("POST", f"{REGISTRATION}/{plural}", body)
    assert status == 201, refused
    cluster.server.cache.catch_up()


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def test_a_refusal_reaches_the_client_in_the_originals_words(cluster, hook):
    hook.answers(False, status={"code": 403, "message": "not today"}, warnings=["think again"])
    configure(cluster, hook, "Validating")
    status, refused, _ = cluster.request("POST", MAPS, config_map())
    assert (status, refused["message"]) == (
        403, 'admission webhook "hook.example.com" denied the request: not today',
    )  # fmt: skip
    review = hook.asked[0]
    assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    asked = review["request"]
    assert (asked["operation"], asked["name"], asked["namespace"]) == ("CREATE", "m", "default")
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert asked["object"]["kind"] == "ConfigMap"
    assert asked["userInfo"]["username"] == "kubernetes-admin"
    assert (asked["dryRun"], asked["oldObject"], asked["options"]["kind"]) == (False, None, "CreateOptions")


def test_a_refusal_without_words_is_a_bad_request(cluster, hook):
    hook.answers(False)
    configure(cluster, hook, "Validating")
    status, refused, _ = cluster.request("POST", MAPS, config_map())
    assert (status, refused["message"]) == (
        400, 'admission webhook "hook.example.com" denied the request without explanation',
    )  # fmt: skip
    assert "reason" not in refused


CONNECTIONS = [
    ("pods/p/attach?container=c&stdin=true&stdout=true", "PodAttachOptions",
     {"stdin": True, "stdout": True, "container": "c"}),
    ("pods/p/exec?command=ls&command=-l&stderr=1&tty=false", "PodExecOptions",
     {"stderr": True, "command": ["ls", "-l"]}),
    ("pods/p/portforward?ports=80,81", "PodPortForwardOptions", {"ports": [80, 81]}),
    ("pods/p:80/proxy/a/b?dryRun=c&timeout=d&fieldValidation=e", "PodProxyOptions", {"path": "/a/b"}),
    ("services/s/proxy/", "ServiceProxyOptions", {"path": "/"}),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["Validating", "Mutating"])
@pytest.mark.parametrize(("path", "options", "fields"), CONNECTIONS, ids=[case[1] for case in CONNECTIONS])
def test_a_connection_is_judged_by_its_options(cluster, hook, kind, path, options, fields):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    cluster.request("POST", "/api/v1/namespaces/default/pods", pod)
    hook.answers(False, status={"message": "nobody connects"})
    resource, _, subresource = path.partition("?")[0].split("/")[:3]
    rule = {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"]}
    configure(cluster, hook, kind, rules=[rule | {"resources": [f"{resource}/{subresource}"]}])
    status, refused, _ = cluster.request("POST", f"/api/v1/namespaces/default/{path}")
    assert (status, refused["message"].rpartition(": ")[2]) == (400, "nobody connects")
    assert hook.asked[0]["request"]["object"] == {"kind": options, "apiVersion": "v1", **fields}


def test_a_patch_changes_what_is_stored_and_warnings_arrive(cluster, hook):
    hook.answers(patch=[{"op": "add", "path": "/data/added", "value": "yes"}], warnings=["changed"])
    configure(cluster, hook, "Mutating")
    status, made, headers = cluster.request("POST", MAPS, config_map(a="1"))
    assert (status, made["data"], headers["Warning"]) == (201, {"a": "1", "added": "yes"}, '299 - "changed"')


def test_a_webhook_sees_again_what_a_later_one_changed(cluster, hook):
    hook.answers(patch=[{"op": "add", "path": "/data/added", "value": "yes"}])
    configure(cluster, hook, "Mutating", "a", reinvocationPolicy="IfNeeded", clientConfig=hook.config("/first"))
    configure(cluster, hook, "Mutating", "b")
    cluster.request("POST", MAPS, config_map(a="1"))
    assert len(hook.asked) == 2
    counted = []

    def count(review: Any) -> Any:
        counted.append(review)
        hook.answers(patch=[{"op": "add", "path": f"/data/n{len(counted)}", "value": "x"}])
        answer = hook.answer(review)
        hook.answer = count
        return answer

    hook.answer = count
    made = cluster.request("POST", MAPS, config_map("other", a="1"))[1]
    assert sorted(made["data"]) == ["a", "n1", "n2", "n3"]


def test_deletes_and_updates_show_what_was_there(cluster, hook):
    cluster.request("POST", MAPS, config_map(a="1"))
    hook.answers()
    configure(cluster, hook, "Validating")
    cluster.request("PUT", f"{MAPS}/m", config_map(a="2"))
    cluster.request("DELETE", f"{MAPS}/m")
    # A deletion that began from a cached object asks once more.
    update, delete = hook.asked[0]["request"], hook.asked[-1]["request"]
    assert (update["oldObject"]["data"], update["object"]["data"]) == ({"a": "1"}, {"a": "2"})
    assert (delete["operation"], delete["object"], delete["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})


@pytest.mark.parametrize(
    ("webhook", "asks"),
    [
        ({"rules": [ANY | {"operations": ["DELETE"]}]}, False),
        ({"rules": [ANY | {"resources": ["*"]}]}, True),
        ({"rules": [ANY | {"resources": ["configmaps/status"]}]}, False),
        ({"rules": [ANY | {"scope": "Cluster"}]}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, False),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"matchConditions": [{"name": "c", "expression": "object.metadata.name == 'other'"}]}, False),
        ({"matchConditions": [{"name": "c", "expression": "request.userInfo.username == 'kubernetes-admin'"}]}, True),
        ({"matchConditions": [
            {"name": "c", "expression": "authorizer.group('').resource('pods').check('create').allowed()"}]}, True),
    ],
    ids=str,
)  # fmt: skip
def test_rules_selectors_and_conditions_choose(cluster, hook, webhook, asks):
    hook.answers()
    configure(cluster, hook, "Validating", **webhook)
    assert cluster.request("POST", MAPS, config_map())[0] == 201
    assert bool(hook.asked) == asks


def test_a_condition_that_fails_refuses_in_the_originals_words(cluster, hook):
    hook.answers()
    configure(cluster, hook, "Validating", matchConditions=[{"name": "c", "expression": "object.data.z == 'y'"}])
    status, refused, _ = cluster.request("POST", MAPS, config_map())
    assert (status, refused["message"]) == (
        403,
        "configmaps \"m\" is forbidden: expression 'object.data.z == 'y'' resulted in error: no such key: z",
    )
    assert hook.asked == []


def test_a_webhook_that_is_not_there_refuses_or_is_passed_over(cluster, hook):
    nowhere = {"url": "https://127.0.0.1:1/", "caBundle": hook.ca_bundle}
    configure(cluster, hook, "Validating", clientConfig=nowhere, failurePolicy="Ignore")
    assert cluster.request("POST", MAPS, config_map())[0] == 201
    configure(cluster, hook, "Validating", "strict", clientConfig=nowhere)
    status, refused, _ = cluster.request("POST", MAPS, config_map("n"))
    assert status == 500
    assert (
        'failed calling webhook "strict.example.com": failed to call webhook: Post "https://127.0.0.1:1/?timeout=10s"'
        in refused["message"]
    )
    (cause,) = refused["details"]["causes"]
    assert refused["message"] == f"Internal error occurred: {cause['message']}"


def test_a_server_that_the_bundle_does_not_vouch_for_is_not_believed(cluster, hook, tmp_path):
    hook.answers()
    configure(cluster, hook, "Validating", clientConfig={"url": hook.config()["url"]})
    assert "certificate" in cluster.request("POST", MAPS, config_map())[1]["message"]
    assert hook.asked == []


def test_a_service_is_reached_by_its_ready_endpoint(cluster, hook):
    hook.answers()
    port = {"name": "https", "port": hook.port, "protocol": "TCP"}
    cluster.request(
        "POST",
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "hook"}, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": hook.port}]}},
    )
    cluster.server.cache.catch_up()
    service = {"service": {"name": "hook", "namespace": "default", "path": "/x"}, "caBundle": hook.ca_bundle}
    configure(cluster, hook, "Validating", clientConfig=service)
    assert 'no endpoints available for service "hook"' in cluster.request("POST", MAPS, config_map())[1]["message"]
    made = cluster.server.endpoint("discovery.k8s.io", "v1", "endpointslices")
    body = {
        "metadata": {"name": "hook-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [port],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    }
    cluster.server.storage.create(made.key("default", "hook-1"), body)
    cluster.server.cache.catch_up()
    assert cluster.request("POST", MAPS, config_map())[0] == 201


def test_custom_resources_are_converted_by_a_webhook(cluster, hook):
    def convert(review: Any) -> Any:
        wanted = review["request"]["desiredAPIVersion"]
        objects = []
        for obj in review["request"]["objects"]:
            spec = {"length": obj["spec"]["size"]} if wanted.endswith("v2") else {"size": obj["spec"]["length"]}
            objects.append(obj | {"apiVersion": wanted, "spec": spec})
        response = {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
        return {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response}

    hook.answer = convert
    second = schema(spec={"type": "object", "properties": {"length": {"type": "integer"}}})
    webhook = {"clientConfig": hook.config("/convert"), "conversionReviewVersions": ["v1"]}
    serve(cluster, widgets(
        version(), version("v2", storage=False, schema=second, subresources={}),
        conversion={"strategy": "Webhook", "webhook": webhook},
    ))  # fmt: skip
    other = WIDGETS.replace("v1", "v2")
    cluster.request("POST", WIDGETS, widget(size=4))
    assert cluster.request("GET", f"{other}/w")[1]["spec"] == {"length": 4}
    body = {"metadata": {"name": "x"}, "kind": "Widget", "apiVersion": "example.com/v2", "spec": {"length": 3}}
    assert cluster.request("POST", other, body)[0] == 201
    assert cluster.request("GET", f"{WIDGETS}/x")[1]["spec"] == {"size": 3, "mode": "a"}
    before = len(hook.asked)
    assert [item["spec"] for item in cluster.request("GET", other)[1]["items"]] == [{"length": 4}, {"length": 3}]
    assert len(hook.asked) == before + 1
    assert b'"length":3' in cluster.text("GET", f"{other}?watch=true&timeoutSeconds=1")


def test_fields_are_selected_as_the_asked_version_shows_them(cluster, hook):
    def convert(review: Any) -> Any:
        wanted = review["request"]["desiredAPIVersion"]
        objects = []
        for obj in review["request"]["objects"]:
            spec = {"shade": obj["spec"]["color"]} if wanted.endswith("v2") else {"color": obj["spec"]["shade"]}
            objects.append(obj | {"apiVersion": wanted, "spec": {"size": 2} | spec})
        response = {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
        return {"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response}

    hook.answer = convert
    shades = {"type": "object", "properties": {"shade": {"type": "string"}, "size": {"type": "integer"}}}
    webhook = {"clientConfig": hook.config("/convert"), "conversionReviewVersions": ["v1"]}
    second = version("v2", storage=False, schema=schema(spec=shades), subresources={},
                     selectableFields=[{"jsonPath": ".spec.shade"}])  # fmt: skip
    first = version(selectableFields=[{"jsonPath": ".spec.color"}])
    serve(cluster, widgets(first, second, conversion={"strategy": "Webhook", "webhook": webhook}))
    other = WIDGETS.replace("v1", "v2")
    start = cluster.request("GET", WIDGETS)[1]["metadata"]["resourceVersion"]
    for name, color in (("r", "red"), ("g", "green")):
        cluster.request("POST", WIDGETS, widget(name, color=color))
    red = "fieldSelector=spec.shade%3Dred"
    assert [item["metadata"]["name"] for item in cluster.request("GET", f"{other}?{red}")[1]["items"]] == ["r"]
    assert cluster.request("GET", f"{other}?fieldSelector=spec.color%3Dred")[0] == 400
    changed = {"spec": {"color": "blue"}}
    cluster.request("PATCH", f"{WIDGETS}/r", changed, {"Content-Type": "application/merge-patch+json"})
    cluster.server.cache.catch_up()
    lines = cluster.text("GET", f"{other}?watch=true&timeoutSeconds=1&resourceVersion={start}&{red}").splitlines()
    events = [orjson.loads(line) for line in lines]
    assert [(event["type"], event["object"]["spec"]["shade"]) for event in events] == [
        ("ADDED", "red"), ("DELETED", "red"),
    ]  # fmt: skip
    for name in ("h", "i"):
        cluster.request("POST", WIDGETS, widget(name, color="green"))
    green = f"{other}?fieldSelector=spec.shade%3Dgreen"
    token = cluster.request("GET", f"{green}&limit=1")[1]["metadata"]["continue"]
    rest = cluster.request("GET", f"{green}&limit=5&continue={token}")[1]["items"]
    assert [item["metadata"]["name"] for item in rest] == ["h", "i"]
    assert len(cluster.request("DELETE", green)[1]["items"]) == 3
    assert [item["metadata"]["name"] for item in cluster.request("GET", other)[1]["items"]] == ["r"]


@pytest.mark.parametrize("query", ["", "?fieldValidation=Strict"])
def test_what_a_webhook_adds_beyond_the_schema_is_dropped_in_silence(cluster, hook, query):
    serve(cluster, widgets())

    def stage(review: Any) -> Any:
        spec = review["request"]["object"]["spec"]
        path = "/spec/stage" if "color" in spec else "/spec/color"
        hook.answers(patch=[{"op": "add", "path": path, "value": "red"}])
        answer, hook.answer = hook.answer(review), stage
        return answer

    hook.answer = stage
    rule = {"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["widgets"]}
    for name in ("a", "b"):
        configure(cluster, hook, "Mutating", name, rules=[rule], clientConfig=hook.config(f"/{name}"))
    status, made, headers = cluster.request("POST", WIDGETS + query, widget())
    assert (status, made["spec"]["color"], "stage" in made["spec"]) == (201, "red", False)
    assert "Warning" not in headers
    assert "color" in hook.asked[1]["request"]["object"]["spec"]


def test_a_webhook_is_waited_for_no_longer_than_its_client_waits(cluster, hook):
    given_up = threading.Event()
    hook.answers()
    answer = hook.answer
    hook.answer = lambda review: (given_up.wait(20), answer(review))[1]
    configure(cluster, hook, "Validating", failurePolicy="Ignore")
    status, refused, _ = cluster.request("POST", f"{MAPS}?timeout=200ms", config_map())
    given_up.set()
    assert (status, refused["reason"], refused["message"]) == (
        504, "Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded",
    )  # fmt: skip
    assert cluster.request("GET", f"{MAPS}/m")[0] == 404
    assert cluster.request("POST", f"{MAPS}?timeout=30s", config_map())[0] == 201

"""What clients rely on besides the objects: refusals in the original's words, forms of answers, health, metrics."""

from __future__ import annotations

import gzip

import orjson
import pytest
from apiserver_in_process import ADMIN
from apiserver_objects import config_map, deployment, pod
from crd_objects import eventually

from api import protobuf
from api.protobuf import wire
from api.serving import CheckFailed
from api.transport import Request, WsgiTransport
from control.apiserver.authentication.certificates import ENVIRON_USER
from control.apiserver.handlers.continuation import LATEST, Continuation, decode_token, encode_token
from control.apiserver.starting import Step

pytestmark = pytest.mark.unit

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WARN = "warn: some health checks cannot be excluded"
CONVERTING = "error converting YAML to JSON"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
YAML = "application/yaml"
APPLY = "application/apply-patch+yaml"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMELESS = (
    b'{"metadata":{"name":"a.b"},"spec":{"versions":[{"served":true,"storage":true},{"name":"v1","storage":true}]}}'
)
STRICT = "fieldManager=me&fieldValidation=Strict"

TWICE = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: twice\ndata:\n  a: '1'\n  a: '2'\n"
IN_YAML = 'yaml: unmarshal errors:\n  line 7: key "a" already set in map'


@pytest.mark.parametrize(
    ("method", "path", "media", "body", "message"),
    [
        ("POST", f"{MAPS}?{STRICT}", YAML, TWICE, f"strict decoding error: {IN_YAML}"),
        ("PATCH", f"{MAPS}/twice?{STRICT}", APPLY, TWICE, f"error strict decoding YAML: {CONVERTING}: {IN_YAML}"),
        ("PATCH", f"{MAPS}/twice?{STRICT}", APPLY, b'{"data":{"a":"1","a":"2"}}', 'line 1: key "a" already set in map'),
        (
            "PATCH",
            f"{MAPS}/here?{STRICT}",
            "application/merge-patch+json",
            b'{"data":{"a":"1","a":"2"}}',
            'duplicate field "data.a"',
        ),
        (
            "PATCH",
            f"{MAPS}/here?{STRICT}",
            "application/strategic-merge-patch+json",
            b'{"datum":1}',
            'unknown field "datum"',
        ),
        (
            "PATCH",
            f"{MAPS}/here?{STRICT}",
            "application/json-patch+json",
            b'[{"op":"add","op":"add","path":"/data","value":{},"foo":1}]',
            'decoding error: json patch duplicate field "[0].op", json patch unknown field "[0].foo"',
        ),
        (
            "POST",
            f"{MAPS}?{STRICT}",
            "application/json",
            b'{"metadata":{"name":"x","unk":1,"unk":1},"data":{"a":"1","a":"2"},"more":1}',
            'unknown field "metadata.unk", duplicate field "data.a", unknown field "more"',
        ),
        ("PATCH", f"{MAPS}/here", APPLY, b"data: {}", "fieldManager: Required value: is required for apply patch"),
        ("POST", MAPS, YAML, '{"a":"\u0093"}'.encode(), "name or generateName is required"),
        ("POST", DEFINITIONS, "application/json", NAMELESS, "spec.versions[0].name: "),
        ("POST", REVIEWS, "application/json", b'{"spec":"all"}', "json: cannot unmarshal string into Go struct field"),
        ("POST", MAPS, "application/json", b'{"kind":', "couldn't get version/kind; json parse error"),
        (
            "DELETE",
            f"{MAPS}/here",
            "application/json",
            b'{"gracePeriodSeconds":"1"}',
            "struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused_in_the_originals_words(cluster, method, path, media, body, message):
    cluster.client().create("configmaps", config_map("here"))
    status, answer, _ = cluster.request(method, path, body, {"Content-Type": media})
    assert 400 <= status < 500
    assert message in answer["message"]


def test_an_unknown_field_of_a_list_item_is_named_by_its_keys(cluster):
    body = deployment("web")
    body["spec"]["template"]["spec"]["containers"][0]["imgae"] = "x"
    headers = {"Content-Type": APPLY}
    status, answer, _ = cluster.request("PATCH", f"{DEPLOYMENTS}/web?fieldManager=me", orjson.dumps(body), headers)
    assert (status, "reason" in answer) == (500, False)
    assert '.spec.template.spec.containers[name="main"].imgae: field not declared in schema' in answer["message"]


@pytest.mark.parametrize(
    ("plural", "path", "message"),
    [
        ("pods", "/api/v1/pods", "field label not supported: bad"),
        ("jobs", "/apis/batch/v1/jobs", 'field label "bad" not supported for Job'),
        (
            "configmaps",
            "/api/v1/configmaps",
            '"bad" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_an_unknown_field_selector_is_refused_as_its_kind_does(cluster, plural, path, message):
    status, answer, _ = cluster.request("GET", f"{path}?fieldSelector=bad%3D1")
    assert (status, answer["message"]) == (400, message)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{MAPS}?timeout=32s", 200),
        (f"{MAPS}?timeout=0", 200),
        (f"{MAPS}?timeout=soon", 400),
        ("/apis?timeout=soon", 400),
        ("/version?timeout=soon", 400),
        (f"{MAPS}?watch=true&timeoutSeconds=1&timeout=soon", 200),
    ],
)
def test_a_timeout_must_be_a_duration(cluster, path, status):
    found = cluster.request("GET", path, headers={"Accept": "application/json;stream=watch, application/json"})
    assert found[0] == status
    if status == 400:
        said = 'invalid timeout specified in the request URL - time: invalid duration "soon"'
        assert found[1]["message"] == said


@pytest.mark.parametrize(
    ("method", "path", "accept", "status"),
    [
        ("POST", REVIEWS, TABLE, 406),
        ("POST", REVIEWS, f"{TABLE}, application/json", 201),
        ("GET", f"{MAPS}/nobody", "text/html", 406),
        ("GET", f"{MAPS}/nobody", "text/html, */*;q=0.1", 404),
    ],
)
def test_only_forms_that_a_resource_has_are_promised(cluster, method, path, accept, status):
    body = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/"}}} if method == "POST" else None
    assert cluster.request(method, path, body, {"Accept": accept})[0] == status


def test_a_client_that_takes_protobuf_only_is_answered_in_it(cluster):
    cluster.client().create("configmaps", config_map("a", x="1"))
    only = {"Accept": PROTOBUF}
    assert protobuf.decode(cluster.request("GET", f"{MAPS}/a", headers=only)[1])["data"] == {"x": "1"}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    found = protobuf.decode(cluster.request("GET", definitions, headers=only)[1])
    assert found["kind"] == "CustomResourceDefinitionList"
    status, frames, headers = cluster.request("GET", f"{MAPS}?watch=1&timeoutSeconds=1", headers=only)
    assert (status, headers["Content-Type"]) == (200, f"{PROTOBUF};stream=watch")
    kind, found = _first_event(frames)
    assert (kind, found["metadata"]["name"]) == (b"ADDED", "a")
    cluster.server.cache.collection("", "configmaps").floor = 10**6
    _, frames, headers = cluster.request("GET", f"{MAPS}?watch=1&resourceVersion=5", headers=only)
    kind, found = _first_event(frames)
    assert (headers["Content-Type"], kind, found["code"]) == (f"{PROTOBUF};stream=watch", b"ERROR", 410)


def _first_event(frames):
    length = int.from_bytes(frames[:4], "big")
    event = {number: value for number, _, value in wire.fields(frames[4 : 4 + length])}
    (_, _, raw), *_ = wire.fields(event[2])
    return event[1], protobuf.decode(raw)


def test_openapi_2_is_also_the_message_that_client_go_asks_for(cluster):
    accept = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    described = cluster.request("GET", "/openapi/v2")[1]
    status, message, _ = cluster.request("GET", "/openapi/v2", headers=accept)
    document = {number: value for number, _, value in wire.fields(message)}
    paths, definitions = document[8], document[9]
    assert (status, document[1]) == (200, b"2.0")
    assert len(list(wire.fields(paths))) == len(described["paths"])
    names = [next(wire.fields(entry))[2].decode() for _, _, entry in wire.fields(definitions)]
    assert names == list(described["definitions"])


def test_who_uses_a_deprecated_resource_is_warned(cluster):
    _, _, headers = cluster.request("GET", "/api/v1/endpoints")
    deprecated = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert headers["Warning"] == f'299 - "{deprecated}"'


def test_a_scale_is_printed_with_its_own_columns(cluster):
    cluster.client().create("deployments.apps", deployment("web", replicas=3))
    _, table, _ = cluster.request("GET", f"{DEPLOYMENTS}/web/scale", headers={"Accept": TABLE})
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["web", 3, 0]


def test_an_expired_list_may_go_on_inconsistently(cluster):
    client = cluster.client()
    for name in "abc":
        client.create("configmaps", config_map(name))
    _, first, _ = cluster.request("GET", f"{MAPS}?limit=1")
    client.create("configmaps", config_map("d"))
    cluster.server.storage.store.compact(cluster.server.storage.revision())
    token = first["metadata"]["continue"]
    status, refusal, _ = cluster.request("GET", f"{MAPS}?limit=1&continue={token}")
    assert (status, refusal["reason"]) == (410, "Expired")
    token = refusal["metadata"]["continue"]
    assert decode_token(token) == Continuation(LATEST, "default/a")
    _, rest, _ = cluster.request("GET", f"{MAPS}?continue={token}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]
    assert int(rest["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


def test_a_continue_token_reads_as_it_was_written():
    assert decode_token(encode_token(Continuation(7, "default/a"))) == Continuation(7, "default/a")


@pytest.mark.parametrize(
    ("user", "tracked"), [("alice", True), ("system:serviceaccount:a:b", True), ("system:kube-x", False)]
)
def test_what_people_and_tools_create_says_who_set_it(cluster, user, tracked):
    client = cluster.user(user, "system:masters")
    made = client.create("pods", pod("p"))
    assert bool(made["metadata"].get("managedFields")) is tracked


def test_empty_metadata_is_left_out(client):
    body = config_map("a")
    body["metadata"] |= {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}
    made = client.create("configmaps", body)
    assert not {"labels", "annotations", "finalizers", "ownerReferences"} & set(made["metadata"])
    made["metadata"]["annotations"] = {}
    assert "annotations" not in client.update("configmaps", made | {"data": {"a": "b"}})["metadata"]


def test_a_namespace_that_goes_states_no_grace_period(client):
    client.create("namespaces", {"metadata": {"name": "going"}})
    client.delete("namespaces", "going")
    going = client.get("namespaces", "going")
    assert going["status"]["phase"] == "Terminating"
    assert "deletionGracePeriodSeconds" not in going["metadata"]


STEPS = [
    f"[+]poststarthook/{name} ok"
    for name in (
        "start-kube-apiserver-admission-initializer", "generic-apiserver-start-informers",
        "start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced",
        "bootstrap-controller", "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
        "start-cluster-authentication-info-controller", "start-kube-aggregator-informers",
        "apiservice-registration-controller", "apiservice-status-available-controller",
        "kube-apiserver-autoregistration", "apiservice-openapi-controller",
    )
] + ["[+]autoregister-completion ok"]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/livez?verbose", ["[+]ping ok", "[+]log ok", "[+]etcd ok", *STEPS, "livez check passed"]),
        ("/readyz?verbose", ["[+]ping ok", "[+]etcd ok", "[+]informer-sync ok", *STEPS, "readyz check passed"]),
        ("/livez?verbose&exclude=etcd", ["[+]ping ok", "[+]etcd excluded: ok", "livez check passed"]),
        ("/livez?verbose&exclude=x", ["[+]etcd ok", f'{WARN}: no matches for "x"', "livez check passed"]),
        ("/livez/etcd", ["ok"]),
        ("/readyz/poststarthook/rbac/bootstrap-roles", ["ok"]),
    ],
)
def test_health_says_what_was_looked_at(cluster, path, lines):
    eventually(lambda: cluster.request("GET", "/readyz")[0] == 200)
    status, text, _ = cluster.request("GET", path)
    said = text.decode().splitlines()
    assert (status, set(lines) - set(said), said[-1]) == (200, set(), lines[-1])


def test_a_step_of_the_start_that_was_taken_stays_taken(cluster):
    step = Step(cluster.server, "", "configmaps", "default/made")
    with pytest.raises(CheckFailed, match="configmaps default/made is not there yet"):
        step()
    client = cluster.client()
    client.create("configmaps", config_map("made"))
    cluster.server.cache.catch_up()
    step()
    client.delete("configmaps", "made", "default")
    cluster.server.cache.catch_up()
    step()


def test_metrics_count_requests_and_objects(cluster):
    client = cluster.client()
    client.create("configmaps", config_map("a"))
    client.get("configmaps", "a", "default")
    stored = len(client.list("configmaps").items)
    text = cluster.request("GET", "/metrics")[1].decode()
    labels = (
        'component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET"'
    )
    assert f'apiserver_request_total{{code="200",{labels},version="v1"}} 1.0' in text
    assert 'apiserver_request_duration_seconds_count{component="apiserver"' in text
    assert f'apiserver_storage_objects{{resource="configmaps"}} {stored}.0' in text


def test_the_root_lists_what_may_be_asked_for(cluster):
    paths = cluster.request("GET", "/")[1]["paths"]
    assert {"/api/v1", "/apis/apps/v1", "/openapi/v3", "/livez"} <= set(paths)
    for path in paths:
        if path not in ("/.well-known/openid-configuration", "/metrics", "/openapi/v2"):
            assert cluster.request("GET", path)[0] == 200, path


def test_a_path_that_nothing_serves_is_answered_in_plain_text(cluster):
    for path in ("/nothing", "/api/v1/things", "/apis/example.com/v1/things", "/apis/apps/v9", "/openapi/v4"):
        status, body, headers = cluster.request("GET", path)
        assert (status, body, headers["Content-Type"]) == (404, b"404 page not found\n", "text/plain; charset=utf-8")
    assert cluster.request("GET", "/api/v1/namespaces/default/pods/none")[1]["reason"] == "NotFound"


ACCEPTED = [
    ("gzip", True), ("deflate, gzip;q=0.5", True), ("GZIP", True), ("gzip;q=0", False),
    ("identity", False), ("", False), ("xgzip", False),
]  # fmt: skip


def test_large_answers_are_packed_for_who_takes_them(cluster):
    for index in range(2):
        content = {"metadata": {"name": f"m{index}", "namespace": "default"}, "data": {"a": "x" * 70_000}}
        cluster.client().create("configmaps", content)
    cluster.server.cache.catch_up()
    maps = "/api/v1/namespaces/default/configmaps"
    # The loops of the server write meanwhile, so that the newest list is another one each time.
    path = f"{maps}?resourceVersionMatch=Exact&resourceVersion={cluster.server.cache.revision}"
    plain = cluster.text("GET", path)
    for accepted, packed in ACCEPTED:
        transport = WsgiTransport(cluster.application, {ENVIRON_USER: ADMIN})
        answer = transport.send(Request("GET", path, {"Accept-Encoding": accepted}))
        body = answer.read()
        assert ("Content-Encoding" in answer.headers, body != plain) == (packed, packed), accepted
        assert int(answer.headers["Content-Length"]) == len(body)
        assert (gzip.decompress(body) if packed else body) == plain
    small = WsgiTransport(cluster.application, {ENVIRON_USER: ADMIN}).send(
        Request("GET", f"{maps}/m0", {"Accept-Encoding": "gzip"})
    )
    assert "Content-Encoding" not in small.headers


REFUSED = [
    ("HEAD", "/api/v1/namespaces/default/configmaps", None, 405),
    ("HEAD", "/apis/apps/v1", None, 405),
    ("POST", "/api", {}, 405),
    ("DELETE", "/version", None, 405),
    ("POST", "/healthz", {}, 200),
    ("OPTIONS", "/readyz", None, 200),
    ("GET", "//api/v1/pods", None, 404),
    ("GET", "/api/v1/namespaces/default/pods/x/log/more", None, 404),
    ("GET", "/api/v1/pods?timeoutSeconds=x", None, 400),
    ("DELETE", "/api/v1/namespaces/default/configmaps?resourceVersion=0&resourceVersionMatch=Exact", None, 422),
    ("DELETE", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", {"kind": "Pod", "apiVersion": "v1"}, 400),
    ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a", "resourceVersion": "5"}}, 500),
    ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a", "resourceVersion": "0"}}, 201),
    ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "b", "resourceVersion": "²"}}, 201),
    ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c", "resourceVersion": "9" * 5000}}, 201),
    ("GET", "/api/v1/pods?resourceVersion=%C2%B2", None, 400),
    ("GET", f"/api/v1/pods?resourceVersion={'9' * 5000}", None, 400),
    ("GET", "/api/v1/pods?watch=1&timeoutSeconds=1&resourceVersion=%C2%B2", None, 400),
]


def test_logs_of_one_stream(cluster):
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert cluster.request("POST", "/api/v1/namespaces/default/pods", body)[0] == 201
    path = "/api/v1/namespaces/default/pods/p/log?stream="
    assert cluster.request("GET", f"{path}Stdout")[0] == 200
    for query, sentence in (
        ("Foo", 'Unsupported value: "Foo": supported values: "All", "Stderr", "Stdout"'),
        ("Stderr&tailLines=1", "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"),
    ):
        status, found, _ = cluster.request("GET", path + query)
        assert (status, found["details"]["causes"][0]["message"]) == (422, sentence)


def test_what_a_nameless_client_writes_is_tracked_as_of_nobody_known(cluster):
    made = cluster.request(
        "POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}, "data": {"a": "b"}}
    )
    assert [one["manager"] for one in made[1]["metadata"]["managedFields"]] == ["unknown"]


def test_logs_since_no_moment(cluster):
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert cluster.request("POST", "/api/v1/namespaces/default/pods", body)[0] == 201
    status, found, _ = cluster.request("GET", "/api/v1/namespaces/default/pods/p/log?sinceTime=noon")
    assert (status, found["message"].partition(" as ")[0]) == (400, 'parsing time "noon"')


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_what_is_asked_in_an_odd_way(cluster, method, path, body, status):
    assert cluster.request(method, path, body)[0] == status


def test_who_writes_what_is_deprecated_is_told(cluster):
    body = {"metadata": {"name": "p"}, "spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "containers": [{"name": "c", "image": "i"}]}}  # fmt: skip
    headers = cluster.request("POST", "/api/v1/namespaces/default/pods", body)[2]
    assert headers["Warning"].startswith('299 - "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14')

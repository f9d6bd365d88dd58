"""Objects that have the right fields and odd values, sent to every resource with every verb: the server never fails."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from apiserver_in_process import ADMIN, Cluster, running

from api import schema
from api.registry import Entry, registry
from api.transport import Request, WsgiTransport
from control.apiserver.authentication.certificates import ENVIRON_USER

pytestmark = pytest.mark.integration

COUNT = 4_000
SEED = 7
NAMES = ["a", "b", "web", "x-y"]
TEXTS = [
    "", "a", "1", "-1", "100Mi", "10%", "TCP", "Always", "2020-01-01T00:00:00Z", "*/5 * * * *", "1.2.3.4", "a/b", "In",
    "YQ==", "x" * 70,
]  # fmt: skip
ODD: list[Any] = [
    None,
    True,
    -1,
    2**63,
    1.5,
    "t",
    "",
    [],
    {},
    [{}],
    {"a": 1},
    [None],
    [[]],
    [{"name": "a"}, {"name": "a"}],
]
CONNECTIONS = {"exec", "attach", "portforward", "proxy", "log"}
PATCHES = ["merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"]
QUERIES = ["", "limit=1", "limit=x", "labelSelector=a%3Db", "fieldSelector=metadata.name%3Da", "resourceVersion=0",
           "limit=1&resourceVersion=1&resourceVersionMatch=Exact"]  # fmt: skip
META = "v=v1;g=meta.k8s.io"
FORMS = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
         f"application/json;as=Table;{META}", f"application/json;as=PartialObjectMetadataList;{META}"]  # fmt: skip
# What the original calls a failure of its own, too.
FAILURES = (b"failed to create typed patch object", b"resourceVersion should not be set on objects to be created")
POINTERS = ["", "/", "/spec", "/spec/a/b", "/status", "/metadata/name", "/metadata/labels", "/spec/containers/-"]


class Sent(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None


class Maker:
    """Makes requests from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._entries = [entry for entry in registry().entries() if entry.definition]

    def make(self) -> Sent:
        """The next one."""
        entry, method = self._one(self._entries), self._one(["POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "GET"])
        collection = entry.resource.path("default" if entry.resource.namespaced else "")
        if method == "GET":
            return Sent(method, f"{collection}?{self._one(QUERIES)}", {"Accept": self._one(FORMS)}, None)
        path, media, body = f"{collection}/{self._one(NAMES)}{self._subresource(entry)}", "json", self._object(entry)
        if method == "POST":
            path = f"{collection}{self._one(['', '?dryRun=All'])}"
        elif method == "DELETE":
            body = {self._one(["gracePeriodSeconds", "preconditions", "propagationPolicy"]): self._one(ODD)}
        elif method == "PATCH":
            path += "?fieldManager=me&force=true"
            media = self._one([*PATCHES, "json-patch+json"])
            body = [self._step()] if media == "json-patch+json" else body
        return Sent(method, path, {"Content-Type": f"application/{media}"}, json.dumps(body).encode())

    def _one(self, choices: Any) -> Any:
        return self._random.choice(choices)

    def _subresource(self, entry: Entry) -> str:
        name = self._one(["", "", *(name for name in entry.subresources if name not in CONNECTIONS)])
        return f"/{name}" if name else ""

    def _step(self) -> dict[str, Any]:
        operation = self._one(["add", "replace", "remove", "test", "copy", "move", "fly"])
        return {"op": operation, "path": self._one(POINTERS), "from": self._one(POINTERS), "value": self._one(ODD)}

    def _object(self, entry: Entry) -> Any:
        obj = self._of(entry.definition, 0)
        if isinstance(obj, dict):
            obj |= {"apiVersion": entry.resource.api_version, "kind": entry.resource.kind}
            if self._random.random() < 0.8:
                obj["metadata"] = {"name": self._one(NAMES)}
        return obj

    def _of(self, definition: str, depth: int) -> Any:
        declared = schema.definition(definition)
        properties = declared.get("properties")
        if not properties or depth > 6:
            return self._one(ODD)
        made = {}
        for name, one in properties.items():
            likely = 0.9 if name in (*declared.get("required", ()), "spec", "metadata") else 0.25
            if self._random.random() < likely:
                made[name] = self._one(ODD) if self._random.random() < 0.04 else self._value(one, depth + 1)
        return made

    def _value(self, declared: Any, depth: int) -> Any:
        if "$ref" in declared:
            return self._of(declared["$ref"].rpartition("/")[2], depth)
        kind = declared.get("type")
        if kind == "array":
            return [self._value(declared["items"], depth) for _ in range(self._random.randrange(3))]
        if kind == "object":
            inner = declared.get("additionalProperties")
            keys = self._random.sample(["a", "b/c", "", "x.y"], self._random.randrange(3))
            return {key: self._value(inner, depth) if isinstance(inner, dict) else "v" for key in keys}
        plain = {"integer": [0, 1, -1, 3, 70_000, 2**40], "boolean": [True, False], "number": [1.5]}
        return self._one(plain.get(str(kind), TEXTS))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server in this process."""
    with running() as made:
        yield made


def test_the_server_never_fails(cluster: Cluster) -> None:
    transport, maker = WsgiTransport(cluster.application, {ENVIRON_USER: ADMIN}), Maker(SEED)
    seen = set()
    for number in range(COUNT):
        sent = maker.make()
        answer = transport.send(Request(sent.method, sent.path, sent.headers, sent.body))
        text = answer.read()
        misfit = any(said in text for said in FAILURES)
        assert answer.status < 500 or misfit, f"request {number}: {answer.status} for {sent}: {text[:300]!r}"
        seen.add(answer.status)
    assert {200, 201, 400, 404, 405, 409, 422} <= seen

"""Requests that no client should send, made from a seed: their bodies, media types, paths and the way they are sent."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import orjson

from api import protobuf

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_WRONG: list[Any] = [None, True, -1, 2**70, 1.5, "text", [], {}, [[]], {"a": {"b": "c"}}, [None], "\u0000", "9" * 300]
_PATCHES = [
    b"", b"{", b"1", b'"a"', b"[1]", b'[{"op":"fly","path":"/a"}]', b'[{"op":"test","path":"/spec","value":0}]',
    b'[{"op":"remove","path":"/nothing/here"}]', b'{"spec":[[[]]]}', b'{"metadata":"x"}', b'{"spec":{"$patch":7}}',
]  # fmt: skip


@dataclass(frozen=True)
class Malformed:
    """One request, all of which a server must refuse with a 4xx."""

    method: str
    path: str
    media: str
    body: bytes


def objects(namespace: str) -> dict[str, dict[str, Any]]:
    """A valid object for each of a few collections."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}
    selector = {"matchLabels": {"a": "b"}}
    metadata = {"name": "victim", "namespace": namespace}
    base = f"namespaces/{namespace}"
    return {
        f"/api/v1/{base}/pods": {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]},
        f"/api/v1/{base}/services": {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]},
        },
        f"/apis/apps/v1/{base}/deployments": {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"replicas": 1, "selector": selector, "template": template},
        },
        f"/apis/batch/v1/{base}/jobs": {
            "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
            "spec": {"template": template | {"spec": template["spec"] | {"restartPolicy": "Never"}}},
        },
        f"/apis/rbac.authorization.k8s.io/v1/{base}/rolebindings": {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
        },
    }  # fmt: skip


class Maker:
    """Makes malformed requests for the collections of a namespace."""

    def __init__(self, namespace: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._objects = objects(namespace)
        self._kinds = (
            self._broken_json, self._bad_utf8, self._wrong_type, self._deep, self._truncated_protobuf,
            self._mangled_protobuf, self._broken_yaml, self._wrong_media, self._bad_patch, self._not_an_object,
            self._other_kind, self._bad_options,
        )  # fmt: skip

    def make(self) -> Malformed:
        """The next one."""
        path = self._random.choice(list(self._objects))
        return self._random.choice(self._kinds)(path, self._objects[path])

    def _broken_json(self, path: str, obj: dict[str, Any]) -> Malformed:
        text = orjson.dumps(obj)
        cut = self._random.randrange(1, len(text) - 1)
        return Malformed("POST", path, JSON, text[:cut])

    def _bad_utf8(self, path: str, obj: dict[str, Any]) -> Malformed:
        text = orjson.dumps(obj)
        place = text.index(b"victim")
        bad = self._random.choice([b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
        return Malformed("POST", path, self._random.choice([JSON, YAML]), text[:place] + bad + text[place:])

    def _wrong_type(self, path: str, obj: dict[str, Any]) -> Malformed:
        changed = orjson.loads(orjson.dumps(obj))
        places = list(_places(changed))
        holder, key = self._random.choice(places)
        kept = holder[key]
        wrong = [value for value in _WRONG if type(value) is not type(kept) and value not in (None, [], {})]
        holder[key] = self._random.choice(wrong)
        # Whatever became of the field, the name is refused.
        changed["metadata"] = changed["metadata"] if key == "metadata" else changed["metadata"] | {"name": "Not/a/name"}
        return Malformed("POST", path, JSON, _dump(changed))

    def _deep(self, path: str, obj: dict[str, Any]) -> Malformed:
        depth = self._random.choice([300, 5_000, 100_000])
        opening, closing = self._random.choice([(b"[", b"]"), (b'{"a":', b"}")])
        inner = opening * depth + b"1" + closing * depth
        return Malformed("POST", path, self._random.choice([JSON, YAML]), b'{"spec":' + inner + b"}")

    def _truncated_protobuf(self, path: str, obj: dict[str, Any]) -> Malformed:
        content = protobuf.encode(obj)
        return Malformed("POST", path, PROTOBUF, content[: self._random.randrange(0, len(content) - 5)])

    def _mangled_protobuf(self, path: str, obj: dict[str, Any]) -> Malformed:
        content = bytearray(protobuf.encode(obj | {"metadata": {"name": "Not/a/name"}}))
        for _ in range(self._random.randrange(1, 6)):
            content[self._random.randrange(0, len(content))] ^= 1 << self._random.randrange(8)
        return Malformed("POST", path, PROTOBUF, b"k8s\x01" + bytes(content))

    def _broken_yaml(self, path: str, obj: dict[str, Any]) -> Malformed:
        text = self._random.choice(
            [b"a: [b", b"a: b: c", b"\ta: b", b"&a [*a]", b"- a\nb: c", b"a: !!python/object:x {}"]
        )
        return Malformed("POST", path, YAML, text)

    def _wrong_media(self, path: str, obj: dict[str, Any]) -> Malformed:
        media = self._random.choice(["text/plain", "application/xml", "a/b", "multipart/form-data"])
        return Malformed("POST", path, media, orjson.dumps(obj))

    def _bad_patch(self, path: str, obj: dict[str, Any]) -> Malformed:
        kind = self._random.choice(list(PATCHES))
        body = self._random.choice(_PATCHES)
        suffix = "?fieldManager=me" if self._random.random() < 0.5 else ""
        return Malformed("PATCH", f"{path}/nobody{suffix}", PATCHES[kind], body)

    def _not_an_object(self, path: str, obj: dict[str, Any]) -> Malformed:
        body = self._random.choice([b"", b"null", b"1", b'"a"', b"[]", b"true", b"[{}]", b"\x00", b"nan"])
        return Malformed(self._random.choice(["POST", "PUT"]), path, self._random.choice([JSON, YAML, ""]), body)

    def _other_kind(self, path: str, obj: dict[str, Any]) -> Malformed:
        other = self._random.choice(
            [{"kind": "Secret"}, {"apiVersion": "v9"}, {"kind": 7}, {"apiVersion": []}, {"metadata": 1}]
        )
        return Malformed("POST", path, JSON, orjson.dumps(obj | other))

    def _bad_options(self, path: str, obj: dict[str, Any]) -> Malformed:
        query = self._random.choice(
            ["dryRun=Some", "fieldValidation=Maybe", f"fieldManager={'x' * 200}", "dryRun=All&dryRun=None"]
        )
        return Malformed("POST", f"{path}?{query}", JSON, orjson.dumps(obj))


def _places(value: Any) -> Any:
    """(holder, key) of everything inside."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def _dump(obj: Any) -> bytes:
    return json.dumps(obj).encode()

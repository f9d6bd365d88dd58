"""CustomResourceDefinitions for tests, and waiting until they are served."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from api.objects import Object, is_true

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How large it is."},
        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "color": {"type": "string"},
        "parts": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        },
    },
}  # fmt: skip
STATUS = {"type": "object", "properties": {"ready": {"type": "integer"}, "pods": {"type": "string"}}}


def schema(**properties: Any) -> Object:
    return {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS, **properties}}}


def version(name: str = "v1", storage: bool = True, **more: Any) -> Object:
    scale = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.ready",
        "labelSelectorPath": ".status.pods",
    }
    base = {"name": name, "served": True, "storage": storage, "schema": schema()}
    return base | {"subresources": {"status": {}, "scale": scale}} | more


def widgets(*versions: Object, kind: str = "Widget", plural: str = "widgets", **spec: Any) -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": ["wg"], "categories": ["all"]},
            "versions": list(versions) or [version()],
            **spec,
        },
    }


def widget(name: str = "w", api_version: str = "example.com/v1", **spec: Any) -> Object:
    return {"apiVersion": api_version, "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 2} | spec}


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What the condition gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)
    return found


def serve(cluster: Any, definition: Object) -> Object:
    """Create a definition and wait until it is established."""
    status, body, _ = cluster.request("POST", CRDS, definition)
    assert status == 201, body
    path = f"{CRDS}/{definition['metadata']['name']}"

    def established() -> Object | None:
        found: Object = cluster.request("GET", path)[1]
        return found if is_true(found, "Established") else None

    made: Object = eventually(established)
    return made

"""Short ways to write objects in the controllers' tests. Times are seconds after NOW."""

from __future__ import annotations

from typing import Any

from api.runtime import timestamp

NOW = 1_800_000_000.0


def at(seconds: float) -> str:
    """The text of a moment."""
    return timestamp(NOW + seconds)


def meta(name: str, **more: Any) -> dict[str, Any]:
    """Metadata in namespace default; the UID is the name."""
    return {"name": name, "namespace": "default", "uid": name, "creationTimestamp": at(-3600)} | more


def pod(name: str, phase: str = "Running", *, ready: float | None = None, deleting: bool = False, **more: Any) -> Any:
    """A pod; `ready` is since when. `node`, `labels`, `annotations`, `finalizers`, `spec` and `status` differ."""
    metadata = meta(name, labels=more.get("labels", {}), annotations=more.get("annotations", {}))
    if "finalizers" in more:
        metadata["finalizers"] = more["finalizers"]
    if "created" in more:
        metadata["creationTimestamp"] = at(more["created"])
    if deleting:
        metadata["deletionTimestamp"] = at(0)
    spec = {"nodeName": more.get("node", "n1"), "containers": []} | more.get("spec", {})
    status: dict[str, Any] = {"phase": phase} | more.get("status", {})
    if ready is not None:
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": at(ready)}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def names(objects: Any) -> list[str]:
    """The names, in order."""
    return [one["metadata"]["name"] for one in objects]

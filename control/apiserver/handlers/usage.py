"""metrics.k8s.io: what nodes and pods use now, asked of the kubelets when somebody wants to know.

No process scrapes and keeps: each kubelet has two samples and tells rates. Answers are kept for as long as a
metrics server would wait between its scrapes.

Invariant: a node that does not answer is left out, as a metrics server leaves it out; it fails no request.
Source: k8s.io/metrics v1beta1; kubernetes-sigs/metrics-server.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from typing import Any

import orjson

from api import errors
from api.objects import Object, name_of
from api.registry import Entry, Registry
from api.resources import Resource
from api.runtime import timestamp
from api.selectors import LabelSelector
from control.apiserver.proxy.backend import send
from control.apiserver.proxy.kubelets import kubelet_target
from control.apiserver.request import Request
from control.apiserver.response import Response, json_response
from control.apiserver.server import ApiServer

log = logging.getLogger(__name__)

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_KINDS = {"nodes": "NodeMetrics", "pods": "PodMetrics"}
_PATH = "/stats/summary?only_cpu_and_memory=true"
_KEPT = 10.0
_PATIENCE = 8.0
_WINDOW = "10s"


def add_to(registry: Registry) -> None:
    """Serve the two resources."""
    for plural, kind in _KINDS.items():
        resource = Resource(GROUP, VERSION, plural, kind, plural == "pods")
        registry.add(Entry(resource, singular="", verbs=("get", "list")))


def answers(group: str) -> bool:
    """Whether requests for a group are answered here."""
    return group == GROUP


def respond(server: ApiServer, request: Request) -> Response:
    """One object or a list of them. Raises ApiError."""
    info = request.info
    if info.verb not in ("get", "list") or info.resource not in _KINDS:
        raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
    kind = _KINDS[info.resource]
    found = list(_nodes(server) if info.resource == "nodes" else _pods(server, info.namespace))
    if info.name:
        one = next((entry for entry in found if name_of(entry) == info.name), None)
        if one is None:
            name = f"{info.namespace}/{info.name}" if info.namespace else info.name
            raise errors.not_found(info.resource, GROUP, name)
        return json_response(_head(kind) | one)
    try:
        selector = LabelSelector.parse(request.query.get("labelSelector", ""))
    except ValueError as error:
        raise errors.BadRequest(str(error)) from error
    items = [entry for entry in found if selector.matches(entry["metadata"].get("labels") or {})]
    return json_response(_head(f"{kind}List") | {"metadata": {}, "items": items})


def _head(kind: str) -> Object:
    return {"kind": kind, "apiVersion": f"{GROUP}/{VERSION}"}


def _nodes(server: ApiServer) -> Iterator[Object]:
    collection = server.endpoint("", "v1", "nodes").collection
    summaries = _summaries(server)
    for found in collection.select(""):
        node = found.object()
        told = (summaries.get(name_of(node)) or {}).get("node") or {}
        usage = _usage(told)
        if usage is not None:
            yield {"metadata": _metadata(node), "timestamp": told["cpu"]["time"], "window": _WINDOW, "usage": usage}


def _pods(server: ApiServer, namespace: str) -> Iterator[Object]:
    told = {
        (pod["podRef"]["namespace"], pod["podRef"]["name"]): pod
        for summary in _summaries(server).values()
        for pod in summary.get("pods") or []
    }
    for found in server.endpoint("", "v1", "pods").collection.select(namespace):
        pod = found.object()
        summary = told.get((pod["metadata"]["namespace"], name_of(pod)))
        containers = [
            {"name": container["name"], "usage": usage}
            for container in (summary or {}).get("containers") or []
            if (usage := _usage(container)) is not None
        ]
        if summary is not None and containers:
            yield {
                "metadata": _metadata(pod),
                "timestamp": summary["cpu"]["time"],
                "window": _WINDOW,
                "containers": containers,
            }


def _metadata(obj: Object) -> Object:
    kept = ("name", "namespace", "labels", "creationTimestamp")
    return {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}


def _usage(told: Object) -> Object | None:
    """Quantities of CPU and memory, as a metrics server writes them; None while there is no rate."""
    cores = (told.get("cpu") or {}).get("usageNanoCores")
    memory = (told.get("memory") or {}).get("workingSetBytes")
    if cores is None or memory is None:
        return None
    return {"cpu": f"{cores}n", "memory": f"{memory // 1024}Ki"}


def _summaries(server: ApiServer) -> dict[str, Object]:
    """What each kubelet says, asked of all at once unless that was done a moment ago."""
    kept, now = server.summaries, server.runtime.monotonic()
    if kept.by_node is not None and now - kept.taken < _KEPT:
        return kept.by_node
    names = [name_of(found.object()) for found in server.endpoint("", "v1", "nodes").collection.select("")]
    answers: dict[str, Object] = {}

    def ask(name: str) -> None:
        try:
            answers[name] = _ask(server, name)
        except (errors.ApiError, OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            log.info("what node %s uses is not known at %s: %s", name, timestamp(server.runtime.time()), error)

    tasks = [server.runtime.spawn(f"usage-{name}", ask, name) for name in names]
    deadline = now + _PATIENCE
    for task in tasks:
        task.join(max(0.0, deadline - server.runtime.monotonic()))
    kept.taken, kept.by_node = server.runtime.monotonic(), answers
    return answers


def _ask(server: ApiServer, name: str) -> Object:
    target = kubelet_target(server, name, _PATH)
    with send(target, "GET", {"Host": str(target), "Accept": "application/json"}) as answer:
        body = answer.read()
        if answer.status != 200:
            raise errors.ServiceUnavailable(f"the kubelet answered {answer.status}: {body[:200]!r}")
    summary: dict[str, Any] = orjson.loads(body)
    return summary

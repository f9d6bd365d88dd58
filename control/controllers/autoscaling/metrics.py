"""Metrics as autoscaling reads them, from the APIs in which add-ons serve them.

Invariant: a metric that cannot be had raises NoMetrics with the original's words; nothing is guessed.
Source: metrics.k8s.io/v1beta1, custom.metrics.k8s.io/v1beta2, external.metrics.k8s.io/v1beta1; podautoscaler/metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from api.client import Client
from api.errors import ApiError
from api.objects import Object
from api.quantities import parse
from api.resources import Resource
from api.runtime import parse_timestamp
from api.selectors import LabelSelector
from api.transport import TransportError
from control.controllers.autoscaling.replicas import NoMetrics, Sample
from control.controllers.autoscaling.words import selector_text

_RESOURCE, _CUSTOM, _EXTERNAL = "resource", "custom", "external"


class Metrics:
    """The shell."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def resource(self, namespace: str, selector: str, resource: str, container: str = "") -> dict[str, Sample]:
        """What each pod uses of a resource, by its name."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{quote(namespace)}/pods"
        said = f"unable to get metrics for resource {resource}"
        items = self._items(said, path, {"labelSelector": selector}, _RESOURCE)
        found = {}
        for item in items:
            usages = [one["usage"] for one in item["containers"] if not container or one["name"] == container]
            if not usages and container:
                pod = f"{namespace}/{item['metadata']['name']}"
                raise NoMetrics(f"{said}: container {container} not present in metrics for pod {pod}")
            if usages and all(resource in usage for usage in usages):
                value = sum(parse(usage[resource]).milli() for usage in usages)
                found[item["metadata"]["name"]] = Sample(value, _at(item), _window(item))
        return found

    def pods(self, namespace: str, selector: str, metric: Mapping[str, Any]) -> dict[str, Sample]:
        """A metric of each pod, by its name."""
        query = {"labelSelector": selector, "metricLabelSelector": _selector(metric)}
        path = f"{_custom(namespace)}/pods/*/{quote(metric['name'])}"
        items = self._items(f"unable to get metric {metric['name']}", path, query, _CUSTOM)
        return {item["describedObject"]["name"]: Sample(parse(item["value"]).milli(), _at(item)) for item in items}

    def described(self, namespace: str, resource: Resource, name: str, metric: Mapping[str, Any]) -> int:
        """A metric of one object, in thousandths."""
        path = f"{_custom(namespace)}/{resource.name}/{quote(name)}/{quote(metric['name'])}"
        if not resource.namespaced:
            path = f"/apis/custom.metrics.k8s.io/v1beta2/{resource.name}/{quote(name)}/{quote(metric['name'])}"
        # The original's words, which mean "of KIND NAMESPACE/NAME: error".
        said = f"unable to get metric {metric['name']}: {resource.kind} on {namespace} {name}/"
        items = self._items(said, path, {"metricLabelSelector": _selector(metric)}, _CUSTOM)
        return parse(items[0]["value"]).milli()

    def external(self, namespace: str, metric: Mapping[str, Any]) -> int:
        """A metric from outside of the cluster, in thousandths, all series together."""
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{quote(namespace)}/{quote(metric['name'])}"
        of = f"{namespace}/{metric['name']}/{selector_text(metric.get('selector'))}"
        items = self._items(
            f"unable to get external metric {of}", path, {"labelSelector": _selector(metric)}, _EXTERNAL
        )
        return sum(parse(item["value"]).milli() for item in items)

    def _items(self, said: str, path: str, query: Mapping[str, str], api: str) -> list[Object]:
        """What the API of that name answers: at least one item. `said` opens the sentence of an error."""
        given = {name: value for name, value in query.items() if value}
        opening = said if said.endswith("/") else f"{said}: "
        try:
            body: Object = orjson.loads(self._client.raw("GET", f"{path}?{urlencode(given)}" if given else path))
        except (ApiError, TransportError) as error:
            raise NoMetrics(f"{opening}unable to fetch metrics from {api} metrics API: {error}") from error
        items: list[Object] = body.get("items") or []
        if not items:
            raise NoMetrics(f"{opening}no metrics returned from {api} metrics API")
        return items


def _custom(namespace: str) -> str:
    return f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{quote(namespace)}"


def _selector(metric: Mapping[str, Any]) -> str:
    return str(LabelSelector.from_json(metric["selector"])) if metric.get("selector") else ""


def _at(item: Object) -> float:
    return parse_timestamp(item["timestamp"]) if item.get("timestamp") else 0.0


def _window(item: Object) -> float:
    """The duration text of a measurement, `30s` or `1m0.5s`, in seconds."""
    text, total, number = str(item.get("window") or "60s"), 0.0, ""
    for letter in text:
        if letter in "hms":
            total += float(number or 0) * {"h": 3600, "m": 60, "s": 1}[letter]
            number = ""
        else:
            number += letter
    return total

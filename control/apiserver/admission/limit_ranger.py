"""LimitRanger: defaults and bounds for what containers, pods and claims of a namespace may ask for.

Invariant: after `mutate` every container has what the namespace's defaults give it; `validate` judges the result.
Source: plugin/pkg/admission/limitranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.objects import Object, is_deleting
from api.pod_resources import Amounts, limits_of, requests_of
from api.quantities import Quantity, parse
from control.apiserver.admission.common import forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import CREATE, UPDATE, Operation


class LimitRanger(PluginBase):
    """Applies the LimitRanges of a namespace."""

    def handles(self, operation: Operation) -> bool:
        if (operation.resource.group, operation.resource.plural) == ("", "pods"):
            return (operation.verb, operation.subresource) in ((CREATE, ""), (UPDATE, "resize"))
        return operation.verb in (CREATE, UPDATE) and is_for(operation, "", "persistentvolumeclaims")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        if operation.resource.plural == "pods" and not _ends(old):
            for limit_range in _ranges(operation):
                _set_defaults(limit_range, new)
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if _ends(old):
            return
        problems = _first_problems(operation, new)
        if problems:
            # A range may just have been widened or removed.
            operation.server.cache.catch_up()
            problems = _first_problems(operation, new)
        if problems:
            different = list(dict.fromkeys(problems))
            text = different[0] if len(different) == 1 else "[" + ", ".join(different) + "]"
            raise forbidden(operation, text)


def _ends(old: Object | None) -> bool:
    """Whether the object is going away anyway, so that nothing may keep it from losing its finalizers."""
    return old is not None and is_deleting(old)


def _first_problems(operation: Operation, new: Object) -> list[str]:
    """What breaks the first of the ranges that is broken."""
    for one in _ranges(operation):
        items = (one.get("spec") or {}).get("limits") or ()
        found = [problem for item in items for problem in _problems(operation, item, new)]
        if found:
            return found
    return []


def _ranges(operation: Operation) -> list[Object]:
    collection = operation.server.cache.collection("", "limitranges")
    return [found.object() for found in collection.select(operation.namespace)]


def _containers(pod: Object) -> list[Object]:
    return [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]


def _set_defaults(limit_range: Object, pod: Object) -> None:
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            limits |= item.get("default") or {}
            requests |= item.get("defaultRequest") or {}
    set_by: list[str] = []
    first = len(pod["spec"].get("containers") or ())
    for index, container in enumerate(_containers(pod)):
        resources = container.setdefault("resources", {})
        words = "container" if index < first else "init container"
        for kind, defaults in (("requests", requests), ("limits", limits)):
            missing = {name: text for name, text in defaults.items() if name not in (resources.get(kind) or {})}
            if missing:
                resources[kind] = (resources.get(kind) or {}) | missing
                names = ", ".join(sorted(missing))
                set_by.append(f"{names} {kind[:-1]} for {words} {container['name']}")
    if set_by:
        annotations = pod["metadata"].get("annotations") or {}
        text = f"LimitRanger plugin set: {'; '.join(set_by)}"
        pod["metadata"]["annotations"] = annotations | {"kubernetes.io/limit-ranger": text}


def _problems(operation: Operation, item: Mapping[str, Any], obj: Object) -> list[str]:
    kind, plural = item.get("type", ""), operation.resource.plural
    if plural == "persistentvolumeclaims":
        if kind != "PersistentVolumeClaim":
            return []
        resources = (obj.get("spec") or {}).get("resources") or {}
        return _bounds(item, kind, _parsed(resources.get("requests")), {}, claim=True)
    if kind == "Container":
        found = []
        for container in _containers(obj):
            resources = container.get("resources") or {}
            found += _bounds(item, kind, _parsed(resources.get("requests")), _parsed(resources.get("limits")))
        return found
    if kind == "Pod":
        # What the runtime adds is none of the pod's doing.
        spec = {field: value for field, value in obj["spec"].items() if field != "overhead"}
        return _bounds(item, kind, requests_of(spec), limits_of(spec))
    return []


def _parsed(amounts: Mapping[str, str] | None) -> Amounts:
    return {name: parse(text) for name, text in (amounts or {}).items()}


def _bounds(
    item: Mapping[str, Any], kind: str, requests: Amounts, limits: Amounts, *, claim: bool = False
) -> list[str]:
    """What breaks min, max and maxLimitRequestRatio, in the original's words."""
    found = []
    for name, text in (item.get("min") or {}).items():
        low, request, limit = parse(text), requests.get(name), limits.get(name)
        if request is None:
            found.append(f"minimum {name} usage per {kind} is {text}.  No request is specified")
        elif request < low:
            found.append(f"minimum {name} usage per {kind} is {text}, but request is {request}")
        elif limit is not None and limit < low:
            found.append(f"minimum {name} usage per {kind} is {text}, but limit is {limit}")
    for name, text in (item.get("max") or {}).items():
        found += _above(kind, name, text, requests.get(name), None if claim else limits.get(name), claim=claim)
    for name, text in (item.get("maxLimitRequestRatio") or {}).items():
        request, limit = requests.get(name), limits.get(name)
        for amount, what in ((request, "request"), (limit, "limit")):
            if amount is None or amount.nano == 0:
                said = f"no {what} is specified or {what} is 0"
                found.append(f"{name} max limit to request ratio per {kind} is {text}, but {said}")
                break
        if request is None or limit is None or not request.nano or not limit.nano:
            continue
        if limit.nano > parse(text).nano * request.nano // 10**9:
            ratio = limit.nano / request.nano
            found.append(f"{name} max limit to request ratio per {kind} is {text}, but provided ratio is {ratio:f}")
    return found


def _above(
    kind: str, name: str, text: str, request: Quantity | None, limit: Quantity | None, *, claim: bool
) -> list[str]:
    """What is over a maximum; claims have no limits."""
    high = parse(text)
    if claim:
        if request is None:
            return [f"maximum {name} usage per {kind} is {text}.  No request is specified"]
        return [f"maximum {name} usage per {kind} is {text}, but request is {request}"] if high < request else []
    if limit is None:
        return [f"maximum {name} usage per {kind} is {text}.  No limit is specified"]
    if high < limit:
        return [f"maximum {name} usage per {kind} is {text}, but limit is {limit}"]
    if request is not None and high < request:
        return [f"maximum {name} usage per {kind} is {text}, but request is {request}"]
    return []

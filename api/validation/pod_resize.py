"""What a running pod may get other resources for: the rules of the resize subresource.

Invariant: a resize changes amounts of cpu and memory, of containers and sidecars and of the pod as a whole, and neither
takes one away nor moves the pod to another class of quality of service.
Source: pkg/apis/core/validation ValidatePodResize.
"""

from __future__ import annotations

from typing import Any

from api.objects import Object, copy
from api.pod_resources import qos_class
from api.validation import fields
from api.validation.fields import Causes
from api.validation.pod_annotations import MIRROR

_RESIZABLE = ("cpu", "memory")
_KINDS = ("requests", "limits")


def judged(new: Object, old: Object) -> Causes:
    """A pod with other resources; the containers are the same ones in the same order."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [fields.forbidden("", "static pods cannot be resized")]
    if (old["spec"].get("os") or {}).get("name") == "windows":
        return [fields.forbidden("", "windows pods cannot be resized")]
    found: Causes = []
    before = (old.get("status") or {}).get("qosClass") or qos_class(old["spec"])
    if qos_class(new["spec"]) != before:
        found.append(fields.invalid("spec", before, "Pod QOS Class may not change as a result of resizing"))
    frozen = copy(new["spec"])
    found += _removed("spec.resources", frozen, old["spec"])
    _keep_amounts(frozen, old["spec"])
    for field in ("containers", "initContainers"):
        pairs = zip(frozen.get(field) or [], old["spec"].get(field) or [], strict=True)
        for index, (now, then) in enumerate(pairs):
            if field == "containers" or then.get("restartPolicy") == "Always":
                found += _removed(f"spec.{field}[{index}].resources", now, then)
                _keep_amounts(now, then)
    changed = [
        field for field in sorted({*frozen, *old["spec"]}) if _whole(frozen, field) != _whole(old["spec"], field)
    ]
    if changed:
        lines = (f"- {one}: {_shown(old['spec'], one)}\n+ {one}: {_shown(frozen, one)}" for one in changed)
        found.append(fields.forbidden("spec", "\n".join(["only cpu and memory resources are mutable", *lines])))
    return found


def _removed(path: str, now: Object, then: Object) -> Causes:
    return [
        fields.forbidden(f"{path}.{kind}", f"resource {kind} cannot be removed")
        for kind in _KINDS
        if set(_amounts(then, kind)) - set(_amounts(now, kind))
    ]


def _keep_amounts(now: Object, then: Object) -> None:
    """What may change as it was."""
    kept = {key: value for key, value in (now.get("resources") or {}).items() if key not in _KINDS}
    for kind in _KINDS:
        amounts = {name: text for name, text in _amounts(now, kind).items() if name not in _RESIZABLE}
        amounts |= {name: text for name, text in _amounts(then, kind).items() if name in _RESIZABLE}
        if amounts:
            kept[kind] = amounts
    now["resources"] = kept


def _amounts(container: Object, kind: str) -> dict[str, Any]:
    return (container.get("resources") or {}).get(kind) or {}


def _whole(spec: Object, field: str) -> Any:
    """The field's value; resources without the empty lists of amounts that say the same as none."""
    value = spec.get(field)
    if field == "resources":
        return _told(value)
    if field not in ("containers", "initContainers"):
        return value
    return [{**one, "resources": _told(one.get("resources"))} for one in value or []]


def _told(resources: Object | None) -> Object:
    return {key: amounts for key, amounts in (resources or {}).items() if amounts}


def _shown(spec: Object, field: str) -> str:
    return "nil" if spec.get(field) is None else fields.shown(spec[field])

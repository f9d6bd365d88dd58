"""What a new pod's spec is given that its author said in another place: labels in selectors, profiles in annotations.

Invariant: who reads the stored spec needs neither `matchLabelKeys` nor AppArmor's annotations.
Source: pkg/registry/core/pod/strategy.go (mutatePodAffinity, mutateTopologySpreadConstraints,
applyAppArmorVersionSkew).
"""

from __future__ import annotations

from collections.abc import Iterator

from api import app_armor
from api.objects import Object

_KEYS = (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
_REQUIRED, _PREFERRED = (f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred"))


def merge_label_keys(pod: Object) -> None:
    """Let selectors say what they take from the pod's own labels."""
    labels = pod["metadata"].get("labels") or {}
    for holder in _selecting(pod["spec"]):
        selector = holder.get("labelSelector")
        if selector is None:
            continue
        added = [
            {"key": key, "operator": operator, "values": [labels[key]]}
            for field, operator in _KEYS
            for key in holder.get(field) or []
            if key in labels
        ]
        if added:
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or []), *added]


def _selecting(spec: Object) -> Iterator[Object]:
    yield from spec.get("topologySpreadConstraints") or []
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = (spec.get("affinity") or {}).get(kind) or {}
        yield from affinity.get(_REQUIRED) or []
        for weighted in affinity.get(_PREFERRED) or []:
            yield weighted.get("podAffinityTerm") or {}


def confine_as_annotated(pod: Object) -> list[str]:
    """Give containers the profiles that only annotations name; what to warn of."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return []
    warnings = []
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        key = f"{app_armor.ANNOTATION}{container.get('name')}"
        context = container.get("securityContext") or {}
        if key not in annotations or context.get("appArmorProfile") is not None:
            continue
        profile = app_armor.profile_of(annotations[key])
        if profile is not None and profile != whole:
            container["securityContext"] = context | {"appArmorProfile": profile}
        if profile is None or profile != whole:
            use = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            warnings.append(f"metadata.annotations[{key}]: {use}")
    return warnings

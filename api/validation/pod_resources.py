"""Rules for what a pod as a whole asks for: its own requests and limits, and the devices that it claims.

Invariant: a pod asks for at least as much as its containers together, and none of them may use more than it.
Source: the original's validatePodResources, validatePodResourceConsistency and validatePodResourceClaims.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.pod_resources import asked_together
from api.quantities import parse
from api.validation import fields, resources
from api.validation.fields import Causes

_OF_PODS = ("cpu", "hugepages-", "memory")
_HUGE_PAGES = "hugepages-"


def own(path: str, spec: Object) -> Causes:
    """The pod's own `resources`; `path` is that of the spec."""
    stated = spec.get("resources")
    if not stated:
        return []
    place = f"{path}.resources"
    found: Causes = []
    if stated.get("claims"):
        found.append(fields.forbidden(f"{place}.claims", "claims cannot be set for Resources at pod-level"))
    amounts = {field: stated.get(field) for field in ("limits", "requests")}
    told = resources.requirements(place, amounts, name_rule=_name)
    try:
        return found + (told or _consistent(place, spec, stated))
    except (ValueError, TypeError):
        # Amounts of containers that are none are told of where they are.
        return found


def _name(path: str, name: str) -> Causes:
    told = resources.resource_name(path, name)
    if told or name in _OF_PODS or name.startswith(_HUGE_PAGES):
        return told
    return [fields.not_supported(path, name, _OF_PODS)]


def _consistent(path: str, spec: Object, stated: Object) -> Causes:
    found: Causes = []
    for name, amount in sorted(asked_together(spec).items()):
        if name not in _OF_PODS and not name.startswith(_HUGE_PAGES):
            continue
        asked = parse((stated.get("requests") or {}).get(name, 0))
        if amount > asked:
            detail = f"must be greater than or equal to aggregate container requests of {amount}"
            found.append(fields.invalid(f"{path}.requests[{name}]", str(asked), detail))
    for place, container in fields.each(spec, "containers", path):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            most = (stated.get("limits") or {}).get(name)
            if most is not None and parse(text) > parse(most):
                detail = f"must be less than or equal to pod limits of {parse(most)}"
                found.append(fields.invalid(f"{place}[{name}].limits", str(parse(text)), detail))
    return found


def claims(path: str, spec: Object) -> Causes:
    """The pod's claims of devices: each has a name of its own, and is of one object or made by one template."""
    found: Causes = []
    seen: set[str] = set()
    for place, claim in fields.each(spec, "resourceClaims", path):
        name = claim.get("name") or ""
        if name in seen:
            found.append(fields.duplicate(f"{place}.name", name))
        else:
            found += fields.needed(f"{place}.name", name, names.dns_label_problems)
        seen |= {name} if name else set()
        sources = [
            field for field in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(field) is not None
        ]
        if len(sources) > 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            found.append(fields.invalid(place, claim, detail))
        elif not sources:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            found.append(fields.invalid(place, claim, detail))
        for field in sources:
            found += fields.problems(f"{place}.{field}", claim[field], names.dns_subdomain_problems)
    return found

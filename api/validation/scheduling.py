"""Rules for where pods may go: tolerations, affinity, spreading; and for what nodes repel.

Source: the original's validation of Toleration, Affinity, TopologySpreadConstraint and Taint.
"""

from __future__ import annotations

from collections import Counter

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def tolerations(path: str, spec: Object) -> Causes:
    """Which taints a pod tolerates."""
    found: Causes = []
    for place, toleration in fields.each(spec, "tolerations", path):
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        effect, value = toleration.get("effect") or "", toleration.get("value") or ""
        if key:
            found += fields.problems(f"{place}.key", key, names.label_key_problems)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(fields.invalid(f"{place}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(fields.invalid(f"{place}.effect", effect, detail))
        if operator in ("", "Equal"):
            sentences = names.label_value_problems(value)
            found += [fields.invalid(f"{place}.operator", value, ";".join(sentences))] if sentences else []
        elif operator == "Exists":
            if value:
                detail = "value must be empty when `operator` is 'Exists'"
                found.append(fields.invalid(f"{place}.operator", value, detail))
        elif operator in ("Gt", "Lt"):
            found += fields.problems(f"{place}.value", value, names.whole_number_problems)
        else:
            found.append(fields.not_supported(f"{place}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in _EFFECTS:
            found.append(fields.not_supported(f"{place}.effect", effect, _EFFECTS))
    return found


def only_added_tolerations(new: Object, old: Object) -> Causes:
    """Existing tolerations stay, except for how long they last."""

    def bare(toleration: Object) -> Object:
        return {field: value for field, value in toleration.items() if field != "tolerationSeconds"}

    have = [bare(toleration) for toleration in new.get("tolerations") or []]
    if all(bare(toleration) in have for toleration in old.get("tolerations") or []):
        return []
    return [
        fields.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    ]


def only_removed_gates(new: Object, old: Object) -> Causes:
    """Scheduling gates can be removed, not added."""
    have = [gate.get("name") for gate in old.get("schedulingGates") or []]
    for place, gate in fields.each(new, "schedulingGates", "spec"):
        if gate.get("name") not in have:
            detail = "only deletion is allowed, but found new scheduling gate '{}'".format(gate.get("name"))
            return [fields.forbidden(f"{place}.name", detail)]
    return []


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def without_gated(spec: Object) -> None:
    """Take out what a gated pod may change, within the bounds of `only_narrowed`."""
    spec["nodeSelector"] = None
    affinity = {kind: terms for kind, terms in (spec.get("affinity") or {}).items() if kind != "nodeAffinity" and terms}
    spec["affinity"] = affinity or None


def only_narrowed(new: Object, old: Object) -> Causes:
    """Where a gated pod may go can be narrowed, never widened."""
    found: Causes = []
    now, before = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(now.get(key) != value for key, value in before.items()):
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        found.append(fields.invalid("spec.nodeSelector", now, detail))
    path = "spec.affinity.nodeAffinity"
    terms_now, terms_before = (
        (((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
        for spec in (new, old)
    )
    if not terms_before:
        return found
    place = f"{path}.{_REQUIRED}.nodeSelectorTerms"
    if len(terms_now) != len(terms_before):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [*found, fields.invalid(place, terms_now, detail)]
    for index, (one, other) in enumerate(zip(terms_now, terms_before)):
        for kind in ("matchExpressions", "matchFields"):
            had = other.get(kind) or []
            if (one.get(kind) or [])[: len(had)] != had:
                detail = "only additions are allowed (no mutations or deletions)"
                found.append(fields.invalid(f"{place}[{index}]", one, detail))
    return found


def affinity(path: str, value: Object) -> Causes:
    """Node affinity, pod affinity and pod anti-affinity."""
    found: Causes = []
    node = value.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        place = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        found += node_selector(place, required)
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    for place, term in fields.each(node, preferred, f"{path}.nodeAffinity"):
        found += fields.in_range(f"{place}.weight", term.get("weight", 0), 1, 100)
        found += _node_term(f"{place}.preference", term.get("preference") or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        pod = value.get(kind) or {}
        for place, term in fields.each(pod, "requiredDuringSchedulingIgnoredDuringExecution", f"{path}.{kind}"):
            found += _pod_term(place, term)
        for place, weighted in fields.each(pod, preferred, f"{path}.{kind}"):
            found += fields.in_range(f"{place}.weight", weighted.get("weight", 0), 1, 100)
            found += _pod_term(f"{place}.podAffinityTerm", weighted.get("podAffinityTerm") or {})
    return found


def node_selector(path: str, selector: Object) -> Causes:
    """A NodeSelector, of pods and of volumes."""
    if not selector.get("nodeSelectorTerms"):
        return [fields.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    found: Causes = []
    for place, term in fields.each(selector, "nodeSelectorTerms", path):
        found += _node_term(place, term)
        for spot, expression in fields.each(term, "matchExpressions", place):
            for index, value in enumerate(expression.get("values") or []):
                found += fields.problems(f"{spot}.values[{index}]", value, names.label_value_problems)
    return found


def _node_term(path: str, term: Object) -> Causes:
    found: Causes = []
    for field in ("matchExpressions", "matchFields"):
        for place, expression in fields.each(term, field, path):
            operator, values = expression.get("operator"), expression.get("values") or []
            if field == "matchFields":
                found += _node_field(place, expression)
            elif operator in ("In", "NotIn") and not values:
                found.append(fields.required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
            elif operator in ("Exists", "DoesNotExist") and values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(fields.forbidden(f"{place}.values", detail))
            elif operator in ("Gt", "Lt") and len(values) != 1:
                detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                found.append(fields.required(f"{place}.values", detail))
            elif operator not in _NODE_OPERATORS:
                found.append(fields.invalid(f"{place}.operator", operator, "not a valid selector operator"))
            if field == "matchExpressions":
                found += fields.problems(f"{place}.key", expression.get("key") or "", names.label_key_problems)
    return found


def _node_field(path: str, requirement: Object) -> Causes:
    """Of a node's fields only its name is selected by, and by one name at a time."""
    operator, values, key = requirement.get("operator"), requirement.get("values") or [], requirement.get("key") or ""
    found: Causes = []
    if operator not in ("In", "NotIn"):
        found.append(fields.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        found.append(fields.required(f"{path}.values", detail))
    if key != "metadata.name":
        return [*found, fields.invalid(f"{path}.key", key, "not a valid field selector key")]
    for index, value in enumerate(values):
        found += fields.problems(f"{path}.values[{index}]", value, names.dns_subdomain_problems)
    return found


def _pod_term(path: str, term: Object) -> Causes:
    found = fields.label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    found += fields.label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for namespace in term.get("namespaces") or []:
        found += fields.problems(f"{path}.namespace", namespace, names.dns_label_problems)
    key = term.get("topologyKey") or ""
    if not key:
        found.append(fields.required(f"{path}.topologyKey", "can not be empty"))
    found += fields.problems(f"{path}.topologyKey", key, names.label_key_problems)
    return found + _label_keys(path, term)


def _label_keys(path: str, holder: Object) -> Causes:
    """Labels whose values come from the pod itself and were added to a selector, which therefore has to be there.

    They are merged before they are judged: a key that is asked for twice is its author's, too.
    """
    selector, found = holder.get("labelSelector"), []
    matched, mismatched = holder.get("matchLabelKeys") or [], holder.get("mismatchLabelKeys") or []
    for field, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        if keys and selector is None:
            detail = "must not be specified when labelSelector is not set"
            found.append(fields.forbidden(f"{path}.{field}", detail))
            continue
        for index, key in enumerate(keys):
            found += fields.problems(f"{path}.{field}[{index}]", key, names.label_key_problems)
    places: dict[str, int] = {}
    for index, key in enumerate(matched):
        places.setdefault(key, index)
    others, seen = set(mismatched), {*((selector or {}).get("matchLabels") or {})}
    for expression in (selector or {}).get("matchExpressions") or []:
        key = str(expression.get("key"))
        if key in places and key in seen:
            detail = "exists in both matchLabelKeys and labelSelector"
            found.append(fields.invalid(f"{path}[{places[key]}]", key, detail))
        seen.add(key)
    for index, key in enumerate(matched):
        if key in others:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            found.append(fields.invalid(f"{path}.matchLabelKeys[{index}]", key, detail))
    return found


def spread_constraints(path: str, spec: Object) -> Causes:
    """Topology spread constraints."""
    found: Causes = []
    constraints = list(fields.each(spec, "topologySpreadConstraints", path))
    coming = Counter((one.get("topologyKey") or "", one.get("whenUnsatisfiable") or "") for _, one in constraints)
    for place, constraint in constraints:
        skew = constraint.get("maxSkew") or 0
        key, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            found.append(fields.invalid(f"{place}.maxSkew", skew, "must be greater than zero"))
        if not key:
            found.append(fields.required(f"{place}.topologyKey", "can not be empty"))
        if action not in _ACTIONS:
            found.append(fields.not_supported(f"{place}.whenUnsatisfiable", action, _ACTIONS))
        coming[key, action] -= 1
        if coming[key, action]:
            pair = f"{place}.{{topologyKey, whenUnsatisfiable}}"
            found.append(fields.duplicate(pair, f"{{{key}, {action}}}"))
        found += _min_domains(f"{place}.minDomains", constraint.get("minDomains"), action)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(field)
            if policy is not None and policy not in ("Honor", "Ignore"):
                found.append(fields.not_supported(f"{place}.{field}", policy, ("Honor", "Ignore")))
        found += _label_keys(place, constraint)
        found += fields.label_selector(f"{place}.labelSelector", constraint.get("labelSelector"))
    return found


def _min_domains(path: str, number: int | None, action: str) -> Causes:
    if number is None:
        return []
    found = [] if number > 0 else [fields.invalid(path, number, "must be greater than zero")]
    if action != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        found.append(fields.invalid(path, number, detail))
    return found


def taints(spec: Object) -> Causes:
    """The taints of a node; the original names a place in the metadata, where they once were."""
    found: Causes = []
    seen: set[tuple[str, str]] = set()
    for place, taint in fields.each(spec, "taints", "metadata"):
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        found += fields.problems(f"{place}.key", key, names.label_key_problems)
        sentences = names.label_value_problems(taint.get("value") or "")
        if sentences:
            found.append(fields.invalid(f"{place}.value", taint["value"], ";".join(sentences)))
        found += fields.one_of(f"{place}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            cause = fields.duplicate(place, taint)
            detail = "taints must be unique by key and effect pair"
            found.append(type(cause)(cause.reason, f"{cause.message}: {detail}", cause.field))
        seen.add((key, effect))
    return found

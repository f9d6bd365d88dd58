"""Rules for what a Job makes of pods that fail: its failure policy, and when failed pods are replaced.

Source: the original's validatePodFailurePolicy and validateJobSpec.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MOST_RULES, _MOST_CODES, _MOST_PATTERNS = 20, 255, 20


def policies(path: str, spec: Object) -> Causes:
    """`podFailurePolicy` and `podReplacementPolicy` of a Job's spec."""
    failure, replacement = spec.get("podFailurePolicy"), spec.get("podReplacementPolicy")
    place = f"{path}.podReplacementPolicy"
    found: Causes = []
    if failure is not None:
        found += _failure_policy(f"{path}.podFailurePolicy", failure, spec)
        policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
        if policy != "Never":
            detail = 'only "Never" is supported when podFailurePolicy is specified'
            found.append(fields.invalid(f"{path}.template.spec.restartPolicy", policy, detail))
    if replacement is None:
        return found
    allowed = ("Failed",) if failure is not None else ("Failed", "TerminatingOrFailed")
    return found if replacement in allowed else [*found, fields.not_supported(place, replacement, allowed)]


def _failure_policy(path: str, policy: Object, spec: Object) -> Causes:
    rules = policy.get("rules") or []
    if len(rules) > _MOST_RULES:
        return [fields.too_many(f"{path}.rules", len(rules), _MOST_RULES)]
    containers = {
        container.get("name")
        for field in ("containers", "initContainers")
        for container in ((spec.get("template") or {}).get("spec") or {}).get(field) or ()
    }
    found: Causes = []
    for place, rule in fields.each(policy, "rules", path):
        action, codes, patterns = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions") or []
        found += _word(f"{place}.action", action, _ACTIONS)
        if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            detail = "requires the backoffLimitPerIndex to be set"
            found.append(fields.invalid(f"{place}.action", action, detail))
        found += _exit_codes(f"{place}.onExitCodes", codes, containers) if codes is not None else []
        found += _conditions(f"{place}.onPodConditions", patterns)
        if codes is not None and patterns:
            detail = "specifying both OnExitCodes and OnPodConditions is not supported"
            found.append(fields.refused(place, detail))
        elif codes is None and not patterns:
            detail = "specifying one of OnExitCodes and OnPodConditions is required"
            found.append(fields.refused(place, detail))
    return found


def _exit_codes(path: str, codes: Object, containers: set[str | None]) -> Causes:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    found = _word(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        found.append(fields.invalid(f"{path}.containerName", name, detail))
    if not values:
        found.append(fields.invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > _MOST_CODES:
        found.append(fields.too_many(f"{path}.values", len(values), _MOST_CODES))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            found.append(fields.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            found.append(fields.duplicate(f"{path}.values[{index}]", value))
    if values != sorted(values):
        found.append(fields.invalid(f"{path}.values", values, "must be ordered"))
    return found


def _conditions(path: str, patterns: list[Object]) -> Causes:
    if len(patterns) > _MOST_PATTERNS:
        return [fields.too_many(path, len(patterns), _MOST_PATTERNS)]
    found: Causes = []
    for index, pattern in enumerate(patterns):
        place = f"{path}[{index}]"
        found += fields.problems(f"{place}.type", pattern.get("type") or "", names.label_key_problems)
        found += _word(f"{place}.status", pattern.get("status") or "", ("False", "True", "Unknown"))
    return found


def _word(path: str, value: str, allowed: tuple[str, ...]) -> Causes:
    if not value:
        listed = " ".join(f'"{one}"' for one in allowed)
        return [fields.required(path, f"valid values: [{listed}]")]
    return [] if value in allowed else [fields.not_supported(path, value, allowed)]

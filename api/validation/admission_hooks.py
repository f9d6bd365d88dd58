"""Rules that webhooks and admission policies share: which operations they are about, and expressions that compile.

Source: the original's pkg/apis/admissionregistration/validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from api import cel, names
from api.cel import constructors
from api.cel.authorizer import authorizer_functions
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_WORDS = {"apiGroups": "API groups", "apiVersions": "API versions"}


def rules(holder: Object, field: str, path: str, operations: Sequence[str] = OPERATIONS) -> Causes:
    found: Causes = []
    for place, rule in fields.each(holder, field, path):
        for name, detail in (("apiGroups", ""), ("apiVersions", ""), ("resources", "")):
            if not rule.get(name):
                found.append(fields.required(f"{place}.{name}", detail))
        if not rule.get("operations"):
            found.append(fields.required(f"{place}.operations"))
        for index, operation in enumerate(rule.get("operations") or []):
            if operation not in operations:
                found.append(fields.not_supported(f"{place}.operations[{index}]", operation, operations))
        for name in ("apiGroups", "apiVersions", "operations"):
            values = rule.get(name) or []
            if "*" in values and len(values) > 1:
                detail = f"if '*' is present, must not specify other {_WORDS.get(name, name)}"
                found.append(fields.invalid(f"{place}.{name}", values, detail))
        found += _resources(f"{place}.resources", rule.get("resources") or [])
        found += fields.one_of(f"{place}.scope", rule.get("scope"), ("*", "Cluster", "Namespaced"))
    return found


def _resources(path: str, resources: list[str]) -> Causes:
    """No resource is named that another one of the list stands for."""
    found: Causes = []
    of_any, any_of = set(), set()
    for index, text in enumerate(resources):
        resource, slash, sub = text.partition("/")
        place = f"{path}[{index}]"
        if not text:
            found.append(fields.required(place))
        if not slash:
            continue
        if resource in any_of:
            found.append(fields.invalid(place, text, f"if '{resource}/*' is present, must not specify {text}"))
        if sub in of_any:
            found.append(fields.invalid(place, text, f"if '*/{sub}' is present, must not specify {text}"))
        any_of |= {resource} if sub == "*" else set()
        of_any |= {sub} if resource == "*" else set()
    if len(resources) > 1 and "*/*" in resources:
        found.append(fields.invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    plain = [text for text in resources if text and "/" not in text]
    if "*" in plain and plain[-1] != "*":
        detail = "if '*' is present, must not specify other resources without subresources"
        found.append(fields.invalid(path, resources, detail))
    return found


def conditions(path: str, holder: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, condition in fields.each(holder, "matchConditions", path):
        name = condition.get("name") or ""
        found += fields.needed(f"{place}.name", name, names.label_key_problems)
        if name in seen:
            found.append(fields.duplicate(f"{place}.name", name))
        seen.add(name)
        if not str(condition.get("expression") or "").strip():
            found.append(fields.required(f"{place}.expression"))
        else:
            found += compiles(f"{place}.expression", condition["expression"], "BOOL")
    return found


def compiles(path: str, text: str, wanted: str) -> Causes:
    """Whether an expression compiles, and to which type ("": any)."""
    try:
        found = type_of(text)
    except cel.CelError as error:
        return [fields.invalid(path, text, str(error))]
    if wanted and found not in (wanted, "DYN"):
        return [fields.invalid(path, text, f"must evaluate to {wanted.lower()} but got {type_name(found)}")]
    return []


def type_name(found: str) -> str:
    """A type as the original's checker writes it."""
    return found.lower().replace("<", "(").replace(">", ")")


def type_of(text: str) -> str:
    """The type of an expression's value. Raises CelError."""
    return _environment().compile(constructors.rewritten(text)).result_type


@lru_cache(1)
def _environment() -> cel.Environment:
    return cel.Environment(cel.ADMISSION_VARIABLES, functions=authorizer_functions(None))

"""Causes for fields that break a rule, and the checks that many kinds share.

Invariant: a check returns causes, none if all is well, and never raises for values of the right JSON type.
Source: apimachinery's `util/validation/field` and `api/validation`, for reasons and sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from api import names
from api.errors import Cause
from api.naturals import natural
from api.objects import Object
from api.selectors import LabelSelector

Causes = list[Cause]
NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
NO_LIST: Any = object()
"""A list that is not there, which messages show otherwise than a value that is not there."""


def shown(value: Any) -> str:
    """A value as messages show it: text in quotes, a missing one as if it were text, anything else as compact JSON."""
    if value is None:
        return '"null"'
    if value is NO_LIST:
        return "null"
    return orjson.dumps(value).decode()


def required(path: str, detail: str = "") -> Cause:
    """Something is missing."""
    return Cause("FieldValueRequired", "Required value" + (f": {detail}" if detail else ""), path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    """The value is malformed or out of bounds."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", path)


def refused(path: str, detail: str) -> Cause:
    """As `invalid`, of a value that is too large, or too much spread out, to be shown."""
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """The value is not one of those that are known."""
    listed = ", ".join(f'"{one}"' for one in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {listed}", path)


def duplicate(path: str, value: Any) -> Cause:
    """The value must be unique and is not."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    """The value is well-formed but not allowed here."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


def not_found(path: str, value: Any) -> Cause:
    """The value refers to something that is not there."""
    return Cause("FieldValueNotFound", f"Not found: {shown(value)}", path)


def too_long(path: str, limit: int) -> Cause:
    """The text is longer than `limit` bytes."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def too_many(path: str, count: int, limit: int) -> Cause:
    """The list has more than `limit` items."""
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", path)


def problems(path: str, value: Any, check: Callable[[Any], list[str]]) -> Causes:
    """One cause for each sentence of a check from `api.names`."""
    return [invalid(path, value, sentence) for sentence in check(value)]


def needed(path: str, value: Any, check: Callable[[Any], list[str]]) -> Causes:
    """As `problems`, but an empty value is missing."""
    return problems(path, value, check) if value else [required(path)]


def one_of(path: str, value: Any, supported: Sequence[str], is_required: bool = True) -> Causes:
    """The value is one of a few words."""
    if not value:
        return [required(path)] if is_required else []
    return [] if value in supported else [not_supported(path, value, supported)]


def nonnegative(path: str, value: int | None) -> Causes:
    """Zero or more, if it is there."""
    return [invalid(path, value, NEGATIVE)] if value is not None and value < 0 else []


def in_range(path: str, value: int | None, low: int, high: int) -> Causes:
    """Between two numbers, if it is there."""
    if value is None or low <= value <= high:
        return []
    return [invalid(path, value, names.out_of_range(low, high))]


def unchanged(path: str, new: Any, old: Any) -> Causes:
    """The field is immutable."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]


def each(obj: Mapping[str, Any], field: str, path: str) -> Iterator[tuple[str, Object]]:
    """(path, item) of each object of a list that may be absent."""
    for index, item in enumerate(obj.get(field) or ()):
        yield f"{path}.{field}[{index}]", item if isinstance(item, dict) else {}


def labels(path: str, values: Mapping[str, Any] | None) -> Causes:
    """A map of labels."""
    found = []
    for key, value in (values or {}).items():
        found += problems(path, key, names.label_key_problems)
        found += problems(path, value or "", names.label_value_problems)
    return found


def label_selector(path: str, selector: Mapping[str, Any] | None) -> Causes:
    """A LabelSelector object."""
    if selector is None:
        return []
    found = labels(f"{path}.matchLabels", selector.get("matchLabels"))
    for place, expression in each(selector, "matchExpressions", path):
        operator, values = expression.get("operator"), expression.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                found.append(required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(forbidden(f"{place}.values", detail))
        else:
            found.append(invalid(f"{place}.operator", operator, "not a valid selector operator"))
        found += problems(f"{place}.key", expression.get("key") or "", names.label_key_problems)
        for index, value in enumerate(values):
            found += problems(f"{place}.values[{index}]", value, names.label_value_problems)
    return found


def matches_labels(path: str, selector: Mapping[str, Any] | None, have: Mapping[str, str] | None) -> Causes:
    """A controller's selector chooses the pods of its own template; `path` is that of the spec."""
    if not selector:
        return []
    try:
        parsed = LabelSelector.from_json(selector)
    except ValueError:
        return []
    if parsed.matches(have):
        return []
    detail = "`selector` does not match template `labels`"
    return [invalid(f"{path}.template.metadata.labels", have or {}, detail)]


def int_or_percent(path: str, value: int | str | None) -> Causes:
    """A count that is not negative, or a percentage."""
    if value is None:
        return []
    if isinstance(value, str):
        return problems(path, value, names.percent_problems)
    return nonnegative(path, value)


def status_counts(obj: Object, *counts: str, others: tuple[str, ...] = (), ready: str = "readyReplicas") -> Causes:
    """A controller's counts of its pods: none is negative, and none but `others` is over `status.replicas`.

    `ready` is what the original calls the count of ready ones where fewer are ready than available.
    """
    status = obj.get("status") or {}
    found: Causes = []
    for name in ("replicas", *counts, *others, "observedGeneration"):
        found += nonnegative(f"status.{name}", status.get(name))
    total = status.get("replicas") or 0
    for name in counts:
        if (status.get(name) or 0) > total:
            found.append(invalid(f"status.{name}", status[name], "cannot be greater than status.replicas"))
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        found.append(invalid("status.availableReplicas", available, f"cannot be greater than {ready}"))
    return found


def at_most_all(path: str, value: int | str | None) -> Causes:
    """A percentage is not over 100%."""
    if isinstance(value, str) and value.endswith("%") and (natural(value[:-1]) or 0) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def domain_path(path: str, value: str) -> Causes:
    """A name of somebody's own: a domain, a slash, and what that domain makes of it."""
    domain, _, rest = value.partition("/")
    if not value:
        return [required(path)]
    if not domain or not rest:
        return [invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    found = [invalid(path, domain, sentence) for sentence in names.dns_subdomain_problems(domain)]
    if not re.fullmatch(_HTTP_PATH, rest):
        found.append(invalid(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH}')"))
    return found


def descending_path(path: str, value: str) -> Causes:
    """A relative path that stays below its root."""
    return [invalid(path, value, "must be a relative path")] if value.startswith("/") else no_backsteps(path, value)


def local_path(path: str, value: str) -> Causes:
    """The same, and it does not begin with `..`: names that do are the writer's of the volume."""
    if value.startswith("..") and not value.startswith("../") and value != "..":
        return [invalid(path, value, "must not start with '..'")]
    return descending_path(path, value)


def no_backsteps(path: str, value: str) -> Causes:
    """No step of the path is `..`."""
    return [invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def difference(now: Mapping[str, Any], before: Mapping[str, Any], names: Iterable[str]) -> str:
    """Two lines for each of these fields that differs: what it was and what it is now."""
    lines = []
    for name in names:
        was, is_now = ("nil" if spec.get(name) is None else shown(spec[name]) for spec in (before, now))
        if was != is_now:
            lines.append(f"- {name}: {was}\n+ {name}: {is_now}")
    return "\n".join(lines)

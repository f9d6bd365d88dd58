"""Names of drivers, pools and attributes of devices, and settings that a driver alone understands.

Source: the original's validation of the resource.k8s.io group.
"""

from __future__ import annotations

from typing import Any

import orjson

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_LONGEST_DRIVER, _LONGEST_ID, _LONGEST_POOL = 63, 32, 253
_LARGEST_PARAMETERS = 10 * 1024


def driver(path: str, name: str) -> Causes:
    """A driver: a domain, in whatever case."""
    if not name:
        return [fields.required(path)]
    found = [fields.too_long(path, _LONGEST_DRIVER)] if len(name) > _LONGEST_DRIVER else []
    return found + [fields.invalid(path, name, sentence) for sentence in names.dns_subdomain_problems(name.lower())]


def pool(path: str, name: str) -> Causes:
    """A pool: domains with slashes between."""
    if not name:
        return [fields.required(path)]
    found = [fields.too_long(path, _LONGEST_POOL)] if len(name) > _LONGEST_POOL else []
    for part in name.split("/"):
        found += fields.problems(path, part, names.dns_subdomain_problems)
    return found


def qualified(path: str, name: str, *, fully: bool = False) -> Causes:
    """An attribute or a capacity: an identifier, of a domain if it is not the driver's."""
    domain, slash, identifier = name.partition("/")
    found: Causes = []
    if "/" in identifier:
        found.append(fields.invalid(path, name, "must not contain more than one slash"))
    elif not slash:
        found += _identifier(path, name)
    else:
        empty = fields.invalid(path, "", "the domain must not be empty")
        found += driver(path, domain) if domain else [empty]
        empty = fields.invalid(path, "", "the name must not be empty")
        found += _identifier(path, identifier) if identifier else [empty]
    if fully and not slash:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        found.append(fields.invalid(path, name, detail))
    return found


def _identifier(path: str, text: str) -> Causes:
    found = [fields.too_long(path, _LONGEST_ID)] if len(text) > _LONGEST_ID else []
    return found + fields.problems(path, text, names.c_identifier_problems)


def configuration(path: str, config: Object) -> Causes:
    """Settings that are for one driver."""
    opaque = config.get("opaque")
    if opaque is None:
        return [fields.required(f"{path}.opaque")]
    place = f"{path}.opaque.parameters"
    return driver(f"{path}.opaque.driver", opaque.get("driver") or "") + settings(place, opaque.get("parameters"))


def settings(path: str, value: Any) -> Causes:
    """An object of nobody's schema that is not too large."""
    if value is None:
        return [fields.required(path)]
    if len(orjson.dumps(value)) > _LARGEST_PARAMETERS:
        return [fields.too_long(path, _LARGEST_PARAMETERS)]
    return [] if isinstance(value, dict) else [fields.invalid(path, "<value omitted>", "must be a valid JSON object")]

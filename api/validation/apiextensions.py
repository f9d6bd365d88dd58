"""Rules for CustomResourceDefinitions.

Source: apiextensions-apiserver's validation; "Specifying a structural schema" in the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from api import names
from api.custom import json_path, rules, structure, validating
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_FORBIDDEN = {
    "$ref": "$ref is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "deprecated": "deprecated is not supported",
    "discriminator": "discriminator is not supported",
    "id": "id is not supported",
    "patternProperties": "patternProperties is not supported",
    "readOnly": "readOnly is not supported",
    "writeOnly": "writeOnly is not supported",
    "xml": "xml is not supported",
}
_LOGICAL = ("allOf", "anyOf", "oneOf")
_NOT_IN_LOGIC = ("type", "default", "additionalProperties", "nullable", structure.PRESERVE, structure.EMBEDDED)
_PROTECTED = re.compile(r"(.*\.)?(k8s|kubernetes)\.io")


def _definition(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    group, plural = spec.get("group") or "", (spec.get("names") or {}).get("plural") or ""
    found: Causes = []
    if new["metadata"].get("name") != f"{plural}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        found.append(fields.invalid("metadata.name", new["metadata"].get("name", ""), detail))
    found += _group(new, group)
    found += fields.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    found += _names(spec.get("names") or {})
    found += _versions(spec, [_schema_in(version) for version in ((old or {}).get("spec") or {}).get("versions") or []])
    found += _conversion(spec.get("conversion") or {}, len(spec.get("versions") or []))
    if old is not None:
        found += _update(new, old)
    return found


def _group(new: Object, group: str) -> Causes:
    if not group:
        return [fields.required("spec.group")]
    found = fields.problems("spec.group", group, names.dns_subdomain_problems)
    if not found and "." not in group:
        found.append(fields.invalid("spec.group", group, "should be a domain with at least one dot"))
    approval = "api-approved.kubernetes.io"
    if _PROTECTED.fullmatch(group) and not (new["metadata"].get("annotations") or {}).get(approval):
        detail = (
            f'protected groups must have approval annotation "{approval}", see'
            " https://github.com/kubernetes/enhancements/pull/1111"
        )
        found.append(fields.required(f"metadata.annotations[{approval}]", detail))
    return found


def _names(found_names: Object) -> Causes:
    found: Causes = []
    for field in ("plural", "singular", "kind", "listKind"):
        value = str(found_names.get(field) or "")
        path = f"spec.names.{field}"
        if not value and field != "singular":
            found.append(fields.required(path))
        elif value:
            lowered = value if field in ("plural", "singular") else value.lower()
            found += fields.problems(path, lowered, names.dns_1035_label_problems)
    for field in ("shortNames", "categories"):
        for index, value in enumerate(found_names.get(field) or []):
            found += fields.problems(f"spec.names.{field}[{index}]", value, names.dns_1035_label_problems)
    if found_names.get("kind") and found_names.get("kind") == found_names.get("listKind"):
        detail = "kind and listKind may not be the same"
        found.append(fields.invalid("spec.names.listKind", found_names["listKind"], detail))
    return found


def _versions(spec: Object, known: list[Any]) -> Causes:
    """`known` are the schemas that were there before."""
    found: Causes = []
    versions = spec.get("versions") or []
    if not versions:
        return [fields.required("spec.versions", "must have at least one version")]
    seen: set[str] = set()
    for path, version in fields.each(spec, "versions", "spec"):
        name = version.get("name") or ""
        found += fields.problems(f"{path}.name", name, names.dns_1035_label_problems)
        if name in seen:
            found.append(fields.invalid("spec.versions", versions, "must contain unique version names"))
        seen.add(name)
        found += _schema_of_version(path, version, known)
        found += _subresources(f"{path}.subresources", version.get("subresources") or {})
        found += _columns(path, version)
        for place, selectable in fields.each(version, "selectableFields", path):
            found += _path(f"{place}.jsonPath", selectable.get("jsonPath") or "")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        found.append(fields.invalid("spec.versions", _shown(versions), detail))
    return found


def _shown(versions: list[Object]) -> list[Object]:
    return [{field: version.get(field) for field in ("name", "served", "storage")} for version in versions]


def _schema_in(version: Object) -> Any:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def _schema_of_version(path: str, version: Object, known: list[Any]) -> Causes:
    schema = _schema_in(version)
    place = f"{path}.schema.openAPIV3Schema"
    if schema is None:
        return [fields.required(place, "schemas are required")]
    found: Causes = []
    if schema.get("type") != "object":
        detail = "must be object at the root" if schema.get("type") else "must not be empty at the root"
        cause = fields.invalid(f"{place}.type", schema.get("type"), detail)
        found.append(cause if schema.get("type") else fields.required(f"{place}.type", detail))
        return found
    found += _structural(place, schema, root=True)
    # What rules may cost is asked once: a definition that is there can still be changed elsewhere.
    return found or (rules.judge(place, schema).causes if schema in known else rules.problems(place, schema))


def _structural(path: str, schema: Mapping[str, Any], root: bool = False, logical: bool = False) -> Causes:
    """The rules of structural schemas, recursively."""
    found: Causes = []
    for word, sentence in _FORBIDDEN.items():
        if schema.get(word):
            found.append(fields.forbidden(f"{path}.{word}", sentence))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(fields.forbidden(f"{path}.uniqueItems", detail))
    found += _logical_rules(path, schema) if logical else _type_rules(path, schema, root)
    if schema.get("properties") and schema.get("additionalProperties"):
        detail = "additionalProperties and properties are mutual exclusive"
        found.append(fields.forbidden(f"{path}.additionalProperties", detail))
    if schema.get("pattern"):
        found += _pattern(f"{path}.pattern", schema["pattern"])
    for name, inner in (schema.get("properties") or {}).items():
        found += _structural(f"{path}.properties[{name}]", inner, logical=logical)
    for word in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(word), Mapping):
            found += _structural(f"{path}.{word}", schema[word], logical=logical or word == "not")
    for word in _LOGICAL:
        for index, inner in enumerate(schema.get(word) or []):
            found += _structural(f"{path}.{word}[{index}]", inner, logical=True)
    if not logical and not found:
        found += _list_rules(path, schema) + _default(path, schema)
    return found


def _type_rules(path: str, schema: Mapping[str, Any], root: bool) -> Causes:
    kind = schema.get("type") or ""
    if schema.get(structure.INT_OR_STRING):
        return [fields.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")] if kind else []
    if not kind:
        if schema.get(structure.PRESERVE):
            return []
        place = "for specified array items" if path.endswith(".items") else "for specified object fields"
        where = "at the root" if root else place
        return [fields.required(f"{path}.type", f"must not be empty {where}")]
    if kind not in _TYPES:
        return [fields.not_supported(f"{path}.type", kind, _TYPES)]
    if kind == "array" and not isinstance(schema.get("items"), Mapping):
        return [fields.required(f"{path}.items", "must be specified")]
    return []


def _logical_rules(path: str, schema: Mapping[str, Any]) -> Causes:
    found: Causes = []
    int_or_string = schema.get("type") in ("integer", "string")
    for word in _NOT_IN_LOGIC:
        if schema.get(word) and not (word == "type" and int_or_string):
            found.append(fields.forbidden(f"{path}.{word}", "must be empty to be structural"))
    return found


def _pattern(path: str, pattern: str) -> Causes:
    try:
        validating.expression(pattern)
    except re.error as error:
        return [fields.invalid(path, pattern, f"must be a valid regular expression, but isn't: {error}")]
    return []


def _list_rules(path: str, schema: Mapping[str, Any]) -> Causes:
    kind, keys = schema.get(structure.LIST_TYPE), schema.get(structure.LIST_KEYS) or []
    found: Causes = []
    if kind is not None and kind not in ("atomic", "set", "map"):
        found.append(fields.not_supported(f"{path}.{structure.LIST_TYPE}", kind, ("atomic", "map", "set")))
    if kind == "map" and not keys:
        detail = "must not be empty if x-kubernetes-list-type is map"
        found.append(fields.required(f"{path}.{structure.LIST_KEYS}", detail))
    items = structure.items(schema)
    for index, key in enumerate(keys):
        inner = (items.get("properties") or {}).get(key)
        if inner is None:
            detail = "entries must all be names of item properties"
            found.append(fields.invalid(f"{path}.{structure.LIST_KEYS}[{index}]", key, detail))
        elif key not in (items.get("required") or []) and "default" not in inner:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            found.append(fields.required(f"{path}.items.properties[{key}].default", detail))
    return found


def _default(path: str, schema: Mapping[str, Any]) -> Causes:
    if schema.get("default") is None:
        return []
    causes: Causes = []
    validating.compiled(schema)(schema["default"], "", causes)
    return [
        type(cause)(cause.reason, cause.message, f"{path}.default" + (f".{cause.field}" if cause.field else ""))
        for cause in causes
    ]


def _subresources(path: str, subresources: Object) -> Causes:
    scale = subresources.get("scale")
    if scale is None:
        return []
    found: Causes = []
    for field, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status"), ("labelSelectorPath", "")):
        value = scale.get(field) or ""
        if not value:
            found += [fields.required(f"{path}.scale.{field}")] if root else []
            continue
        found += _path(f"{path}.scale.{field}", value)
        allowed = (root,) if root else (".spec", ".status")
        if not value.startswith(tuple(f"{prefix}." for prefix in allowed)):
            detail = f"should be a json path under {' or '.join(allowed)}"
            found.append(fields.invalid(f"{path}.scale.{field}", value, detail))
    return found


def _path(path: str, value: str) -> Causes:
    if not value:
        return [fields.required(path)]
    try:
        json_path.parse(value)
    except ValueError as error:
        return [fields.invalid(path, value, f"is an invalid JSON path: {error}")]
    return []


def _columns(path: str, version: Object) -> Causes:
    found: Causes = []
    for place, column in fields.each(version, "additionalPrinterColumns", path):
        if not column.get("name"):
            found.append(fields.required(f"{place}.name"))
        found += fields.one_of(f"{place}.type", column.get("type"), _COLUMN_TYPES)
        found += _path(f"{place}.jsonPath", column.get("jsonPath") or "")
    return found


def _conversion(conversion: Object, versions: int) -> Causes:
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook")
    path = "spec.conversion"
    found = fields.one_of(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy == "None" and webhook is not None:
        found.append(fields.forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook"))
    if strategy == "Webhook":
        if (webhook or {}).get("clientConfig") is None:
            detail = "required when strategy is set to Webhook"
            found.append(fields.required(f"{path}.webhook.clientConfig", detail))
        if not (webhook or {}).get("conversionReviewVersions"):
            found.append(fields.required(f"{path}.webhook.conversionReviewVersions"))
    return found


def _update(new: Object, old: Object) -> Causes:
    now, before = new["spec"], old["spec"]
    found = fields.unchanged("spec.group", now.get("group"), before.get("group"))
    established = any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in (old.get("status") or {}).get("conditions") or []
    )
    if established:
        found += fields.unchanged("spec.scope", now.get("scope"), before.get("scope"))
        for field in ("kind", "plural"):
            found += fields.unchanged(f"spec.names.{field}", now["names"].get(field), before["names"].get(field))
    served = {version.get("name") for version in now.get("versions") or []}
    for index, name in enumerate((old.get("status") or {}).get("storedVersions") or []):
        if name not in served:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions"
                f" until a storage migration ensures no data remains persisted in {name} and removes {name} from"
                " status.storedVersions"
            )
            found.append(fields.invalid(f"status.storedVersions[{index}]", name, detail))
    return found


VALIDATORS = {"CustomResourceDefinition": _definition}

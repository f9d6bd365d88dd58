"""Rules for CustomResourceDefinitions.

Source: apiextensions-apiserver's validation; "Specifying a structural schema" in the documentation.
"""

from __future__ import annotations

import re
from typing import Any

from api import names
from api.custom import json_path, rules
from api.objects import Object
from api.validation import fields, structural_schemas, webhook_clients
from api.validation.fields import Causes

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_OWN = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
_IN_VERSION = re.compile(rf"spec\.versions\[[0-9]+\]\.({'|'.join(_OWN)})")
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
    if spec.get("preserveUnknownFields") and not ((old or {}).get("spec") or {}).get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        found.append(fields.invalid("spec.preserveUnknownFields", True, detail))
    found += fields.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    found += _names(spec.get("names") or {})
    found += _versions(spec, [_schema_in(version) for version in ((old or {}).get("spec") or {}).get("versions") or []])
    found += _conversion(spec.get("conversion") or {})
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
    return _shared(found, versions)


def _shown(versions: list[Object]) -> list[Object]:
    return [{field: version.get(field) for field in ("name", "served", "storage")} for version in versions]


def _schema_in(version: Object) -> Any:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def _schema_of_version(path: str, version: Object, known: list[Any]) -> Causes:
    schema = _schema_in(version)
    place = f"{path}.schema.openAPIV3Schema"
    if schema is None:
        return [fields.required(place, "schemas are required")]
    if schema in known:
        # What a schema says and what rules may cost is asked once: a definition that is there can change elsewhere.
        return rules.judge(place, schema).causes
    return structural_schemas.problems(place, schema) or rules.problems(place, schema)


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


def _conversion(conversion: Object) -> Causes:
    """Where objects are converted; the original names the places of its own form of a definition."""
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook") or {}
    path, reviews = "spec.conversion", "spec.conversion.conversionReviewVersions"
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    found = fields.one_of(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        if config is None:
            detail = "required when strategy is set to Webhook"
            found.append(fields.required(f"{path}.webhookClientConfig", detail))
        else:
            found += webhook_clients.client(f"{path}.webhookClientConfig", config)
        return found + webhook_clients.review_versions(reviews, versions)
    detail = "should not be set when strategy is not set to Webhook"
    if config is not None:
        found.append(fields.forbidden(f"{path}.webhookClientConfig", detail))
    return found + ([fields.forbidden(reviews, detail)] if versions else [])


def _shared(found: Causes, versions: list[Object]) -> Causes:
    """The causes as the original places them: what all versions say alike is the definition's own there."""
    moved = []
    for cause in found:
        match = _IN_VERSION.match(cause.field)
        if match and _alike([version.get(match[1]) for version in versions]):
            cause = type(cause)(cause.reason, cause.message, f"spec.{_OWN[match[1]]}{cause.field[match.end() :]}")
        moved.append(cause)
    return list(dict.fromkeys(moved))


def _alike(values: list[Any]) -> bool:
    return values[0] not in (None, {}, []) and all(value == values[0] for value in values)


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

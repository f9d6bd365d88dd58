"""A version 2 document as one of version 3, for add-ons that describe themselves in version 2 only.

Invariant: every path, parameter, body, answer and schema of the one is in the other; what an add-on has put where
something else belongs is left out, so that it spoils nobody else's description.
Source: kube-openapi/pkg/openapiconv (ConvertV2ToV3); kube-aggregator/pkg/controllers/openapiv3/aggregator (downgrade).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

_REFERENCES = ("#/definitions/", "#/components/schemas/")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_OF_SCHEMA = (
    "type", "format", "items", "default", "enum", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
    "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf",
)  # fmt: skip
_ANY_MEDIA = ("application/json",)


def version_3(document: Mapping[str, Any]) -> Json:
    """The same in the words of version 3."""
    consumes, produces = _media(document, "consumes", _ANY_MEDIA), _media(document, "produces", _ANY_MEDIA)
    paths = {path: _path(item, consumes, produces) for path, item in _mappings(document.get("paths")).items()}
    schemas = {name: _schema(definition) for name, definition in _mappings(document.get("definitions")).items()}
    return {
        "openapi": "3.0.0",
        "info": document.get("info") or {},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _mappings(given: Any) -> dict[str, Mapping[str, Any]]:
    found = given.items() if isinstance(given, Mapping) else ()
    return {name: value for name, value in found if isinstance(value, Mapping)}


def _parameters(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = holder.get("parameters")
    return [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []


def _media(holder: Mapping[str, Any], field: str, otherwise: Sequence[str]) -> Sequence[str]:
    given = holder.get(field)
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) and given else otherwise


def _path(item: Mapping[str, Any], consumes: Sequence[str], produces: Sequence[str]) -> Json:
    made: Json = {key: value for key, value in item.items() if key not in (*_METHODS, "parameters")}
    shared = [one for one in _parameters(item) if one.get("in") != "body"]
    if shared:
        made["parameters"] = [_parameter(one) for one in shared]
    for method in _METHODS:
        if isinstance(item.get(method), Mapping):
            made[method] = _operation(item[method], consumes, produces)
    return made


def _operation(given: Mapping[str, Any], consumes: Sequence[str], produces: Sequence[str]) -> Json:
    consumes, produces = _media(given, "consumes", consumes), _media(given, "produces", produces)
    replaced = ("parameters", "responses", "consumes", "produces", "schemes")
    made: Json = {key: value for key, value in given.items() if key not in replaced}
    for parameter in _parameters(given):
        if parameter.get("in") == "body":
            made["requestBody"] = _described(parameter, "required") | _content(parameter, consumes)
        else:
            made.setdefault("parameters", []).append(_parameter(parameter))
    answers = _mappings(given.get("responses"))
    made["responses"] = {code: _described(one) | _content(one, produces) for code, one in answers.items()}
    return made


def _described(given: Mapping[str, Any], *fields: str) -> Json:
    return {field: given[field] for field in ("description", *fields) if field in given}


def _content(given: Mapping[str, Any], media: Sequence[str]) -> Json:
    if "schema" not in given:
        return {}
    return {"content": {name: {"schema": _schema(given["schema"])} for name in media}}


def _parameter(given: Mapping[str, Any]) -> Json:
    made = {key: value for key, value in given.items() if key not in (*_OF_SCHEMA, "collectionFormat")}
    return made | {"schema": _schema({key: given[key] for key in _OF_SCHEMA if key in given})}


def _schema(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {key: _link(value) if key == "$ref" else _schema(value) for key, value in given.items()}
    return [_schema(one) for one in given] if isinstance(given, list) else given


def _link(reference: Any) -> Any:
    before, now = _REFERENCES
    is_link = isinstance(reference, str) and reference.startswith(before)
    return now + reference.removeprefix(before) if is_link else reference

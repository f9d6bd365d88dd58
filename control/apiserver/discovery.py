"""What is served: the legacy documents (/api, /apis, one a version) and the aggregated ones.

Invariant: discovery is computed from the registry alone, so it cannot promise what is not served.
Source: "Kubernetes API Concepts", Discovery API; apidiscovery.k8s.io/v2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from api.registry import Entry, Registry
from control.apiserver.aggregation.remote import Remote
from control.apiserver.request import Request
from control.apiserver.response import Response, json_response

Json = dict[str, Any]

_AGGREGATED = {
    version: f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
}


def api_versions(address: str) -> Json:
    """/api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _groups(registry: Registry, remotes: Sequence[Remote]) -> dict[str, list[str]]:
    """Each group with its versions, local and remote ones."""
    found = registry.groups()
    for remote in remotes:
        versions = found.setdefault(remote.group, [])
        if remote.version not in versions:
            versions.append(remote.version)
    return found


def group_list(registry: Registry, remotes: Sequence[Remote] = ()) -> Json:
    """/apis."""
    groups = [_group(name, versions) for name, versions in _groups(registry, remotes).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str, remotes: Sequence[Remote] = ()) -> Json | None:
    """/apis/GROUP, None if it is not served."""
    versions = _groups(registry, remotes).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions) if name and versions else None


def _group(name: str, versions: list[str]) -> Json:
    described = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": described, "preferredVersion": described[0]}


def resource_list(registry: Registry, group_name: str, version: str) -> Json | None:
    """/api/v1 and /apis/GROUP/VERSION, None if it is not served."""
    entries = _entries(registry, group_name, version)
    if not entries and version not in registry.groups().get(group_name, ()):
        return None
    resources: list[Json] = []
    for entry in entries:
        resources.append(_resource(entry))
        resources += [_subresource(entry, name) for name in sorted(entry.subresources)]
    resources.sort(key=lambda resource: resource["name"])
    api_version = f"{group_name}/{version}" if group_name else version
    head: Json = {"kind": "APIResourceList", "groupVersion": api_version, "resources": resources}
    return {"kind": "APIResourceList", "apiVersion": "v1"} | head if group_name else head


def paths(registry: Registry) -> list[str]:
    """All that may be asked for without knowing a resource: the document of /."""
    found = {"/.well-known/openid-configuration", "/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/version"}
    found |= {"/healthz", "/livez", "/readyz", "/openid/v1/jwks"}
    for name, versions in registry.groups().items():
        base = f"/apis/{name}" if name else "/api"
        found |= {base, *(f"{base}/{version}" for version in versions)}
    return sorted(found)


def _entries(registry: Registry, group_name: str, version: str) -> list[Entry]:
    found = [entry for entry in registry.entries() if entry.resource.group == group_name]
    return [entry for entry in found if entry.resource.version == version]


def _resource(entry: Entry) -> Json:
    resource = entry.resource
    described: Json = {
        "name": resource.plural,
        "singularName": entry.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(entry.verbs),
    }
    if entry.short_names:
        described["shortNames"] = list(entry.short_names)
    if entry.categories:
        described["categories"] = list(entry.categories)
    if "get" in entry.verbs:
        described["storageVersionHash"] = _hash(f"{resource.group}/{resource.version}/{resource.kind}")
    return described


def _subresource(entry: Entry, name: str) -> Json:
    info, resource = entry.subresources[name], entry.resource
    described: Json = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if (info.group, info.version) != (resource.group, resource.version):
        described |= {"group": info.group, "version": info.version}
    return described | {"kind": info.kind, "verbs": sorted(info.verbs)}


def _hash(text: str) -> str:
    import base64

    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def aggregated(registry: Registry, group_names: Iterable[str], version: str, remotes: Sequence[Remote] = ()) -> Json:
    """The APIGroupDiscoveryList of some groups."""
    away = {(remote.group, remote.version): remote for remote in remotes}
    groups = _groups(registry, remotes)
    items = []
    for name in group_names:
        versions = [
            {
                "version": served,
                "resources": [_aggregated_resource(entry) for entry in _entries(registry, name, served)],
                "freshness": "Current",
            }
            if (name, served) not in away
            else _remote_version(away[name, served])
            for served in groups.get(name, ())
        ]
        metadata: Json = {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None}
        items.append({"metadata": metadata, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(entry: Entry) -> Json:
    resource = entry.resource
    described: Json = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": entry.singular,
        "verbs": sorted(entry.verbs),
    }
    if entry.short_names:
        described["shortNames"] = list(entry.short_names)
    if entry.categories:
        described["categories"] = list(entry.categories)
    if entry.subresources:
        described["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind(info.group, info.version, info.kind),
                "verbs": sorted(info.verbs),
            }
            for name, info in sorted(entry.subresources.items())
        ]
    return described


def _remote_version(remote: Remote) -> Json:
    """A version that an add-on serves, from the resources that it told."""
    resources: dict[str, Json] = {}
    for one in remote.resources:
        name, _, subresource = str(one["name"]).partition("/")
        kind = _kind(one.get("group") or remote.group, one.get("version") or remote.version, str(one["kind"]))
        if subresource and name in resources:
            part = {"subresource": subresource, "responseKind": kind, "verbs": one.get("verbs") or []}
            resources[name].setdefault("subresources", []).append(part)
        elif not subresource:
            resources[name] = {
                "resource": name,
                "responseKind": kind,
                "scope": "Namespaced" if one.get("namespaced") else "Cluster",
                "singularResource": one.get("singularName") or str(one["kind"]).lower(),
                "verbs": one.get("verbs") or [],
            } | {field: one[field] for field in ("shortNames", "categories") if one.get(field)}
    freshness = "Current" if remote.available else "Stale"
    return {"version": remote.version, "resources": list(resources.values()), "freshness": freshness}


def _kind(group_name: str, version: str, kind: str) -> Json:
    return {"group": group_name, "version": version, "kind": kind}


def respond(registry: Registry, request: Request, address: str, remotes: Sequence[Remote] = ()) -> Response | None:
    """The discovery document of a path, None if the path has none."""
    parts = request.path.strip("/").split("/")
    wanted = _aggregated_version(request)
    if parts in (["api"], ["apis"]) and wanted:
        names = [""] if parts == ["api"] else [name for name in _groups(registry, remotes) if name]
        return _cacheable(request, aggregated(registry, names, wanted, remotes), _AGGREGATED[wanted])
    document: Json | None = None
    if parts == ["api"]:
        document = api_versions(address)
    elif parts == ["apis"]:
        document = group_list(registry, remotes)
    elif parts[0] == "api" and len(parts) == 2:
        document = resource_list(registry, "", parts[1])
    elif parts[0] == "apis" and len(parts) == 2:
        document = group(registry, parts[1], remotes)
    elif parts[0] == "apis" and len(parts) == 3:
        document = resource_list(registry, parts[1], parts[2])
    return json_response(document) if document else None


def _aggregated_version(request: Request) -> str:
    """`v2` or `v2beta1` if the first clause that is understood asks for aggregated discovery, else ""."""
    for clause in request.header("Accept").split(","):
        text = clause.replace(" ", "").partition(";q=")[0]
        parameters = set(text.split(";"))
        if "as=APIGroupDiscoveryList" in parameters and text.startswith("application/json"):
            for version in ("v2", "v2beta1"):
                if f"v={version}" in parameters:
                    return version
        elif text in ("application/json", "*/*"):
            return ""
    return ""


def _cacheable(request: Request, document: Json, content_type: str) -> Response:
    body = orjson.dumps(document)
    tag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = [("ETag", tag), ("Vary", "Accept")]
    if request.header("If-None-Match") == tag:
        return Response(b"", 304, content_type, headers)
    return Response(body, 200, content_type, headers)

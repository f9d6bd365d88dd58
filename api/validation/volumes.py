"""Rules for the volumes of a pod and for where containers mount them.

Source: the original's validation of Volume, VolumeSource and VolumeMount.
"""

from __future__ import annotations

from typing import Any

from api import names, quantities
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE_DETAIL = "must be a number between 0 and 0777 (octal), both inclusive"
_REQUIRED = {
    "hostPath": ("path",),
    "secret": ("secretName",),
    "configMap": ("name",),
    "persistentVolumeClaim": ("claimName",),
    "nfs": ("server", "path"),
    "csi": ("driver",),
    "iscsi": ("targetPortal", "iqn"),
    "image": ("reference",),
}


def volumes(path: str, spec: Object) -> tuple[Causes, set[str]]:
    """Causes, and the names of the volumes that mounts may refer to."""
    found: Causes = []
    known: set[str] = set()
    for place, volume in fields.each(spec, "volumes", path):
        name = volume.get("name") or ""
        found += fields.needed(f"{place}.name", name, names.dns_label_problems)
        if name and name in known:
            found.append(fields.duplicate(f"{place}.name", name))
        known.add(name)
        found += _source(place, volume)
    return found, known


def _source(path: str, volume: Object) -> Causes:
    kinds = [kind for kind, value in volume.items() if kind != "name" and value is not None]
    found: Causes = []
    if not kinds:
        found.append(fields.required(path, "must specify a volume type"))
    for kind in kinds[1:]:
        found.append(fields.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type"))
    for kind in kinds[:1]:
        source, place = volume[kind], f"{path}.{kind}"
        for field in _REQUIRED.get(kind, ()):
            if not source.get(field):
                found.append(fields.required(f"{place}.{field}"))
        found += mode(f"{place}.defaultMode", source.get("defaultMode"))
        if kind in ("secret", "configMap"):
            found += key_paths(place, source)
        if kind == "hostPath":
            found += _host_path(place, source)
        elif kind == "emptyDir":
            found += _size_limit(place, source.get("sizeLimit"))
        elif kind == "downwardAPI":
            found += _downward_files(place, source)
        elif kind == "projected":
            found += _projections(place, source)
    return found


def _host_path(path: str, source: Object) -> Causes:
    found = no_backsteps(f"{path}.path", source.get("path") or "")
    if (source.get("type") or "") not in _HOST_PATH_TYPES:
        found.append(fields.not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES))
    return found


def _size_limit(path: str, limit: Any) -> Causes:
    if limit is not None and quantities.parse(limit).nano < 0:
        return [fields.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def mode(path: str, value: int | None) -> Causes:
    """File permissions."""
    return [] if value is None or 0 <= value <= 0o777 else [fields.invalid(path, value, _MODE_DETAIL)]


def key_paths(path: str, source: Object) -> Causes:
    """The `items` of a secret or config map volume."""
    found: Causes = []
    for place, item in fields.each(source, "items", path):
        for field in ("key", "path"):
            if not item.get(field):
                found.append(fields.required(f"{place}.{field}"))
        found += local_path(f"{place}.path", item.get("path") or "")
        found += mode(f"{place}.mode", item.get("mode"))
    return found


def _downward_files(path: str, source: Object) -> Causes:
    found: Causes = []
    for place, item in fields.each(source, "items", path):
        if not item.get("path"):
            found.append(fields.required(f"{place}.path"))
        found += local_path(f"{place}.path", item.get("path") or "")
        if not item.get("fieldRef") and not item.get("resourceFieldRef"):
            found.append(fields.required(place, "one of fieldRef and resourceFieldRef is required"))
        elif item.get("fieldRef") and item.get("resourceFieldRef"):
            found.append(
                fields.invalid(place, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
            )
    return found


def _projections(path: str, source: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, projection in fields.each(source, "sources", path):
        kinds = [kind for kind, value in projection.items() if value is not None]
        if len(kinds) > 1:
            found.append(fields.forbidden(place, "may not specify more than 1 volume type"))
        for kind in kinds:
            inner, inner_place = projection[kind], f"{place}.{kind}"
            if kind in ("secret", "configMap"):
                if not inner.get("name"):
                    found.append(fields.required(f"{inner_place}.name"))
                found += key_paths(inner_place, inner)
            elif kind == "serviceAccountToken":
                found += _token_projection(inner_place, inner)
            elif kind == "downwardAPI":
                found += _downward_files(inner_place, inner)
            found += _conflicting_paths(f"{inner_place}", inner, seen)
    return found


def _token_projection(path: str, source: Object) -> Causes:
    found: Causes = []
    seconds = source.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        found.append(
            fields.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        )
    if seconds is not None and seconds > 1 << 32:
        found.append(
            fields.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        )
    if not source.get("path"):
        found.append(fields.required(f"{path}.path"))
    return found + local_path(f"{path}.path", source.get("path") or "")


def _conflicting_paths(path: str, source: Object, seen: set[str]) -> Causes:
    found: Causes = []
    files = [item.get("path") for item in source.get("items") or []] + [source.get("path")]
    for file in filter(None, files):
        if file in seen:
            found.append(fields.invalid(f"{path}.path", file, "conflicting duplicate paths"))
        seen.add(str(file))
    return found


def local_path(path: str, value: str) -> Causes:
    """A relative path that stays below its root and does not begin with `..`."""
    if value.startswith("/"):
        return [fields.invalid(path, value, "must be a relative path")]
    if value.startswith("..") and not value.startswith("../") and value != "..":
        return [fields.invalid(path, value, "must not start with '..'")]
    return no_backsteps(path, value)


def no_backsteps(path: str, value: str) -> Causes:
    """No step of the path is `..`."""
    return [fields.invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def mounts(path: str, container: Object, known: set[str]) -> Causes:
    """Each mount names a volume, and no two share a place."""
    found: Causes = []
    seen: set[str] = set()
    for place, mount in fields.each(container, "volumeMounts", path):
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(fields.required(f"{place}.name"))
        elif name not in known:
            found.append(fields.not_found(f"{place}.name", name))
        if not target:
            found.append(fields.required(f"{place}.mountPath"))
        elif target in seen:
            found.append(fields.invalid(f"{place}.mountPath", target, "must be unique"))
        seen.add(target)
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                found += local_path(f"{place}.{field}", mount[field])
        if mount.get("subPath") and mount.get("subPathExpr"):
            detail = "subPathExpr and subPath are mutually exclusive"
            found.append(fields.invalid(f"{place}.subPathExpr", mount["subPathExpr"], detail))
        found += fields.one_of(
            f"{place}.mountPropagation",
            mount.get("mountPropagation"),
            ("Bidirectional", "HostToContainer", "None"),
            False,
        )
    return found

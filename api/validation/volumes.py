"""Rules for the volumes of a pod and for where containers mount them; `volume_sources` judges what they are made of.

Source: the original's validation of Volume, VolumeSource and VolumeMount.
"""

from __future__ import annotations

from collections.abc import Callable

from api import names, quantities
from api.objects import Object
from api.validation import environment, fields, persistent, pod_certificates, volume_sources
from api.validation.fields import Causes
from api.validation.metadata import annotation_map

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_MODE_DETAIL = "must be a number between 0 and 0777 (octal), both inclusive"


def volumes(path: str, spec: Object) -> tuple[Causes, dict[str, Object]]:
    """Causes, and the volumes that mounts may refer to by name."""
    found: Causes = []
    known: dict[str, Object] = {}
    for place, volume in fields.each(spec, "volumes", path):
        name = volume.get("name") or ""
        found += fields.needed(f"{place}.name", name, names.dns_label_problems)
        if name and name in known:
            found.append(fields.duplicate(f"{place}.name", name))
        known[name] = volume
        found += _source(place, volume)
    return found, known


def _source(path: str, volume: Object) -> Causes:
    found, kind = volume_sources.chosen(path, volume)
    if kind:
        found += mode(f"{path}.{kind}.defaultMode", volume[kind].get("defaultMode"))
    if kind in _RULES:
        found += _RULES[kind](f"{path}.{kind}", volume[kind])
    return found


def _claim_template(path: str, source: Object) -> Causes:
    """The claim that a pod brings: of its metadata it has labels and annotations only."""
    template, place = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        return []
    metadata = template.get("metadata") or {}
    found = fields.labels(f"{place}.metadata.labels", metadata.get("labels"))
    found += annotation_map(f"{place}.metadata.annotations", metadata.get("annotations"))
    for field, value in metadata.items():
        if value and field not in ("labels", "annotations"):
            found.append(fields.forbidden(f"{place}.metadata.{field}", "cannot be set for an ephemeral volume"))
    return found + persistent.claim_spec(f"{place}.spec", template.get("spec") or {})


def brought_claims(path: str, spec: Object, pod_name: str) -> Causes:
    """The claims that a pod of that name brings have names of their own."""
    brought: set[str] = set()
    found: Causes = []
    for place, volume in fields.each(spec, "volumes", path):
        if volume.get("ephemeral") is not None and pod_name and volume.get("name"):
            claim = f"{pod_name}-{volume['name']}"
            brought.add(claim)
            for sentence in names.dns_subdomain_problems(claim):
                detail = f"PVC name {fields.shown(claim)}: {sentence}"
                found.append(fields.invalid(f"{place}.name", volume["name"], detail))
    for place, volume in fields.each(spec, "volumes", path):
        used = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if used in brought:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            found.append(fields.invalid(f"{place}.persistentVolumeClaim.claimName", used, detail))
    return found


def _size_limit(path: str, source: Object) -> Causes:
    limit = source.get("sizeLimit")
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
        found += fields.local_path(f"{place}.path", item.get("path") or "")
        found += mode(f"{place}.mode", item.get("mode"))
    return found


def _downward_files(path: str, source: Object) -> Causes:
    """The files of a downward API volume; the original does not say which of them is wrong."""
    found: Causes = []
    for _, item in fields.each(source, "items", path):
        file, field, resource = item.get("path") or "", item.get("fieldRef"), item.get("resourceFieldRef")
        if not file:
            found.append(fields.required(f"{path}.path"))
        found += fields.local_path(f"{path}.path", file)
        if field is not None:
            found += environment.field_reference(f"{path}.fieldRef", field, environment.VOLUME_FIELDS)
            if resource is not None:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                found.append(fields.invalid(path, "resource", detail))
        elif resource is not None:
            found += environment.resource_reference(f"{path}.resourceFieldRef", resource, in_volume=True)
        else:
            found.append(fields.required(path, "one of fieldRef and resourceFieldRef is required"))
        found += mode(f"{path}.mode", item.get("mode"))
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
            elif kind == "podCertificate":
                found += pod_certificates.projection(inner_place, inner)
            found += _conflicting_paths(f"{inner_place}", inner, seen)
    return found


def _token_projection(path: str, source: Object) -> Causes:
    found = token_lifetime(f"{path}.expirationSeconds", source.get("expirationSeconds"))
    if not source.get("path"):
        found.append(fields.required(f"{path}.path"))
    return found + fields.local_path(f"{path}.path", source.get("path") or "")


def token_lifetime(path: str, seconds: int | None) -> Causes:
    """How long a token lives that somebody asks for in advance."""
    if seconds is not None and seconds < 600:
        return [fields.invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds is not None and seconds > 1 << 32:
        return [fields.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _conflicting_paths(path: str, source: Object, seen: set[str]) -> Causes:
    found: Causes = []
    files = [("path", item.get("path")) for item in source.get("items") or []]
    files += [(field, source.get(field)) for field in ("path", *pod_certificates.PATHS)]
    for field, file in files:
        if file and file in seen:
            found.append(fields.invalid(f"{path}.{field}", file, "conflicting duplicate paths"))
        seen.add(str(file))
    return found


def mounts(path: str, container: Object, known: dict[str, Object]) -> Causes:
    """Each mount and each device names a volume, and no two share a place."""
    devices = {one.get("name"): one.get("devicePath") for one in container.get("volumeDevices") or ()}
    found: Causes = []
    seen: set[str] = set()
    for place, mount in fields.each(container, "volumeMounts", path):
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(fields.required(f"{place}.name"))
        if name not in known:
            found.append(fields.not_found(f"{place}.name", name))
        if not target:
            found.append(fields.required(f"{place}.mountPath"))
        if target in seen:
            found.append(fields.invalid(f"{place}.mountPath", target, "must be unique"))
        seen.add(target)
        if name in devices:
            found.append(fields.invalid(f"{place}.name", name, "must not already exist in volumeDevices"))
        if target in devices.values():
            detail = "must not already exist as a path in volumeDevices"
            found.append(fields.invalid(f"{place}.mountPath", target, detail))
        found += _below(f"{path}.volumeMounts", place, mount)
        found += _propagation(f"{path}.volumeMounts", mount, container)
    return found + _devices(path, container, known)


def _below(path: str, place: str, mount: Object) -> Causes:
    """`subPath` and `subPathExpr`; the original names the list, not the item, where the path itself is wrong."""
    found: Causes = []
    if mount.get("subPath"):
        found += fields.descending_path(f"{path}.subPath", mount["subPath"])
    if mount.get("subPathExpr"):
        if mount.get("subPath"):
            detail = "subPathExpr and subPath are mutually exclusive"
            found.append(fields.invalid(f"{place}.subPathExpr", mount["subPathExpr"], detail))
        found += fields.descending_path(f"{path}.subPathExpr", mount["subPathExpr"])
    return found


def _propagation(path: str, mount: Object, container: Object) -> Causes:
    mode, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    found: Causes = []
    if mode is not None and mode not in _PROPAGATIONS:
        found.append(fields.not_supported(f"{path}.mountPropagation", mode, _PROPAGATIONS))
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        found.append(fields.forbidden(f"{path}.mountPropagation", detail))
    if recursive is None or recursive == "Disabled":
        return found
    place = f"{path}.recursiveReadOnly"
    if recursive not in ("Enabled", "IfPossible"):
        return [*found, fields.not_supported(place, recursive, ("Disabled", "Enabled", "IfPossible"))]
    if not mount.get("readOnly"):
        found.append(fields.forbidden(place, "may only be specified when readOnly is true"))
    if mode not in (None, "None"):
        found.append(fields.forbidden(place, "may only be specified when mountPropagation is None or not specified"))
    return found


def _devices(path: str, container: Object, known: dict[str, Object]) -> Causes:
    mounted = {one.get("name"): one.get("mountPath") for one in container.get("volumeMounts") or ()}
    found: Causes = []
    names_seen: set[str] = set()
    paths_seen: set[str] = set()
    for place, device in fields.each(container, "volumeDevices", path):
        name, target = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            found.append(fields.required(f"{place}.name"))
        if name in names_seen:
            found.append(fields.invalid(f"{place}.name", name, "must be unique"))
        volume = known.get(name)
        if volume is None:
            found.append(fields.not_found(f"{place}.name", name))
        elif not (volume.get("persistentVolumeClaim") or volume.get("ephemeral")):
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            found.append(fields.invalid(f"{place}.name", name, detail))
        if not target:
            found.append(fields.required(f"{place}.devicePath"))
        if target in paths_seen:
            found.append(fields.invalid(f"{place}.devicePath", target, "must be unique"))
        if ".." in target.split("/"):
            found.append(fields.invalid(f"{place}.devicePath", target, "can not contain backsteps ('..')"))
        if name in mounted:
            found.append(fields.invalid(f"{place}.name", name, "must not already exist in volumeMounts"))
        if target in mounted.values():
            detail = "must not already exist as a path in volumeMounts"
            found.append(fields.invalid(f"{place}.devicePath", target, detail))
        names_seen.add(name)
        paths_seen.add(target)
    return found


_RULES: dict[str, Callable[[str, Object], Causes]] = {
    "emptyDir": _size_limit,
    "secret": key_paths,
    "configMap": key_paths,
    "downwardAPI": _downward_files,
    "projected": _projections,
    "ephemeral": _claim_template,
}

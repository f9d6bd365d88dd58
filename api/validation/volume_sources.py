"""Rules for what a volume is made of: the sources that pods and persistent volumes name.

Invariant: of several sources in one place only the first, in the original's order, is judged; the others are forbidden.
Source: the original's validation of VolumeSource and PersistentVolumeSource.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip
_ORDER_OF_PERSISTENT = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs",
    "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
_PLACES = {"gcePersistentDisk": "persistentDisk"}
_REQUIRED = {
    "hostPath": ("path",),
    "gitRepo": ("repository",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "secret": ("secretName",),
    "nfs": ("server", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "quobyte": ("volume",),
    "flexVolume": ("driver",),
    "configMap": ("name",),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "storageos": ("volumeName",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "local": ("path",),
    "csi": ("driver",),
    "ephemeral": ("volumeClaimTemplate",),
    "image": ("reference",),
}
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+", re.ASCII),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}"),
}
_REGISTRIES = "must be a host:port pair or multiple pairs separated by commas"
_DISKS = {
    True: ("/subscriptions/", "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
           "{disk-id}"),
    False: ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"),
}  # fmt: skip
_SECRETS_OF_CSI = (
    "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef",
)  # fmt: skip


def chosen(path: str, value: Object, *, persistent: bool = False) -> tuple[Causes, str]:
    """Causes for the choice and for what is chosen, and which kind of source it is: "" if there is none."""
    order = _ORDER_OF_PERSISTENT if persistent else _ORDER
    kinds = [kind for kind in order if value.get(kind) is not None]
    if not kinds:
        return [fields.required(path, "must specify a volume type")], ""
    found = [fields.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type") for kind in kinds[1:]]
    kind = kinds[0]
    place, source = f"{path}.{_PLACES.get(kind, kind)}", value[kind]
    lacking = [name for name in _REQUIRED.get(kind, ()) if not source.get(name)]
    found += [fields.required(f"{place}.{name}") for name in lacking]
    if kind in _RULES and not (kind in ("hostPath", "local") and lacking):
        found += _RULES[kind](place, source)
    if persistent and kind in _RULES_OF_PERSISTENT:
        found += _RULES_OF_PERSISTENT[kind](place, source)
    if kind == "iscsi" and source.get("initiatorName") is not None:
        found += _initiator_of(path, place, value, persistent)
    return found, kind


def _host_path(path: str, source: Object) -> Causes:
    found = fields.no_backsteps(f"{path}.path", source.get("path") or "")
    if (source.get("type") or "") not in _HOST_PATH_TYPES:
        found.append(fields.not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES))
    return found


def _git_repo(path: str, source: Object) -> Causes:
    return fields.descending_path(f"{path}.directory", source.get("directory") or "")


def _partition(path: str, source: Object) -> Causes:
    number = source.get("partition") or 0
    return [] if 0 <= number <= 255 else [fields.invalid(f"{path}.partition", number, names.out_of_range(1, 255))]


def _nfs(path: str, source: Object) -> Causes:
    place = source.get("path") or ""
    return [] if place.startswith("/") else [fields.invalid(f"{path}.path", place, "must be an absolute path")]


def _iscsi(path: str, source: Object) -> Causes:
    found = _initiator(f"{path}.iqn", source["iqn"]) if source.get("iqn") else []
    found += fields.in_range(f"{path}.lun", source.get("lun"), 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        found.append(fields.required(f"{path}.secretRef"))
    return found


def _initiator(path: str, name: str) -> Causes:
    known = _INITIATORS.get(name[:3])
    if known is None:
        return [fields.invalid(path, name, "must be valid format starting with iqn, eui, or naa")]
    return [] if known.fullmatch(name) else [fields.invalid(path, name, "must be valid format")]


def _initiator_of(path: str, place: str, value: Object, persistent: bool) -> Causes:
    source = value["iscsi"]
    found = _initiator(f"{place}.initiatorname", source["initiatorName"])
    portal, name = source.get("targetPortal") or "", value.get("name") or ""
    if not persistent and len(f"{name}:{portal}") > 64:
        detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
        found.append(fields.invalid(f"{path}.name", name, f"{detail}iscsi.initiatorName is specified."))
    return found


def _flocker(path: str, source: Object) -> Causes:
    name, uid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    found: Causes = []
    if not name and not uid:
        found.append(fields.required(path, "one of datasetName and datasetUUID is required"))
    if name and uid:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        found.append(fields.invalid(path, "resource", detail))
    if "/" in name:
        found.append(fields.invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return found


def _quobyte(path: str, source: Object) -> Causes:
    registries = source.get("registry") or ""
    if not registries:
        return [fields.required(f"{path}.registry", _REGISTRIES)]
    if len(source.get("tenant") or "") > 64:
        return [fields.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")]
    wrong = [pair for pair in registries.split(",") if not re.fullmatch(r"([^:\[\]]*|\[[^\[\]]*\]):[^:\[\]]*", pair)]
    return [fields.invalid(f"{path}.registry", registries, _REGISTRIES) for _ in wrong]


def _fibre_channel(path: str, source: Object) -> Causes:
    targets, lun = source.get("targetWWNs") or [], source.get("lun")
    found: Causes = []
    if not targets and not source.get("wwids"):
        found.append(fields.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    if targets and source.get("wwids"):
        detail = "targetWWNs and wwids can not be specified simultaneously"
        found.append(fields.invalid(f"{path}.targetWWNs", targets, detail))
    if targets and lun is None:
        found.append(fields.required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    return found + (fields.in_range(f"{path}.lun", lun, 0, 255) if targets else [])


def _flex_volume(path: str, source: Object) -> Causes:
    found: Causes = []
    for option in source.get("options") or {}:
        domain = "." + option.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            found.append(fields.invalid(f"{path}.options[{option}]", option, detail))
    return found


def _azure_disk(path: str, source: Object) -> Causes:
    kind, address = source.get("kind"), source.get("diskURI") or ""
    found = fields.one_of(f"{path}.cachingMode", source.get("cachingMode"), ("None", "ReadOnly", "ReadWrite"), False)
    found += fields.one_of(f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"), False)
    beginning, form = _DISKS[kind == "Managed"]
    if kind is not None and not address.startswith(beginning):
        found.append(fields.not_supported(f"{path}.diskURI", address, (form,)))
    return found


def _storage_os(path: str, source: Object) -> Causes:
    found: Causes = []
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            found += fields.problems(f"{path}.{field}", source[field], names.dns_label_problems)
    return found + _secret_name(path, source)


def _secret_name(path: str, source: Object) -> Causes:
    """A secret that is referred to has a name."""
    secret = source.get("secretRef")
    return [fields.required(f"{path}.secretRef.name")] if secret is not None and not secret.get("name") else []


def _secret_namespace(path: str, source: Object) -> Causes:
    """The secret of a persistent volume, which has no namespace of its own, has one."""
    secret = source.get("secretRef")
    told = secret is not None and not secret.get("namespace")
    return [fields.required(f"{path}.secretRef.namespace")] if told else []


def csi_driver(path: str, name: str) -> Causes:
    """The name of a CSI driver: at most 63 characters, whose case does not matter."""
    found = [fields.too_long(path, 63)] if len(name) > 63 else []
    return found + [fields.invalid(path, name, told) for told in names.dns_subdomain_problems(name.lower())]


def _csi(path: str, source: Object) -> Causes:
    return csi_driver(f"{path}.driver", source.get("driver") or "")


def csi_persistent(path: str, source: Object) -> Causes:
    """What a persistent volume says to a CSI driver beyond its name."""
    found = [] if source.get("volumeHandle") else [fields.required(f"{path}.volumeHandle")]
    for field in _SECRETS_OF_CSI:
        secret = source.get(field)
        if secret is not None:
            found += fields.needed(f"{path}.{field}.name", secret.get("name"), names.dns_subdomain_problems)
            found += fields.needed(f"{path}.{field}.namespace", secret.get("namespace"), names.dns_label_problems)
    return found


def _glusterfs_persistent(path: str, source: Object) -> Causes:
    namespace, place = source.get("endpointsNamespace"), f"{path}.endpointsNamespace"
    if namespace is None:
        return []
    if not namespace:
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        return [fields.invalid(place, namespace, detail)]
    return fields.problems(place, namespace, names.dns_label_problems)


def _azure_file_persistent(path: str, source: Object) -> Causes:
    empty = source.get("secretNamespace") == ""
    return [fields.required(f"{path}.secretNamespace")] if empty else []


def _local(path: str, source: Object) -> Causes:
    return fields.no_backsteps(f"{path}.path", source.get("path") or "")


_Rule = Callable[[str, Object], Causes]
_RULES: dict[str, _Rule] = {
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _partition,
    "awsElasticBlockStore": _partition,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "flocker": _flocker,
    "cinder": _secret_name,
    "quobyte": _quobyte,
    "fc": _fibre_channel,
    "flexVolume": _flex_volume,
    "azureDisk": _azure_disk,
    "storageos": _storage_os,
    "local": _local,
    "csi": _csi,
}
_RULES_OF_PERSISTENT: dict[str, _Rule] = {
    "glusterfs": _glusterfs_persistent,
    "iscsi": _secret_name,
    "cinder": _secret_namespace,
    "storageos": _secret_namespace,
    "azureFile": _azure_file_persistent,
    "csi": csi_persistent,
}

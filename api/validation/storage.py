"""Rules for storage.k8s.io.

Source: the original's validation of StorageClass, VolumeAttachment, CSIDriver, CSINode and VolumeAttributesClass.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields, resources
from api.validation.fields import Causes
from api.validation.volume_sources import csi_driver
from api.validation.volumes import token_lifetime

_CLASS_IMMUTABLE = ("parameters", "provisioner", "reclaimPolicy")
_LARGEST_METADATA, _LONGEST_ERROR = 256 * 1024, 1024
_LONGEST_NODE_ID = 192
_MOST_PARAMETERS, _LARGEST_PARAMETERS = 512, 256 * 1024


def _storage_class(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    if not new.get("provisioner"):
        found.append(fields.required("provisioner"))
    else:
        found += fields.problems("provisioner", new["provisioner"].lower(), names.label_key_problems)
    found += fields.one_of("reclaimPolicy", new.get("reclaimPolicy"), ("Delete", "Retain"), False)
    found += fields.one_of("volumeBindingMode", new.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))
    found += _parameters(new.get("parameters") or {}) + _topologies(new)
    if old is not None:
        for field in _CLASS_IMMUTABLE:
            if new.get(field) != old.get(field):
                found.append(fields.forbidden(field, f"updates to {field} are forbidden."))
        mode = new.get("volumeBindingMode")
        found += fields.unchanged("volumeBindingMode", mode, old.get("volumeBindingMode"))
    return found


def _parameters(parameters: Object) -> Causes:
    if len(parameters) > _MOST_PARAMETERS:
        return [fields.too_long("parameters", _MOST_PARAMETERS)]
    found = [fields.invalid("parameters", key, "field can not be empty.") for key in parameters if not key]
    if sum(len(key) + len(str(value)) for key, value in parameters.items()) > _LARGEST_PARAMETERS:
        found.append(fields.too_long("parameters", _LARGEST_PARAMETERS))
    return found


def _topologies(new: Object) -> Causes:
    """Where volumes of a class may be: no two terms say the same."""
    found: Causes = []
    seen: list[dict[str, set[str]]] = []
    for path, term in fields.each(new, "allowedTopologies", ""):
        wanted: dict[str, set[str]] = {}
        for place, requirement in fields.each(term, "matchLabelExpressions", path.lstrip(".")):
            key, values = requirement.get("key") or "", requirement.get("values") or []
            if not values:
                found.append(fields.required(f"{place}.values"))
            for index, value in enumerate(values):
                if value in values[:index]:
                    found.append(fields.duplicate(f"{place}.values[{index}]", value))
            found += fields.problems(f"{place}.key", key, names.label_key_problems)
            if key in wanted:
                found.append(fields.duplicate(f"{place}.key", key))
            wanted[key] = set(values)
        if wanted in seen:
            found.append(fields.duplicate(f"{path.lstrip('.')}.matchLabelExpressions", ""))
        seen.append(wanted)
    return found


def _attachment(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    attacher = spec.get("attacher")
    found = csi_driver("spec.attacher", attacher) if attacher else [fields.required("spec.attacher")]
    found += fields.needed("spec.nodeName", spec.get("nodeName"), names.dns_subdomain_problems)
    found += _attached("spec.source", spec.get("source") or {})
    found += _attachment_status(new.get("status") or {})
    if old is not None and spec != old["spec"]:
        found.append(fields.invalid("spec", spec, fields.IMMUTABLE))
    return found


def _attached(path: str, source: Object) -> Causes:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        return [fields.required(path, detail)]
    if inline is not None and name is not None:
        return [fields.forbidden(path, detail)]
    if name == "":
        return [fields.required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")]
    if name is not None:
        return fields.problems(f"{path}.persistentVolumeName", name, names.dns_subdomain_problems)
    return []


def _attachment_status(status: Object) -> Causes:
    """What a driver tells is short. Of an error that is not, the original names the metadata's limit."""
    metadata = status.get("attachmentMetadata") or {}
    size = sum(len(key) + len(str(value)) for key, value in metadata.items())
    found = [fields.too_long("status.attachmentMetadata", _LARGEST_METADATA)] * (size > _LARGEST_METADATA)
    for field in ("attachError", "detachError"):
        if len((status.get(field) or {}).get("message") or "") > _LONGEST_ERROR:
            found.append(fields.too_long(f"status.{field}.message", _LARGEST_METADATA))
    return found


def _csi_driver(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found: Causes = []
    for field in ("attachRequired", "podInfoOnMount", "storageCapacity"):
        if spec.get(field) is None:
            found.append(fields.required(f"spec.{field}"))
    policy = spec.get("fsGroupPolicy")
    found += fields.one_of("spec.fsGroupPolicy", policy, ("ReadWriteOnceWithFSType", "File", "None"), is_required=False)
    for mode in spec.get("volumeLifecycleModes") or []:
        if mode not in ("Ephemeral", "Persistent"):
            found.append(fields.not_supported("spec.volumeLifecycleModes", mode, ("Ephemeral", "Persistent")))
    audiences = [request.get("audience") or "" for request in spec.get("tokenRequests") or ()]
    for index, audience in enumerate(audiences):
        if audience in audiences[:index]:
            found.append(fields.duplicate(f"spec.tokenRequests[{index}].audience", audience))
            continue
        seconds = spec["tokenRequests"][index].get("expirationSeconds")
        found += token_lifetime(f"spec.tokenRequests[{index}].expirationSeconds", seconds)
    if old is not None:
        before = old["spec"]
        # The original misspells the first path.
        found += fields.unchanged("attachedRequired", spec.get("attachRequired"), before.get("attachRequired"))
        modes = spec.get("volumeLifecycleModes")
        found += fields.unchanged("volumeLifecycleModes", modes, before.get("volumeLifecycleModes"))
    return found


def _csi_node(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    seen = set()
    for path, driver in fields.each(new["spec"], "drivers", "spec"):
        name = driver.get("name") or ""
        found += [] if name else [fields.required(f"{path}.name")]
        found += csi_driver(f"{path}.name", name) + _node_id(f"{path}.nodeID", driver.get("nodeID") or "")
        found += fields.nonnegative(f"{path}.allocatable.count", (driver.get("allocatable") or {}).get("count"))
        if name in seen:
            found.append(fields.duplicate(f"{path}.name", name))
        seen.add(name)
        found += _topology_keys(path, driver.get("topologyKeys") or [])
    for before in (old or {"spec": {}})["spec"].get("drivers") or []:
        for now in new["spec"].get("drivers") or []:
            if now.get("name") == before.get("name"):
                found += fields.unchanged("CSINodeDriver", now, before)
    return found


def _node_id(path: str, text: str) -> Causes:
    if len(text) > _LONGEST_NODE_ID:
        return [fields.invalid(path, text, f"must be {_LONGEST_NODE_ID} characters or less")]
    return [] if text else [fields.required(path)]


def _topology_keys(path: str, keys: list[str]) -> Causes:
    """The labels by which a driver tells nodes apart; the original names their driver, not them."""
    found: Causes = []
    for index, key in enumerate(keys):
        found += [] if key else [fields.required(path)]
        if key in keys[:index]:
            found.append(fields.duplicate(path, key))
        found += [fields.invalid(path, keys, sentence) for sentence in names.label_key_problems(key)]
    return found


def _storage_capacity(new: Object, old: Object | None, subresource: str) -> Causes:
    found = fields.label_selector("nodeTopology", new.get("nodeTopology"))
    found += fields.problems("storageClassName", new.get("storageClassName") or "", names.dns_subdomain_problems)
    for field in ("capacity", "maximumVolumeSize"):
        if new.get(field) is not None:
            found += resources.amount(field, new[field])
    if old is not None:
        for field in ("nodeTopology", "storageClassName"):
            found += fields.unchanged(field, new.get(field), old.get(field))
    return found


def _attributes_class(new: Object, old: Object | None, subresource: str) -> Causes:
    found = fields.needed("driverName", new.get("driverName"), lambda name: names.label_key_problems(name.lower()))
    if not new.get("parameters"):
        found.append(fields.required("parameters", "must contain at least one key/value pair"))
    found += _parameters(new.get("parameters") or {})
    if old is not None:
        for field in ("driverName", "parameters"):
            found += fields.unchanged(field, new.get(field), old.get(field))
    return found


VALIDATORS = {
    "StorageClass": _storage_class,
    "VolumeAttachment": _attachment,
    "CSIDriver": _csi_driver,
    "CSINode": _csi_node,
    "CSIStorageCapacity": _storage_capacity,
    "VolumeAttributesClass": _attributes_class,
}

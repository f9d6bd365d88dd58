"""Rules for storage.k8s.io.

Source: the original's validation of StorageClass, VolumeAttachment, CSIDriver, CSINode and VolumeAttributesClass.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_CLASS_IMMUTABLE = ("parameters", "provisioner", "reclaimPolicy")
_MOST_PARAMETERS, _LARGEST_PARAMETERS = 512, 256 * 1024


def _storage_class(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    if not new.get("provisioner"):
        found.append(fields.required("provisioner"))
    else:
        found += fields.problems("provisioner", new["provisioner"].lower(), names.label_key_problems)
    found += fields.one_of("reclaimPolicy", new.get("reclaimPolicy"), ("Delete", "Retain"), False)
    found += fields.one_of("volumeBindingMode", new.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))
    found += _parameters(new.get("parameters") or {})
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


def _attachment(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found: Causes = []
    for field in ("attacher", "nodeName"):
        if not spec.get(field):
            found.append(fields.required(f"spec.{field}"))
    source = spec.get("source") or {}
    kinds = [field for field in ("inlineVolumeSpec", "persistentVolumeName") if source.get(field)]
    if len(kinds) != 1:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        found.append(fields.required("spec.source", detail))
    if old is not None and spec != old["spec"]:
        found.append(fields.invalid("spec", spec, fields.IMMUTABLE))
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
        for field in ("name", "nodeID"):
            if not driver.get(field):
                found.append(fields.required(f"{path}.{field}"))
        if name in seen:
            found.append(fields.duplicate(f"{path}.name", name))
        seen.add(name)
    return found


def _attributes_class(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = [] if new.get("driverName") else [fields.required("driverName")]
    if not new.get("parameters"):
        found.append(fields.required("parameters", "must contain at least one key/value pair"))
    if old is not None:
        for field in ("driverName", "parameters"):
            found += fields.unchanged(field, new.get(field), old.get(field))
    return found


VALIDATORS = {
    "StorageClass": _storage_class,
    "VolumeAttachment": _attachment,
    "CSIDriver": _csi_driver,
    "CSINode": _csi_node,
    "VolumeAttributesClass": _attributes_class,
}

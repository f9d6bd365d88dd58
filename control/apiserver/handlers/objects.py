"""What the server itself sets in an object's metadata, and the checks on its address.

Invariant: uid, creationTimestamp, generation and the deletion fields never come from a client.
Source: apiserver/pkg/registry/rest/{meta,create,update}.go.
"""

from __future__ import annotations

from typing import Any

from api import errors
from api.naturals import natural
from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.storage import MODIFIED

_LEFT_OUT_IF_EMPTY = ("labels", "annotations", "ownerReferences", "finalizers", "generateName")
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def check_kind(operation: Operation, obj: Object) -> None:
    """The body must be of the resource's kind and version; absent ones are filled in. Raises BadRequest."""
    resource = operation.resource
    kind, version = obj.get("kind", ""), obj.get("apiVersion", "")
    if kind == resource.kind and version == resource.api_version:
        return
    for field, value in (("apiVersion", version), ("kind", kind)):
        if value is not None and not isinstance(value, str):
            raise errors.BadRequest(
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {_json_type(value)} "
                f"into Go struct field .{field} of type string"
            )
    version = version.removeprefix("/") if version else version
    if version and version != resource.api_version:
        raise errors.BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
    if kind and kind != resource.kind:
        found, expected = _versioned(resource.api_version, kind), _versioned(resource.api_version, resource.kind)
        raise errors.BadRequest(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"converting ({found}) to ({expected}): unknown conversion"
        )
    obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version


def _versioned(version: str, kind: str) -> str:
    return f"{version}.{kind}"


def metadata_of(obj: Object) -> dict[str, Any]:
    """The object's metadata, made if absent. Raises BadRequest if it is not a mapping."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise errors.BadRequest(
            f'{obj.get("kind", "object")} in version "{obj.get("apiVersion", "")}" cannot be handled as a '
            f"{obj.get('kind', 'object')}: json: cannot unmarshal {_json_type(metadata)} into Go struct field "
            f".metadata of type v1.ObjectMeta"
        )
    return metadata


def _json_type(value: Any) -> str:
    return {str: "string", bool: "bool", list: "array", dict: "object"}.get(type(value), "number")


def check_address(operation: Operation, metadata: dict[str, Any]) -> None:
    """Namespace and name of the body must be the URL's, if they are given. Raises BadRequest."""
    if not operation.resource.namespaced:
        metadata.pop("namespace", None)
    else:
        given = metadata.get("namespace") or ""
        if given and given != operation.namespace:
            raise errors.BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = operation.namespace
    name = metadata.get("name") or ""
    if operation.name and name and name != operation.name:
        raise errors.BadRequest(
            f"the name of the object ({name}) does not match the name on the URL ({operation.name})"
        )
    if operation.name:
        metadata["name"] = operation.name


def set_new(operation: Operation, metadata: dict[str, Any]) -> None:
    """Identity and birth of a new object."""
    for field in _SERVER_OWNED:
        metadata.pop(field, None)
    _leave_out_empty(metadata)
    metadata["uid"] = operation.server.runtime.uuid()
    metadata["creationTimestamp"] = operation.now


def keep_identity(new: dict[str, Any], old: dict[str, Any]) -> None:
    """An update changes none of what the server owns."""
    for field in _SERVER_OWNED:
        if field in old:
            new[field] = old[field]
        else:
            new.pop(field, None)
    _leave_out_empty(new)
    new["name"] = old["name"]
    if old.get("generateName") and not new.get("generateName"):
        new["generateName"] = old["generateName"]


def _leave_out_empty(metadata: dict[str, Any]) -> None:
    metadata.pop("selfLink", None)
    for field in _LEFT_OUT_IF_EMPTY:
        if not metadata.get(field, True):
            del metadata[field]


def check_unchanged(operation: Operation, new: dict[str, Any], old: dict[str, Any]) -> None:
    """resourceVersion and uid that the client sent must be those of the object. Raises Conflict, Invalid.

    As in the original, "0" is no version: it asks for nothing.
    """
    resource = operation.resource
    version, uid = new.get("resourceVersion") or "", new.get("uid") or ""
    version = "" if version == "0" else version
    if uid and uid != old.get("uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.get('uid', '')}"
        raise errors.conflict(resource.plural, resource.group, operation.name, why)
    if version and version != old["resourceVersion"]:
        if natural(version) is None:
            cause = errors.Cause(
                "FieldValueInvalid",
                f'Invalid value: "{version}": must be an unsigned integer',
                "metadata.resourceVersion",
            )
            raise errors.invalid(resource.kind, resource.group, operation.name, [cause])
        raise errors.conflict(resource.plural, resource.group, operation.name, MODIFIED)
    if not version and not operation.endpoint.strategy.unconditional_update:
        cause = errors.Cause(
            "FieldValueInvalid", "Invalid value: 0: must be specified for an update", "metadata.resourceVersion"
        )
        raise errors.invalid(resource.kind, resource.group, operation.name, [cause])
    new["resourceVersion"] = old["resourceVersion"]

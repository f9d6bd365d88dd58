"""Objects in Kubernetes' protobuf encoding, which kubectl and client-go prefer for built-in kinds.

The bytes are `k8s\\0` and a runtime.Unknown, which names the kind and holds the message.
Invariant: field numbers come from the distilled types of the API's own level, so no field is without one.
Source: "Kubernetes Protobuf encoding" in the API concepts.
"""

from __future__ import annotations

from typing import Any

import orjson

from api.errors import BadRequest, UnsupportedMediaType
from api.objects import Object
from api.protobuf import wire
from api.protobuf.messages import decode_message, encode_message
from api.schema import data

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_UNKNOWN = "io.k8s.apimachinery.pkg.runtime.Unknown"
_JSON = "application/json"


def decode(body: bytes) -> Object:
    """The object as JSON has it. Raises BadRequest for bytes that are none, UnsupportedMediaType for a kind that has
    no protobuf form here."""
    if not body.startswith(_MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = decode_message(_UNKNOWN, body[len(_MAGIC) :], raw_bytes=True)
        api_version, kind = envelope.get("apiVersion", ""), envelope.get("kind", "")
        raw = envelope.get("raw", b"")
        if envelope.get("contentType") == _JSON:
            obj: Any = orjson.loads(raw)
        else:
            obj = decode_message(message_name(api_version, kind), raw)
    except (wire.Malformed, UnicodeDecodeError, orjson.JSONDecodeError, RecursionError) as error:
        raise BadRequest(f"unable to decode protobuf: {error}") from None
    if not isinstance(obj, dict):
        raise BadRequest("unable to decode protobuf: the message is not an object")
    return {"kind": kind, "apiVersion": api_version, **obj}


def encode(obj: Object) -> bytes:
    """The bytes of an object with apiVersion and kind. Raises UnsupportedMediaType for a kind without protobuf form."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    raw = encode_message(message_name(api_version, kind), obj)
    meta = wire.bytes_field(1, api_version.encode()) + wire.bytes_field(2, kind.encode())
    tail = wire.bytes_field(3, b"") + wire.bytes_field(4, b"")
    return _MAGIC + wire.bytes_field(1, meta) + wire.bytes_field(2, raw) + tail


def supports(api_version: str, kind: str) -> bool:
    """Whether that kind has a protobuf form here."""
    return _message_name(api_version, kind) is not None


def message_name(api_version: str, kind: str) -> str:
    """The message of a kind; DeleteOptions and its like have the same one in every group.

    Raises UnsupportedMediaType.
    """
    name = _message_name(api_version, kind)
    if name is None:
        raise UnsupportedMediaType(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    return name


def _message_name(api_version: str, kind: str) -> str | None:
    group, _, version = api_version.rpartition("/")
    known = data.messages()
    for resource in data.resources()["resources"]:
        if resource["group"] == group and resource["version"] == version:
            prefix = resource["definition"].rpartition(".")[0]
            if f"{prefix}.{kind}" in known:
                return f"{prefix}.{kind}"
            break
    return _META + kind if _META + kind in known else None

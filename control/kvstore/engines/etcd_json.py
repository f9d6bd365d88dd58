"""etcd's messages as its JSON gateway writes them: bytes in base64, 64-bit numbers as text, absent means zero.

Invariant: no I/O here; what a function returns depends on its arguments only.
Source: etcd v3 rpc.proto and kv.proto through grpc-gateway's JSON mapping.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from control.kvstore.store import (
    Compare,
    Delete,
    FutureRevision,
    KeyValue,
    LeaseNotFound,
    Operation,
    Put,
    RangeResult,
    StoreError,
    StoreEvent,
    Target,
    TxnResult,
    Unavailable,
)

Message = dict[str, Any]

_RESULTS = {"==": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER"}
_FIELDS = {
    Target.MOD: ("MOD", "mod_revision"),
    Target.VERSION: ("VERSION", "version"),
    Target.CREATE: ("CREATE", "create_revision"),
    Target.VALUE: ("VALUE", "value"),
}
COMPACTED = "required revision has been compacted"
# gRPC codes: the request may have taken effect (deadline exceeded, unavailable, unknown), or surely did not.
_IN_DOUBT = {2, 4, 14}
_RESOURCE_EXHAUSTED = 8


def encode(data: bytes) -> str:
    """Bytes as JSON carries them."""
    return base64.b64encode(data).decode("ascii")


def range_request(key: bytes, end: bytes, limit: int = 0, **options: Any) -> Message:
    """A RangeRequest; with an `end` an empty key means the first."""
    message: Message = {"key": encode(key or b"\x00" if end else key), **options}
    if end:
        message["range_end"] = encode(end)
    if limit:
        message["limit"] = str(limit)
    return message


def compare_request(compare: Compare) -> Message:
    """A Compare. Raises StoreError for an unknown relation or an operand of the wrong type."""
    if compare.op not in _RESULTS:
        raise StoreError(f"unknown comparison {compare.op!r}; use one of {' '.join(_RESULTS)}")
    target, field = _FIELDS[compare.target]
    operand = compare.operand
    if isinstance(operand, bytes) is not (compare.target is Target.VALUE):
        raise StoreError(f"the {compare.target.value} of a key cannot be compared with {operand!r}")
    text = encode(operand) if isinstance(operand, bytes) else str(operand)
    return {"key": encode(compare.key), "target": target, "result": _RESULTS[compare.op], field: text}


def operation_request(operation: Operation) -> Message:
    """A RequestOp."""
    if isinstance(operation, Put):
        put = {"key": encode(operation.key), "value": encode(operation.value), "lease": str(operation.lease)}
        return {"request_put": put}
    if isinstance(operation, Delete):
        return {"request_delete_range": range_request(operation.key, operation.end)}
    return {"request_range": range_request(operation.key, operation.end, operation.limit)}


def key_value(message: Mapping[str, Any]) -> KeyValue:
    """A KeyValue."""
    return KeyValue(
        base64.b64decode(message.get("key", "")),
        base64.b64decode(message.get("value", "")),
        int(message.get("create_revision", 0)),
        int(message.get("mod_revision", 0)),
        int(message.get("version", 0)),
        int(message.get("lease", 0)),
    )


def range_result(message: Mapping[str, Any], revision: int = 0) -> RangeResult:
    """A RangeResponse, as of `revision` or the one in its header."""
    return RangeResult(
        [key_value(item) for item in message.get("kvs", ())],
        bool(message.get("more")),
        int(message.get("count", 0)),
        revision or int(message["header"]["revision"]),
    )


def txn_result(message: Mapping[str, Any]) -> TxnResult:
    """A TxnResponse."""
    revision = int(message["header"]["revision"])
    results: list[RangeResult | int | None] = []
    for response in message.get("responses", ()):
        if "response_range" in response:
            results.append(range_result(response["response_range"], revision))
        elif "response_delete_range" in response:
            results.append(int(response["response_delete_range"].get("deleted", 0)))
        else:
            results.append(None)
    return TxnResult(bool(message.get("succeeded")), revision, results)


def event(message: Mapping[str, Any]) -> StoreEvent:
    """An Event of a watch that asked for previous values."""
    previous = message.get("prev_kv")
    deleted = message.get("type") == "DELETE"
    return StoreEvent(deleted, key_value(message["kv"]), key_value(previous) if previous else None)


def events(messages: Sequence[Mapping[str, Any]]) -> list[StoreEvent]:
    """The events of a WatchResponse, in order."""
    return [event(message) for message in messages]


def error(message: str, code: int) -> StoreError:
    """The exception for a gateway's error, except for compacted revisions, whose number it does not tell."""
    text = message.removeprefix("etcdserver: ")
    if "future revision" in text:
        return FutureRevision(text)
    if "lease not found" in text:
        return LeaseNotFound(text)
    if code == _RESOURCE_EXHAUSTED:
        return Unavailable(f"etcd refuses writes: {text}; free space, compact and disarm its alarm with etcdctl")
    if code in _IN_DOUBT:
        return Unavailable(f"etcd could not answer: {text}", in_doubt=True)
    return StoreError(text)

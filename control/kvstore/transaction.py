"""How a transaction is checked and evaluated: compares choose a branch, the branch runs against a draft.

Invariant: a transaction that raises has changed nothing of the draft: everything that can fail is checked before
the first operation runs.
Source: etcd v3 rpc.proto, messages Compare, TxnRequest.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from control.kvstore.mvcc import Draft, in_range
from control.kvstore.store import (
    Compare,
    Delete,
    LeaseNotFound,
    Operation,
    Put,
    Range,
    RangeResult,
    StoreError,
    Target,
    TxnResult,
)

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


def evaluate(
    draft: Draft,
    compares: Sequence[Compare],
    success: Sequence[Operation],
    failure: Sequence[Operation],
) -> TxnResult:
    """Run the branch that the compares choose. Raises StoreError for a transaction that makes no sense."""
    check_operations(success)
    check_operations(failure)
    succeeded = all(_holds(draft, compare) for compare in compares)
    operations = success if succeeded else failure
    for operation in operations:
        if isinstance(operation, Put) and operation.lease and not draft.has_lease(operation.lease):
            raise LeaseNotFound("requested lease not found")
    draft.begin()
    results = [_run(draft, operation) for operation in operations]
    return TxnResult(succeeded, draft.revision, _at_revision(results, draft.revision))


def check_operations(operations: Sequence[Operation]) -> None:
    """A branch may write each key once, and no key may be empty. Raises StoreError."""
    put: set[bytes] = set()
    for operation in operations:
        if isinstance(operation, Put):
            if not operation.key:
                raise StoreError("key is not provided")
            if operation.key in put:
                raise StoreError("duplicate key given in txn request")
            put.add(operation.key)
    for operation in operations:
        if isinstance(operation, Delete) and any(in_range(key, operation.key, operation.end) for key in put):
            raise StoreError("duplicate key given in txn request")


def check_watched(key: bytes, end: bytes) -> None:
    """A watch needs a range that can hold keys. Raises StoreError."""
    if end and end != b"\x00" and end <= key:
        raise StoreError(f"the watched range from {key!r} to {end!r} is empty")


def writes(operations: Sequence[Operation]) -> bool:
    """Whether the branch may change anything."""
    return any(not isinstance(operation, Range) for operation in operations)


def _holds(draft: Draft, compare: Compare) -> bool:
    relation = _OPERATORS.get(compare.op)
    if relation is None:
        raise StoreError(f"unknown comparison {compare.op!r}; use one of {' '.join(_OPERATORS)}")
    if isinstance(compare.operand, bytes) is not (compare.target is Target.VALUE):
        raise StoreError(f"the {compare.target.value} of a key cannot be compared with {compare.operand!r}")
    entry = draft.get(compare.key)
    if compare.target is Target.VALUE:
        return entry is not None and relation(draft.value(compare.key, entry), compare.operand)
    if entry is None:
        return relation(0, compare.operand)
    if compare.target is Target.MOD:
        return relation(entry.revision, compare.operand)
    if compare.target is Target.CREATE:
        return relation(entry.create_revision, compare.operand)
    return relation(entry.version, compare.operand)


def _run(draft: Draft, operation: Operation) -> RangeResult | int | None:
    if isinstance(operation, Put):
        draft.put(operation.key, operation.value, operation.lease)
        return None
    if isinstance(operation, Delete):
        keys = draft.select(operation.key, operation.end).keys
        draft.delete(keys)
        return len(keys)
    return draft.read(draft.select(operation.key, operation.end, operation.limit), draft.revision)


def _at_revision(results: list[RangeResult | int | None], revision: int) -> list[RangeResult | int | None]:
    # Ranges carry the transaction's revision, also those that ran before its first write.
    return [
        RangeResult(result.items, result.more, result.count, revision) if isinstance(result, RangeResult) else result
        for result in results
    ]

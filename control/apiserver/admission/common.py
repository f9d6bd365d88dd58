"""What several admission plugins need: how a refusal reads, and whether an operation is about a pod's birth.

Invariant: every refusal of admission reads `RESOURCE "NAME" is forbidden: WHY`.
"""

from __future__ import annotations

from collections.abc import Iterable

from api import errors
from api.errors import Cause
from control.apiserver.operation import CREATE, Operation


def forbidden(operation: Operation, why: str, causes: Iterable[Cause] = ()) -> errors.Forbidden:
    """The refusal of an operation."""
    resource = operation.resource
    name = operation.name or "Unknown"
    subject = f'{errors.qualified(resource.plural, resource.group)} "{name}"'
    return errors.Forbidden(
        f"{subject} is forbidden: {why}", name=operation.name, group=resource.group, kind=resource.plural, causes=causes
    )


def is_for(operation: Operation, group: str, plural: str) -> bool:
    """Whether the operation is on the main resource of that name."""
    resource = operation.resource
    return resource.plural == plural and resource.group == group and not operation.subresource


def creates_pod(operation: Operation) -> bool:
    """Whether a pod is being created."""
    return operation.verb == CREATE and is_for(operation, "", "pods")

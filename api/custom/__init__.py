"""Custom resources: what a CustomResourceDefinition makes of the JSON that claims to be one of its objects.

Invariant: a `CustomSchema` is compiled once from a version's openAPIV3Schema and then only reads; objects given to it
are not changed.
Source: "Custom Resources" and "Extend the Kubernetes API with CustomResourceDefinitions" in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.custom import defaulting, pruning, structure, validating
from api.custom.rules import Rules
from api.errors import Cause
from api.objects import Object
from api.schema import OBJECT_META
from api.schema.check import CheckResult, check


class CustomSchema:
    """One version's schema: `decode` on the way in, `validate` before storing, `shape` for server-side apply."""

    def __init__(self, schema: Mapping[str, Any] | None, preserve_unknown: bool = False) -> None:
        """`schema` is openAPIV3Schema, absent for definitions that keep everything (`preserveUnknownFields`)."""
        self.schema: Mapping[str, Any] = schema or {"type": "object", structure.PRESERVE: True}
        self._preserve = preserve_unknown or not schema
        self._validate = validating.compiled(self.schema)
        self._rules = Rules(self.schema)

    def decode(self, obj: Object) -> CheckResult:
        """The object without unknown fields and with defaults, and what was dropped.

        Causes are those of metadata that cannot be read.
        """
        result = self.known(obj)
        result.obj = self.filled(result.obj)
        return result

    def filled(self, obj: Object) -> Object:
        """The object with its defaults."""
        return dict(defaulting.with_defaults(self.schema, obj))

    def known(self, obj: Object) -> CheckResult:
        """As `decode`, without the defaults: what somebody applies is not what the schema adds."""
        result = CheckResult(obj)
        pruned = obj if self._preserve else pruning.prune(self.schema, obj, result.unknown)
        metadata = check(OBJECT_META, obj.get("metadata") or {})
        result.causes += [Cause(cause.reason, cause.message, f"metadata.{cause.field}") for cause in metadata.causes]
        result.unknown += [f"metadata.{path}" for path in metadata.unknown]
        result.obj = dict(pruned) | {"metadata": metadata.obj}
        return result

    def prune(self, obj: Object) -> Object:
        """A stored object as this version shows it: without fields it does not know, with its defaults."""
        pruned = obj if self._preserve else pruning.prune(self.schema, obj, [])
        return self.filled(pruned)

    def validate(self, new: Object, old: Object | None = None) -> list[Cause]:
        """What the schema says against an object; values that an update leaves alone are not held against it."""
        found = validating.validate(self._validate, new, old)
        if found or self._rules.is_empty:
            return found
        return self._rules.judge(new, old, "", old is not None)


__all__ = ["CustomSchema"]

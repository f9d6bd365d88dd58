"""Secrets: `stringData` is only a way to write `data`.

Invariant: a stored secret has no stringData.
Source: pkg/apis/core/v1/conversion.go.
"""

from __future__ import annotations

import base64

from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy


class SecretStrategy(Strategy):
    """Secrets."""

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        _merge_string_data(obj)

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_update(operation, new, old)
        _merge_string_data(new)
        if not new.get("type"):
            new["type"] = old.get("type", "Opaque")


def _merge_string_data(obj: Object) -> None:
    texts = obj.pop("stringData", None)
    if texts:
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
        obj["data"] = (obj.get("data") or {}) | encoded

"""CertificateSigningRequests: who asks is what the server saw, never what the request says.

Invariant: spec never changes after creation; approval changes conditions only, and status no decision.
Source: pkg/registry/certificates/certificates/strategy.go.
"""

from __future__ import annotations

from typing import Any

from api.objects import Object
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy

_DECISIONS = ("Approved", "Denied")


class RequestStrategy(Strategy):
    """CertificateSigningRequests."""

    def prepare_create(self, operation: Operation, obj: Object) -> None:
        super().prepare_create(operation, obj)
        spec, user = obj["spec"], operation.user
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}
        obj["status"] = {}

    def prepare_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_update(operation, new, old)
        new["spec"] = old["spec"]

    def prepare_status_update(self, operation: Operation, new: Object, old: Object) -> None:
        super().prepare_status_update(operation, new, old)
        _keep_decision(new, old)
        _stamp(new, old, operation.now)

    def prepare_subresource_update(self, operation: Operation, new: Object, old: Object) -> None:
        new["spec"] = old["spec"]
        conditions = (new.get("status") or {}).get("conditions") or []
        new["status"] = dict(old.get("status") or {}) | {"conditions": conditions}
        _stamp(new, old, operation.now)


def _conditions(obj: Object) -> list[dict[str, Any]]:
    return list((obj.get("status") or {}).get("conditions") or [])


def _keep_decision(new: Object, old: Object) -> None:
    """Who writes status says again what was decided; more or less than that is refused later."""
    for kind in _DECISIONS:
        kept = [condition for condition in _conditions(old) if condition.get("type") == kind]
        said = [index for index, condition in enumerate(_conditions(new)) if condition.get("type") == kind]
        if len(kept) == len(said):
            for index, condition in zip(said, kept):
                new["status"]["conditions"][index] = condition


def _stamp(new: Object, old: Object, now: str) -> None:
    before = {condition.get("type"): condition for condition in _conditions(old)}
    for condition in _conditions(new):
        known = before.get(condition.get("type"))
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = known is not None and known.get("status") == condition.get("status")
            condition["lastTransitionTime"] = known["lastTransitionTime"] if known and same else now

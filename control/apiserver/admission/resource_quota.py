"""ResourceQuota: what a namespace may hold, exactly, also when many create at once.

The quota's status is raised by a conditional write before the object is stored; the quota controller lowers it
again when objects go, or when a create failed after that.

Invariant: the sum of what was admitted never exceeds `hard`, whatever runs at the same time on how many servers.
Source: plugin/pkg/admission/resourcequota.
"""

from __future__ import annotations

from api import quota
from api.objects import Object
from api.quantities import ZERO, Quantity, parse
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import CREATE, UPDATE, Operation
from control.apiserver.storage import Stored

_CHANGING = frozenset({"services", "persistentvolumeclaims"})
_COMPUTE_PREFIXES = ("requests.", "limits.")
# Of later resources a quota does not make anybody say anything.
_SAID = frozenset({"cpu", "memory"})


class ResourceQuota(PluginBase):
    """Charges namespaces that have quotas."""

    def handles(self, operation: Operation) -> bool:
        resource = operation.resource
        if not resource.namespaced or (operation.subresource and operation.subresource != "resize"):
            return False
        if operation.verb == UPDATE and resource.group == "":
            return resource.plural in _CHANGING or (resource.plural == "pods" and operation.subresource == "resize")
        return operation.verb == CREATE

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        server = operation.server
        quotas = server.cache.collection("", "resourcequotas").select(operation.namespace)
        if not quotas:
            return
        resource = operation.endpoint.storage
        usage = quota.usage_of(resource, new)
        before = {} if old is None else quota.usage_of(resource, old)
        more = {name: usage.get(name, ZERO) - before.get(name, ZERO) for name in {*usage, *before}}
        for cached in quotas:
            spec = cached.object().get("spec") or {}
            if quota.covers(spec, resource, new):
                joins = old is not None and not quota.covers(spec, resource, old)
                self._charge(operation, cached.fields["metadata.name"], new, usage if joins else more)

    def _charge(self, operation: Operation, name: str, new: Object, delta: quota.Usage) -> None:
        """Raise the used amounts of a quota. Raises Forbidden."""
        endpoint = operation.server.endpoint("", "v1", "resourcequotas")
        key = endpoint.key(operation.namespace, name)

        def change(current: Stored) -> Object:
            obj = current.object()
            charged = _charged(operation, obj, new, delta)
            if charged:
                obj.setdefault("status", {}).setdefault("used", {}).update(charged)
            return obj

        if operation.dry_run:
            change(operation.server.storage.get(key))
        else:
            operation.server.storage.update(key, change)


def _charged(operation: Operation, obj: Object, new: Object, delta: quota.Usage) -> dict[str, str]:
    """The new used amounts of a quota. Raises Forbidden if one exceeds its limit or a needed one is not said."""
    name, status = obj["metadata"]["name"], obj.get("status") or {}
    hard = {key: parse(text) for key, text in ((obj.get("spec") or {}).get("hard") or {}).items()}
    used = {key: parse(text) for key, text in (status.get("used") or {}).items()}
    if operation.resource.plural == "pods":
        _check_said(operation, name, hard, new)
    relevant = {key: amount for key, amount in delta.items() if key in hard and amount != ZERO}
    if relevant and not status.get("hard"):
        missing = ",".join(sorted(relevant))
        raise forbidden(operation, f"status unknown for quota: {name}, resources: {missing}")
    raised = {key: used.get(key, ZERO) + amount for key, amount in relevant.items()}
    exceeded = sorted(key for key, amount in raised.items() if relevant[key] > ZERO and hard[key] < amount)
    if exceeded:

        def shown(amounts: dict[str, Quantity]) -> str:
            return ",".join(f"{key}={amounts.get(key, ZERO)}" for key in exceeded)

        raise forbidden(
            operation,
            f"exceeded quota: {name}, requested: {shown(relevant)}, used: {shown(used)}, limited: {shown(hard)}",
        )
    return {key: str(amount) for key, amount in raised.items()}


def _check_said(operation: Operation, name: str, hard: dict[str, Quantity], pod: Object) -> None:
    """A quota on cpu or memory makes every container say what it wants."""
    wanted = sorted(key for key in hard if key in _SAID or _is_compute(key))
    whole = pod["spec"].get("resources") or {}
    containers = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    missing = []
    for key in wanted:
        kind, resource = (
            ("limits", key[7:]) if key.startswith("limits.") else ("requests", key.removeprefix("requests."))
        )
        if resource in (whole.get(kind) or {}):
            continue
        silent = [one["name"] for one in containers if resource not in ((one.get("resources") or {}).get(kind) or {})]
        if silent:
            missing.append(f"{key} for: {','.join(sorted(silent))}")
    if missing:
        raise forbidden(operation, f"failed quota: {name}: must specify {'; '.join(missing)}")


def _is_compute(key: str) -> bool:
    return any(key.removeprefix(prefix) in _SAID for prefix in _COMPUTE_PREFIXES if key.startswith(prefix))

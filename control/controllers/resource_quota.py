"""Resource quota: keeps `status.used` true; admission counts up between two looks, this counts anew.

Invariant: what is written is the sum over what the server lists, so that an error of admission does not last; but
nothing is given back while an object that was charged may still be on its way into the lists.
Source: kubernetes pkg/controller/resourcequota and pkg/quota/v1/evaluator/core (what counts, scopes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from api.loop import Loop
from api.objects import Object, copy, is_deleting, key_of, namespace_of
from api.quantities import ZERO, Quantity, parse
from control.controllers.context import Context
from control.controllers.pods import phase_of

_RESOURCE = "resourcequotas"
_PERIOD = 300.0
# Deletions come in crowds: they are counted once for all.
_SETTLE = 0.5
# For so long after a charge its object may not be in the store or not in our informers yet.
_IN_FLIGHT = 10.0
_COUNTED = {
    "pods": "pods",
    "services": "services",
    "replicationcontrollers": "replicationcontrollers",
    "resourcequotas": "resourcequotas",
    "secrets": "secrets",
    "configmaps": "configmaps",
    "persistentvolumeclaims": "persistentvolumeclaims",
    "count/deployments.apps": "deployments.apps",
    "count/replicasets.apps": "replicasets.apps",
    "count/statefulsets.apps": "statefulsets.apps",
    "count/jobs.batch": "jobs.batch",
    "count/cronjobs.batch": "cronjobs.batch",
}


def applies(quota: Object, pod: Object) -> bool:
    """Whether a pod is within the quota's scopes."""
    spec = quota["spec"]
    scopes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or []]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_in_scope(one, pod) for one in scopes)


def pod_usage(pod: Object) -> dict[str, Quantity]:
    """What a pod takes of a quota; nothing once it has ended."""
    found: dict[str, Quantity] = {"count/pods": parse(1)}
    if phase_of(pod) in ("Succeeded", "Failed"):
        return found
    found["pods"] = parse(1)
    for kind in ("requests", "limits"):
        for name, value in pod_resources(pod["spec"], kind).items():
            found[f"{kind}.{name}"] = value
            if kind == "requests":
                found[name] = value
    return found


def pod_resources(spec: Mapping[str, object], kind: str) -> dict[str, Quantity]:
    """The sum over containers, or the largest init container where that is more, plus overhead."""
    total = _sum(_resources(one, kind) for one in _list(spec, "containers"))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for one in _list(spec, "initContainers"):
        own = _resources(one, kind)
        if one.get("restartPolicy") == "Always":
            sidecars = _sum([sidecars, own])
            peak = _highest(peak, sidecars)
        else:
            peak = _highest(peak, _sum([sidecars, own]))
    total = _highest(_sum([total, sidecars]), peak)
    overhead = spec.get("overhead")
    extra = {name: parse(text) for name, text in overhead.items()} if isinstance(overhead, dict) else {}
    return _sum([total, extra]) if total else total


def used(
    quota: Object,
    pods: Iterable[Object],
    counts: Mapping[str, int],
    services: Iterable[Object],
    claims: Iterable[Object],
) -> dict[str, str]:
    """`status.used` for every resource of the quota's `hard`."""
    hard = quota["spec"].get("hard") or {}
    total = _sum(pod_usage(pod) for pod in pods if applies(quota, pod))
    total |= {name: parse(count) for name, count in counts.items() if not name.startswith(("pods", "count/pods"))}
    total |= {f"count/{name}": parse(count) for name, count in counts.items() if "/" not in name and name != "pods"}
    total = _sum([total, *map(_service_usage, services), *map(_claim_usage, claims)])
    return {name: str(total.get(name, ZERO)) for name in hard}


def _service_usage(service: Object) -> dict[str, Quantity]:
    kind = service["spec"].get("type")
    ports = len(service["spec"].get("ports") or [])
    if kind == "NodePort":
        return {"services.nodeports": parse(ports)}
    return {"services.loadbalancers": parse(1), "services.nodeports": parse(ports)} if kind == "LoadBalancer" else {}


def _claim_usage(claim: Object) -> dict[str, Quantity]:
    size = parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or 0)
    found = {"requests.storage": size}
    storage_class = claim["spec"].get("storageClassName")
    if storage_class:
        prefix = f"{storage_class}.storageclass.storage.k8s.io"
        found |= {f"{prefix}/requests.storage": size, f"{prefix}/persistentvolumeclaims": parse(1)}
    return found


def _in_scope(scope: Mapping[str, object], pod: Object) -> bool:
    spec = pod["spec"]
    name, values = scope["scopeName"], scope.get("values") or []
    if name in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        best_effort = not any(pod_resources(spec, kind) for kind in ("requests", "limits"))
        return best_effort == (name == "BestEffort")
    if name == "PriorityClass":
        present = spec.get("priorityClassName") or ""
        inside = present in values if isinstance(values, list) else False
        operator = scope.get("operator")
        return {"In": inside, "NotIn": not inside, "Exists": bool(present)}.get(str(operator), not present)
    return name != "CrossNamespacePodAffinity"


def _list(spec: Mapping[str, object], name: str) -> Sequence[Object]:
    found = spec.get(name)
    return found if isinstance(found, list) else []


def _resources(container: Object, kind: str) -> dict[str, Quantity]:
    return {name: parse(text) for name, text in ((container.get("resources") or {}).get(kind) or {}).items()}


def _sum(parts: Iterable[Mapping[str, Quantity]]) -> dict[str, Quantity]:
    total: dict[str, Quantity] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def _highest(left: Mapping[str, Quantity], right: Mapping[str, Quantity]) -> dict[str, Quantity]:
    found = dict(left)
    for name, value in right.items():
        if name not in found or found[name] < value:
            found[name] = value
    return found


class ResourceQuotaController(Loop):
    """The shell."""

    name = "resourcequota-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # By quota: the amounts last seen, and when each of them was last charged by admission.
        self._seen: dict[str, dict[str, str]] = {}
        self._charged: dict[str, dict[str, float]] = {}
        self._quotas = self.watch(_RESOURCE)
        self._quotas.add_handler(self._on_quota)
        self._counted = {name: context.informers.of(resource) for name, resource in _COUNTED.items()}
        for informer in self._counted.values():
            informer.add_index("namespace", lambda obj: (namespace_of(obj),))
            informer.add_handler(self._on_change)

    def reconcile(self, key: str) -> float | None:
        """Count, and write what differs."""
        quota = self._quotas.get(key)
        if quota is None or is_deleting(quota):
            return None
        namespace = namespace_of(quota)
        present = {name: informer.by_index("namespace", namespace) for name, informer in self._counted.items()}
        counts = {name: len(objects) for name, objects in present.items()}
        counted = used(quota, present["pods"], counts, present["services"], present["persistentvolumeclaims"])
        held = self._held(key, (quota.get("status") or {}).get("used") or {}, counted)
        status = {"hard": quota["spec"].get("hard") or {}, "used": counted | held}
        if status != (quota.get("status") or {}):
            self._seen[key] = status["used"]
            self.client.update_status(_RESOURCE, copy(quota) | {"status": status})
        return _IN_FLIGHT if held else _PERIOD

    def _held(self, key: str, shown: Mapping[str, str], counted: Mapping[str, str]) -> dict[str, str]:
        """The amounts that are higher than what was counted, and may yet turn out to be right."""
        soonest = self.runtime.monotonic() - _IN_FLIGHT
        charged = self._charged.get(key, {})
        return {
            name: shown[name]
            for name, amount in counted.items()
            if name in shown and parse(amount) < parse(shown[name]) and charged.get(name, soonest) > soonest
        }

    def _on_quota(self, old: Object | None, new: Object | None) -> None:
        """Whatever differs from what we saw or wrote last was charged by admission."""
        key = key_of(new or old or {})
        if new is None:
            self._seen.pop(key, None)
            self._charged.pop(key, None)
            return
        shown, seen = (new.get("status") or {}).get("used") or {}, self._seen.get(key, {})
        now, charged = self.runtime.monotonic(), self._charged.setdefault(key, {})
        charged.update({name: now for name, amount in shown.items() if seen.get(name) != amount})
        self._seen[key] = dict(shown)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        """Something went or ended: what it took is free again. What came was counted by admission."""
        if old is None:
            return
        if new is not None and ("containers" not in new.get("spec", {}) or phase_of(old) == phase_of(new)):
            return
        for quota in self._quotas.items(namespace_of(old)):
            self.queue.add_after(key_of(quota), _SETTLE)

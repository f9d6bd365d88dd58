"""Priority: the class that a pod names, as a number.

Invariant: a stored pod's priority is that of its class; at most one class is everybody's default.
Source: plugin/pkg/admission/priority.
"""

from __future__ import annotations

from api.objects import Object
from control.apiserver.admission.common import forbidden, is_for
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.operation import CREATE, UPDATE, Operation

GROUP = "scheduling.k8s.io"
SYSTEM_CLASSES = {
    "system-node-critical": (
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
}


class Priority(PluginBase):
    """Keeps the classes at hand."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._classes: dict[str, Object] = {}
        cache.collection(GROUP, "priorityclasses").observe(self._changed)

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is not None:
            self._classes[new.key] = new.object()
        elif old is not None:
            self._classes.pop(old.key, None)

    def _class(self, name: str) -> Object | None:
        """The class of that name, also one that was made only now."""
        if name not in self._classes:
            self._cache.catch_up()
        return self._classes.get(name)

    def handles(self, operation: Operation) -> bool:
        if operation.verb not in (CREATE, UPDATE):
            return False
        return is_for(operation, "", "pods") or is_for(operation, GROUP, "priorityclasses")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        if operation.resource.plural != "pods":
            return new
        spec = new["spec"]
        if old is not None:
            # A client that does not know the computed fields must not seem to take them away.
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and old["spec"].get(field) is not None:
                    spec[field] = old["spec"][field]
            return new
        name = spec.get("priorityClassName") or self._default_name()
        priority, policy = 0, "PreemptLowerPriority"
        if name:
            found = self._class(name)
            if found is None:
                raise forbidden(operation, f"no PriorityClass with name {name} was found")
            spec["priorityClassName"] = name
            priority, policy = found.get("value", 0), found.get("preemptionPolicy") or policy
        given = spec.get("priority")
        if given is not None and given != priority:
            raise forbidden(
                operation,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given PriorityClass name",
            )
        spec["priority"] = priority
        if spec.get("preemptionPolicy") not in (None, policy):
            raise forbidden(
                operation,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["preemptionPolicy"] = policy
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if operation.resource.plural != "priorityclasses" or not new.get("globalDefault"):
            return
        for name, found in self._classes.items():
            if found.get("globalDefault") and name != operation.name:
                raise forbidden(
                    operation,
                    f"PriorityClass {name} is already marked as default. Only one default can exist",
                )

    def _default_name(self) -> str:
        defaults = [found for found in self._classes.values() if found.get("globalDefault")]
        lowest = min(defaults, key=lambda found: int(found.get("value", 0)), default=None)
        return str(lowest["metadata"]["name"]) if lowest else ""

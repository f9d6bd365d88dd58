"""Claims, volumes and classes as the scheduler sees them, and which nodes they leave a pod.

Invariant: a volume picked for a claim, but not known to be bound yet, is offered to no other claim.
Source: kube-scheduler VolumeBinding (binder.go), VolumeRestrictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api import volumes
from api.node_selection import matches_any
from api.objects import Object, annotations_of, controller_of, is_deleting, key_of, name_of, uid_of
from control.scheduler.pod import PodInfo

if TYPE_CHECKING:
    from control.scheduler.snapshot import NodeInfo


@dataclass(frozen=True, slots=True)
class Needs:
    """A pod's claims: volumes it is `bound` to already, claims that are `delayed` until it has a node.

    `lost`: a claim is bound to a volume that is not there. `problem` says why the pod can go nowhere, or is "".
    """

    problem: str = ""
    bound: tuple[Object, ...] = ()
    delayed: tuple[Object, ...] = ()
    lost: bool = False


@dataclass(slots=True)
class Bindings:
    """What is to be bound with the pod: (claim, volume) pairs, and claims for which a volume is to be made."""

    static: list[tuple[Object, Object]] = field(default_factory=list)
    dynamic: list[Object] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.static or self.dynamic)


class Volumes:
    """The state, fed by the informers. `taken` are volumes picked here: name to claim key."""

    def __init__(self) -> None:
        self.claims: dict[str, Object] = {}
        self.persistent: dict[str, Object] = {}
        self.classes: dict[str, Object] = {}
        self.taken: dict[str, str] = {}
        # Of nodes whose CSI drivers name one: driver to the most volumes that the node takes.
        self.limits: dict[str, dict[str, int]] = {}

    def set_claim(self, old: Object | None, new: Object | None) -> None:
        """A claim came, changed or went."""
        _store(self.claims, old, new)

    def set_volume(self, old: Object | None, new: Object | None) -> None:
        """A volume came, changed or went."""
        _store(self.persistent, old, new)

    def set_class(self, old: Object | None, new: Object | None) -> None:
        """A class came, changed or went."""
        _store(self.classes, old, new)

    def set_csi_node(self, old: Object | None, new: Object | None) -> None:
        """What a node's CSI drivers can do came, changed or went."""
        drivers = ((new or {}).get("spec") or {}).get("drivers") or []
        counts = {one["name"]: (one.get("allocatable") or {}).get("count") for one in drivers}
        limits = {driver: int(count) for driver, count in counts.items() if count is not None}
        name = name_of(new or old or {})
        if limits:
            self.limits[name] = limits
        else:
            self.limits.pop(name, None)

    def needs(self, pod: PodInfo) -> Needs:
        """What the pod's claims ask of a node."""
        problem = next(filter(None, (_problem(pod, key, self.claims.get(key)) for key in pod.claims)), "")
        if problem:
            return Needs(problem)
        bound: list[Object] = []
        delayed: list[Object] = []
        lost = False
        for claim in (self.claims[key] for key in pod.claims):
            if volumes.is_bound(claim):
                volume = self.persistent.get(claim["spec"]["volumeName"])
                if volume is None:
                    lost = True
                else:
                    bound.append(volume)
            elif not claim["spec"].get("volumeName") and volumes.waits_for_consumer(
                self.classes.get(volumes.class_of(claim))
            ):
                delayed.append(claim)
            else:
                return Needs("pod has unbound immediate PersistentVolumeClaims")
        return Needs("", tuple(bound), tuple(delayed), lost)

    def candidates(self, needs: Needs) -> dict[str, list[Object]]:
        """For each delayed claim the volumes that would do, wherever they are."""
        return {
            key_of(claim): [one for one in self.persistent.values() if self._free(one, claim)]
            for claim in needs.delayed
        }

    def place(self, needs: Needs, candidates: dict[str, list[Object]], node: NodeInfo) -> Bindings | None:
        """How the delayed claims are bound on that node; None if they cannot be."""
        found = Bindings()
        used: set[str] = set()
        for claim in needs.delayed:
            selected = annotations_of(claim).get(volumes.SELECTED_NODE)
            if selected and selected != node.name:
                return None
            usable = [one for one in candidates[key_of(claim)] if name_of(one) not in used]
            volume = volumes.find(claim, usable, lambda one: volumes.reaches(one, node.name, node.labels))
            if volume is not None:
                used.add(name_of(volume))
                found.static.append((claim, volume))
            elif self._can_be_made(claim, node):
                found.dynamic.append(claim)
            else:
                return None
        return found

    def reserve(self, pod: PodInfo, node: NodeInfo) -> Bindings:
        """Pick volumes for the pod on its node, until `release` or until the API shows them bound."""
        needs = self.needs(pod)
        found = self.place(needs, self.candidates(needs), node) or Bindings()
        for claim, volume in found.static:
            self.taken[name_of(volume)] = key_of(claim)
        return found

    def release(self, found: Bindings) -> None:
        """The picked volumes are free again, or known to be taken."""
        for _, volume in found.static:
            self.taken.pop(name_of(volume), None)

    def unbound(self, claims: Iterable[Object]) -> list[str]:
        """Keys of those claims that the API does not show as bound yet."""
        return [key_of(one) for one in claims if not volumes.is_bound(self.claims.get(key_of(one)) or one)]

    def _free(self, volume: Object, claim: Object) -> bool:
        return self.taken.get(name_of(volume), key_of(claim)) == key_of(claim) and volumes.suits(claim, volume)

    def _can_be_made(self, claim: Object, node: NodeInfo) -> bool:
        storage_class = self.classes.get(volumes.class_of(claim))
        if storage_class is None or not volumes.provisions(storage_class):
            return False
        topologies: Sequence[Object] = storage_class.get("allowedTopologies") or []
        terms = [
            {
                "matchExpressions": [
                    {"key": one["key"], "operator": "In", "values": one.get("values") or []}
                    for one in term.get("matchLabelExpressions") or []
                ]
            }
            for term in topologies
        ]
        return not terms or matches_any(terms, node.name, node.labels)


def _problem(pod: PodInfo, key: str, claim: Object | None) -> str:
    """Why a claim keeps the pod from being placed at all."""
    name = key.rpartition("/")[2]
    ephemeral = any(
        one.get("ephemeral") and volumes.ephemeral_claim_name(pod.pod, one) == name
        for one in pod.spec.get("volumes") or []
    )
    if claim is None and ephemeral:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if ephemeral and (controller_of(claim) or {}).get("uid") != pod.uid:
        return f"PVC {key} was not created for pod {pod.key} (pod is not owner)"
    return ""


def _store(known: dict[str, Object], old: Object | None, new: Object | None) -> None:
    if old is not None and (new is None or uid_of(old) != uid_of(new)):
        known.pop(key_of(old), None)
    if new is not None:
        known[key_of(new)] = new

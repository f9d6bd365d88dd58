"""StatefulSet: the shell around `statefulset_rules`.

Invariant: a pod is created only after its claims exist; a claim is deleted only if the retention policy says so.
Source: kubernetes pkg/controller/statefulset (events, claim retention).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from api.errors import AlreadyExists, ApiError, NotFound
from api.loop import Loop, owner_keys
from api.objects import Object, copy, is_deleting, key_of, name_of, namespace_of, owner_reference, uid_of
from api.resources import find
from api.selectors import LabelSelector
from control.controllers.batches import slow_start
from control.controllers.claims import Claimer, claimant_keys
from control.controllers.context import Context
from control.controllers.ledger import Ledger
from control.controllers.pods import phase_of
from control.controllers.replicaset import tell
from control.controllers.revisions import Revisions, template_of
from control.controllers.statefulset_rules import (
    Revision,
    Steps,
    claims_for,
    decide,
    is_stale,
    ordinal_of,
    status,
    wanted_ordinals,
)

_CLAIMS = "persistentvolumeclaims"
# Until the claim of a pod that was scaled away is gone as well.
_CLAIM_PAUSE = 1.0


class StatefulSetController(Loop):
    """The shell."""

    name: ClassVar[str] = "statefulset-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._resource = find("statefulsets.apps")
        self._sets = self.watch(self._resource)
        self._pods = self.watch("pods", claimant_keys(self._sets))
        self._claims = context.informers.of(_CLAIMS)
        self._revisions = Revisions(
            context.client, self.watch("controllerrevisions.apps", owner_keys("StatefulSet", "apps")), self._resource
        )
        self._claimer = Claimer(context.client, self._pods, self._resource)
        self._ledger = Ledger(self._pods)

    def reconcile(self, key: str) -> float | None:
        """One step, then the status."""
        found = self._sets.get(key)
        if found is None:
            return None
        pods = self._own(key, found)
        current, update = self._revisions_of(found)
        now = self.runtime.time()
        steps = decide(found, pods, current, update, now)
        # A claim that is to go with its pod has to know it before that goes: afterwards nobody would tell it.
        self._retain(found, pods)
        error = self._carry_out(found, steps)
        for pod in pods:
            if phase_of(pod) == "Pending" and not is_deleting(pod) and not is_deleting(found):
                # It may wait for a claim that somebody deleted.
                self._make_claims(found, pod)
        pods = self._own(key, found) if steps.create or steps.delete else pods
        again = self._report(found, pods, current, update)
        live = {pod["metadata"].get("labels", {}).get("controller-revision-hash") or "" for pod in pods}
        self._revisions.clean(found, live | {current.name, update.name})
        if error is not None:
            raise error
        return again

    def _own(self, key: str, found: Object) -> list[Object]:
        claimed = self._claimer.claim(found, LabelSelector.from_json(found["spec"]["selector"]))
        return [pod for pod in self._ledger.view(key, claimed) if ordinal_of(found, pod) >= 0]

    def _revisions_of(self, found: Object) -> tuple[Revision, Revision]:
        state = found.get("status") or {}
        latest = self._revisions.current(found, int(state.get("collisionCount") or 0))
        update = Revision(name_of(latest), template_of(latest))
        for one in self._revisions.of(found):
            if name_of(one) == state.get("currentRevision"):
                return Revision(name_of(one), template_of(one)), update
        return update, update

    def _carry_out(self, found: Object, steps: Steps) -> ApiError | None:
        for pod in steps.delete:
            self._tell_of_end(found, pod)
        try:
            slow_start(self.runtime, self.name, steps.delete, lambda pod: self._delete(found, pod))
            slow_start(self.runtime, self.name, steps.create, lambda pod: self._create(found, pod))
        except ApiError as error:
            return error
        return None

    def _tell_of_end(self, found: Object, pod: Object) -> None:
        what = f"StatefulSet {key_of(found)} is recreating"
        if phase_of(pod) == "Failed":
            self.events.warning(found, "RecreatingFailedPod", f"{what} failed Pod {name_of(pod)}")
        elif phase_of(pod) == "Succeeded":
            self.events.normal(found, "RecreatingTerminatedPod", f"{what} terminated Pod {name_of(pod)}")

    def _create(self, found: Object, pod: Object) -> None:
        if self._has_stale_claim(found, pod):
            self.queue.add_after(key_of(found), _CLAIM_PAUSE)
            return
        self._make_claims(found, pod)
        what = f"create Pod {name_of(pod)} in StatefulSet {name_of(found)}"
        try:
            made = self.client.create("pods", pod)
        except AlreadyExists:
            return
        except ApiError as error:
            tell(self.events, found, "FailedCreate", f"{what} failed error: {error}")
            raise
        self._ledger.created(key_of(found), made)
        tell(self.events, found, "SuccessfulCreate", f"{what} successful")

    def _has_stale_claim(self, found: Object, pod: Object) -> bool:
        claims = [self._claims.get(key_of(one)) for one in claims_for(found, ordinal_of(found, pod))]
        return any(one is not None and is_stale(found, one, pod) for one in claims)

    def _make_claims(self, found: Object, pod: Object) -> None:
        for claim in claims_for(found, ordinal_of(found, pod)):
            if self._claims.get(key_of(claim)) is not None:
                continue
            what = f"create Claim {name_of(claim)} Pod {name_of(pod)} in StatefulSet {name_of(found)}"
            try:
                self.client.create(_CLAIMS, claim)
            except AlreadyExists:
                continue
            except ApiError as error:
                tell(self.events, found, "FailedCreate", f"{what} failed error: {error}")
                raise
            tell(self.events, found, "SuccessfulCreate", f"{what} success")

    def _delete(self, found: Object, pod: Object) -> None:
        what = f"delete Pod {name_of(pod)} in StatefulSet {name_of(found)}"
        try:
            self.client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))
        except NotFound:
            return
        except ApiError as error:
            tell(self.events, found, "FailedDelete", f"{what} failed error: {error}")
            raise
        self._ledger.deleted(key_of(found), pod)
        tell(self.events, found, "SuccessfulDelete", f"{what} successful")

    def _retain(self, found: Object, pods: Sequence[Object]) -> None:
        """Let claims be deleted with the set or with a pod scaled away, if the policy says so."""
        policy = found["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if not found["spec"].get("volumeClaimTemplates"):
            return
        wanted = wanted_ordinals(found)
        for pod in pods:
            ordinal = ordinal_of(found, pod)
            owners: list[Object] = []
            if policy.get("whenScaled") == "Delete" and ordinal not in wanted:
                owners = [owner_reference(pod, api_version="v1", kind="Pod", controller=False)]
            elif policy.get("whenDeleted") == "Delete":
                owners = [owner_reference(found, api_version="apps/v1", kind="StatefulSet")]
            for claim in claims_for(found, ordinal):
                self._own_claim(found, pod, key_of(claim), owners)

    def _own_claim(self, found: Object, pod: Object, key: str, owners: list[Object]) -> None:
        claim = self._claims.get(key)
        if claim is None or is_deleting(claim):
            return
        ours = {uid_of(found), uid_of(pod)}
        present = claim["metadata"].get("ownerReferences") or []
        wanted = [one for one in present if one["uid"] not in ours] + owners
        if wanted != present:
            changed = copy(claim)
            changed["metadata"]["ownerReferences"] = wanted
            self.client.update(_CLAIMS, changed)

    def _report(self, found: Object, pods: Sequence[Object], current: Revision, update: Revision) -> float | None:
        wanted, again = status(found, pods, current, update, self.runtime.time())
        if wanted != (found.get("status") or {}):
            changed = copy(found)
            changed["status"] = wanted
            self.client.update_status(self._resource, changed)
        return again

"""PV binder: the shell around `volume_rules`, and the provisioner of directories on nodes.

Keys are `claim NAMESPACE/NAME` and `volume NAME`. First the volume names the claim, then the claim the volume: a
binding that was broken off in between is completed by whoever looks next.

Invariant: a volume's data are given up only if its claim is gone by the server's own answer.
Source: kubernetes pkg/controller/volume/persistentvolume.
"""

from __future__ import annotations

from typing import ClassVar

from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.loop import Loop
from api.objects import Object, annotations_of, copy, is_deleting, key_of, name_of, namespace_of, uid_of
from api.transport import TransportError
from api.volumes import LOCAL_PATH, PROVISIONED_BY, SELECTED_NODE, claim_keys, class_of, default_class, refers_to
from control.controllers import volume_rules as rules
from control.controllers.context import Context
from control.controllers.local_directories import FINALIZER, LocalDirectories, NotReachable, is_ours, may_end
from control.controllers.protection import with_finalizer

_CLAIMS, _VOLUMES, _CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
_OLD_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
_RETRY = 15.0


class VolumeBinder(Loop):
    """The shell."""

    name: ClassVar[str] = "persistentvolume-controller"
    workers = 4

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._claims = self.watch(_CLAIMS, lambda claim: (f"claim {key_of(claim)}", *_volume_keys(claim)))
        self._volumes = self.watch(_VOLUMES, lambda volume: (f"volume {name_of(volume)}", *_claim_keys(volume)))
        self._classes = context.informers.of(_CLASSES)
        self._classes.add_handler(self._on_class)
        self._pods = context.informers.of("pods")
        self._pods.add_index("namespace", lambda pod: (namespace_of(pod),))
        self._nodes = context.informers.of("nodes")
        self._directories = LocalDirectories(self.client, self._nodes)

    def reconcile(self, key: str) -> float | None:
        """Bring one claim or one volume a step further."""
        kind, _, name = key.partition(" ")
        try:
            return self._claim(name) if kind == "claim" else self._volume(name)
        except Conflict:
            # The informer lags behind; it will show the object again.
            return 0.05
        except NotFound:
            return None

    def _claim(self, key: str) -> float | None:
        claim = self._claims.get(key)
        if claim is None or (is_deleting(claim) and not claim["spec"].get("volumeName")):
            return None
        claim = self._with_default_class(claim)
        named = self._volumes.get(claim["spec"].get("volumeName") or "")
        storage_class = self._classes.get(class_of(claim))
        pods = self._pods.by_index("namespace", namespace_of(claim))
        consumer = rules.consumer_of(claim, pods, claim_keys)
        match rules.decide_claim(claim, self._volumes.items(), storage_class, named, consumer):
            case rules.Bind(volume):
                self._bind(claim, volume)
            case rules.Provision(found):
                self._report(claim, "Pending")
                return self._provision(claim, found)
            case rules.Lose(reason, message):
                if (claim.get("status") or {}).get("phase") != "Lost":
                    self._report(claim, "Lost")
                    self.events.warning(claim, reason, message)
            case rules.Pend(kind, reason, message):
                self._report(claim, "Pending")
                if reason:
                    self.events.record(claim, kind, reason, message)
                    return _RETRY
        return None

    def _with_default_class(self, claim: Object) -> Object:
        """A claim that leaves its class open gets the default one, also if that came after the claim."""
        spec = claim["spec"]
        if spec.get("storageClassName") is not None or class_of(claim) or spec.get("volumeName"):
            return claim
        default = default_class(self._classes.items())
        if default is None:
            return claim
        changed = copy(claim)
        changed["spec"]["storageClassName"] = name_of(default)
        return self.client.update(_CLAIMS, changed)

    def _bind(self, claim: Object, volume: Object) -> None:
        wanted = rules.bound_volume(volume, claim)
        if wanted is not volume:
            volume = self.client.update(_VOLUMES, wanted)
        self._set_phase(volume, "Bound")
        complete = rules.bound_claim(claim, volume)
        if complete != claim:
            claim = self.client.update(_CLAIMS, complete)
        self._report(claim, "Bound", volume)

    def _report(self, claim: Object, phase: str, volume: Object | None = None) -> None:
        status = rules.claim_status(claim, phase, volume)
        if status != (claim.get("status") or {}):
            self.client.update_status(_CLAIMS, claim | {"status": status})

    def _provision(self, claim: Object, storage_class: Object) -> float | None:
        provisioner = str(storage_class["provisioner"])
        if provisioner != LOCAL_PATH:
            self._announce(claim, rules.DRIVERS.get(provisioner) or provisioner)
            return None
        selected = annotations_of(claim).get(SELECTED_NODE, "")
        node = self._nodes.get(selected)
        if node is None:
            what = f"node {selected} is gone" if selected else "configuration error, no node was specified"
            self.events.warning(
                claim,
                "ProvisioningFailed",
                f'failed to provision volume with StorageClass "{name_of(storage_class)}": {what}',
            )
            if selected:
                self._reschedule(claim)
            return _RETRY
        volume = rules.local_volume(claim, storage_class, node)
        try:
            self.client.create(_VOLUMES, volume)
        except AlreadyExists:
            return None
        self.events.normal(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {name_of(volume)}")
        return None

    def _announce(self, claim: Object, provisioner: str) -> None:
        """Tell a provisioner outside that it is asked."""
        annotations = annotations_of(claim)
        if annotations.get(_PROVISIONER) != provisioner:
            changed = copy(claim)
            changed["metadata"]["annotations"] = dict(annotations) | {
                _PROVISIONER: provisioner,
                _OLD_PROVISIONER: provisioner,
            }
            claim = self.client.update(_CLAIMS, changed)
        self.events.normal(
            claim,
            "ExternalProvisioning",
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered.",
        )

    def _reschedule(self, claim: Object) -> None:
        """Without the node there will be no volume: the scheduler is to choose again."""
        changed = copy(claim)
        changed["metadata"]["annotations"].pop(SELECTED_NODE)
        self.client.update(_CLAIMS, changed)

    def _volume(self, name: str) -> float | None:
        volume = self._volumes.get(name)
        if volume is None:
            return None
        claim = self._claim_of(volume)
        fate = rules.decide_volume(volume, claim)
        if is_deleting(volume):
            # The phase tells its protection that it may go.
            volume = self._set_phase(volume, fate.phase)
            return self._reclaim(volume) if may_end(volume, claim) else None
        if fate.action == "tell" and claim is not None:
            self._tell_of_modes(volume, claim)
        if fate.action == "free":
            volume = self.client.update(_VOLUMES, rules.freed_volume(volume))
        if fate.action != "delete" or PROVISIONED_BY in annotations_of(volume):
            volume = self._set_phase(volume, fate.phase)
            return self._reclaim(volume) if fate.action == "delete" and is_ours(volume) else None
        if (volume.get("status") or {}).get("phase") != "Failed":
            volume = self._set_phase(volume, fate.phase)
            why = f'Error getting deleter volume plugin for volume "{name}": no volume plugin matched'
            self.events.warning(volume, "VolumeFailedDelete", why)
            self._set_phase(volume, "Failed", why)
        return None

    def _tell_of_modes(self, volume: Object, claim: Object) -> None:
        why = "due to incompatible volumeMode."
        to_claim = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{name_of(claim)}" {why}'
        self.events.warning(volume, "VolumeMismatch", to_claim)
        to_volume = f'Cannot bind PersistentVolume "{name_of(volume)}" to requested PersistentVolumeClaim {why}'
        self.events.warning(claim, "VolumeMismatch", to_volume)

    def _reclaim(self, volume: Object) -> float | None:
        """Remove the volume's directory unless it is to be retained, then the volume."""
        try:
            if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
                self._directories.remove(volume)
        except (NotReachable, ApiError, TransportError) as error:
            self.events.warning(volume, "VolumeFailedDelete", str(error))
            return _RETRY
        freed = with_finalizer(volume, FINALIZER, present=False)
        if freed is not None:
            volume = self.client.update(_VOLUMES, freed)
        if not is_deleting(volume):
            self.client.delete(_VOLUMES, name_of(volume), uid=uid_of(volume))
        return None

    def _claim_of(self, volume: Object) -> Object | None:
        """The claim that the volume's reference names; absent only if the server says so."""
        reference = volume["spec"].get("claimRef") or {}
        if not reference.get("uid"):
            return None
        claim = self._claims.get(f"{reference['namespace']}/{reference['name']}")
        if claim is not None and refers_to(volume, claim):
            return claim
        try:
            return self.client.get(_CLAIMS, reference["name"], reference["namespace"])
        except NotFound:
            return None

    def _set_phase(self, volume: Object, phase: str, message: str = "") -> Object:
        before = volume.get("status") or {}
        if (before.get("phase"), before.get("message") or "") == (phase, message):
            return volume
        status = {name: value for name, value in before.items() if name != "message"} | {"phase": phase}
        return self.client.update_status(
            _VOLUMES, volume | {"status": status | ({"message": message} if message else {})}
        )

    def _on_class(self, old: Object | None, new: Object | None) -> None:
        for claim in self._claims.items():
            if not claim["spec"].get("volumeName"):
                self.queue.add(f"claim {key_of(claim)}")


def _claim_keys(volume: Object) -> list[str]:
    reference = volume["spec"].get("claimRef")
    return [f"claim {reference['namespace']}/{reference['name']}"] if reference else []


def _volume_keys(claim: Object) -> list[str]:
    name = claim["spec"].get("volumeName")
    return [f"volume {name}"] if name else []

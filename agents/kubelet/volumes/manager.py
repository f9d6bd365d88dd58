"""Sets a pod's volumes up on the node, keeps their content true, and takes them down.

Everything of a pod lies under `ROOT/pods/UID`; whatever else a pod has (host paths) is only referred to.

Invariant: `release` leaves no mount and no file of the pod, whatever state it was in; it follows no link out of
the pod's directory.
Source: kubelet's volume manager and the volume plugins named in each function.
"""

from __future__ import annotations

import logging
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from agents.kubelet.pods import spec
from agents.kubelet.pods.environment import Sources
from agents.kubelet.volumes import empty
from agents.kubelet.volumes.mounts import unmount_under
from agents.kubelet.volumes.ownership import hand_over, wanted_group
from agents.kubelet.volumes.payload import Collector, VolumeError
from agents.kubelet.volumes.sub_paths import bind_sub_path, read_file
from agents.kubelet.volumes.writer import write_payload
from api.errors import ApiError
from api.objects import Object, annotations_of, name_of, namespace_of, uid_of
from api.runtime import Runtime
from api.transport import TransportError
from api.volumes import LOCAL_PATH, PROVISIONED_BY

log = logging.getLogger(__name__)

_PLUGINS = {
    "configMap": "configmap",
    "secret": "secret",
    "downwardAPI": "downward-api",
    "projected": "projected",
    "emptyDir": "empty-dir",
}
_SUB_PATHS = "volume-subpaths"


@dataclass(frozen=True, slots=True)
class VolumeManager:
    """The volumes of one node's pods. `root` is the kubelet's directory."""

    root: Path
    clock: Runtime
    sources: Sources

    def directory(self, uid: str) -> Path:
        """Where everything of a pod lies."""
        return self.root / "pods" / uid

    def set_up(self, pod: Object, collector: Collector) -> None:
        """Make every volume of the pod be there with its present content.

        Raises VolumeError naming the first that failed, once the others have been seen to: a running pod must not go
        without a fresh token because a config map is gone.
        """
        failed: list[tuple[str, Exception]] = []
        for volume in pod["spec"].get("volumes") or []:
            try:
                self._set_up(pod, volume, collector)
            except (VolumeError, ApiError, TransportError, OSError) as error:
                failed.append((volume["name"], error))
        if failed:
            name, cause = failed[0]
            raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {cause}') from cause

    def path(self, pod: Object, name: str) -> Path:
        """The node's path of a volume. Raises VolumeError if the pod has none of that name or its kind is unknown."""
        volume = next((entry for entry in pod["spec"].get("volumes") or [] if entry["name"] == name), None)
        if volume is None:
            raise VolumeError(f'the pod has no volume "{name}"')
        plugin = next((plugin for kind, plugin in _PLUGINS.items() if volume.get(kind) is not None), None)
        if plugin is not None:
            return self.directory(uid_of(pod)) / "volumes" / f"kubernetes.io~{plugin}" / name
        if volume.get("hostPath") is not None:
            return Path(volume["hostPath"]["path"])
        return self._persistent(pod, volume)

    def image_directory(self, pod: Object, name: str) -> Path:
        """Where a volume from an image may be mounted, by a runtime that has to."""
        return self.directory(uid_of(pod)) / "volumes" / "kubernetes.io~image" / name

    def sub_path(self, pod: Object, entry: Object, relative: str, container: str, index: int) -> Path:
        """Where the part of a volume is mounted that the container's mount `entry` names. Raises VolumeError."""
        name = entry["name"]
        target: Path = self.directory(uid_of(pod)) / _SUB_PATHS / name / container / str(index)
        bind_sub_path(self.path(pod, name), relative, target, name, container)
        return target

    def read(self, pod: Object, name: str, relative: str) -> str:
        """The text of a file that a container has left in a volume. Raises OSError or VolumeError."""
        return read_file(self.path(pod, name), relative)

    def is_read_only(self, pod: Object, name: str) -> bool:
        """Whether no container may write to the volume: the kubelet writes what is in it, or the pod wants it so."""
        volume: Object = next((entry for entry in pod["spec"].get("volumes") or [] if entry["name"] == name), {})
        projected = any(volume.get(kind) is not None for kind in _PLUGINS if kind != "emptyDir")
        return projected or spec.reads_claim_only(volume)

    def tear_down(self, uid: str) -> None:
        """Unmount and remove a pod's volumes; its logs stay. Raises OSError if something cannot be removed."""
        for name in (_SUB_PATHS, "volumes"):
            _remove(self.directory(uid) / name)

    def release(self, uid: str) -> None:
        """Unmount and remove all that a pod has. Raises OSError if something cannot be removed."""
        _remove(self.directory(uid))

    def known(self) -> list[str]:
        """The uids of pods that have a directory."""
        pods = self.root / "pods"
        return [entry.name for entry in pods.iterdir()] if pods.is_dir() else []

    def _set_up(self, pod: Object, volume: Object, collector: Collector) -> None:
        if volume.get("hostPath") is not None:
            _check_host_path(volume["hostPath"])
            return
        if volume.get("image") is not None:
            # The runtime mounts it, once the image is there.
            return
        path = self.path(pod, volume["name"])
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if volume.get("emptyDir") is not None:
            empty.set_up(pod, volume["emptyDir"], path, collector.around.allocatable.get("memory", ""))
            return
        try:
            payload = collector.collect(pod, volume)
        except TransportError:
            if (path / "..data").is_symlink():
                log.info("volume %s of pod %s stays as it is: no answer", volume["name"], uid_of(pod))
                return
            raise
        if payload is None:
            if not path.exists():
                raise VolumeError(f"the path {path} does not exist")
            self._take(pod, volume, path)
            return
        stamp = f"{int(self.clock.time() * 1_000_000)}"
        write_payload(path, payload, stamp, group)

    def _take(self, pod: Object, volume: Object, path: Path) -> None:
        """Note that the pod has the volume of a claim, which is handed to its group if no other pod has it.

        Source: kubernetes.io/local-volume.
        """
        found = self._behind(pod, volume)
        if not found["spec"].get("local") and not _is_provisioned(found):
            return
        mark = Path("volumes", "kubernetes.io~local-volume", name_of(found))
        own = self.directory(uid_of(pod)) / mark
        if own.exists():
            return
        group = wanted_group(pod, volume)
        if group is not None and not any((self.directory(uid) / mark).exists() for uid in self.known()):
            hand_over(pod, path, group, lambda: self.clock.sleep(0))
        own.mkdir(parents=True)

    def _persistent(self, pod: Object, volume: Object) -> Path:
        """The path behind a claim on a local or host path volume."""
        found = self._behind(pod, volume)
        for kind in ("local", "hostPath"):
            if found["spec"].get(kind):
                _check_host_path(found["spec"][kind], 0o777 if _is_provisioned(found) else 0o755)
                return Path(found["spec"][kind]["path"])
        raise VolumeError(f'persistent volume "{name_of(found)}" is neither local nor a host path')

    def _behind(self, pod: Object, volume: Object) -> Object:
        """The persistent volume of one of the pod's claims. Raises VolumeError."""
        claim_name = spec.claim_of(pod, volume)
        if not claim_name:
            kinds = ", ".join(key for key in volume if key != "name") or "nothing"
            raise VolumeError(f"volumes of kind {kinds} are not supported on this node")
        claim = self.sources.get("persistentvolumeclaims", namespace_of(pod), claim_name)
        if claim is None:
            raise VolumeError(f'persistentvolumeclaim "{claim_name}" not found')
        bound = claim["spec"].get("volumeName")
        found = self.sources.get("persistentvolumes", "", bound) if bound else None
        if found is None:
            raise VolumeError(f'persistentvolumeclaim "{claim_name}" is not bound')
        return found


def _is_provisioned(volume: Object) -> bool:
    """Whether its directory is there for the volume alone."""
    return annotations_of(volume).get(PROVISIONED_BY) == LOCAL_PATH


def _remove(directory: Path) -> None:
    if not directory.exists():
        return
    unmount_under(directory)
    shutil.rmtree(directory)


def _check_host_path(source: Object, mode: int = 0o755) -> None:
    """Make what may be made, and insist on the type. Source: kubernetes.io/host-path."""
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif kind and not path.exists():
        raise VolumeError(f"hostPath type check failed: {path} is not {_TYPES[kind][1]}")
    if kind and not _TYPES[kind][0](path.stat().st_mode):
        raise VolumeError(f"hostPath type check failed: {path} is not {_TYPES[kind][1]}")


_TYPES = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}

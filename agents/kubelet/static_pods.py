"""Pods from files of the node, and the mirror pods that show them in the API.

A file of the manifest directory is a pod that runs whatever the API says. Its uid comes from its content, so a
changed file is another pod. The mirror pod carries the same name and that uid in an annotation; the kubelet
makes it again when it is missing or shows something else.

Invariant: nothing in the API starts, stops or changes a static pod. One whose file is gone or has changed has its
grace like any other, and only then the next one of its name begins, be it of another file.
Source: kubelet/config common.go (applyDefaults) and pod/mirror_client.go.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from api.client import Client
from api.errors import AlreadyExists, ApiError, NotFound
from api.objects import Object, is_deleting, name_of, namespace_of, owner_reference, uid_of
from api.runtime import Runtime, timestamp

log = logging.getLogger(__name__)

SOURCE = "kubernetes.io/config.source"
HASH = "kubernetes.io/config.hash"
SEEN = "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"


class BadManifest(ValueError):
    """A file that is not a pod; the text names it and says why."""


def static_pod(text: str, file: str, node: str, now: float) -> Object:
    """The pod that a manifest file means on a node. Raises BadManifest."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadManifest(f"{file} is not YAML: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != "Pod" or not isinstance(content.get("spec"), dict):
        raise BadManifest(f"{file} is not a Pod")
    given = content.get("metadata") or {}
    if not given.get("name") or not content["spec"].get("containers"):
        raise BadManifest(f"{file} has no name or no containers")
    uid = given.get("uid") or hashlib.md5(orjson.dumps([node, file, content], default=str)).hexdigest()
    annotations = (given.get("annotations") or {}) | {SOURCE: "file", HASH: uid, SEEN: timestamp(now)}
    tolerations = [*(content["spec"].get("tolerations") or []), {"operator": "Exists", "effect": "NoExecute"}]
    metadata: dict[str, Any] = {
        "name": f"{given['name']}-{node}".lower(),
        "namespace": given.get("namespace") or "default",
        "uid": uid,
        "annotations": annotations,
        "creationTimestamp": timestamp(now),
    }
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    defaults = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "enableServiceLinks": True}
    spec = defaults | content["spec"] | {"nodeName": node, "tolerations": tolerations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def is_mirror(pod: Object) -> bool:
    """Whether the API's pod only shows a static one."""
    return MIRROR in (pod["metadata"].get("annotations") or {})


def mirror_of(pod: Object, node: Object) -> Object:
    """The mirror pod to make for a static pod; it belongs to its node."""
    metadata = {key: value for key, value in pod["metadata"].items() if key not in ("uid", "creationTimestamp")}
    metadata["annotations"] = metadata["annotations"] | {MIRROR: uid_of(pod)}
    owner = owner_reference(node, api_version="v1", kind="Node", controller=False)
    metadata["ownerReferences"] = [owner | {"controller": True}]
    spec = {key: value for key, value in pod["spec"].items() if key != "serviceAccountName"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@dataclass(slots=True)
class _Read:
    """A file as it was when it was last read."""

    changed: tuple[int, int]
    pod: Object | None


class StaticPods:
    """The pods of one directory; `refresh` reads what changed, and `finished` says that nothing of one is left."""

    def __init__(self, directory: Path | None, node: str, clock: Runtime) -> None:
        self._directory = directory
        self._node = node
        self._clock = clock
        self._read: dict[Path, _Read] = {}
        self._ending: dict[str, Object] = {}
        self._told: dict[str, bool] = {}

    def items(self) -> list[Object]:
        """The pods of all files that can be read, and those that end; while one does, no other of its name begins."""
        ending = list(self._ending.values())
        held = {_key(pod) for pod in ending}
        return ending + [pod for pod in self._written() if _key(pod) not in held]

    def get(self, uid: str) -> Object | None:
        """The pod of that uid."""
        return next((pod for pod in self.items() if uid_of(pod) == uid), None)

    def refresh(self) -> set[str]:
        """Read the directory; the uids of pods that came, went or changed."""
        if self._directory is None:
            return set()
        before = self.items()
        paths = sorted(path for path in self._directory.glob("*") if path.is_file() and not path.name.startswith("."))
        self._read = {path: read for path in paths if (read := self._look(path)) is not None}
        written = {uid_of(pod) for pod in self._written()}
        for pod in before:
            if uid_of(pod) not in written and not is_deleting(pod):
                self._ending[uid_of(pod)] = _ending(pod, self._clock.time())
        told, self._told = self._told, {uid_of(pod): is_deleting(pod) for pod in self.items()}
        return {uid for uid in told.keys() | self._told.keys() if told.get(uid) != self._told.get(uid)}

    def finished(self, uid: str) -> None:
        """Forget a pod that has ended because its file is gone."""
        self._ending.pop(uid, None)

    def _written(self) -> list[Object]:
        """One pod of each name: that which is there already, else that of the first file."""
        chosen: dict[tuple[str, str], Object] = {}
        for pod in (entry.pod for entry in self._read.values() if entry.pod is not None):
            held = chosen.setdefault(_key(pod), pod)
            if uid_of(pod) in self._told and uid_of(held) not in self._told:
                chosen[_key(pod)] = pod
        return list(chosen.values())

    def _look(self, path: Path) -> _Read | None:
        try:
            status = path.stat()
            changed = (status.st_mtime_ns, status.st_ino)
            known = self._read.get(path)
            if known is not None and known.changed == changed:
                return known
            return _Read(changed, static_pod(path.read_text(), str(path), self._node, self._clock.time()))
        except FileNotFoundError:
            return None
        except (BadManifest, OSError, UnicodeDecodeError) as error:
            log.warning("the static pod of %s is left out: %s", path, error)
            return _Read(changed, None) if isinstance(error, BadManifest) else None


def _key(pod: Object) -> tuple[str, str]:
    return namespace_of(pod), name_of(pod)


def _ending(pod: Object, now: float) -> Object:
    """The pod as one that is deleted."""
    grace = int(pod["spec"]["terminationGracePeriodSeconds"])
    deleted = {"deletionTimestamp": timestamp(now + grace), "deletionGracePeriodSeconds": grace}
    return pod | {"metadata": pod["metadata"] | deleted}


class MirrorPods:
    """Keeps the mirror pods of one node as they should be."""

    def __init__(self, client: Client, clock: Runtime) -> None:
        self._client = client
        self._clock = clock

    def keep(self, wanted: list[Object], present: list[Object], node: Object) -> None:
        """Delete mirrors of what is gone or has changed, and make those that are missing. Raises ApiError."""
        by_name = {_key(pod): pod for pod in wanted}
        shown = set()
        for mirror in present:
            key = _key(mirror)
            pod = by_name.get(key)
            if pod is not None and mirror["metadata"]["annotations"][MIRROR] == uid_of(pod):
                shown.add(key)
                if not is_deleting(mirror):
                    continue
            self._delete(mirror)
        for key, pod in by_name.items():
            if key not in shown and not is_deleting(pod) and (node.get("metadata") or {}).get("uid"):
                self._create(pod, node)

    def _delete(self, mirror: Object) -> None:
        try:
            self._client.delete(
                "pods", name_of(mirror), namespace_of(mirror), uid=uid_of(mirror), grace_period_seconds=0
            )
        except NotFound:
            return

    def _create(self, pod: Object, node: Object) -> None:
        try:
            self._client.create("pods", mirror_of(pod, node))
        except AlreadyExists:
            return
        except ApiError as error:
            log.warning("the mirror pod of %s/%s was not made: %s", namespace_of(pod), name_of(pod), error)

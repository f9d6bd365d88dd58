"""The files of an image in containerd's storage, which the Container Runtime Interface of its time cannot mount.

Invariant: nothing is left in the storage: what is mounted are the layers, which stay as long as the image does.
Source: containerd's api/services/snapshots/v1; its CRI plugin's verbose answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from agents.kubelet.runtime.cri_api import CriApi
from agents.kubelet.runtime.interface import ContainerRuntimeError, NoSuchContainer
from agents.kubelet.volumes.mounts import mount_described

_ANSWER = "SnapshotMounts"


class Snapshots:
    """The storage behind the socket of `api`."""

    def __init__(self, api: CriApi) -> None:
        self._api = api
        self._snapshotter = ""

    def mount(self, image_id: str, path: Path, key: str) -> None:
        """Mount an image's files at a directory, which is made; again is no error. Raises ContainerRuntimeError."""
        if path.is_mount():
            return
        chain = self._told("ImageStatus", "ImageStatusRequest", {"image": {"image": image_id}}, "info").get("chainID")
        if not chain:
            raise ContainerRuntimeError(f"the runtime does not tell where the files of image {image_id} lie")
        if not self._snapshotter:
            config = self._told("Status", "VerboseRequest", {}, "config")
            self._snapshotter = str((config.get("containerd") or {}).get("snapshotter") or "overlayfs")
        reference = {"snapshotter": self._snapshotter, "key": key}
        self._call("Remove", "SnapshotReference", reference, absent_is_fine=True)
        mounts = self._call("View", f"ViewSnapshotRequest -> {_ANSWER}", reference | {"parent": chain})["mounts"]
        try:
            path.mkdir(parents=True, exist_ok=True)
            for entry in mounts:
                mount_described(entry.get("type", ""), entry.get("source", ""), entry.get("options") or [], path)
        except OSError as error:
            raise ContainerRuntimeError(
                f"the image {image_id} cannot be mounted at {path}: {error.strerror}"
            ) from error
        finally:
            self._call("Remove", "SnapshotReference", reference, absent_is_fine=True)

    def _told(self, method: str, request: str, values: dict[str, Any], part: str) -> dict[str, Any]:
        """A part of what the runtime tells of itself when asked for all."""
        ask = self._api.images if method.startswith("Image") else self._api.runtime
        answer = ask(method, f"{request} -> VerboseAnswer", values | {"verbose": True})
        try:
            found = orjson.loads((answer.get("info") or {}).get(part) or "{}")
        except orjson.JSONDecodeError as error:
            raise ContainerRuntimeError(f"the runtime's answer to {method} cannot be read: {error}") from error
        return found if isinstance(found, dict) else {}

    def _call(self, method: str, kinds: str, values: dict[str, Any], *, absent_is_fine: bool = False) -> Any:
        try:
            return self._api.own("snapshots.v1.Snapshots", method, kinds, values)
        except NoSuchContainer:
            if absent_is_fine:
                return {}
            raise

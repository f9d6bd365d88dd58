"""Directories that begin empty and go with their pod: on the node's disk, in memory, or in huge pages.

Invariant: what is to lie in memory is never left on the disk: after a restart of the machine it is mounted again. A
directory of the name has its owner and mode, whenever the kubelet was killed.
Source: kubernetes.io/empty-dir.
"""

from __future__ import annotations

import os
from pathlib import Path

from agents.kubelet.pods import limits, spec
from agents.kubelet.volumes.mounts import mount_huge_pages, mount_tmpfs
from agents.kubelet.volumes.payload import VolumeError
from api.objects import Object
from api.quantities import parse

_HUGE = "HugePages"
_REQUEST = "hugepages-"
_MODE, _MODE_OF_GROUP = 0o777, 0o2777


def set_up(pod: Object, source: Object, path: Path, node_memory: str) -> None:
    """Make the directory be there; `node_memory` is what the node's pods may take. Raises VolumeError, OSError."""
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    medium = source.get("medium") or ""
    if path.exists() and (not medium or path.is_mount()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if not medium:
        fresh = path.with_name(f".{path.name}")
        fresh.mkdir(exist_ok=True)
        if group is not None:
            os.chown(fresh, -1, group)
        fresh.chmod(_MODE if group is None else _MODE_OF_GROUP)
        fresh.rename(path)
        return
    path.mkdir(exist_ok=True)
    if medium == "Memory":
        mode = f"{_MODE if group is None else _MODE_OF_GROUP:o}"
        mount_tmpfs(path, size_in_memory(pod, source, node_memory), mode, group or 0)
    elif medium.startswith(_HUGE):
        mount_huge_pages(path, page_size(pod, medium), group or 0)
        if group is not None:
            # Such a file system takes no such bit when it is mounted.
            path.chmod(_MODE_OF_GROUP)
    else:
        raise VolumeError(f'unknown storage medium "{medium}"')


def size_in_memory(pod: Object, source: Object, node_memory: str) -> int:
    """The bytes that a volume in memory may take: no more than its pod; 0 if nothing limits it."""
    asked = parse(source["sizeLimit"]).value() if source.get("sizeLimit") else 0
    bounds = (parse(node_memory or "0").value(), limits.pod_limits(pod).memory, asked)
    return min((bound for bound in bounds if bound > 0), default=0)


def page_size(pod: Object, medium: str) -> int:
    """The size of the pages of a volume: the one that its medium names, or the only one that the pod requests.

    Raises VolumeError if the pod requests no such pages.
    """
    wanted = _size(medium.removeprefix(_HUGE).removeprefix("-")) if medium != _HUGE else 0
    holders = [pod["spec"], *spec.containers(pod), *spec.init_containers(pod)]
    names = {name for holder in holders for name in (holder.get("resources") or {}).get("requests") or {}}
    sizes = {_size(name.removeprefix(_REQUEST)) for name in names if name.startswith(_REQUEST)}
    if not wanted and len(sizes) > 1:
        raise VolumeError(f"medium: {medium} can't be used if container requests multiple huge page sizes")
    if not sizes or (wanted and wanted not in sizes):
        message = "hugePages storage requested, but there is no resource request for huge pages"
        raise VolumeError(f"medium {medium}: {message}")
    return wanted or sizes.pop()


def _size(text: str) -> int:
    try:
        return parse(text).value()
    except ValueError as error:
        raise VolumeError(f"{text!r} is no size of huge pages: {error}") from error

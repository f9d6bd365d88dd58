"""Images as volumes where the runtime cannot mount them by itself, or only as a whole.

The root of the image, or a part of it, is mounted in the pod's own directory, from where the container gets it like any
other volume, and from where it goes with the pod's volumes.

Invariant: what is mounted lies in the image; containers may only read it.
"""

from __future__ import annotations

from pathlib import Path

from agents.kubelet.runtime.interface import ContainerRuntimeError, ImageMount, Mount
from agents.kubelet.volumes.payload import VolumeError
from agents.kubelet.volumes.sub_paths import bind_sub_path


def mount_of(image: ImageMount, root: Path, container: str) -> Mount:
    """How a container gets what it wants of an image whose files lie at `root`. Raises ContainerRuntimeError."""
    if not image.sub_path:
        return Mount(str(root), image.target, read_only=True)
    place = Path(image.directory)
    part = place.with_name(f"{place.name}~{container}") / image.target.strip("/").replace("/", "~")
    try:
        bind_sub_path(root, image.sub_path, part, place.name, container, make=False)
    except VolumeError as error:
        raise ContainerRuntimeError(f"{error}: the image has no {image.sub_path}, or it leads out of it") from error
    return Mount(str(part), image.target, read_only=True)

"""ImageLocality: prefer nodes that have the pod's large images already.

Source: kube-scheduler ImageLocality (23 MB to 1000 MB a container, by size).
"""

from __future__ import annotations

from control.scheduler.framework import NodePlugin
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_MEGABYTE = 1024 * 1024
_LEAST = 23 * _MEGABYTE
_MOST = 1000 * _MEGABYTE


class ImageLocality(NodePlugin):
    """Scores by the bytes that need not be pulled."""

    name = "ImageLocality"

    def scores(self, pod: PodInfo) -> bool:
        return True

    def score(self, pod: PodInfo, node: NodeInfo) -> float:
        if not node.images:
            return 0.0
        present = sum(node.images.get(normalized(image), 0) for image in pod.images)
        containers = max(1, len(pod.spec.get("containers") or []))
        most = _MOST * containers
        return 100.0 * (min(max(present, _LEAST), most) - _LEAST) / (most - _LEAST)


def normalized(image: str) -> str:
    """An image name with a tag, as nodes report it."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"

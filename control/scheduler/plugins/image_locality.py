"""ImageLocality: prefer nodes that have the pod's large images already.

Source: kube-scheduler ImageLocality (23 MB to 1000 MB a container; an image counts by the share of nodes that have it,
so that pods do not all run to the one node that pulled it first).
"""

from __future__ import annotations

from functools import partial

import numpy

from control.scheduler.framework import ClusterPlugin, Mask, Numbers
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo, Snapshot

_MEGABYTE = 1024 * 1024
_LEAST = 23 * _MEGABYTE
_MOST = 1000 * _MEGABYTE


class ImageLocality(ClusterPlugin):
    """Scores by the bytes that need not be pulled."""

    name = "ImageLocality"

    def filters(self, pod: PodInfo) -> bool:
        return False

    def score(self, pod: PodInfo, snapshot: Snapshot, fitting: Mask) -> Numbers | None:
        total = numpy.zeros(len(snapshot.slots))
        for image in pod.images:
            sizes = snapshot.vector(("image", image), partial(_size, normalized(image)))
            total += sizes * (numpy.count_nonzero(sizes) / len(snapshot))
        if not total.any():
            return None
        most = _MOST * max(1, len(pod.images))
        scores: Numbers = 100.0 * (total.clip(_LEAST, most) - _LEAST) / (most - _LEAST)
        return scores


def _size(image: str, node: NodeInfo) -> float:
    return float(node.images.get(image, 0))


def normalized(image: str) -> str:
    """An image name with a tag, as nodes report it."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"

"""Images that nobody uses are removed when the disk fills, the longest unused first, or when nobody has for long.

Invariant: an image of a container that is there, of whatever state, and a pinned one stay.
Source: kubelet/images image_gc_manager.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.kubelet.runtime.interface import ContainerRuntime, ContainerRuntimeError, Image
from api.runtime import Runtime

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """Above `high` percent of use images go until `low` is reached; none that is younger than `minimum_age`.

    One that nobody has used for `longest_unused` seconds goes in any case, but not if that is 0.
    """

    high: float = 85.0
    low: float = 80.0
    minimum_age: float = 120.0
    longest_unused: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """When an image was first seen here and last used by a container."""

    first: float
    used: float = 0.0


def bytes_to_free(available: int, total: int, policy: Policy) -> int:
    """How much must go to come down to the lower mark; 0 below the upper one."""
    if total <= 0 or 100 - available * 100 // total < policy.high:
        return 0
    return max(0, int(total * (100 - policy.low) / 100) - available)


def removable(
    images: list[Image], in_use: set[str], known: Mapping[str, Known], now: float, minimum_age: float
) -> list[Image]:
    """Images that may go, in the order in which they go."""
    free = [image for image in images if image.id not in in_use and not image.pinned]
    old = [image for image in free if now - known.get(image.id, Known(now)).first >= minimum_age]
    return sorted(old, key=lambda image: (known[image.id].used, known[image.id].first, image.id))


def outdated(images: list[Image], known: Mapping[str, Known], now: float, longest_unused: float) -> list[Image]:
    """Of images that may go those that nobody has used for that long, as far as is known; none if that is 0."""
    if not longest_unused:
        return []
    last = {image.id: max(known[image.id].first, known[image.id].used) for image in images}
    return [image for image in images if now - last[image.id] > longest_unused]


class ImageCollector:
    """Removes images of one node. `space()` tells (available, total) of the disk that they lie on."""

    def __init__(
        self, clock: Runtime, runtime: ContainerRuntime, space: Callable[[], tuple[int, int]], policy: Policy
    ) -> None:
        self._clock = clock
        self._runtime = runtime
        self._space = space
        self._policy = policy
        self._known: dict[str, Known] = {}

    def collect(self) -> int:
        """Remove what nobody has used for long, and come down to the lower mark if the upper one is passed.

        Returns the bytes freed. Raises ContainerRuntimeError.
        """
        images, in_use = self._look()
        now = self._clock.time()
        old = outdated(removable(images, in_use, self._known, now, 0.0), self._known, now, self._policy.longest_unused)
        freed = self._remove(old, in_use, None)
        wanted = bytes_to_free(*self._space(), self._policy)
        if wanted <= 0:
            return freed
        more = self._remove([image for image in images if image not in old], in_use, wanted)
        if more < wanted:
            log.warning("image garbage collection freed %d bytes and wanted %d: the rest is in use", more, wanted)
        return freed + more

    def collect_all(self) -> int:
        """Remove every image that is not used, however young; bytes freed. Raises ContainerRuntimeError."""
        images, in_use = self._look()
        return self._remove(images, in_use, None)

    def _look(self) -> tuple[list[Image], set[str]]:
        now = self._clock.time()
        images, in_use = self._runtime.list_images(), self._in_use()
        known = {image.id: self._known.get(image.id, Known(now)) for image in images}
        self._known = {key: Known(entry.first, now if key in in_use else entry.used) for key, entry in known.items()}
        return images, in_use

    def _in_use(self) -> set[str]:
        containers = self._runtime.list().containers
        return {image for container in containers for image in (container.image_id, *container.mounted_images)}

    def _remove(self, images: list[Image], in_use: set[str], wanted: int | None) -> int:
        freed = 0
        age = self._policy.minimum_age if wanted is not None else 0.0
        for image in removable(images, in_use, self._known, self._clock.time(), age):
            if wanted is not None and freed >= wanted:
                break
            try:
                if image.id in self._in_use():
                    # A pod has begun with it while others were removed; a runtime may take its container along.
                    continue
                self._runtime.remove_image(image.id)
            except ContainerRuntimeError as error:
                log.info("image %s was not removed: %s", image.id, error)
                continue
            log.info("image %s %s was removed to free its %d bytes", image.id, list(image.names), image.size)
            freed += image.size
        return freed

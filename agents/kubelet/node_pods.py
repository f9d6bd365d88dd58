"""The pods of one node: those that the API binds to it, and those of its own files.

Invariant: a mirror pod is never looked at as a pod of its own; it only carries a static pod's status.
"""

from __future__ import annotations

from agents.kubelet.static_pods import MIRROR, StaticPods, is_mirror
from api.informer import Informer
from api.objects import Object, name_of, namespace_of, uid_of


class NodePods:
    """Both kinds of pods, by uid and by name."""

    def __init__(self, informer: Informer, static: StaticPods) -> None:
        self._informer = informer
        self._static = static
        informer.add_index("uid", lambda pod: [pod_uid(pod)])

    def get(self, uid: str) -> Object | None:
        """The pod of that uid; a static one with the status that its mirror has."""
        shown = next(iter(self._informer.by_index("uid", uid)), None)
        static = self._static.get(uid)
        if static is not None:
            return _as_shown(static, shown) if shown is not None else static
        return None if shown is None or is_mirror(shown) else shown

    def named(self, namespace: str, name: str) -> Object | None:
        """The pod of that name."""
        found = self._informer.get(f"{namespace}/{name}")
        return self.get(pod_uid(found)) if found is not None else None

    def items(self) -> list[Object]:
        """All of them."""
        bound = [pod for pod in self._informer.items() if not is_mirror(pod)]
        return bound + [pod for static in self._static.items() if (pod := self.get(uid_of(static))) is not None]

    def mirrors(self) -> list[Object]:
        """The mirror pods that the API has of this node."""
        return [pod for pod in self._informer.items() if is_mirror(pod)]

    def shown(self, pod: Object) -> Object | None:
        """The API's object that carries a pod's status; None while a static pod has no mirror."""
        if self._static.get(uid_of(pod)) is None:
            return pod
        found = self._informer.get(f"{namespace_of(pod)}/{name_of(pod)}")
        return found if found is not None and pod_uid(found) == uid_of(pod) else None

    def finished(self, uid: str) -> None:
        """Forget a pod of which nothing is left."""
        self._static.finished(uid)

    def synced(self) -> bool:
        """Whether the API's word is known at all."""
        return self._informer.synced()


def _as_shown(static: Object, mirror: Object) -> Object:
    """A static pod with what the API knows of it, and how new that is."""
    metadata = static["metadata"] | {"resourceVersion": mirror["metadata"].get("resourceVersion")}
    return static | {"metadata": metadata, "status": mirror.get("status") or static["status"]}


def pod_uid(pod: Object) -> str:
    """The uid that the kubelet knows a pod by: a mirror's is that of its static pod."""
    return str((pod["metadata"].get("annotations") or {}).get(MIRROR) or uid_of(pod))

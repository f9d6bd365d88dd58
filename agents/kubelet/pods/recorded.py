"""What the API remembers of containers that the runtime has no more: after a loss of power they go with their sandbox.

Invariant: pure; a container that had done its part is not started again for that its record is gone.
Source: kubelet's kuberuntime computePodActions, whose records outlive a sandbox.
"""

from __future__ import annotations

from agents.kubelet.pods import spec
from api.objects import Object
from api.restarts import may_start_over

_KILLED = 137


def attempts(pod: Object, name: str) -> int:
    """The attempt number to go on with; without a container's id the status counts it already."""
    found = _of(pod, name)
    return int(found.get("restartCount") or 0) + bool(found.get("containerID")) if found is not None else 0


def is_over(pod: Object, container: Object) -> bool:
    """Whether such a container is not to run again: it has ended as it should, or was added to the running pod.

    One that ran when it was lost has been killed.
    """
    found = _of(pod, container["name"])
    if found is None:
        return False
    if container in spec.ephemeral_containers(pod):
        return True
    if container in spec.init_containers(pod) or may_start_over(pod["spec"]):
        return False
    state, last = found.get("state") or {}, found.get("lastState") or {}
    ended = state.get("terminated") or ({} if "running" in state else last.get("terminated") or {})
    return not spec.restarts_after(pod, container, int(ended.get("exitCode", _KILLED)))


def _of(pod: Object, name: str) -> Object | None:
    """What the status says of a container that has run."""
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(field) or []:
            ran = entry.get("containerID") or (entry.get("lastState") or {}).get("terminated")
            if entry["name"] == name and ran:
                found: Object = entry
                return found
    return None

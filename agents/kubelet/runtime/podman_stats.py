"""What running containers use, from Podman's own sampling.

Source: Podman 4.x `GET /libpod/containers/stats`.
"""

from __future__ import annotations

from agents.kubelet.runtime.interface import Stats
from agents.kubelet.runtime.podman_api import PodmanApi
from agents.kubelet.runtime.podman_spec import seconds

_NANO = 1_000_000_000


def container_stats(api: PodmanApi) -> dict[str, Stats]:
    """The use of every running container, by id."""
    answer = api.get("/containers/stats", {"stream": "false"})
    found = {}
    for entry in answer.get("Stats") or []:
        memory = int(entry.get("MemUsage") or 0)
        found[entry["ContainerID"]] = Stats(
            time=seconds(int(entry.get("SystemNano") or 0) / _NANO),
            cpu_nanoseconds=int(entry.get("CPUNano") or 0),
            memory=memory,
            working_set=memory,
            processes=int(entry.get("PIDs") or 0),
        )
    return found

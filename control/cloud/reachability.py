"""Whether a node's machine is on the network, found out within seconds and not by leases.

Invariant: a machine counts as lost only after two attempts in a row that nobody answered.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from api.objects import Object, name_of
from api.runtime import Runtime

KUBELET_PORT = 10250
_TIMEOUT = 1.0
_REMEMBERED = 0.9
_LOST_AFTER = 2


def reaches(address: str, port: int) -> bool:
    """Whether the machine answers: that a port is closed is an answer, too."""
    try:
        socket.create_connection((address, port), timeout=_TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


@dataclass(slots=True)
class _Seen:
    failures: int = 0
    asked_at: float = float("-inf")


class Reachability:
    """Remembers for about a second what it found, so that many Services may ask for one node."""

    def __init__(self, runtime: Runtime, reaches: Callable[[str, int], bool]) -> None:
        self._runtime = runtime
        self._reaches = reaches
        self._seen: dict[str, _Seen] = {}

    def alive(self, node: Object) -> bool:
        """Whether the node answers; one of which no address is known, or no port to ask at, is taken for alive."""
        status = node.get("status") or {}
        address = next((one["address"] for one in status.get("addresses") or [] if one["type"] == "InternalIP"), "")
        port = int(((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", KUBELET_PORT))
        if not address or not port:
            return True
        seen = self._seen.setdefault(name_of(node), _Seen())
        if self._runtime.monotonic() - seen.asked_at >= _REMEMBERED:
            answered = self._reaches(address, port)
            seen.failures = 0 if answered else seen.failures + 1
            seen.asked_at = self._runtime.monotonic()
        return seen.failures < _LOST_AFTER

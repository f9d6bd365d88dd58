"""The loops that run within the API server: they settle the status of what extends it, and what follows Services.

Invariant: each decides by level, so several servers may run them at the same time.
"""

from __future__ import annotations

from typing import Protocol

from api.runtime import Event
from control.apiserver.addresses import AddressController
from control.apiserver.admission.policy_status import PolicyController
from control.apiserver.aggregation.controller import ServiceController
from control.apiserver.custom.controller import DefinitionController
from control.apiserver.flow.status import FlowController
from control.apiserver.server import ApiServer


class ServerLoop(Protocol):
    """A loop with a task of its own between `start` and `close`."""

    def start(self, stop: Event) -> None: ...
    def close(self) -> None: ...


def loops(server: ApiServer) -> list[ServerLoop]:
    """One of each."""
    return [
        DefinitionController(server),
        PolicyController(server),
        ServiceController(server),
        FlowController(server),
        AddressController(server),
    ]

"""A Service with SCTP on a kernel that cannot translate its ports is said once, and nothing else is."""

from __future__ import annotations

import pytest
from service_objects import endpoint_slice, entry, service

from agents.proxy import rules
from agents.proxy.endpoints import NodeView
from agents.proxy.protocols import Protocols

pytestmark = pytest.mark.unit


class Said(list):
    def warning(self, reason: str, message: str) -> None:
        self.append((reason, message))


@pytest.mark.parametrize("protocol, tracks, expected", [
    ("SCTP", False, ["ServiceProtocolUnsupported"]), ("SCTP", True, []), ("UDP", False, []), ("TCP", False, []),
])  # fmt: skip
def test_what_the_kernel_cannot_translate_is_said_once(protocol: str, tracks: bool, expected: list[str]) -> None:
    said = Said()
    protocols = Protocols(said, lambda: tracks)  # type: ignore[arg-type]
    obj = service(ports=[{"port": 80, "protocol": protocol}])
    slices = [endpoint_slice(entry("10.244.1.2"), protocol=protocol)]
    for _ in range(2):
        protocols.seen("default/web", rules.service_rules(obj, slices, NodeView("one"), ("10.244.0.0/16",)))
        protocols.judge()
    assert [reason for reason, _ in said] == expected
    assert all("default/web" in message for _, message in said)

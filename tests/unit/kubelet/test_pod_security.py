"""What the runtime is told of what a container may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.kubelet.pods.security import Seccomp, security
from agents.kubelet.runtime.interface import Image
from api.objects import Object

DEFAULT, UNCONFINED = {"type": "RuntimeDefault"}, {"type": "Unconfined"}
OWN = {"type": "Localhost", "localhostProfile": "own.json"}
IMAGE = Image("sha256:1")


@pytest.mark.parametrize(
    ("pod", "container", "by_default", "told"),
    [
        (None, None, False, "unconfined"),
        (None, None, True, ""),
        (UNCONFINED, None, True, "unconfined"),
        (DEFAULT, None, False, ""),
        (UNCONFINED, DEFAULT, False, ""),
        (DEFAULT, UNCONFINED, True, "unconfined"),
        (DEFAULT, OWN, False, "/profiles/own.json"),
    ],
)
def test_a_seccomp_profile_is_the_containers_else_the_pods_else_the_nodes(
    pod: Object | None, container: Object | None, by_default: bool, told: str
) -> None:
    spec = {"name": "app", "securityContext": {"seccompProfile": container}}
    found = security(
        {"metadata": {"name": "p"}, "spec": {"securityContext": {"seccompProfile": pod}, "containers": [spec]}},
        spec,
        IMAGE,
        Seccomp(Path("/profiles"), by_default),
    )
    assert found.seccomp_profile == told

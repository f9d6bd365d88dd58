"""How deleted pods come to their end on a real node: hooks, signals, grace, and what probes still say meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pod_case import shell
from podman_host import Node, eventually
from traces import NAMESPACE, create, messages, pod, ready

from api.errors import NotFound
from api.objects import Object, is_true

pytestmark = pytest.mark.integration

# The page that the hook asks for is there before the container is Ready.
PAGE = r"""#!/bin/sh
echo hook >> /seen/said
printf "Status: 200 OK\r\n\r\n"
"""
FILE = "/www/cgi-bin/hook"
SERVES = f"mkdir -p /www/cgi-bin; cat > {FILE} <<'END'\n{PAGE}END\nchmod +x {FILE}; httpd -p 8080 -h /www; "
SAYS = "trap 'echo term >> /seen/said; exit 0' TERM; while true; do sleep 0.1; done"
DEAF = "trap '' TERM; while true; do sleep 0.1; done"


def hook(text: str) -> Object:
    return {"exec": {"command": ["sh", "-c", text]}}


@dataclass(frozen=True)
class End:
    """What a container does, its hook, its grace; what must have been said, and for how long its end may take.

    `asked` is the grace that whoever deletes the pod gives it.
    """

    name: str
    script: str
    hook: Object
    grace: int
    said: str
    seconds: tuple[float, float] = (0.0, 25.0)
    events: str = ""
    asked: int | None = None


ENDS = [
    End("command", SAYS, hook("echo hook >> /seen/said"), 30, "hook\nterm\n"),
    End("request", SERVES + SAYS, {"httpGet": {"path": "/cgi-bin/hook", "port": 8080}}, 30, "hook\nterm\n"),
    End("pause", SAYS, {"sleep": {"seconds": 3}}, 30, "term\n", (3.0, 25.0)),
    End("pause-longer-than-grace", SAYS, {"sleep": {"seconds": 60}}, 61, "term\n", (2.0, 25.0), asked=2),
    End("end-during-pause", "sleep 4; echo end >> /seen/said", {"sleep": {"seconds": 60}}, 60, "end\n"),
    End("failure", SAYS, hook("echo secret; exit 1"), 30, "term\n", events="PreStopHook failed"),
    End("command-longer-than-grace", SAYS, hook("echo hook >> /seen/said; sleep 60"), 2, "hook\nterm\n", (2.0, 25.0)),
    End("deaf", DEAF, hook("echo hook >> /seen/said"), 3, "hook\n", (3.0, 25.0)),
]


def seen(node: Node, name: str) -> Path:
    return node.directory / f"seen-{name}"


CHOSEN = ("command", "deaf")
WHERE = [("podman", end) for end in ENDS] + [("containerd", end) for end in ENDS if end.name in CHOSEN]


@pytest.mark.parametrize(
    ("clean_on", "end"),
    [pytest.param(runtime, end, id=f"{end.name}-{runtime}") for runtime, end in WHERE],
    indirect=["clean_on"],
)
def test_a_deleted_pod_has_its_hook_then_its_signal_then_its_grace(clean_on: Node, end: End) -> None:
    clean = clean_on
    seen(clean, end.name).mkdir()
    container = shell(
        f"touch /tmp/up; {end.script}",
        lifecycle={"preStop": end.hook},
        readinessProbe={**hook("cat /tmp/up"), "periodSeconds": 1},
        volumeMounts=[{"name": "s", "mountPath": "/seen"}],
    )
    volumes = [{"name": "s", "hostPath": {"path": str(seen(clean, end.name))}}]
    create(clean, end.name, containers=[container], volumes=volumes, terminationGracePeriodSeconds=end.grace)
    ready(clean, end.name)
    before = time.monotonic()
    clean.client.delete("pods", end.name, NAMESPACE, grace_period_seconds=end.asked)
    eventually(lambda: is_gone(clean, end.name), "the pod is gone", 60)
    least, most = end.seconds
    assert least <= time.monotonic() - before <= most
    assert (seen(clean, end.name) / "said").read_text() == end.said
    said = messages(clean, end.name)
    assert end.events in said and "secret" not in said


def is_gone(node: Node, name: str) -> bool:
    try:
        return not pod(node, name)
    except NotFound:
        return True


def test_a_deleted_pod_that_others_hold_has_ended_for_good(clean: Node) -> None:
    create(clean, "held", containers=[shell(DEAF)], terminationGracePeriodSeconds=1)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    clean.client.patch("pods", "held", hold, NAMESPACE)
    ready(clean, "held")
    clean.client.delete("pods", "held", NAMESPACE)
    eventually(lambda: pod(clean, "held")["status"]["phase"] == "Failed", "it has failed", 30)
    assert pod(clean, "held")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    clean.client.patch("pods", "held", {"metadata": {"finalizers": None}}, NAMESPACE)
    eventually(lambda: is_gone(clean, "held"), "the pod is gone", 30)


def test_a_pod_that_ends_becomes_unready_and_is_not_restarted(clean: Node) -> None:
    container = shell(
        "touch /tmp/up; trap 'rm /tmp/up; sleep 6; exit 0' TERM; while true; do sleep 0.1; done",
        readinessProbe={**hook("cat /tmp/up"), "periodSeconds": 1, "failureThreshold": 1},
        livenessProbe={**hook("cat /tmp/up"), "periodSeconds": 1, "failureThreshold": 1},
    )
    create(clean, "ending", containers=[container], terminationGracePeriodSeconds=60)
    ready(clean, "ending")
    clean.client.delete("pods", "ending", NAMESPACE)
    last = seen_until_gone(clean, "ending", lambda found: not is_true(found, "Ready"))
    assert last["metadata"]["deletionTimestamp"]
    assert last["status"]["containerStatuses"][0]["restartCount"] == 0
    assert "Liveness probe failed" not in messages(clean, "ending")


def seen_until_gone(node: Node, name: str, wanted: Callable[[Object], bool]) -> Object:
    """The pod as it was when `wanted` came true, which must be before it is gone; returns once it is."""
    found: Object = eventually(lambda: wanted(pod(node, name)) and pod(node, name), "it is seen before the end", 30)
    eventually(lambda: is_gone(node, name), "the pod is gone", 60)
    return found

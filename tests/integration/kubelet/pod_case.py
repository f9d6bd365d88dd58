"""How the table of pods is written: short words for pods and for what must come true of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from podman_host import BUSYBOX

from api.objects import Object, is_true
from api.runtime import parse_timestamp

NAMESPACE = "table"
RUN = "trap 'exit 0' TERM; while true; do sleep 0.1; done"

Check = Callable[[Object], Any]


@dataclass(frozen=True)
class Case:
    """A pod, what its status must come to, what its log must show, and what its events must be and say."""

    name: str
    pod: Object
    status: Check = lambda pod: is_true(pod, "Ready")
    log: str = ""
    events: tuple[str, ...] = field(default=())
    messages: tuple[str, ...] = field(default=())


def shell(script: str = RUN, **more: Any) -> Object:
    return {"name": "app", "image": BUSYBOX, "command": ["/bin/sh", "-c", script], **more}


def pod(*containers: Object, **spec: Any) -> Object:
    return {"terminationGracePeriodSeconds": 5, "containers": list(containers) or [shell()], **spec}


def once(script: str, **more: Any) -> Object:
    """A pod that runs a script to its end."""
    spec = {key: more.pop(key) for key in list(more) if key not in ("env", "envFrom", "volumeMounts", "resources",
            "securityContext", "workingDir", "terminationMessagePolicy", "terminationMessagePath")}  # fmt: skip
    return pod(shell(script, **more), restartPolicy="Never", **spec)


def phase(wanted: str) -> Check:
    return lambda found: (found.get("status") or {}).get("phase") == wanted


def container(found: Object, kind: str = "containerStatuses") -> Object:
    entries = (found.get("status") or {}).get(kind) or [{}]
    return dict(entries[0])


def waiting(reason: str, message: str = "") -> Check:
    def check(found: Object) -> bool:
        state = (container(found).get("state") or {}).get("waiting") or {}
        return state.get("reason") in reason.split("|") and re.search(message, state.get("message", "")) is not None

    return check


def terminated(code: int, reason: str, message: str = "") -> Check:
    def check(found: Object) -> bool:
        state = (container(found).get("state") or {}).get("terminated") or {}
        said = state.get("message", "") if message else ""
        return (state.get("exitCode"), state.get("reason"), said) == (code, reason, message)

    return check


def restarted(found: Object) -> bool:
    return int(container(found).get("restartCount") or 0) >= 1


def is_steady(seconds: float) -> Check:
    """Runs for that long, and for the first time."""

    def check(found: Object) -> bool:
        running = (container(found).get("state") or {}).get("running")
        assert not restarted(found), "it was restarted"
        return running is not None and time.time() - parse_timestamp(running["startedAt"]) > seconds

    return check


def rejected(reason: str) -> Check:
    def check(found: Object) -> bool:
        return (found["status"].get("phase"), found["status"].get("reason")) == ("Failed", reason)

    return check


def evicted(message: str) -> Check:
    def check(found: Object) -> bool:
        status = found["status"]
        # Who breaks a limit of its own is not disrupted by others.
        disrupted = any(e["type"] == "DisruptionTarget" for e in status["conditions"])
        return rejected("Evicted")(found) and status["message"] == message and not disrupted

    return check


def http_server(port: int) -> str:
    return f"mkdir -p /www && echo ok > /www/index.html && exec httpd -f -p {port} -h /www"

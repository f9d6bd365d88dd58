"""The proof at the end of `wherry lab up`: a demo is deployed, and answers through every worker.

Invariant: the demo counts as proven only by an answer that names a pod and a node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3

from api.client import Client
from api.errors import ApiError
from api.objects import Object
from api.runtime import Runtime
from api.transport import TransportError
from control.cli.apply import UNCHANGED, Applied, apply
from control.cli.errors import CommandError
from control.cli.lab.driver import DEMO_PORT, Say
from control.cli.waiting import await_condition

_DEPLOYED_WITHIN_SECONDS = 120.0
_ANSWER_WITHIN_SECONDS = 30.0
MANIFESTS = Path(__file__).resolve().parents[3] / "playbooks" / "demo" / "demo.yml"


@dataclass(frozen=True, slots=True)
class Answer:
    """Which pod on which node answered a request."""

    pod: str
    node: str


def prove(client: Client, runtime: Runtime, workers: Mapping[str, str], say: Say) -> bool:
    """Deploy the demo and have it answer at each worker's address; True if anything changed. Raises CommandError."""
    applied = deploy(client, runtime, _DEPLOYED_WITHIN_SECONDS)
    for result in applied:
        say("demo", f"{result.name} {result.outcome}")
    for name, address in workers.items():
        found = await_answer(runtime, address, _ANSWER_WITHIN_SECONDS)
        say(name, f"{url_of(address)} is answered by pod {found.pod} on {found.node}")
    return any(one.outcome != UNCHANGED for one in applied)


def deploy(client: Client, runtime: Runtime, seconds: float) -> list[Applied]:
    """Apply the demo and wait until all its replicas are available. Raises CommandError."""
    try:
        applied = apply(client, MANIFESTS)
    except (ApiError, TransportError) as error:
        raise CommandError(f"the demo could not be deployed: {error}") from error
    await_condition(runtime, seconds, lambda: _unavailable(client))
    return applied


def await_answer(runtime: Runtime, address: str, seconds: float) -> Answer:
    """The answer of the demo at an address. Raises CommandError if there is none in time."""
    found: list[Answer] = []

    def ask() -> str:
        try:
            found.append(answer(address))
        except CommandError as error:
            return str(error)
        return ""

    await_condition(runtime, seconds, ask)
    return found[0]


def answer(address: str) -> Answer:
    """Ask the demo once. Raises CommandError."""
    url = url_of(address)
    try:
        response = urllib3.request("GET", url, timeout=5.0, retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise CommandError(f"{url} does not answer: {error}") from error
    text = response.data.decode("utf-8", "replace")
    match = re.search(r"by pod (\S+) on node (\S+?)[.;]", text)
    if response.status != 200 or match is None:
        raise CommandError(f"{url} answered {response.status}: {text[:200]!r}")
    return Answer(*match.groups())


def url_of(address: str) -> str:
    """The demo's URL at a node."""
    return f"http://{address}:{DEMO_PORT}/"


def _unavailable(client: Client) -> str:
    try:
        deployment = client.get("deployments.apps", "demo", "default")
        wanted = deployment["spec"]["replicas"]
        status = deployment.get("status") or {}
        observed = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
        if observed and min(status.get(f"{kind}Replicas", 0) for kind in ("available", "updated")) >= wanted:
            return ""
        pods = client.list("pods", "default", label_selector="app=demo").items
    except (ApiError, TransportError) as error:
        return f"the API server does not say how the demo is: {error}"
    trouble = "; ".join(filter(None, map(_trouble, pods))) or "no pod was made yet"
    return f"the demo has {status.get('availableReplicas', 0)} of {wanted} replicas available: {trouble}"


def _trouble(pod: Object) -> str:
    status = pod.get("status") or {}
    waiting = [
        f"{state['reason']}: {state.get('message', '')}".rstrip(": ")
        for container in status.get("containerStatuses") or []
        if (state := (container.get("state") or {}).get("waiting") or {}).get("reason")
    ]
    refused = [
        f"{condition.get('reason', '')}: {condition.get('message', '')}".rstrip(": ")
        for condition in status.get("conditions") or []
        if condition.get("status") == "False" and condition.get("message")
    ]
    node = (pod.get("spec") or {}).get("nodeName") or "no node"
    unseen = node == "no node" and not status.get("conditions")
    why = ", ".join(waiting or refused) or ("the scheduler has not looked at it: see its log" if unseen else "")
    return f"{pod['metadata']['name']} on {node} is {status.get('phase', 'Pending')}" + (f" ({why})" if why else "")

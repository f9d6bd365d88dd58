"""`wherry nodes cordon|drain|uncordon|wait|delete NODE`: what playbooks do to nodes before and after they touch hosts.

Draining evicts: budgets are respected, and a pod that a budget holds back is asked for again until the time is up.

Invariant: a node that somebody else cordoned stays cordoned: `uncordon --own` only lifts what `drain` laid down.
Source: kubectl drain (pkg/drain): which pods are left alone, which need --force.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from api import kubeconfig
from api.client import Client
from api.errors import ApiError, Conflict, NotFound, TooManyRequests
from api.kubeconfig import KubeconfigError
from api.objects import Object
from api.runtime import Runtime, SystemRuntime, parse_timestamp
from api.transport import TransportError
from control.cli.errors import CommandError
from control.cli.token import add_kubeconfig, parse_duration
from control.cli.waiting import await_condition

DRAINED = "wherry.io/drained"
_MIRROR = "kubernetes.io/config.mirror"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry nodes`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (
        ("cordon", "let no new pods onto a node"),
        ("drain", "cordon a node and evict its pods"),
        ("uncordon", "let pods onto a node again"),
        ("wait", "wait until a node is Ready and has been heard of since"),
        ("delete", "remove a node from the cluster"),
    ):
        one = verbs.add_parser(verb, help=text, description=text)
        one.add_argument("node")
        add_kubeconfig(one)
        one.add_argument("--timeout", type=parse_duration, default=300.0, help="how long to wait (300s)")
    verbs.choices["drain"].add_argument(
        "--force", action="store_true", help="evict pods that no controller makes anew, too"
    )
    verbs.choices["uncordon"].add_argument("--own", action="store_true", help="only if `wherry nodes drain` cordoned")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry nodes`; the last line printed says whether anything changed."""
    runtime = SystemRuntime()
    try:
        client = kubeconfig.client(arguments.kubeconfig, "wherry-nodes")
        print(_VERBS[arguments.verb](client, runtime, arguments))
    except NotFound as error:
        raise CommandError(f"there is no node {arguments.node}: {error.message}") from error
    except (ApiError, TransportError, KubeconfigError) as error:
        raise CommandError(str(error)) from error
    return 0


def cordon(client: Client, name: str, *, mark: bool = False) -> bool:
    """Keep new pods off a node; with `mark`, so that `uncordon --own` lifts it again. False if it was cordoned."""
    if (client.get("nodes", name).get("spec") or {}).get("unschedulable"):
        return False
    patch: Object = {"spec": {"unschedulable": True}}
    if mark:
        patch["metadata"] = {"annotations": {DRAINED: "true"}}
    client.patch("nodes", name, patch)
    return True


def uncordon(client: Client, name: str, *, own: bool = False) -> bool:
    """Let pods onto a node again. False if there was nothing to lift."""
    node = client.get("nodes", name)
    marked = DRAINED in (node["metadata"].get("annotations") or {})
    if not (node.get("spec") or {}).get("unschedulable") or (own and not marked):
        return False
    client.patch("nodes", name, {"spec": {"unschedulable": None}, "metadata": {"annotations": {DRAINED: None}}})
    return True


def drain(client: Client, runtime: Runtime, name: str, *, force: bool, seconds: float) -> int:
    """Evict a node's pods and wait until they are gone; how many there were. Raises CommandError."""
    pods = [pod for pod in _pods(client, name) if evictable(pod)]
    alone = sorted(_full_name(pod) for pod in pods if not pod["metadata"].get("ownerReferences") and not _over(pod))
    if alone and not force:
        raise CommandError(
            f"node {name} runs pods that no controller would make anew elsewhere: {', '.join(alone)}; delete them, "
            "or drain with --force"
        )
    await_condition(runtime, seconds, lambda: _held_back(client, name))
    return len(pods)


def evictable(pod: Object) -> bool:
    """Whether draining moves a pod: those of DaemonSets and static ones stay."""
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or []
    daemon = any(owner.get("controller") and owner["kind"] == "DaemonSet" for owner in owners)
    return not daemon and _MIRROR not in (metadata.get("annotations") or {})


def unheard(client: Client, name: str, since: float) -> str:
    """Why a node is not yet Ready with a heartbeat after `since`; "" if it is."""
    node = client.get("nodes", name)
    conditions = (node.get("status") or {}).get("conditions") or []
    ready: Object = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    if ready.get("status") != "True":
        return f"node {name} is not Ready: {ready.get('message') or 'it has not said anything yet'}"
    try:
        renewed = client.get("leases.coordination.k8s.io", name, "kube-node-lease")["spec"].get("renewTime")
    except NotFound:
        renewed = None
    if not renewed or parse_timestamp(renewed) < since:
        return f"node {name} has not been heard of yet"
    return ""


def _held_back(client: Client, name: str) -> str:
    """Ask for every pod that is still there; which ones are, and why."""
    lacking = []
    for pod in _pods(client, name):
        if not evictable(pod):
            continue
        why = "it is ending"
        if not pod["metadata"].get("deletionTimestamp"):
            why = _evict(client, pod)
        lacking.append(f"pod {_full_name(pod)}: {why}")
    return f"node {name} is not drained: {'; '.join(lacking)}" if lacking else ""


def _evict(client: Client, pod: Object) -> str:
    metadata = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    try:
        client.create("pods", eviction, subresource="eviction")
    except (TooManyRequests, Conflict) as error:
        return error.message
    except NotFound:
        return "it is gone"
    return "it is ending"


def _pods(client: Client, node: str) -> list[Object]:
    return client.list("pods", field_selector=f"spec.nodeName={node}").items


def _over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _full_name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _cordon(client: Client, runtime: Runtime, arguments: argparse.Namespace) -> str:
    return f"node {arguments.node} cordoned" if cordon(client, arguments.node) else "unchanged"


def _uncordon(client: Client, runtime: Runtime, arguments: argparse.Namespace) -> str:
    return f"node {arguments.node} uncordoned" if uncordon(client, arguments.node, own=arguments.own) else "unchanged"


def _drain(client: Client, runtime: Runtime, arguments: argparse.Namespace) -> str:
    cordoned = cordon(client, arguments.node, mark=True)
    moved = drain(client, runtime, arguments.node, force=arguments.force, seconds=arguments.timeout)
    return f"node {arguments.node} drained of {moved} pods" if cordoned or moved else "unchanged"


def _wait(client: Client, runtime: Runtime, arguments: argparse.Namespace) -> str:
    since = runtime.time()
    await_condition(runtime, arguments.timeout, lambda: unheard(client, arguments.node, since))
    return f"node {arguments.node} is Ready"


def _delete(client: Client, runtime: Runtime, arguments: argparse.Namespace) -> str:
    try:
        client.delete("nodes", arguments.node)
    except NotFound:
        return "unchanged"
    return f"node {arguments.node} deleted"


_VERBS: dict[str, Callable[[Client, Runtime, argparse.Namespace], str]] = {
    "cordon": _cordon,
    "drain": _drain,
    "uncordon": _uncordon,
    "wait": _wait,
    "delete": _delete,
}

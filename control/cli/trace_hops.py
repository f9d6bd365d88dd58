"""The hops of a packet's way, judged from what the API says and what each node's kernel says.

Invariant: pure; a hop that is broken says why in one sentence, and what to look at; what could not be looked at is not
called broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.network import policies, routes
from agents.network.nftables.values import Endpoint
from agents.network.routes import VXLAN_LINK, VXLAN_PORT
from agents.proxy import rules
from api.objects import Object, key_of, labels_of, name_of, namespace_of
from api.selectors import LabelSelector

HEADLESS = "None"

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_AS_BEFORE = "as a hop before is broken"

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hop:
    """A step: on which node, what happens there, and what is wrong ("" if nothing is).

    `unseen` says why it could not be looked at.
    """

    where: str
    what: str
    problem: str = ""
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Frontend:
    """The address and port of a service, and the endpoints that a node shall lead to.

    `elsewhere` is how many there are on other nodes if the node may use none of them.
    """

    name: str
    address: str
    protocol: str
    port: int
    endpoints: tuple[Endpoint, ...]
    elsewhere: int = 0


def pod_hop(node: str, name: str, address: str, facts: Facts | None) -> Hop:
    """The link of a pod on its node."""
    if facts is None:
        return Hop(node, f"pod {name} {address}", f"the kubelet of {node} has no network for this pod")
    return Hop(node, f"pod {name} {address}: eth0, {facts['link']} in {facts['bridge']}", facts["problem"])


def _proxy(node: str, facts: Facts) -> str:
    """Why a node's kernel is not as the API says."""
    if facts.get("proxy", True):
        return f"its proxy runs, and may say why: `journalctl -u wherry-proxy` on {node}"
    return f"its proxy does not run: `systemctl status wherry-proxy` on {node}"


def service_hop(node: str, front: Frontend, facts: Facts) -> Hop:
    """The rule that translates a service's address on the client's node."""
    told = f"service {front.name} {Endpoint(front.address, front.port).written()}/{front.protocol}"
    if facts["problem"]:
        return Hop(node, told, facts["problem"])
    if facts["chain"] == rules.DNS:
        return Hop(node, f"{told}: answered by the name server of {node} itself")
    if front.address == HEADLESS and front.endpoints:
        return Hop(node, f"service {front.name} has no address: its name leads to each endpoint")
    if not front.endpoints and front.elsewhere:
        problem = (
            f"its internalTrafficPolicy is Local, and no endpoint of it is on {node}, but {front.elsewhere} elsewhere"
        )
        return Hop(node, f"{told}: dropped", problem)
    if not front.endpoints:
        problem = "the service has no ready endpoints: look at its selector and at the readiness of its pods"
        return Hop(node, f"{told}: refused", problem)
    if not facts["chain"]:
        problem = f"{node} has no rule for it: {_proxy(node, facts)}"
        return Hop(node, told, problem + (". The address is refused" if facts["refused"] else ""))
    what = f"{told}: chain {facts['chain']}"
    if not facts["endpoints"]:
        return Hop(node, what)
    what += f", translated to {' or '.join(facts['endpoints'])}"
    shall = {one.written() for one in front.endpoints}
    behind = f"the rule of {node} is behind the API: {_proxy(node, facts)}"
    if gone := sorted(set(facts["endpoints"]) - shall):
        return Hop(node, what, f"{', '.join(gone)} is no endpoint for {node} any more; {behind}")
    if missing := sorted(shall - set(facts["endpoints"])):
        return Hop(node, what, f"{', '.join(missing)} is an endpoint, too; {behind}")
    return Hop(node, what)


def nobody_hop(node: str, address: str, owner: str) -> Hop:
    """An address of the cluster that nobody has; `owner` is the node in whose pods' range it is, "" for none."""
    if owner:
        return Hop(
            node, f"address {address}: one for pods of {owner}", "no pod that runs has it: was it one's that ended?"
        )
    return Hop(node, f"address {address}: one for services", "no service has it: was it one's that is gone?")


def route_hop(node: str, address: str, facts: Facts, *, to_pod: bool = True, turn: str = "") -> Hop:
    """The route of a node to an endpoint, which is a pod or something outside of the cluster.

    `turn` says which of several endpoints it is.
    """
    route = facts["route"]
    if "link" not in route:
        why = _proxy(node, facts) if to_pod else f"see `ip route` on {node}, which a pod's packets go by"
        return Hop(node, f"{turn}route to {address}", f"{route['problem']}; {why}")
    via = f" via {route['gateway']}" if route.get("gateway") else ""
    tunnel = f", VXLAN to {route['remote']}" if route.get("remote") else ""
    problem = route["problem"]
    if to_pod and route["destination"] in _EVERYWHERE:
        problem = f"there is no route for the pods at {address}, only the default one; {_proxy(node, facts)}"
    return Hop(node, f"{turn}route {route['destination']}{via} dev {route['link']}{tunnel}", problem)


def leaving_hop(node: str, facts: Facts) -> Hop:
    """Where a packet leaves the cluster: it needs an address that answers find back to."""
    what = f"leaves the cluster with an address of {node}"
    if facts.get("masquerade", True):
        return Hop(node, what)
    return Hop(node, what, f"{node} has no rule for that, so answers find no way back: {_proxy(node, facts)}")


def between_hop(
    source: Object, target: Object, gateway: str, route: Facts, echoes: Mapping[str, bool], *, sound: bool = True
) -> Hop:
    """The way from one node to the pods' gateway of another; `sound` if the route there is."""
    here, there, address = name_of(source), name_of(target), address_like(target, gateway)
    where = f"{here} -> {there}"
    tunnelled = route.get("link") == VXLAN_LINK
    way = f"VXLAN, UDP port {VXLAN_PORT}, to {address}" if tunnelled else f"directly to {address}"
    if echoes.get(gateway):
        return Hop(where, f"{way}: {gateway} answers")
    if not echoes.get(address):
        return Hop(where, way, f"{there} does not answer at {address}: it is off, or the network between is cut")
    if not sound:
        return Hop(where, way, _AS_BEFORE)
    problem = routes.unanswered(here, there, address, gateway, tunnelled=tunnelled)
    return Hop(where, way, problem)


def address_like(node: Object, address: str) -> str:
    """The node's address of the family of another address, else its main one."""
    held = routes.node_addresses(node)
    return next((one for one in held if (":" in one) == (":" in address)), next(iter(held), ""))


def connection_hop(
    node: str, told: str, outcome: str, held_by: Sequence[str], *, sound: bool = True, to_pod: bool = True
) -> Hop:
    """What became of a connection from the pod to an endpoint; `sound` if no hop before is broken."""
    end = "pod" if to_pod else "machine"
    what = f"connection {told}: {outcome}"
    if outcome == "accepted":
        return Hop(node, what)
    if outcome == "refused":
        return Hop(node, what, f"nothing listens at that port of the {end}, or a rule refuses it")
    if not sound:
        return Hop(node, what, _AS_BEFORE)
    if held_by:
        return Hop(node, what, f"all hops before are sound; these network policies judge it: {', '.join(held_by)}")
    problem = f"all hops before are sound; the {end} itself does not answer, or a firewall drops the packets"
    return Hop(node, what, problem)


def policies_judging(objects: Iterable[Object], pod: Object | None, direction: str) -> list[str]:
    """The policies that decide about a direction of a pod's traffic."""
    return [
        f"{direction} {key_of(policy)}"
        for policy in objects
        if pod is not None
        and namespace_of(policy) == namespace_of(pod)
        and policies.judges(policy.get("spec") or {}, direction)
        and LabelSelector.from_json(policy["spec"].get("podSelector") or {}).matches(labels_of(pod))
    ]


def written(hops: Sequence[Hop]) -> str:
    """The hops as lines; the first broken one is marked, and what it breaks by follows."""
    width = max((len(hop.where) for hop in hops), default=0)
    lines = []
    first = next((hop for hop in hops if hop.problem), None)
    for number, hop in enumerate(hops, 1):
        mark = "BROKEN" if hop is first else "broken" if hop.problem else "unseen" if hop.unseen else "ok"
        lines.append(f"{number:2}  {hop.where:{width}}  {mark:6}  {hop.what}")
        if hop.problem or hop.unseen:
            lines.append(f"{'':{width + 6}}{'':8}{hop.problem or hop.unseen}")
    return "\n".join(lines)

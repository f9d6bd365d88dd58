"""How a trace is judged and written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.network.nftables.values import Endpoint
from control.cli import trace_hops
from control.cli.trace_hops import Frontend, Hop

pytestmark = pytest.mark.unit

ONE, TWO = ({"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}
            for name, address in (("one", "192.0.2.1"), ("two", "192.0.2.2")))  # fmt: skip


@pytest.mark.parametrize("link, gateway, node, problem", [
    ("eth0", True, True, ""),
    ("eth0", False, True, "a firewall between one and two drops packets of pods"),
    ("wherry-vxlan", False, True, "a firewall between one and two drops UDP port 4789"),
    ("wherry-vxlan", False, False, "two does not answer at 192.0.2.2"),
])  # fmt: skip
def test_the_way_between_nodes(link: str, gateway: bool, node: bool, problem: str) -> None:
    echoes = {"10.244.2.1": gateway, "192.0.2.2": node}
    hop = trace_hops.between_hop(ONE, TWO, "10.244.2.1", {"link": link}, echoes)
    assert hop.where == "one -> two" and problem in hop.problem and bool(hop.problem) is bool(problem)


@pytest.mark.parametrize("outcome, held_by, problem", [
    ("accepted", [], ""), ("refused", [], "nothing listens"), ("timeout", ["ingress a/p"], "judge it: ingress a/p"),
    ("timeout", [], "the pod itself does not answer"),
])  # fmt: skip
def test_the_connection(outcome: str, held_by: list[str], problem: str) -> None:
    assert problem in trace_hops.connection_hop("one", "x", outcome, held_by).problem


def test_a_connection_over_a_broken_hop_blames_nothing_else() -> None:
    assert trace_hops.connection_hop("one", "x", "timeout", ["p"], sound=False).problem == "as a hop before is broken"


def test_a_way_without_a_route_blames_no_firewall() -> None:
    hop = trace_hops.between_hop(ONE, TWO, "10.244.2.1", {}, {"10.244.2.1": False, "192.0.2.2": True}, sound=False)
    assert hop.problem == "as a hop before is broken"


@pytest.mark.parametrize("proxy, words", [
    (True, "journalctl -u wherry-proxy"), (False, "its proxy does not run: `systemctl status wherry-proxy` on one"),
])  # fmt: skip
def test_what_the_kernel_lacks_is_led_back_to_the_proxy(proxy: bool, words: str) -> None:
    nothing = {"proxy": proxy, "chain": "", "endpoints": [], "refused": False, "problem": "", "masquerade": False,
               "route": {"problem": "there is no route: Network is unreachable"}}  # fmt: skip
    front = Frontend("a/web", "fd00:96::1", "TCP", 80, (Endpoint("fd00::1", 80),))
    for hop in (trace_hops.service_hop("one", front, nothing), trace_hops.route_hop("one", "10.244.2.2", nothing),
                trace_hops.leaving_hop("one", nothing)):  # fmt: skip
        assert words in hop.problem
    assert "service a/web [fd00:96::1]:80/TCP" in trace_hops.service_hop("one", front, nothing).what


def test_a_machine_outside_is_no_pod() -> None:
    assert "port of the machine" in trace_hops.connection_hop("one", "x", "refused", [], to_pod=False).problem
    assert trace_hops.leaving_hop("one", {"masquerade": True}).problem == ""


def test_a_headless_service_leads_to_its_endpoints() -> None:
    facts = {"problem": "", "chain": ""}
    front = Frontend("a/web", "None", "TCP", 80, (Endpoint("10.244.1.2", 80),))
    assert trace_hops.service_hop("one", front, facts).problem == ""
    assert "no ready endpoints" in trace_hops.service_hop("one", replace(front, endpoints=()), facts).problem


@pytest.mark.parametrize(("shall", "elsewhere", "chain", "does", "problem"), [
    ("ab", 0, "spread-2", "ab", ""),
    ("ab", 0, "external-a/web/tcp/80", "", ""),
    ("a", 0, "spread-2", "ab", "b:80 is no endpoint for one any more; the rule of one is behind the API"),
    ("ab", 0, "spread-1", "a", "b:80 is an endpoint, too; the rule of one is behind the API"),
    ("", 0, "", "", "the service has no ready endpoints"),
    ("", 2, "", "", "internalTrafficPolicy is Local, and no endpoint of it is on one, but 2 elsewhere"),
    ("a", 0, "", "", "one has no rule for it: its proxy runs"),
])  # fmt: skip
def test_a_services_rule_is_held_against_the_endpoints_that_the_node_shall_use(
    shall: str, elsewhere: int, chain: str, does: str, problem: str
) -> None:
    front = Frontend("a/web", "10.96.0.9", "TCP", 80, tuple(Endpoint(one, 80) for one in shall), elsewhere)
    facts = {"problem": "", "chain": chain, "endpoints": [f"{one}:80" for one in does], "refused": not chain}
    found = trace_hops.service_hop("one", front, facts)
    assert problem in found.problem and bool(problem) == bool(found.problem)


def test_what_is_not_the_proxys_is_not_led_back_to_it() -> None:
    facts = {"route": {"problem": "there is no route: Network is unreachable"}}
    assert "`ip route` on one" in trace_hops.route_hop("one", "192.0.2.9", facts, to_pod=False).problem
    assert "no pod that runs has it" in trace_hops.nobody_hop("one", "10.244.2.9", "two").problem
    assert "no service has it" in trace_hops.nobody_hop("one", "10.96.9.9", "").problem


def test_only_policies_that_select_the_pod_and_judge_the_direction_are_named() -> None:
    pod = {"metadata": {"name": "web", "namespace": "a", "labels": {"app": "web"}}}

    def policy(name: str, namespace: str, app: str) -> dict:
        spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"]}
        return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}

    policies = [policy("p", "a", "web"), policy("q", "b", "web"), policy("r", "a", "db")]
    assert trace_hops.policies_judging(policies, pod, "ingress") == ["ingress a/p"]
    assert trace_hops.policies_judging(policies, pod, "egress") == []
    assert trace_hops.policies_judging(policies, None, "ingress") == []


def test_the_first_broken_hop_stands_out() -> None:
    hops = [Hop("one", "a"), Hop("one -> two", "b", "cut"), Hop("two", "c", "down"), Hop("two", "d", unseen="off")]
    assert trace_hops.written(hops).splitlines() == [
        " 1  one         ok      a",
        " 2  one -> two  BROKEN  b",
        "                        cut",
        " 3  two         broken  c",
        "                        down",
        " 4  two         unseen  d",
        "                        off",
    ]

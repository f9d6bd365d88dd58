"""`wherry proxy` as a process beside a real API server: it follows the API, repairs, survives, and cleans up."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from namespace_lab import CIDRS, node
from proxy_site import ADDRESS, WHERRY, Site, endpoint_slice, open_site, service, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

# What starting a program that asks takes on a busy machine.
LOOKUP_SECONDS = 2.0


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as made:
        yield made


def test_the_proxy_follows_repairs_survives_and_cleans_up(site: Site) -> None:
    site.apply(service(), endpoint_slice(*site.pods))
    wait_for(lambda: site.answers("a", "b", count=12), "balancing")
    site.apply(endpoint_slice(site.pods[1]))
    wait_for(lambda: site.answers("b", count=8), "following an endpoint's end")

    site.host.sh("nft flush ruleset; ip link del wherry0")
    wait_for(lambda: site.answers("b", count=4), "repair")
    wait_for(lambda: {"ServiceRulesRepaired", "PodNetworkRepaired"} <= site.reasons(), "events about the repair")

    assert site.host.sh("cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait").strip() == "3600"
    site.host.sh("ip route del 10.244.1.0/24")
    wait_for(lambda: site.answers("b", count=4), "repair of the route to the node's own pods")
    before = site.host.sh("nft list ruleset; ip route; ip -o -4 addr")
    site.host.kill(pid=site.proxy, number=signal.SIGKILL)
    assert site.answers("b", count=4)
    site.start_proxy()
    site.apply(endpoint_slice(site.pods[0]))
    wait_for(lambda: site.answers("a", count=8), "following after a restart")
    site.apply(endpoint_slice(site.pods[1]))
    wait_for(lambda: site.answers("b", count=8), "following back")
    assert site.host.sh("nft list ruleset; ip route; ip -o -4 addr") == before

    assert site.host.kill(pid=site.proxy, number=signal.SIGTERM) == 0
    assert site.answers("b", count=4)
    site.host.run(argv=[*WHERRY, "proxy", "--cleanup"])
    assert site.host.sh("nft list ruleset") == ""
    assert "proto 87" not in site.host.sh("ip route")
    assert "wherry" not in site.host.sh("ip link")


def test_a_udp_client_with_one_port_follows_its_service(site: Site) -> None:
    site.apply(service("UDP"), endpoint_slice(site.pods[0], protocol="UDP"))
    wait_for(lambda: site.answers("a", protocol="udp", source_port=5555), "first endpoint")
    site.apply(endpoint_slice(site.pods[1], protocol="UDP"))
    wait_for(lambda: site.answers("b", protocol="udp", source_port=5555), "second endpoint", 5)


ASK = """
import sys, dns.resolver
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.lifetime = ["10.96.0.10"], 3
try:
    print(*(item.to_text() for item in resolver.resolve(sys.argv[1], sys.argv[2], tcp=len(sys.argv) > 3)))
except Exception as error:
    print(type(error).__name__)
"""


def lookup_of(site: Site) -> Callable[..., str]:
    """What a pod is told by its name server."""

    def lookup(*question: str, pod: str = "client") -> str:
        return site.host.sh(shlex.join(["ip", "netns", "exec", pod, sys.executable, "-c", ASK, *question])).strip()

    return lookup


def test_pods_find_services_by_name(site: Site) -> None:
    lookup = lookup_of(site)
    site.apply(service(), endpoint_slice(*site.pods))
    wait_for(lambda: lookup("web.default.svc.cluster.local", "A") == "10.96.0.80", "the first answer")
    assert lookup("web.default.svc.cluster.local", "A", "tcp") == "10.96.0.80"
    assert lookup("kubernetes.default.svc.cluster.local", "A") == "10.96.0.1"
    assert lookup("kube-dns.kube-system.svc.cluster.local", "A") == "10.96.0.10"
    assert lookup("80.0.96.10.in-addr.arpa", "PTR") == "web.default.svc.cluster.local."
    assert lookup("nothing.default.svc.cluster.local", "A") == "NXDOMAIN"
    dashed = site.pods[0].replace(".", "-")
    assert lookup(f"{dashed}.web.default.svc.cluster.local", "A") == site.pods[0]
    assert lookup(f"{dashed}.default.pod.cluster.local", "A") == site.pods[0]
    assert lookup(f"{dashed}.nowhere.pod.cluster.local", "A") == "NXDOMAIN"

    # Headless, as the members of a StatefulSet are found; the answer follows a change within a second.
    headless = service() | {"metadata": {"name": "db", "namespace": "default"},
                            "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]}}  # fmt: skip
    members = endpoint_slice(site.pods[0]) | {"metadata": {"name": "db-1", "namespace": "default",
                                                           "labels": {"kubernetes.io/service-name": "db"}}}  # fmt: skip
    members["endpoints"][0]["hostname"] = "db-0"
    site.apply(headless, members)
    wait_for(lambda: lookup("db-0.db.default.svc.cluster.local", "A") == site.pods[0], "a member's name")
    members["endpoints"][0]["addresses"] = [site.pods[1]]
    site.apply(members)
    changed = time.monotonic()
    wait_for(lambda: lookup("db-0.db.default.svc.cluster.local", "A") == site.pods[1], "the member's new address", 5)
    assert time.monotonic() - changed < 1 + LOOKUP_SECONDS


def test_a_service_that_changes_its_type_is_reached_as_its_type_says(site: Site) -> None:
    lookup, name = lookup_of(site), "web.default.svc.cluster.local"
    outside = site.lab.host("outside", "lan", "192.168.9.50/24")
    outside.sh(f"ip route add 192.0.2.8 via {ADDRESS}")

    def become(kind: str, **spec: Any) -> dict[str, Any]:
        typed = service()
        typed["spec"] |= {"type": kind} | spec
        if kind == "ExternalName":
            del typed["spec"]["clusterIP"]
        site.apply(typed)
        found = site.host.items(kubeconfig=site.kubeconfig, resource="services")
        return next(one["spec"] for one in found if one["metadata"]["name"] == "web")

    def reached(*ports: int) -> set[str]:
        return outside.reach("192.0.2.8:80", *(f"{ADDRESS}:{port}" for port in ports))

    assert become("ClusterIP")["clusterIP"] == "10.96.0.80"
    site.apply(endpoint_slice(*site.pods))
    wait_for(lambda: site.answers("a", "b", count=12), "balancing", 60)
    port = become("NodePort")["ports"][0]["nodePort"]
    wait_for(lambda: reached(port) == {f"{ADDRESS}:{port}"}, "the node port")

    balanced = become("LoadBalancer", externalTrafficPolicy="Local")
    health = balanced["healthCheckNodePort"]
    assert balanced["ports"][0]["nodePort"] == port
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}}
    site.host.put_status(kubeconfig=site.kubeconfig, resource="services", obj=service() | {"status": status})
    everything = {"192.0.2.8:80", f"{ADDRESS}:{port}", f"{ADDRESS}:{health}"}
    wait_for(lambda: reached(port, health) == everything, "the balancer's address, node port and health check")

    become("ClusterIP")
    wait_for(lambda: reached(port, health) == set(), "the end of all ways from outside")
    assert site.answers("a", "b", count=12)
    become("ExternalName", externalName="away.example.com")
    wait_for(lambda: site.answers("error"), "the end of the cluster address")
    wait_for(lambda: lookup(name, "CNAME") == "away.example.com.", "the name that it stands for")
    again = become("NodePort", sessionAffinity="ClientIP")["ports"][0]["nodePort"]
    wait_for(lambda: reached(again) == {f"{ADDRESS}:{again}"}, "the node port anew")
    assert lookup(name, "A") == "10.96.0.80"
    assert site.answers("a", count=8) or site.answers("b", count=8)
    become("NodePort")
    wait_for(lambda: site.answers("a", "b", count=12), "the end of the affinity")


def test_policies_of_the_api_are_in_force_and_repaired(site: Site) -> None:
    for name, address in (("a", site.pods[0]), ("b", site.pods[1]), ("client", site.client)):
        containers = [{"name": "main", "image": "none"}]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default",
               "labels": {"app": name}}, "spec": {"nodeName": "one", "containers": containers}}  # fmt: skip
        site.apply(pod)
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        site.host.put_status(kubeconfig=site.kubeconfig, resource="pods", obj=pod | {"status": status})
    policy = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "guard", "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": "b"}},
                 "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}]},
    }  # fmt: skip
    a, b = (f"{address}:8080" for address in site.pods)
    site.apply(policy)
    wait_for(lambda: site.host.reach(a, b, pod="client") == {a}, "the policy")
    assert site.host.reach(b, pod="a") == {b}
    site.host.sh("nft flush ruleset")
    wait_for(lambda: "NetworkPolicyRepaired" in site.reasons(), "the event about the repair")
    assert site.host.reach(a, b, pod="client") == {a}
    policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app"] = "client"
    site.apply(policy)
    wait_for(lambda: site.host.reach(a, b, pod="client") == {a, b}, "the changed policy")
    assert site.host.reach(b, pod="a") == set()


def test_a_balancers_address_is_answered_for_and_its_health_told(site: Site) -> None:
    def health() -> str:
        asking = "import urllib.request as u, sys\ntry: print(u.urlopen(sys.argv[1]).read().decode())\n"
        asking += "except Exception as error: print(error)"
        return site.host.sh(shlex.join([sys.executable, "-c", asking, "http://127.0.0.1:32123/healthz"]))

    balanced = service()
    balanced["metadata"]["annotations"] = {"cloud.wherry.dev/announced-by": "one"}
    balanced["spec"] |= {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32123}
    site.apply(balanced, endpoint_slice(*site.pods))
    status = {"loadBalancer": {"ingress": [{"ip": "192.168.9.200"}]}}
    site.host.put_status(kubeconfig=site.kubeconfig, resource="services", obj=balanced | {"status": status})
    wait_for(lambda: "192.168.9.200/32" in site.host.sh("ip -o addr show"), "taking the address")
    wait_for(lambda: "AddressAnnounced" in site.reasons(), "the event about the address")
    wait_for(lambda: '"localEndpoints":2' in health(), "the health of two endpoints")
    site.host.sh("ip link del wherry-lb")
    wait_for(lambda: "192.168.9.200/32" in site.host.sh("ip -o addr show"), "taking the address again")
    away = endpoint_slice("10.244.2.9")
    away["endpoints"][0]["nodeName"] = "two"
    site.apply(away)
    wait_for(lambda: "503" in health(), "the health of no endpoint")
    balanced["metadata"]["annotations"] = {"cloud.wherry.dev/announced-by": "two"}
    site.apply(balanced)
    wait_for(lambda: "wherry-lb" not in site.host.sh("ip link"), "giving the address up")


def test_a_node_that_cannot_ask_the_api_leaves_an_address_to_another_that_answers_for_it(site: Site) -> None:
    address, lost = "192.168.9.201", "tcp dport 6443"
    balanced = service()
    balanced["metadata"]["annotations"] = {"cloud.wherry.dev/announced-by": "one"}
    balanced["spec"] |= {"type": "LoadBalancer"}
    site.apply(balanced)
    status = {"loadBalancer": {"ingress": [{"ip": address}]}}
    site.host.put_status(kubeconfig=site.kubeconfig, resource="services", obj=balanced | {"status": status})

    def held() -> bool:
        return f"{address}/32" in site.host.sh("ip -o addr show")

    wait_for(held, "the proxy's start, and taking the address", 60)
    rival = site.lab.host("rival", "lan", "192.168.9.13/24")
    rival.announce(addresses=[address])
    said = f"grep -c '{address} is answered for by' {site.host.state}/proxy.log || true"
    wait_for(lambda: int(site.host.sh(said)) > 0, "seeing the other one")
    assert held(), "the API confirms it"
    site.host.sh(f"nft 'add table ip fw; add chain ip fw in {{ type filter hook input priority -5; }};"
                 f"add rule ip fw in {lost} drop'")  # fmt: skip
    wait_for(lambda: not held(), "giving it up without the API")
    rival.announce(addresses=[])
    site.host.sh("nft delete table ip fw")
    wait_for(held, "taking it again as the API says")
    balanced["metadata"]["annotations"] = {"cloud.wherry.dev/announced-by": ""}
    site.apply(balanced)
    wait_for(lambda: not held(), "giving it up as the API says")


def test_a_firewall_that_drops_vxlan_is_found_and_said(site: Site) -> None:
    away = "192.168.10.12"
    site.lab.segment("wan", "192.168.10.1/24")
    site.lab.switch.sh("ip addr add 192.168.9.1/24 dev lan")
    site.host.sh("ip route add default via 192.168.9.1")
    two = site.lab.host("two", "wan", f"{away}/24", gateway="192.168.10.1")
    two.open(state=two.state, cidrs=[CIDRS["two"]])
    target = two.attach(sandbox="web")["addresses"][0]
    two.serve("two", 8080, pod="web")
    nodes = [node("one", ADDRESS, CIDRS["one"]), node("two", away, CIDRS["two"])]
    two.routes(nodes=nodes, name="two", address=away, cidr=CIDRS["two"])
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    joined = {"apiVersion": "v1", "kind": "Node"} | nodes[1]
    site.apply(joined)
    status = joined["status"] | {"conditions": [ready]}
    site.host.put_status(kubeconfig=site.kubeconfig, resource="nodes", obj=joined | {"status": status})
    wait_for(lambda: site.host.answer(target, 8080, pod="client") == "two", "the way by VXLAN")

    two.sh("nft 'add table ip fw; add chain ip fw in { type filter hook input priority -5; };"
           "add rule ip fw in udp dport 4789 drop'")  # fmt: skip
    wait_for(lambda: "PodNetworkUnreachable" in site.reasons(), "the event about VXLAN", 40)
    (event,) = [one for one in site.host.items(kubeconfig=site.kubeconfig, resource="events")
                if one["reason"] == "PodNetworkUnreachable"]  # fmt: skip
    assert event["message"].endswith("a firewall between one and two drops UDP port 4789")
    two.sh("nft delete table ip fw")
    wait_for(lambda: "PodNetworkReachable" in site.reasons(), "the event about the end of it", 40)

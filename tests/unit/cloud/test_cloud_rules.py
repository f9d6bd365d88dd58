"""What the cloud controller makes of nodes and Services, and what its providers know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.runtime import SystemRuntime
from control.cloud import nodes, routes, static, vagrant
from control.cloud.provider import ConfigError, Metadata, ProviderError, Route
from control.cloud.reachability import Reachability

pytestmark = pytest.mark.unit

POOL = [(4, 0xC0000201, 0xC0000203)]  # 192.0.2.1 to 192.0.2.3


def node(name: str, *, ready: bool = True, **more: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    addresses = [{"type": "InternalIP", "address": more.pop("address", f"10.0.0.{len(name)}")}]
    metadata = {"name": name, "labels": more.pop("labels", {})}
    return {"metadata": metadata, "spec": more, "status": {"conditions": conditions, "addresses": addresses}}


def service(name: str, address: str = "", announcer: str = "", **spec: Any) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": [{"ip": address}]}} if address else {}
    annotations = {static.ANNOUNCER: announcer} if announcer else {}
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    return {"metadata": metadata, "spec": {"type": "LoadBalancer"} | spec, "status": status}


def test_a_new_node_is_initialised_from_its_machine() -> None:
    taints = [{"key": nodes.UNINITIALIZED, "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"}]
    machine = Metadata("static://n", instance_type="small", zone="z", region="r", labels={"disk": "ssd"})
    found = nodes.initialized(node("n", taints=taints), machine)
    assert found["spec"]["taints"] == taints[1:]
    assert found["spec"]["providerID"] == "static://n"
    assert found["metadata"]["labels"] == {
        "disk": "ssd",
        "node.kubernetes.io/instance-type": "small",
        "topology.kubernetes.io/zone": "z",
        "topology.kubernetes.io/region": "r",
    }


def test_a_machine_nobody_knows_is_initialised_as_it_is() -> None:
    found = nodes.initialized(node("n", taints=[{"key": nodes.UNINITIALIZED}]), None)
    assert (found["spec"]["taints"], found["metadata"]["labels"]) == ([], {})


def test_addresses_are_the_machines_but_the_host_name_is_the_kubelets() -> None:
    present = node("n", address="10.0.0.9")
    present["status"]["addresses"].append({"type": "Hostname", "address": "n"})
    changed = nodes.with_addresses(present, Metadata("x", addresses=(("InternalIP", "10.0.0.1"),)))
    assert changed is not None
    assert [one["address"] for one in changed["status"]["addresses"]] == ["10.0.0.1", "n"]
    assert nodes.with_addresses(changed, Metadata("x", addresses=(("InternalIP", "10.0.0.1"),))) is None


def test_a_halted_machine_is_tainted_until_it_runs() -> None:
    halted = nodes.with_shutdown_taint(node("n"), shutdown=True)
    assert halted is not None
    assert halted["spec"]["taints"] == [{"key": nodes.SHUTDOWN, "effect": "NoSchedule"}]
    assert nodes.with_shutdown_taint(halted, shutdown=True) is None
    running = nodes.with_shutdown_taint(halted, shutdown=False)
    assert running is not None
    assert running["spec"]["taints"] == []


class Says:
    """A provider that says the same of every machine."""

    def __init__(self, exists: bool, shutdown: bool) -> None:
        self._exists, self._shutdown = exists, shutdown

    def exists(self, node: Any) -> bool:
        return self._exists

    def shutdown(self, node: Any) -> bool:
        return self._shutdown

    def metadata(self, node: Any) -> Metadata | None:
        return None


@pytest.mark.parametrize(
    ("ready", "exists", "shutdown", "gone", "off"),
    [
        ("False", False, False, True, False),
        ("Unknown", False, False, True, False),
        (None, False, False, True, False),
        ("Unknown", True, True, False, True),
        ("Unknown", True, False, False, False),
        # A provider may be wrong about a machine that speaks.
        ("True", False, False, False, False),
        ("True", True, True, False, False),
    ],
)
def test_what_has_become_of_a_machine(ready: str | None, exists: bool, shutdown: bool, gone: bool, off: bool) -> None:
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    found, says = {"metadata": {"name": "n"}, "status": {"conditions": conditions}}, Says(exists, shutdown)
    assert (nodes.is_gone(found, says), nodes.is_off(found, says)) == (gone, off)


def test_each_nodes_range_is_routed_to_it() -> None:
    ranges = {"a": ["10.1.0.0/24"], "b": ["10.2.0.0/24", "fd00:2::/64"], "c": ["10.3.0.0/24"]}
    found = [node(name, podCIDRs=cidrs) for name, cidrs in ranges.items()]
    for one, address in zip(found, ("192.0.2.1", "192.0.2.2", "192.0.2.3")):
        one["status"]["addresses"] = [{"type": "InternalIP", "address": address}]
    present = [
        Route("a", "", "10.1.0.0/24", "192.0.2.1"),
        Route("moved", "", "10.3.0.0/24", "192.0.2.9"),
        Route("old", "gone", "10.9.0.0/24", "192.0.2.9"),
    ]
    create, delete = routes.decide(found, present)
    assert [(one.target, one.destination, one.gateway) for one in create] == [
        ("b", "10.2.0.0/24", "192.0.2.2"),
        ("c", "10.3.0.0/24", "192.0.2.3"),
    ]
    assert [one.name for one in delete] == ["moved", "old"]


def test_a_node_is_told_once_whether_it_is_reached() -> None:
    lost = routes.with_condition(node("n"), failed=True, now=0.0)
    assert lost is not None
    assert lost["status"]["conditions"][-1]["reason"] == "NoRouteCreated"
    assert routes.with_condition(lost, failed=True, now=5.0) is None
    reached = routes.with_condition(lost, failed=False, now=5.0)
    assert reached is not None
    assert (reached["status"]["conditions"][-1]["status"], len(reached["status"]["conditions"])) == (
        "False",
        len(lost["status"]["conditions"]),
    )


@pytest.mark.parametrize(
    ("asking", "taken", "expected"),
    [
        (service("s"), set(), "192.0.2.1"),
        (service("s"), {"192.0.2.1"}, "192.0.2.2"),
        (service("s", "192.0.2.3"), {"192.0.2.1"}, "192.0.2.3"),
        (service("s", "198.51.100.1"), set(), "192.0.2.1"),
        (service("s", loadBalancerIP="192.0.2.2"), set(), "192.0.2.2"),
        (service("s", loadBalancerIP="192.0.2.2"), {"192.0.2.2"}, "belongs to another Service"),
        (service("s", loadBalancerIP="198.51.100.1"), set(), "is not in the pool"),
        (service("s"), {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, "exhausted"),
        (service("s", ipFamilies=["IPv4"]), set(), "192.0.2.1"),
        (service("s", ipFamilies=["IPv4", "IPv6"]), set(), "192.0.2.1"),
        (service("s", ipFamilies=["IPv6"]), set(), "has none of IPv6"),
    ],
)
def test_which_address_a_service_gets(asking: Any, taken: set[str], expected: str) -> None:
    if expected.startswith("192"):
        assert static.choose_addresses(asking, taken, POOL) == (expected,)
    else:
        with pytest.raises(ProviderError, match=expected):
            static.choose_addresses(asking, taken, POOL)


BOTH = ["IPv4", "IPv6"]
DUAL_POOL = [*POOL, *static._ranges(["2001:db8::10-2001:db8::11"])]


@pytest.mark.parametrize(
    ("asking", "taken", "expected"),
    [
        (service("s", ipFamilies=["IPv6"]), set(), ["2001:db8::10"]),
        (service("s", ipFamilies=BOTH), {"2001:db8::10"}, ["192.0.2.1", "2001:db8::11"]),
        (service("s", ipFamilies=BOTH[::-1]), {"192.0.2.1"}, ["2001:db8::10", "192.0.2.2"]),
        (service("s", "192.0.2.3", ipFamilies=BOTH), set(), ["192.0.2.3", "2001:db8::10"]),
        (service("s", "192.0.2.3", ipFamilies=["IPv6"]), set(), ["2001:db8::10"]),
        (service("s", loadBalancerIP="2001:db8::11", ipFamilies=BOTH), set(), ["192.0.2.1", "2001:db8::11"]),
        (service("s", loadBalancerIP="2001:db8::11", ipFamilies=["IPv4"]), set(), "is not in the pool"),
        (service("s", ipFamilies=BOTH), {"2001:db8::10", "2001:db8::11"}, "exhausted"),
    ],
)
def test_a_service_gets_an_address_of_each_of_its_families(
    asking: Any, taken: set[str], expected: list[str] | str
) -> None:
    if isinstance(expected, list):
        assert list(static.choose_addresses(asking, taken, DUAL_POOL)) == expected
    else:
        with pytest.raises(ProviderError, match=expected):
            static.choose_addresses(asking, taken, DUAL_POOL)


EXCLUDED = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}


@pytest.mark.parametrize(
    ("present", "found", "dead", "expected"),
    [
        ("", [node("a")], set(), "a"),
        ("b", [node("a"), node("b")], set(), "b"),
        ("b", [node("a"), node("b", ready=False)], set(), "a"),
        ("b", [node("a"), node("b")], {"b"}, "a"),
        ("b", [node("a"), node("b")], {"a", "b"}, "b"),
        ("b", [node("a", labels=EXCLUDED), node("b", ready=False)], set(), ""),
        ("", [], set(), ""),
    ],
    ids=["first", "stays", "not ready", "silent", "all silent: our own fault", "excluded", "none"],
)
def test_which_node_announces(present: str, found: list[Any], dead: set[str], expected: str) -> None:
    asking = service("s", announcer=present)
    assert static.choose_announcer(asking, found, lambda one: one["metadata"]["name"] not in dead) == expected


class Hands:
    """A clock that is turned by hand, and machines that answer or not."""

    def __init__(self) -> None:
        self.now, self.silent, self.asked = 0.0, set[str](), 0

    def monotonic(self) -> float:
        return self.now

    def reaches(self, address: str, port: int) -> bool:
        self.asked += 1
        return address not in self.silent


def test_a_machine_is_lost_after_two_silent_seconds_and_back_at_once() -> None:
    hands = Hands()
    found = Reachability(hands, hands.reaches)  # type: ignore[arg-type]
    seen = []
    for silent in (False, True, True, True, False):
        hands.silent = {"10.0.0.1"} if silent else set()
        seen.append(found.alive(node("n")))
        assert found.alive(node("n")) == seen[-1], "asked again within the second, it is the same answer"
        hands.now += 1.0
    assert seen == [True, True, False, False, True]
    assert hands.asked == 5


def test_two_services_get_two_addresses_though_the_informer_lags() -> None:
    hands = Hands()
    balancers = static.StaticLoadBalancers(POOL, Reachability(hands, hands.reaches))  # type: ignore[arg-type]
    first, second = service("a"), service("b")
    given = [balancers.ensure(one, [node("n")], [first, second]).ingress[0]["ip"] for one in (first, second)]
    assert given == ["192.0.2.1", "192.0.2.2"]
    balancers.delete(first)
    assert balancers.ensure(service("c"), [node("n")], [second, service("c")]).ingress[0]["ip"] == "192.0.2.1"


def test_the_static_file_tells_of_machines_and_is_read_again(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("[nodes]\nn1 ansible_host=10.0.0.1 zone=rack-1\nn2 ansible_host=10.0.0.2\n")
    file = tmp_path / "static.yaml"
    file.write_text("inventory: hosts.ini\ngroup: nodes\nloadBalancer: {addresses: [192.0.2.0/30]}\n")
    provider = static.load(file, SystemRuntime(), lambda address, port: True)
    instances = provider.instances
    assert instances is not None
    assert provider.load_balancers is not None
    known = instances.metadata(node("n1"))
    assert known is not None
    assert (known.zone, known.addresses) == ("rack-1", (("InternalIP", "10.0.0.1"),))
    assert instances.metadata(node("stranger")) is None
    assert instances.exists(node("stranger"))
    file.write_text("inventory: hosts.ini\nmachines: [{name: n1, state: gone}, {name: n2, state: shutdown}]\n")
    assert (instances.exists(node("n1")), instances.shutdown(node("n2"))) == (False, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("machines: [{name: n, state: asleep}]", "asleep is none of running, shutdown, gone"),
        ("loadBalancer: {addresses: [10.0.0.9-10.0.0.1]}", "is not a range of addresses"),
        ("[1]", "it is no mapping"),
        ("inventory: nowhere.ini", "nowhere.ini"),
        ("{", "is not YAML"),
    ],
)
def test_a_bad_static_file_is_one_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "static.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        static.load(file, SystemRuntime(), lambda address, port: True)


STATUS = """\
1,control,metadata,provider,libvirt
1,control,provider-name,libvirt
1,control,state,running
1,node1,provider-name,libvirt
1,node1,state,shutoff
1,node1,state-human-short,shutoff
1,node2,provider-name,libvirt
1,node2,state,not_created
1,,ui,info,Current machine states:
"""


@pytest.mark.parametrize(
    ("name", "exists", "shutdown", "kind"),
    [
        ("control", True, False, "libvirt"),
        ("node1", True, True, "libvirt"),
        ("node2", False, False, "libvirt"),
        ("stranger", True, False, None),
    ],
)
def test_what_vagrant_says_of_a_machine(name: str, exists: bool, shutdown: bool, kind: str | None) -> None:
    instances = vagrant.VagrantInstances(SystemRuntime(), lambda: STATUS)
    known = instances.metadata(node(name))
    assert (instances.exists(node(name)), instances.shutdown(node(name))) == (exists, shutdown)
    assert (known.instance_type if known else None) == kind


def test_that_vagrant_fails_is_not_that_machines_are_gone(tmp_path: Path) -> None:
    (tmp_path / "vagrant.yaml").write_text("directory: .\ncommand: [sh, -c, 'echo broken >&2; exit 1']\n")
    instances = vagrant.load(tmp_path / "vagrant.yaml", SystemRuntime()).instances
    assert instances is not None
    with pytest.raises(ProviderError, match="broken"):
        instances.exists(node("n"))

"""What a kubelet keeps of its node in the API, and when it asks for a new certificate of its node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.kubelet.certificates import of_client
from agents.kubelet.heartbeat import Heartbeat, Report
from agents.kubelet.machine import Machine
from agents.kubelet.node import Health, NodeSettings, events, node_status
from agents.kubelet.runtime.interface import Image, Version
from api import pki
from api.objects import labels_of
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


class _Leases:
    """A client that knows leases only, and merges as the server does."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] = {}

    def create(self, resource: str, obj: dict[str, Any]) -> dict[str, Any]:
        self.lease = obj
        return obj

    def patch(self, resource: str, name: str, patch: dict[str, Any], namespace: str) -> dict[str, Any]:
        for part, fields in patch.items():
            self.lease[part] = self.lease[part] | fields
        return self.lease


def test_a_lease_older_than_what_is_known_of_its_node_gets_it_for_an_owner() -> None:
    client = _Leases()
    heartbeat = Heartbeat(client, SystemRuntime(), NodeSettings("n"), lambda: pytest.fail("not asked"))  # type: ignore[arg-type]
    heartbeat.renew_lease()
    assert not client.lease["metadata"]["ownerReferences"]
    heartbeat.observe({"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}})
    heartbeat.renew_lease()
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    assert client.lease["metadata"]["ownerReferences"] == [owner]
    assert client.lease["spec"]["holderIdentity"] == "n"


class _Nodes:
    """A client that knows one Node, and merges labels as the server does."""

    def __init__(self) -> None:
        self.node: dict[str, Any] = {}

    def create(self, resource: str, obj: dict[str, Any]) -> dict[str, Any]:
        self.node = obj
        return obj

    def patch(self, resource: str, name: str, patch: dict[str, Any], **how: str) -> dict[str, Any]:
        labels = labels_of(self.node) | patch.get("metadata", {}).get("labels", {})
        self.node = self.node | patch | {"metadata": {**self.node["metadata"], "labels": labels}}
        return self.node


def test_the_labels_that_say_what_machine_it_is_are_kept() -> None:
    # Source: e2e_node/os_label_rename_test "should reconcile the OS and Arch labels when running".
    client = _Nodes()
    report = Report(Machine(cpus=2, memory=4 << 30, disk=1 << 30, architecture="arm64"), Version("p", "1"))
    heartbeat = Heartbeat(client, SystemRuntime(), NodeSettings("n", labels={"a": "b"}), lambda: report)  # type: ignore[arg-type]
    before = labels_of(heartbeat.register())
    others = before | {"kubernetes.io/os": "dummy", "kubernetes.io/arch": "dummy", "a": "other"}
    client.node = client.node | {"metadata": {"name": "n", "labels": others, "resourceVersion": "2"}}
    heartbeat.observe(client.node)
    for _ in range(2):
        heartbeat.report_status()
        assert labels_of(client.node) == before | {"a": "other"}


def status(*problems: str, pressure: str = "", boot: str = "", images: tuple[Image, ...] = ()) -> dict[str, Any]:
    machine = Machine(cpus=2, memory=4 << 30, disk=1 << 30, boot_id=boot)
    health = Health(problems, frozenset(pressure.split()))
    return node_status(NodeSettings("n"), machine, Version("p", "1"), list(images), health, {}, 0.0)


def unknown() -> dict[str, Any]:
    found = status()
    return found | {"conditions": [entry | {"status": "Unknown"} for entry in found["conditions"]]}


CALM = "Normal NodeHasSufficientMemory, Normal NodeHasNoDiskPressure, Normal NodeHasSufficientPID"
NEWS = [
    # Source: kubelet's TestReadyCondition, TestMemoryPressureCondition and its like, TestMachineInfo.
    ("a new node", {}, status(), CALM),
    ("a new node with troubles", {}, status("x", pressure="DiskPressure"), CALM.replace("HasNoDisk", "HasDisk")),
    ("nothing new", status("x"), status("y"), ""),
    ("ready", status("x"), status(), "Normal NodeReady"),
    ("not ready", status(), status("x"), "Normal NodeNotReady"),
    ("heard of again", unknown(), status(), f"{CALM}, Normal NodeReady"),
    ("pressure", status(), status(pressure="MemoryPressure PIDPressure"),
     "Normal NodeHasInsufficientMemory, Normal NodeHasInsufficientPID"),
    ("and its end", status(pressure="DiskPressure"), status(), "Normal NodeHasNoDiskPressure"),
    ("rebooted", status(boot="a"), status(boot="b"), "Warning Rebooted"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "fresh", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in NEWS])
def test_what_people_are_told_of_a_node(old: dict[str, Any], fresh: dict[str, Any], wanted: str) -> None:
    found = events({"status": old}, fresh, "n")
    assert ", ".join(f"{kind} {reason}" for kind, reason, _ in found) == wanted
    texts = {"Rebooted": "Node n has been rebooted, boot id: b"}
    assert all(text == texts.get(reason, f"Node n status is now: {reason}") for _, reason, text in found)


PROBLEMS = [((), "kubelet is posting ready status"), (("a",), "a"), (("a", "b"), "[a, b]")]


@pytest.mark.parametrize(("problems", "message"), PROBLEMS)
def test_why_a_node_is_not_ready(problems: tuple[str, ...], message: str) -> None:
    assert status(*problems)["conditions"][-1]["message"] == message


def test_an_image_is_named_by_its_digests_first() -> None:
    image = Image("1", names=("b:1", "a:1", "c:1"), digests=("b@sha256:2", "a@sha256:2", "a@sha256:1"))
    names = ["a@sha256:1", "a@sha256:2", "b@sha256:2", "a:1", "b:1"]
    assert status(images=(image,))["images"] == [{"names": names, "sizeBytes": 0}]


def test_certificates_are_renewed_in_the_last_third_and_not_all_at_once(tmp_path: Path) -> None:
    # Source: client-go util/certificate TestSetRotationDeadline.
    authority, wanted, now = pki.new_authority("ca", 0.0), of_client(tmp_path, "n"), 1000.0
    assert wanted.renew_in(now) == 0
    found = []
    for _ in range(8):
        pair = pki.issue(authority, wanted.subject, now)
        pki.write_key(wanted.file, pair.certificate + pair.key)
        start, end = pki.validity(pair.certificate)
        assert wanted.renew_in(now) == wanted.renew_in(now)
        found.append((now + wanted.renew_in(now) - start) / (end - start))
    assert 0.7 <= min(found) < max(found) <= 0.9

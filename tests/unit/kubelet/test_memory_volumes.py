"""Huge pages, and volumes that lie in memory, as tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agents.kubelet.machine import Machine, read_huge_pages
from agents.kubelet.node import Health, NodeSettings, node_status
from agents.kubelet.pods.limits import container_limits
from agents.kubelet.runtime.interface import Version
from agents.kubelet.volumes import empty
from agents.kubelet.volumes.payload import VolumeError

pytestmark = pytest.mark.unit

GIB, MIB = 1024**3, 1024**2


def pod() -> dict[str, Any]:
    return {"metadata": {"name": "a", "uid": "u1"}, "spec": {"containers": [{"name": "app"}]}}


def test_huge_pages_are_told_and_are_no_memory_for_others(tmp_path: Path) -> None:
    for name, pages in (("hugepages-1048576kB", "1"), ("hugepages-2048kB", "3"), ("hugepages-64kB", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nr_hugepages").write_text(f"{pages}\n")
    kinds = read_huge_pages(tmp_path)
    assert [tuple(kind) for kind in kinds] == [(65536, 0), (2 * MIB, 3), (GIB, 1)]
    machine = Machine(cpus=2, memory=4 * GIB, disk=10 * GIB, huge_pages=kinds)
    status = node_status(NodeSettings("n"), machine, Version("p", "1"), [], Health(), {}, 0.0)
    for amounts in (status["capacity"], status["allocatable"]):
        told = {name: amount for name, amount in amounts.items() if name.startswith("hugepages-")}
        assert told == {"hugepages-64Ki": "0", "hugepages-2Mi": "6Mi", "hugepages-1Gi": "1Gi"}
    assert (status["capacity"]["memory"], status["allocatable"]["memory"]) == ("4Gi", "3066Mi")


def test_a_container_has_the_huge_pages_that_it_asks_for() -> None:
    made = pod()
    made["spec"]["containers"] = [{"name": "app", "resources": {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}}]
    found = container_limits(made, made["spec"]["containers"][0], 0, (2 * MIB, GIB))
    assert found.huge_pages == (("2MB", 4 * MIB), ("1GB", 0))
    assert container_limits(made, made["spec"]["containers"][0], 0).huge_pages == ()


TWO, ONE_GIG = {"hugepages-2Mi": "4Mi"}, {"hugepages-1Gi": "1Gi"}
NO_REQUEST = "hugePages storage requested, but there is no resource request for huge pages"
# Source: emptydir's TestGetPageSizeMountOption, by its kinds of cases.
PAGES: list[tuple[str, list[dict[str, str]], list[dict[str, str]], int | str]] = [
    ("HugePages", [TWO], [], 2 * MIB),
    ("HugePages", [], [ONE_GIG], GIB),
    ("HugePages", [TWO, TWO], [TWO], 2 * MIB),
    ("HugePages", [TWO | ONE_GIG], [],
     "medium: HugePages can't be used if container requests multiple huge page sizes"),
    ("HugePages", [TWO], [ONE_GIG], "medium: HugePages can't be used if container requests multiple huge page sizes"),
    ("HugePages", [{"cpu": "1"}], [], f"medium HugePages: {NO_REQUEST}"),
    ("HugePages-2Mi", [TWO | ONE_GIG], [], 2 * MIB),
    ("HugePages-1Gi", [TWO], [ONE_GIG], GIB),
    ("HugePages-1Gi", [TWO], [], f"medium HugePages-1Gi: {NO_REQUEST}"),
    ("HugePages-2Mi", [], [], f"medium HugePages-2Mi: {NO_REQUEST}"),
]  # fmt: skip


@pytest.mark.parametrize(("medium", "regular", "initial", "wanted"), PAGES)
def test_of_which_pages_a_volume_is(
    medium: str, regular: list[dict[str, str]], initial: list[dict[str, str]], wanted: int | str
) -> None:
    made = pod()
    for field, amounts in (("containers", regular), ("initContainers", initial)):
        made["spec"][field] = [{"name": f"c{n}", "resources": {"requests": one}} for n, one in enumerate(amounts)]
    if isinstance(wanted, int):
        assert empty.page_size(made, medium) == wanted
        return
    with pytest.raises(VolumeError) as refused:
        empty.page_size(made, medium)
    assert str(refused.value) == wanted


# The node's memory, the pod's limit, the volume's. Source: emptydir's TestCalculateEmptyDirMemorySize.
SIZES = [("16Gi", "", "", 16 * GIB), ("16Gi", "10Gi", "", 10 * GIB), ("16Gi", "10Gi", "1Gi", GIB),
         ("16Gi", "1Gi", "10Gi", GIB), ("16Gi", "", "32Gi", 16 * GIB), ("", "", "2Gi", 2 * GIB),
         ("", "", "0", 0)]  # fmt: skip


@pytest.mark.parametrize(("node", "limit", "asked", "wanted"), SIZES)
def test_how_much_memory_a_volume_may_take(node: str, limit: str, asked: str, wanted: int) -> None:
    made = pod()
    made["spec"]["containers"][0]["resources"] = {"limits": {"memory": limit}} if limit else {}
    assert empty.size_in_memory(made, {"sizeLimit": asked} if asked else {}, node) == wanted


def test_a_directory_that_could_not_be_handed_over_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = pod() | {"spec": {"securityContext": {"fsGroup": os.getgid()}}}, tmp_path / "volumes" / "v"

    def refused(*arguments: object) -> None:
        raise PermissionError("this file system has no groups")

    with monkeypatch.context() as patched, pytest.raises(PermissionError):
        patched.setattr(os, "chown", refused)
        empty.set_up(made, {}, path, "")
    assert not path.exists()
    empty.set_up(made, {}, path, "")
    assert path.stat().st_mode & 0o7777 == 0o2777
    assert [entry.name for entry in path.parent.iterdir()] == ["v"]

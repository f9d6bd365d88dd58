"""Containers' logs lie where collectors look for them, and go with what they are the logs of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.runtime.interface import Container, ContainerSpec, PodIdentity, State

POD = PodIdentity("web-0", "shop", "0b6c7d1e-1111-4222-8333-abcdefabcdef")
OTHER = PodIdentity("web-1", "shop", "1b6c7d1e-1111-4222-8333-abcdefabcdef")


@pytest.fixture
def logs(tmp_path: Path) -> PodLogs:
    return PodLogs(tmp_path / "pods")


def started(logs: PodLogs, pod: PodIdentity, attempt: int, container_id: str) -> Container:
    """A container that has logged something."""
    path = logs.path(pod, "app", attempt)
    path.write_text("said\n")
    logs.show(ContainerSpec(pod, "app", attempt, "s", "i", "x", str(path)), container_id)
    return Container(container_id, pod, "app", attempt, "s", State.RUNNING, "x", "i", log_path=str(path))


def below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_a_log_lies_by_namespace_pod_and_uid_and_has_a_link_by_its_containers_id(logs: PodLogs, tmp_path: Path) -> None:
    found = started(logs, POD, 2, "cafe")
    assert found.log_path == f"{tmp_path}/pods/shop_web-0_{POD.uid}/app/2.log"
    link = tmp_path / "containers" / "web-0_shop_app-cafe.log"
    assert link.readlink() == Path(found.log_path)
    assert link.read_text() == "said\n"


def test_the_log_of_a_removed_container_goes_with_its_older_parts(logs: PodLogs, tmp_path: Path) -> None:
    first = started(logs, POD, 1, "cafe")
    started(logs, POD, 10, "babe")
    Path(f"{first.log_path}.1700000000").write_text("before\n")
    logs.discard(first)
    assert below(tmp_path) == ["containers/web-0_shop_app-babe.log", f"pods/shop_web-0_{POD.uid}/app/10.log"]
    logs.discard(first)


def test_a_container_that_has_no_log_takes_nothing_along(
    logs: PodLogs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").touch()
    logs.discard(replace(started(logs, POD, 0, "cafe"), log_path=""))
    assert below(tmp_path) == ["other", f"pods/shop_web-0_{POD.uid}/app/0.log"]


def test_all_logs_of_a_pod_go_by_its_uid(logs: PodLogs, tmp_path: Path) -> None:
    for pod, attempt, container_id in [(POD, 0, "cafe"), (POD, 1, "babe"), (OTHER, 0, "beef")]:
        started(logs, pod, attempt, container_id)
    assert logs.known() == {POD.uid, OTHER.uid}
    logs.release(POD.uid)
    assert below(tmp_path) == ["containers/web-1_shop_app-beef.log", f"pods/shop_web-1_{OTHER.uid}/app/0.log"]
    assert logs.known() == {OTHER.uid}
    logs.release(POD.uid)


def test_a_directory_that_names_no_uid_is_nobodys(logs: PodLogs) -> None:
    (logs.root / "shop_web-0_").mkdir(parents=True)
    assert logs.known() == set()


def test_a_link_has_a_name_that_file_systems_take(logs: PodLogs, tmp_path: Path) -> None:
    pod = PodIdentity("p" * 200, "n" * 60, POD.uid)
    path = tmp_path / "0.log"
    logs.show(ContainerSpec(pod, "app", 0, "s", "i", "x", str(path)), "cafe")
    (link,) = (tmp_path / "containers").iterdir()
    assert len(link.name) == 255 and link.suffix == ".log"

"""What a pod's group gets of the volume behind a claim, and when; and that volumes do not wait for each other."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from agents.kubelet.pods.environment import Surroundings
from agents.kubelet.volumes.manager import VolumeManager
from agents.kubelet.volumes.payload import Collector, File, VolumeError
from agents.kubelet.volumes.writer import write_payload
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

GROUP = 4321
GENERATED = {"pv.kubernetes.io/provisioned-by": "wherry.dev/local-path"}


class _NoPayload:
    def collect(self, pod: Any, volume: Any) -> None:
        return None


class _Sources:
    """One claim, bound to one volume."""

    def __init__(self, kind: dict[str, Any], annotations: dict[str, str]) -> None:
        self._found = {
            "persistentvolumeclaims": {"spec": {"volumeName": "pv"}},
            "persistentvolumes": {"metadata": {"name": "pv", "annotations": annotations}, "spec": kind},
        }

    def get(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        return self._found[plural]


class _Nothing:
    """A server that has no object."""

    def get(self, plural: str, namespace: str, name: str) -> None:
        return None


def _manager(root: Path, kind: dict[str, Any], annotations: dict[str, str] | None = None) -> VolumeManager:
    return VolumeManager(root / "kubelet", SystemRuntime(), _Sources(kind, annotations or {}))  # type: ignore[arg-type]


def _pod(uid: str, group: int = GROUP, policy: str = "Always", **claim: Any) -> dict[str, Any]:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"} | claim}
    context = {"fsGroup": group, "fsGroupChangePolicy": policy}
    metadata = {"uid": uid, "namespace": "default", "name": uid}
    return {"metadata": metadata, "spec": {"volumes": [volume], "securityContext": context}}


def _start(manager: VolumeManager, pod: dict[str, Any]) -> None:
    manager.set_up(pod, _NoPayload())  # type: ignore[arg-type]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A volume of somebody else's, with a link out of it."""
    (tmp_path / "outside").write_text("")
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "file").write_text("")
    (data / "deep" / "file").chmod(0o600)
    (data / "deep" / "link").symlink_to(tmp_path / "outside")
    return data


def test_all_of_a_local_volume_is_given_to_the_group_and_no_link_is_followed(tmp_path: Path, data: Path) -> None:
    _start(_manager(tmp_path, {"local": {"path": str(data)}}), _pod("a"))
    assert {path.stat().st_gid for path in (data, data / "deep", data / "deep" / "file")} == {GROUP}
    assert stat.S_IMODE((data / "deep" / "file").stat().st_mode) == 0o660
    assert stat.S_IMODE(data.stat().st_mode) & 0o2770 == 0o2770
    assert (tmp_path / "outside").stat().st_gid != GROUP


def test_a_volume_keeps_its_group_while_a_pod_has_it(tmp_path: Path, data: Path) -> None:
    manager = _manager(tmp_path, {"local": {"path": str(data)}})
    _start(manager, _pod("first"))
    _start(manager, _pod("second", GROUP + 1))
    assert data.stat().st_gid == GROUP
    manager.tear_down("first")
    manager.tear_down("second")
    _start(manager, _pod("third", GROUP + 1))
    assert data.stat().st_gid == GROUP + 1


@pytest.mark.parametrize(("policy", "given"), [("OnRootMismatch", False), ("Always", True)])
def test_the_policy_says_whether_a_volume_that_fits_is_looked_through(
    tmp_path: Path, data: Path, policy: str, given: bool
) -> None:
    manager = _manager(tmp_path, {"local": {"path": str(data)}})
    _start(manager, _pod("first", policy=policy))
    manager.tear_down("first")
    late = data / "late"
    late.write_text("")
    late.chmod(0o600)
    _start(manager, _pod("second", policy=policy))
    assert bool(late.stat().st_mode & stat.S_IWGRP) == given


def test_what_may_only_be_read_and_what_is_the_hosts_stay_as_they_are(tmp_path: Path, data: Path) -> None:
    manager = _manager(tmp_path, {"local": {"path": str(data)}})
    _start(manager, _pod("a", readOnly=True))
    assert [manager.is_read_only(_pod("a", readOnly=wanted), "v") for wanted in (True, False)] == [True, False]
    _start(_manager(tmp_path, {"hostPath": {"path": str(data)}}), _pod("b"))
    assert data.stat().st_gid != GROUP


def test_a_directory_made_for_a_claim_is_open_to_every_user_and_goes_to_the_group(tmp_path: Path) -> None:
    made = tmp_path / "pvc"
    kind = {"hostPath": {"path": str(made), "type": "DirectoryOrCreate"}}
    _start(_manager(tmp_path, kind, GENERATED), _pod("a"))
    assert made.stat().st_gid == GROUP
    assert stat.S_IMODE(made.stat().st_mode) & 0o777 == 0o777


def test_a_volume_that_fails_keeps_no_other_from_being_brought_up_to_date(tmp_path: Path) -> None:
    manager, pod = _manager(tmp_path, {}), _pod("u1")
    pod["spec"]["volumes"] += [{"name": "w", "emptyDir": {}}, {"name": "x", "secret": {"secretName": "s"}}]
    collector = Collector(_Nothing(), None, Surroundings())  # type: ignore[arg-type]
    with pytest.raises(VolumeError, match=r'MountVolume\.SetUp failed for volume "v"'):
        manager.set_up(pod, collector)
    assert manager.path(pod, "w").is_dir()


def test_files_that_were_written_before_a_kill_are_shown_after_it(tmp_path: Path) -> None:
    payload = {"a": File(b"1", 0o644), "deep/b": File(b"2", 0o644)}
    assert write_payload(tmp_path, payload, "1")
    (tmp_path / "a").unlink()
    (tmp_path / "gone").symlink_to("..data/gone")
    assert not write_payload(tmp_path, payload, "2")
    assert {str(entry.relative_to(tmp_path)) for entry in tmp_path.glob("[!.]*")} == {"a", "deep"}
    assert (tmp_path / "a").read_bytes() == b"1"

"""A part of a volume is mounted, whatever its users have put into the volume or put there meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agents.kubelet.volumes import empty, sub_paths
from agents.kubelet.volumes.mounts import bind, mount_tmpfs, mounts_under, unmount_under
from agents.kubelet.volumes.payload import VolumeError
from agents.network.namespaces import share

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")]

WHOM = 'for volumeMount "v" of container "app"'
CREATE, PREPARE = f"failed to create subPath directory {WHOM}", f"failed to prepare subPath {WHOM}"


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A volume in a directory that has a secret beside it."""
    made = tmp_path / "volume"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "file").write_text("text")
    made.chmod(0o2777)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    yield made
    unmount_under(tmp_path)
    assert not mounts_under(tmp_path)


def bound(volume: Path, relative: str) -> Path:
    target = volume.parent / "target" / "0"
    sub_paths.bind_sub_path(volume, relative, target, "v", "app")
    assert mounts_under(target) == [target]
    return target


def link(name: str, to: str) -> Callable[[Path], None]:
    return lambda volume: (volume / name).symlink_to(to.format(volume=volume))


@pytest.mark.parametrize(
    ("relative", "prepared", "content"),
    [
        ("a", None, "b file"),
        ("a/file", None, "text"),
        ("./a//", None, "b file"),
        ("link", link("link", "a"), "b file"),
        ("link/file", link("link", "a"), "text"),
        ("link", link("link", "{volume}/a"), "b file"),
        ("link", link("link", "a/../a/file"), "text"),
        ("new/deep", None, ""),
        ("link/new", link("link", "a"), ""),
    ],
)
def test_what_a_path_names_in_the_volume_is_mounted(
    volume: Path, relative: str, prepared: Callable[[Path], None] | None, content: str
) -> None:
    if prepared:
        prepared(volume)
    target = bound(volume, relative)
    found = " ".join(sorted(os.listdir(target))) if target.is_dir() else target.read_text()
    assert found == content


@pytest.mark.parametrize(
    ("relative", "prepared", "said"),
    [
        ("link", link("link", "../secret"), PREPARE),
        ("link", link("link", "{volume}/../secret"), PREPARE),
        ("link/file", link("link", "../secret"), PREPARE),
        ("link/new", link("link", "../secret"), CREATE),
        ("link/new/x", link("link", ".."), CREATE),
        ("link", link("link", "none"), CREATE),
        ("link", link("link", "link"), CREATE),
        ("a/file/x", None, CREATE),
        ("/a", None, "error SubPath `/a` must not be an absolute path"),
        ("a/../..", None, "unable to provision SubPath `a/../..`: must not contain '..'"),
    ],
)
def test_what_is_not_in_the_volume_is_refused(
    volume: Path, relative: str, prepared: Callable[[Path], None] | None, said: str
) -> None:
    if prepared:
        prepared(volume)
    before = sorted(volume.parent.rglob("*"))
    with pytest.raises(VolumeError) as refused:
        bound(volume, relative)
    assert str(refused.value) == said
    assert sorted(volume.parent.rglob("*")) == before


@pytest.mark.parametrize(("relative", "said"), [("a", PREPARE), ("a/file", PREPARE), ("a/new", CREATE)])
def test_a_link_that_comes_after_the_look_is_refused(
    volume: Path, relative: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = sub_paths._resolved

    def then_swap(path: Path) -> Path:
        found = look(path)
        (volume / "a").rename(volume / "old")
        (volume / "a").symlink_to("../secret")
        return found

    monkeypatch.setattr(sub_paths, "_resolved", then_swap)
    with pytest.raises(VolumeError) as refused:
        bound(volume, relative)
    assert str(refused.value) == said
    assert os.listdir(volume.parent / "secret") == ["file"]


def test_what_is_made_has_the_mode_of_the_volume_whatever_the_umask(volume: Path) -> None:
    old = os.umask(0o077)
    try:
        bound(volume, "new/deep")
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((volume / name).stat().st_mode) for name in ("new", "new/deep")]
    assert modes == [0o2777, 0o2777]


def test_the_next_container_gets_what_the_path_names_by_then(volume: Path) -> None:
    assert bound(volume, "a").is_dir()
    (volume / "a").rename(volume / "old")
    (volume / "a").write_text("a file now")
    assert bound(volume, "a").read_text() == "a file now"


def test_unmounting_a_part_unmounts_nothing_in_the_volume(volume: Path) -> None:
    share(volume)
    target = bound(volume, "a")
    mount_tmpfs(volume / "a" / "b")
    assert mounts_under(target) == [target / "b", target]
    unmount_under(target)
    assert mounts_under(volume) == [volume / "a" / "b", volume]


def test_a_mount_leaves_out_what_is_mounted_below_its_source(volume: Path) -> None:
    mount_tmpfs(volume / "a" / "b")
    (volume / "a" / "b" / "x").touch()
    target = volume.parent / "target"
    target.mkdir()
    bind(volume / "a", target)
    assert not list((target / "b").iterdir())


@pytest.mark.parametrize(
    ("relative", "prepared"),
    [
        ("secret", link("secret", "../secret/file")),
        ("a", None),
        ("none", None),
        ("pipe", lambda volume: os.mkfifo(volume / "pipe")),
        ("large", lambda volume: (volume / "large").write_text("x" * 70_000)),
    ],
)
def test_only_small_files_of_the_volume_are_read(
    volume: Path, relative: str, prepared: Callable[[Path], object] | None
) -> None:
    assert sub_paths.read_file(volume, "a/file") == "text"
    if prepared:
        prepared(volume)
    with pytest.raises(OSError):
        sub_paths.read_file(volume, relative)


def test_two_tasks_may_unmount_the_same(volume: Path) -> None:
    def mount_some() -> None:
        for number in range(30):
            point = volume / "many" / str(number)
            point.mkdir(parents=True, exist_ok=True)
            mount_tmpfs(point)

    with ThreadPoolExecutor(4) as tasks:
        for _ in range(10):
            mount_some()
            for done in [tasks.submit(unmount_under, volume / "many") for _ in range(4)]:
                done.result()
            assert not mounts_under(volume / "many")


def test_a_volume_in_memory_is_mounted_again_and_one_of_huge_pages_has_them(tmp_path: Path) -> None:
    pod = {"spec": {"containers": [{"name": "app", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]}}
    memory, huge = tmp_path / "memory", tmp_path / "huge"
    memory.mkdir()
    try:
        for _ in range(2):
            empty.set_up(pod, {"medium": "Memory", "sizeLimit": "2Mi"}, memory, "1Gi")
            empty.set_up(pod, {"medium": "HugePages"}, huge, "1Gi")
        assert sorted(mounts_under(tmp_path)) == [huge, memory]
        assert os.statvfs(huge).f_bsize == 2 * 1024**2
        assert os.statvfs(memory).f_blocks * os.statvfs(memory).f_frsize == 2 * 1024**2
        assert stat.S_IMODE(huge.stat().st_mode) == stat.S_IMODE(memory.stat().st_mode) == 0o777
    finally:
        unmount_under(tmp_path)

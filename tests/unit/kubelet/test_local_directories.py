"""A directory of a volume is removed on request, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.kubelet.volumes.local import remove_directory
from agents.kubelet.volumes.payload import VolumeError

NAME = "pvc-0b6c7d1e-1111-4222-8333-abcdefabcdef"


def test_the_directory_goes_with_its_content_and_may_be_gone_already(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    directory = tmp_path / NAME
    (directory / "deep").mkdir(parents=True)
    (directory / "deep" / "link").symlink_to(outside)
    for _ in range(2):
        remove_directory(directory)
        assert not directory.exists()
    assert outside.read_text() == "kept"


REFUSED = {
    "a name that no provisioner gave": lambda root: root / "data",
    "a way out": lambda root: root / ".." / NAME,
    "a relative path": lambda root: Path(NAME),
    "what lies in a volume": lambda root: root / NAME / "data",
    "a link": lambda root: _link(root),
    "a file": lambda root: _file(root),
}


@pytest.mark.parametrize("where", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_volumes_directory_is_refused(where, tmp_path: Path) -> None:
    path = where(tmp_path)
    with pytest.raises(VolumeError):
        remove_directory(path)


def _link(root: Path) -> Path:
    (root / "target").mkdir()
    (root / NAME).symlink_to(root / "target")
    return root / NAME


def _file(root: Path) -> Path:
    (root / NAME).write_text("")
    return root / NAME

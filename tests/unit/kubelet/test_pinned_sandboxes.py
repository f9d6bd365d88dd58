"""What a loss of power leaves of a sandbox's record."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.kubelet.runtime.pinned_sandboxes import PinnedSandboxes
from api.runtime import SystemRuntime


@pytest.mark.parametrize("record", [None, b"", b'{"pod": {"name"'], ids=["missing", "empty", "cut off"])
def test_a_sandbox_without_a_whole_record_is_none_and_can_be_removed(tmp_path: Path, record: bytes | None) -> None:
    directory = tmp_path / "0a1b-0"
    directory.mkdir()
    if record is not None:
        (directory / "record").write_bytes(record)
    sandboxes = PinnedSandboxes(tmp_path, SystemRuntime())
    assert sandboxes.list() == ()
    assert sandboxes.pins("0a1b-0") is None
    sandboxes.remove("0a1b-0")
    assert not directory.exists()

"""What the module `git` makes of versions that are not in what it fetches first, of submodules, and of bare copies."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_module_faults import result_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not on this machine")


def git(where: Path, *words: str) -> str:
    """Run git as somebody who may commit, and take submodules from this machine."""
    known = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    return subprocess.run(("git", "-C", where, *known, *words), check=True, text=True, capture_output=True).stdout


def commit(where: Path, name: str) -> str:
    """Add a file of that name; the commit."""
    (where / name).write_text(name)
    git(where, "add", name)
    git(where, "commit", "-q", "-m", name)
    return git(where, "rev-parse", "HEAD").strip()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str]]:
    """A repository with two branches, a commit that no branch has, and a submodule on a third one."""
    settings = tmp_path / "gitconfig"
    settings.write_text('[protocol "file"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    path, inner = tmp_path / "source", tmp_path / "inner"
    for directory in (path, inner):
        git(tmp_path, "init", "-q", "-b", "main", str(directory))
    commit(inner, "i")
    commits = {"first": commit(path, "one"), "main": commit(path, "two")}
    git(path, "checkout", "-q", "-b", "side", commits["first"])
    commits["side"] = commit(path, "three")
    git(path, "checkout", "-q", "--detach")
    commits["pull"] = commit(path, "four")
    git(path, "update-ref", "refs/pull/7/head", "HEAD")
    git(path, "checkout", "-q", "-b", "deep", "main")
    git(path, "submodule", "--quiet", "add", str(inner), "inner")
    commits["deep"] = commit(path, "five")
    git(path, "checkout", "-q", "main")
    return path, commits


CHECKOUTS: dict[str, tuple[dict[str, Any], str]] = {
    "a shallow copy": ({"depth": 1}, "main"),
    "another branch of it": ({"depth": 1, "version": "side"}, "side"),
    "what only a refspec brings": (
        {"depth": 1, "version": "refs/pull/7/head", "refspec": "refs/pull/7/head:refs/pull/7/head"}, "pull",
    ),
    "by its name in a refspec": ({"version": "pull/7", "refspec": "refs/pull/7/head:refs/heads/pull/7"}, "pull"),
    "back": ({"depth": 1, "version": "main"}, "main"),
}  # fmt: skip


def test_a_shallow_copy_can_go_to_any_version(source: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path, commits = source
    for name, (given, expected) in CHECKOUTS.items():
        result = result_of("git", repo=f"file://{path}", dest=str(tmp_path / "copy"), **given)
        assert result.get("after") == commits[expected], (name, result)
    result = result_of("git", repo=f"file://{path}", dest=str(tmp_path / "old"), depth=1, version=commits["first"])
    assert result.get("after") == commits["first"], result


def test_a_bare_copy_follows_its_source(source: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path, commits = source
    given = {"repo": str(path), "dest": str(tmp_path / "bare"), "bare": True}
    assert result_of("git", **given)["after"] == commits["main"]
    newest = commit(path, "six")
    result = result_of("git", **given)
    assert (result["before"], result["after"], result["changed"]) == (commits["main"], newest, True)
    assert not result_of("git", **given)["changed"]


def test_submodules_come_and_are_told_of(source: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path, _ = source
    given = {"repo": str(path), "dest": str(tmp_path / "copy"), "version": "deep"}
    assert "submodules_changed" not in result_of("git", recursive=False, **given)
    result = result_of("git", **given)
    assert result["changed"] and result["submodules_changed"], result
    assert (tmp_path / "copy" / "inner" / "i").exists() and not result_of("git", **given)["changed"]
    commit(tmp_path / "inner", "newer")
    assert result_of("git", track_submodules=True, **given)["submodules_changed"]
    assert not result_of("git", track_submodules=True, **given)["changed"]
    assert (tmp_path / "copy" / "inner" / "newer").exists()


def test_the_umask_counts_and_reasons_are_told(source: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path, _ = source
    result_of("git", repo=str(path), dest=str(tmp_path / "copy"), umask="0077")
    assert stat.S_IMODE((tmp_path / "copy" / "one").stat().st_mode) == 0o600
    assert "quoted octal" in result_of("git", repo=str(path), dest=str(tmp_path / "other"), umask=63)["msg"]
    lost = result_of("git", repo=str(tmp_path / "none"), dest=str(tmp_path / "other"))
    assert lost["msg"].startswith("Failed to clone: fatal: '") and "does not appear to be" in lost["msg"]

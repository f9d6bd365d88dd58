"""Which members of an archive `unarchive` takes, under which names; what GNU tar and unzip did is on record here."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from test_module_faults import result_of

pytestmark = pytest.mark.unit

FILES = {"top/f": "1", "top/sub/f": "2", "top/other/g": "3"}


FOLDERS = frozenset(("top", "top/sub", "top/other"))


def _tar(path: Path, prefix: str = "", links: dict[str, str] | None = None, folders: Collection[str] = FOLDERS) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name in sorted(folders):
            folder = tarfile.TarInfo(prefix + name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, text in FILES.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)


TAKEN: dict[str, tuple[str, dict[str, Any], set[str] | str]] = {
    "one part fewer": ("dot", {"extra_opts": ["--strip-components=1"]}, {"top/f", "top/sub/f", "top/other/g"}),
    "two parts fewer": ("dot", {"extra_opts": ["--strip-components", "2"]}, {"f", "sub/f", "other/g"}),
    "named as it is": ("dot", {"include": ["./top/sub"]}, {"top/sub/f"}),
    "named otherwise": ("dot", {"include": ["top/sub"]}, "top/sub: Not found in archive"),
    "a directory and a file": ("plain", {"include": ["top/sub/", "top/f"]}, {"top/sub/f", "top/f"}),
    "without a name anywhere": ("plain", {"exclude": ["f"]}, {"top/other/g"}),
    "without a pattern": ("plain", {"exclude": ["su*"]}, {"top/f", "top/other/g"}),
    "without a part of a path": ("dot", {"exclude": ["top/sub"]}, {"top/f", "top/other/g"}),
    "without by an option": ("plain", {"extra_opts": ["--exclude=sub", "--no-same-owner"]}, {"top/f", "top/other/g"}),
    "another name": ("plain", {"extra_opts": ["--transform=s/top/tip/"]}, "'--transform=s/top/tip/' is not supported"),
    "no number": ("plain", {"extra_opts": ["--strip-components=x"]}, "needs a number, not 'x'"),
    "a zip flat": ("zip", {"extra_opts": ["-j"]}, {"f", "g"}),
    "a zip quietly": ("zip", {"extra_opts": ["-o", "-q"]}, set(FILES)),
    "a zip's name": ("zip", {"include": ["top/f"]}, {"top/f"}),
    "a zip's directory": ("zip", {"include": ["top"]}, "filename not matched: top"),
    "a zip without a pattern": ("zip", {"exclude": ["top/s*"]}, {"top/f", "top/other/g"}),
    "a zip's secret": ("zip", {"extra_opts": ["-P", "secret"]}, "'-P' is not supported"),
}
MAKERS: dict[str, Callable[[Path], None]] = {"dot": lambda path: _tar(path, "./"), "plain": _tar, "zip": _zip}


@pytest.mark.parametrize(("kind", "given", "expected"), TAKEN.values(), ids=TAKEN)
def test_what_is_taken(kind: str, given: dict[str, Any], expected: set[str] | str, tmp_path: Path) -> None:
    archive, dest = tmp_path / "archive", tmp_path / "dest"
    MAKERS[kind](archive)
    dest.mkdir()
    result = result_of("unarchive", src=str(archive), dest=str(dest), remote_src=True, **given)
    found = {str(path.relative_to(dest)) for path in dest.rglob("*") if path.is_file()}
    assert (result["msg"] if result.get("failed") else found) == expected or (
        isinstance(expected, str) and expected in result["msg"] and found == set()
    ), result


def test_a_file_that_is_there_stays_if_asked(tmp_path: Path) -> None:
    _zip(tmp_path / "archive")
    (tmp_path / "top").mkdir()
    (tmp_path / "top/f").write_text("mine")
    given = {"src": str(tmp_path / "archive"), "dest": str(tmp_path), "remote_src": True}
    assert result_of("unarchive", **given, extra_opts=["-n"])["changed"]
    assert (tmp_path / "top/f").read_text() == "mine"
    assert not result_of("unarchive", **given, extra_opts=["-n"])["changed"]
    assert result_of("unarchive", **given)["changed"] and (tmp_path / "top/f").read_text() == "1"


LED = {
    "a file through it": ("top/sub", "", "a link of its own would put outside"),
    "a directory in its place": ("top", "top", ""),
}


@pytest.mark.parametrize(("link", "replaced", "said"), LED.values(), ids=LED)
def test_nothing_is_written_through_a_link_of_the_archive_itself(
    link: str, replaced: str, said: str, tmp_path: Path
) -> None:
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    _tar(tmp_path / "archive", links={link: str(outside)}, folders=("top",) if said else FOLDERS)
    before = outside.stat()
    result = result_of("unarchive", src=str(tmp_path / "archive"), dest=str(dest), remote_src=True)
    assert said in result.get("msg", "") and bool(result.get("failed")) is bool(said), result
    assert list(outside.iterdir()) == [] and outside.stat().st_mtime_ns == before.st_mtime_ns
    assert said or not (dest / replaced).is_symlink()


@pytest.mark.parametrize("kind", ["plain", "zip"])
def test_a_damaged_archive_is_told_in_a_sentence(kind: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    MAKERS[kind](archive)
    whole = archive.read_bytes()
    archive.write_bytes(whole.replace(b"top/f", b"tip/f", 1) if kind == "zip" else whole[: len(whole) // 2])
    result = result_of("unarchive", src=str(archive), dest=str(tmp_path), remote_src=True)
    assert result["failed"] and "exception" not in result
    assert result["msg"].startswith(f"Failed to read the archive {archive}: ")

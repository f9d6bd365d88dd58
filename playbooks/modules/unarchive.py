"""The far half of `unarchive`: compares what the archive holds with what is there, extracts if they differ."""

from __future__ import annotations

import fnmatch
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from typing import Any, Iterator

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes
from playbooks.modules._archive_members import (
    TarOptions,
    stripped,
    tar_excludes,
    tar_includes,
    tar_options,
    unmatched,
    zip_options,
)
from playbooks.modules._download import download

OPTIONS = {
    "src": Option("path", required=True),
    "dest": Option("path", required=True),
    "remote_src": Option("bool", default=False),
    "creates": Option("path"),
    "exclude": Option("list", default=()),
    "include": Option("list", default=()),
    "keep_newer": Option("bool", default=False),
    "list_files": Option("bool", default=False),
    "extra_opts": Option("list", default=()),
    "copy": Option("bool", default=True),
    "validate_certs": Option("bool", default=True),
    "decrypt": Option("bool", default=True),
    "io_buffer_size": Option("int", default=64 * 1024),
    **FILE_OPTIONS,
}
EXCLUSIVE = (("include", "exclude"),)
# What archives are refused with: RuntimeError where a password is needed.
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError,
)  # fmt: skip


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `unarchive`."""
    dest = os.path.expanduser(call["dest"])
    result: dict[str, Any] = {"dest": dest, "src": call["src"]}
    if call["creates"] and os.path.lexists(os.path.expanduser(call["creates"])):
        return {"skipped": True, "changed": False, "msg": f"skipped, since {call['creates']} exists"}
    if not os.path.isdir(dest):
        raise Failure(f"dest '{dest}' must be an existing dir")
    if "://" in call["src"]:
        return _from_url(call, dest, result)
    if call["remote_src"]:
        path = os.path.expanduser(call["src"])
        if not os.path.isfile(path):
            raise Failure(f"Source '{path}' does not exist")
        return _unpack(call, path, dest, result)
    # The archive itself must come for the comparison, but not twice in a row: its hash is remembered below dest's
    # own entries only by comparing them, so nothing else is kept on the host.
    with tempfile.NamedTemporaryFile(prefix="wherry-archive-", suffix=f"-{call['name']}") as sink:
        call.receive(sink)
        sink.flush()
        return _unpack(call, sink.name, dest, result)


def _from_url(call: Call, dest: str, result: dict[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(prefix="wherry-archive-") as sink:
        download(call["src"], sink.name, validate_certs=call["validate_certs"])
        return _unpack(call, sink.name, dest, result)


def _unpack(call: Call, path: str, dest: str, result: dict[str, Any]) -> dict[str, Any]:
    result["handler"] = _handler(path)
    zipped = result["handler"] == "ZipArchive"
    if call.check and not zipped:
        message = "remote module (ansible.legacy.unarchive) does not support check mode when using gtar"
        return {"skipped": True, "changed": False, "msg": message}
    try:
        changed, names = (_zip if zipped else _tar)(call, path, dest)
    except _DAMAGED as error:
        raise Failure(f"Failed to read the archive {call['src']}: {error}") from error
    for name in names:
        changed = _attributes.apply(call, os.path.join(dest, name)) or changed
    if call["list_files"]:
        result["files"] = names
    if changed and not call.check:
        # It is extracted by no other program: there is no command and nothing it said.
        result["extract_results"] = {"cmd": [], "rc": 0, "out": "", "err": ""}
    return {**result, "changed": changed}


def _handler(path: str) -> str:
    """By which of its classes Ansible reads such an archive: its plain tar finds out about bzip2 and xz by itself."""
    with open(path, "rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    return "TgzArchive" if gzipped else "ZipArchive" if zipfile.is_zipfile(path) else "TarArchive"


def _inside(dest: str, name: str) -> str:
    """The path of a member. Raises Failure for one that would leave the destination."""
    path = os.path.normpath(os.path.join(dest, name))
    if path != os.path.normpath(dest) and not path.startswith(os.path.normpath(dest).rstrip("/") + "/"):
        raise Failure(f"the archive holds {name!r}, which would be outside of {dest}")
    return path


def _refuse_outside(dest: str, target: str, name: str) -> None:
    """Raises Failure for a member that a link in the same archive would lead out of the destination."""
    parent, root = os.path.realpath(os.path.dirname(target)), os.path.realpath(dest)
    if os.path.commonpath([parent, root]) != root:
        raise Failure(f"the archive holds {name!r}, which a link of its own would put outside of {dest}")


def _tar(call: Call, path: str, dest: str) -> tuple[bool, list[str]]:
    options = tar_options(call["extra_opts"])
    changed, names = False, []
    later: list[tuple[tarfile.TarInfo, str]] = []
    links: list[str] = []
    with tarfile.open(path) as archive:
        for member, name in _members(archive, options, call):
            names.append(name)
            target = _inside(dest, name)
            if any(target.startswith(f"{link}/") for link in links):
                _refuse_outside(dest, target, name)
            if member.issym():
                links.append(target)
            if _same(call, archive, member, target):
                continue
            changed = True
            _extract(archive, member, target, options.same_owner)
            if member.isdir():
                later.append((member, target))
        for member, target in reversed(later):
            os.chmod(target, member.mode & 0o7777)
            os.utime(target, (member.mtime, member.mtime))
    return changed, names


def _members(archive: tarfile.TarFile, options: TarOptions, call: Call) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """The members that are wanted, with the names that they get. Raises Failure if one of `include` is not there."""
    known = [(member, member.name + "/" * member.isdir()) for member in archive]
    missing = unmatched([name for _, name in known], call["include"], "tar")
    if missing:
        raise Failure(f"{call['src']}: {', '.join(missing)}: Not found in archive")
    for member, name in known:
        if tar_excludes(name, (*call["exclude"], *options.exclude)):
            continue
        if call["include"] and not any(tar_includes(name, wanted) for wanted in call["include"]):
            continue
        shown = stripped(name, options.strip)
        if shown is not None:
            yield member, shown.lstrip("/")


def _same(call: Call, archive: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> bool:
    try:
        status = os.lstat(target)
    except OSError:
        return False
    if member.issym():
        return stat.S_ISLNK(status.st_mode) and os.readlink(target) == member.linkname
    if member.isdir():
        return stat.S_ISDIR(status.st_mode)
    if member.islnk():
        return stat.S_ISREG(status.st_mode)
    if not member.isreg() or not stat.S_ISREG(status.st_mode) or status.st_size != member.size:
        return False
    if call["keep_newer"] and status.st_mtime > member.mtime:
        return True
    mode_kept = call["mode"] is not None or stat.S_IMODE(status.st_mode) == member.mode & 0o7777
    return mode_kept and int(status.st_mtime) == int(member.mtime)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: str, same_owner: bool) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if member.isdir():
        if os.path.islink(target):
            os.unlink(target)
        os.makedirs(target, exist_ok=True)
        return
    if os.path.lexists(target):
        os.unlink(target)
    if member.issym():
        os.symlink(member.linkname, target)
        return
    source = archive.extractfile(member)
    if source is None:
        raise Failure(f"the archive holds {member.name!r}, which is neither file, directory nor link")
    with source, open(target, "wb") as sink:
        for chunk in iter(lambda: source.read(1 << 20), b""):
            sink.write(chunk)
    if os.geteuid() == 0 and same_owner:
        os.chown(target, member.uid, member.gid)
    os.chmod(target, member.mode & 0o7777)
    os.utime(target, (member.mtime, member.mtime))


def _zip(call: Call, path: str, dest: str) -> tuple[bool, list[str]]:
    options = zip_options(call["extra_opts"])
    changed, names = False, []
    with zipfile.ZipFile(path) as archive:
        missing = unmatched(archive.namelist(), call["include"], "zip")
        if missing:
            raise Failure(f"failed to unpack {call['src']} to {dest}: filename not matched: {', '.join(missing)}")
        for member in archive.infolist():
            if not _chosen(call, member.filename):
                continue
            names.append(member.filename)
            if options.junk and member.is_dir():
                continue
            target = _inside(dest, os.path.basename(member.filename) if options.junk else member.filename)
            kept = options.never and os.path.lexists(target)
            if kept or (os.path.isdir(target) if member.is_dir() else _same_bytes(archive, member, target)):
                continue
            changed = True
            if not call.check:
                _unzip(archive, member, target)
    return changed, names


def _chosen(call: Call, name: str) -> bool:
    if call["include"]:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in call["include"])
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in call["exclude"])


def _unzip(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: str) -> None:
    if member.is_dir():
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(member) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    mode = member.external_attr >> 16 & 0o7777
    if mode:
        os.chmod(target, mode)


def _same_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: str) -> bool:
    if not os.path.isfile(target) or os.path.getsize(target) != member.file_size:
        return False
    with archive.open(member) as new, open(target, "rb") as old:
        return all(part == old.read(len(part)) for part in iter(lambda: new.read(1 << 20), b""))

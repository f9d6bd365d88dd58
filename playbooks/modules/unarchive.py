"""The far half of `unarchive`: compares what the archive holds with what is there, extracts if they differ."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
import zipfile
from typing import Any, Iterator

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes
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
    if result["handler"] == "ZipArchive":
        changed, names = _zip(call, path, dest)
    elif call.check:
        message = "remote module (ansible.legacy.unarchive) does not support check mode when using gtar"
        return {"skipped": True, "changed": False, "msg": message}
    else:
        try:
            changed, names = _tar(call, path, dest)
        except tarfile.TarError as error:
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


def _wanted(call: Call, name: str) -> bool:
    clean = name.rstrip("/")
    if any(clean == part.rstrip("/") or clean.startswith(part.rstrip("/") + "/") for part in call["exclude"]):
        return False
    return not call["include"] or any(clean == part or clean.startswith(f"{part}/") for part in call["include"])


def _inside(dest: str, name: str) -> str:
    """The path of a member. Raises Failure for one that would leave the destination."""
    path = os.path.normpath(os.path.join(dest, name))
    if path != os.path.normpath(dest) and not path.startswith(os.path.normpath(dest).rstrip("/") + "/"):
        raise Failure(f"the archive holds {name!r}, which would be outside of {dest}")
    return path


def _tar(call: Call, path: str, dest: str) -> tuple[bool, list[str]]:
    strip = _strip_components(call)
    changed, names = False, []
    later: list[tuple[tarfile.TarInfo, str]] = []
    with tarfile.open(path) as archive:
        for member, name in _members(archive, strip, call):
            names.append(name)
            target = _inside(dest, name)
            if _same(call, archive, member, target):
                continue
            changed = True
            if not call.check:
                _extract(archive, member, target)
                if member.isdir():
                    later.append((member, target))
        for member, target in reversed(later):
            os.chmod(target, member.mode & 0o7777)
            os.utime(target, (member.mtime, member.mtime))
    return changed, names


def _members(archive: tarfile.TarFile, strip: int, call: Call) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for member in archive:
        parts = [part for part in member.name.split("/") if part not in ("", ".")][strip:]
        name = "/".join(parts)
        if name and _wanted(call, name):
            yield member, name


def _strip_components(call: Call) -> int:
    strip = 0
    options = iter(str(option) for option in call["extra_opts"])
    for option in options:
        if option.startswith("--strip-components"):
            strip = int(option.split("=", 1)[1] if "=" in option else next(options))
        elif option not in ("--no-same-owner", "--overwrite", "-v", "--no-overwrite-dir"):
            raise Failure(f"extra_opts: {option!r} is not supported; supported: --strip-components")
    return strip


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


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if member.isdir():
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
    if os.geteuid() == 0:
        os.chown(target, member.uid, member.gid)
    os.chmod(target, member.mode & 0o7777)
    os.utime(target, (member.mtime, member.mtime))


def _zip(call: Call, path: str, dest: str) -> tuple[bool, list[str]]:
    changed, names = False, []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not _wanted(call, member.filename):
                continue
            names.append(member.filename)
            target = _inside(dest, member.filename)
            if os.path.isdir(target) if member.is_dir() else _same_bytes(archive, member, target):
                continue
            changed = True
            if not call.check:
                archive.extract(member, dest)
                mode = member.external_attr >> 16 & 0o7777
                if mode:
                    os.chmod(target, mode)
    return changed, names


def _same_bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: str) -> bool:
    if not os.path.isfile(target) or os.path.getsize(target) != member.file_size:
        return False
    with archive.open(member) as new, open(target, "rb") as old:
        return all(part == old.read(len(part)) for part in iter(lambda: new.read(1 << 20), b""))

"""Says what a path is."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _attributes
from playbooks.modules._files import digest

OPTIONS = {
    "path": Option("path", required=True, aliases=("dest", "name")),
    "follow": Option("bool", default=False),
    "get_checksum": Option("bool", default=True),
    "checksum_algorithm": Option(
        default="sha1",
        choices=("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
        aliases=("checksum", "checksum_algo"),
    ),
    "get_mime": Option("bool", default=True, aliases=("mime", "mime_type", "mime-type")),
    "get_attributes": Option("bool", default=True, aliases=("attr", "attributes")),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `stat`."""
    path = os.path.expanduser(call["path"])
    try:
        status = os.stat(path) if call["follow"] else os.lstat(path)
    except FileNotFoundError:
        return {"changed": False, "stat": {"exists": False}}
    except OSError as error:
        raise Failure(str(error.strerror)) from error
    found = describe_status(path, status)
    if stat.S_ISREG(status.st_mode) and call["get_checksum"] and found["readable"]:
        found["checksum"] = digest(path, call["checksum_algorithm"])
    if call["get_mime"]:
        found.update(_kind(call, path))
    if call["get_attributes"]:
        found.update(_attributes.described(call, path))
    return {"changed": False, "stat": found}


def _kind(call: Call, path: str) -> dict[str, str]:
    """What `file` says of a file's content."""
    tool = shutil.which("file")
    done = call.run([tool, "--mime-type", "--mime-encoding", path]) if tool else None
    kind, _, charset = done.out.rpartition(":")[2].partition(";") if done and done.status == 0 else ("", "", "")
    return {"mimetype": kind.strip() or "unknown", "charset": charset.rpartition("=")[2].strip() or "unknown"}


def describe_status(path: str, status: os.stat_result) -> dict[str, Any]:
    """What `stat` says of a path that is there."""
    mode = status.st_mode
    found: dict[str, Any] = {
        "exists": True,
        "path": path,
        "mode": f"{stat.S_IMODE(mode):04o}",
        "isdir": stat.S_ISDIR(mode),
        "ischr": stat.S_ISCHR(mode),
        "isblk": stat.S_ISBLK(mode),
        "isreg": stat.S_ISREG(mode),
        "isfifo": stat.S_ISFIFO(mode),
        "islnk": stat.S_ISLNK(mode),
        "issock": stat.S_ISSOCK(mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "size": status.st_size,
        "inode": status.st_ino,
        "dev": status.st_dev,
        "nlink": status.st_nlink,
        "atime": status.st_atime,
        "mtime": status.st_mtime,
        "ctime": status.st_ctime,
        "isuid": bool(mode & stat.S_ISUID),
        "isgid": bool(mode & stat.S_ISGID),
        "readable": os.access(path, os.R_OK),
        "writeable": os.access(path, os.W_OK),
        "executable": os.access(path, os.X_OK),
        "blocks": status.st_blocks,
        "block_size": status.st_blksize,
        "device_type": status.st_rdev,
    }
    for who in ("usr", "grp", "oth"):
        for name, bit in (("r", "R"), ("w", "W"), ("x", "X")):
            found[name + who] = bool(mode & getattr(stat, f"S_I{bit}{who.upper()}"))
    if stat.S_ISLNK(mode):
        found["lnk_source"] = os.path.realpath(path)
        found["lnk_target"] = os.readlink(path)
    for key, lookup, number in (("pw_name", pwd.getpwuid, status.st_uid), ("gr_name", grp.getgrgid, status.st_gid)):
        try:
            found[key] = lookup(number)[0]
        except KeyError:
            continue
    return found

"""Finds files by name, age, size, mode and content."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from typing import Any, Callable, Iterator

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files
from playbooks.modules.stat import describe_status

_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TYPES: dict[str, Callable[[int], bool]] = {
    "any": lambda mode: True,
    "directory": stat.S_ISDIR,
    "file": stat.S_ISREG,
    "link": stat.S_ISLNK,
}
OPTIONS = {
    "paths": Option("list", required=True, aliases=("name", "path"), elements="expanded_path"),
    "patterns": Option("list", default=(), aliases=("pattern",), elements="str"),
    "excludes": Option("list", default=(), aliases=("exclude",), elements="str"),
    "contains": Option(),
    "read_whole_file": Option("bool", default=False),
    "file_type": Option(default="file", choices=tuple(_TYPES)),
    "age": Option(),
    "age_stamp": Option(default="mtime", choices=("atime", "ctime", "mtime")),
    "size": Option(),
    "recurse": Option("bool", default=False),
    "hidden": Option("bool", default=False),
    "follow": Option("bool", default=False),
    "get_checksum": Option("bool", default=False),
    "checksum_algorithm": Option(
        default="sha1",
        choices=("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
        aliases=("checksum", "checksum_algo"),
    ),
    "use_regex": Option("bool", default=False),
    "depth": Option("int"),
    "mode": Option("raw"),
    "exact_mode": Option("bool", default=True),
    "encoding": Option(),
    "limit": Option("int"),
}
# What `find` says of a file; `stat` says more.
_UNSAID = ("exists", "readable", "writeable", "executable", "blocks", "block_size", "device_type", "lnk_source",
           "lnk_target")  # fmt: skip


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `find`."""
    wanted = _Wanted(call)
    skipped: dict[str, str] = {}
    files: list[dict[str, Any]] = []
    message, examined = "All paths examined", 0
    for top in call["paths"]:
        if not os.path.isdir(top):
            skipped[top] = f"'{top}' is not a directory"
            message = "Not all paths examined, check warnings for details"
            continue
        for found, seen in _walk(call, top, skipped):
            examined += seen
            for path in found:
                about = wanted.about(path, skipped)
                if about is not None:
                    files.append(about)
                if call["limit"] is not None and len(files) == call["limit"]:
                    message = "Limit of matches reached"
                    break
            if message.startswith("Limit"):
                break
    return {
        "changed": False, "files": files, "matched": len(files), "examined": examined, "msg": message,
        "skipped_paths": skipped,
    }  # fmt: skip


def _walk(call: Call, top: str, skipped: dict[str, str]) -> Iterator[tuple[list[str], int]]:
    """For each directory, the paths in it that are not hidden, and how many entries it has in all."""

    def note(error: OSError) -> None:
        skipped[str(error.filename)] = str(error)

    base = top.rstrip("/").count("/") + 1
    for root, directories, names in os.walk(top, onerror=note, followlinks=call["follow"]):
        entries = [*names, *directories]
        paths = [os.path.normpath(os.path.join(root, name)) for name in entries]
        if call["depth"]:
            too_deep = [path for path in paths if path.count("/") - base + 1 > call["depth"]]
            if too_deep:
                directories.clear()
                paths = [path for path in paths if path not in too_deep]
        yield [path for path in paths if call["hidden"] or not os.path.basename(path).startswith(".")], len(entries)
        if not call["recurse"]:
            return


class _Wanted:
    """What the task looks for."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._now = time.time()
        self._age = _number(call["age"], _AGES, "age")
        self._size = _number(call["size"], _SIZES, "size")
        self._contains = None if call["contains"] is None else re.compile(call["contains"])
        self._patterns = call["patterns"] or ([".*"] if call["use_regex"] else ["*"])
        if call["limit"] is not None and call["limit"] <= 0:
            raise Failure(f"limit cannot be {call['limit']} (use None for unlimited)")

    def about(self, path: str, skipped: dict[str, str]) -> dict[str, Any] | None:
        """What is to be said of a path; None if it is not what is looked for."""
        try:
            status = os.lstat(path)
        except OSError as error:
            skipped[path] = str(error)
            return None
        call = self._call
        regular = stat.S_ISREG(status.st_mode)
        if not _TYPES[call["file_type"]](status.st_mode) or not self._named(os.path.basename(path)):
            return None
        if not _beyond(self._now - getattr(status, f"st_{call['age_stamp']}"), self._age):
            return None
        if not self._moded(path, status) or (regular and not _beyond(status.st_size, self._size)):
            return None
        if call["file_type"] == "file" and not self._holds(path):
            return None
        about = {key: value for key, value in describe_status(path, status).items() if key not in _UNSAID}
        if regular and call["get_checksum"]:
            about["checksum"] = _files.digest(path, call["checksum_algorithm"])
        return about

    def _named(self, name: str) -> bool:
        match = (lambda p: bool(re.match(p, name))) if self._call["use_regex"] else (lambda p: fnmatch.fnmatch(name, p))
        return any(map(match, self._patterns)) and not any(map(match, self._call["excludes"]))

    def _moded(self, path: str, status: os.stat_result) -> bool:
        if self._call["mode"] is None:
            return True
        mode = _files.mode_of(self._call["mode"], path, 0, False)
        actual = stat.S_IMODE(status.st_mode)
        return actual == mode if self._call["exact_mode"] else bool(actual & mode)

    def _holds(self, path: str) -> bool:
        if self._contains is None:
            return True
        try:
            with open(path, encoding=self._call["encoding"] or "utf-8") as stream:
                if self._call["read_whole_file"]:
                    return bool(self._contains.search(stream.read()))
                return any(self._contains.match(line) for line in stream)
        except UnicodeDecodeError as error:
            raise Failure(f"Failed to read the file {path} due to an encoding error: {error}") from error
        except OSError:
            # What may not be read does not hold the text, as far as this user can tell.
            return False


def _number(text: Any, units: dict[str, int], what: str) -> int | None:
    if text is None:
        return None
    found = re.match(rf"^(-?\d+)({'|'.join(units)})?$", str(text).lower())
    if not found:
        raise Failure(f"failed to process {what}", **{what: text})
    return int(found[1]) * units.get(found[2] or "", 1)


def _beyond(value: float, limit: int | None) -> bool:
    """At least a positive limit, at most a negative one."""
    if limit is None:
        return True
    return value >= limit if limit >= 0 else value <= -limit

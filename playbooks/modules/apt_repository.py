"""Lines of apt's sources: one is added to a file of its own, or taken out of whichever file has it.

Invariant: only files that gain or lose a line are written; if apt cannot use the new list, they are put back.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Any, NamedTuple

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files
from playbooks.modules.apt import refresh

OPTIONS = {
    "repo": Option(required=True),
    "state": Option(default="present", choices=("absent", "present")),
    "filename": Option(),
    "mode": Option("raw"),
    "codename": Option(),
    "update_cache": Option("bool", default=True, aliases=("update-cache",)),
    "update_cache_retries": Option("int", default=5),
    "update_cache_retry_max_delay": Option("int", default=12),
    "validate_certs": Option("bool", default=True),
    "install_python_apt": Option("bool", default=True),
}
_LIST, _PARTS = "/etc/apt/sources.list", "/etc/apt/sources.list.d"
_KINDS = ("deb", "deb-src")


class _Line(NamedTuple):
    """A line of a list: a source or anything else, whether it is in force, and what is said behind it."""

    enabled: bool
    text: str
    comment: str = ""

    def __str__(self) -> str:
        said = f" # {self.comment}" if self.comment else ""
        return f"{'' if self.enabled else '# '}{self.text}{said}\n"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `apt_repository`."""
    repo = call["repo"]
    if repo.startswith("ppa:"):
        raise Failure(f"{repo}: archives by the name of their owner are not supported; give the whole `deb ...` line")
    if not repo:
        raise Failure("Please set argument 'repo' to a non-empty value")
    wanted = _parse(repo)
    if not wanted.enabled or wanted.text.split(" ")[0] not in _KINDS or " " not in wanted.text:
        raise Failure(f"Invalid repository string: {repo}")
    paths = [_LIST, *glob.glob(f"{_PARTS}/*.list")]
    before = {path: _read(path) for path in paths if os.path.isfile(path)}
    after = _with(call, before, wanted.text) if call["state"] == "present" else _without(before, wanted.text)
    old, new = ({path: "".join(map(str, lines)) for path, lines in lists.items()} for lists in (before, after))
    touched = [path for path in new if new[path] != old.get(path, "")]
    if touched and not call.check:
        _write(call, touched, old, new)
    result: dict[str, Any] = {
        "changed": bool(touched),
        "repo": repo,
        "state": call["state"],
        "sources_added": sorted(path for path in touched if not old.get(path)),
        "sources_removed": sorted(path for path in touched if not new[path]),
    }
    if call.diff:
        result["diff"] = [_files.difference(p, old.get(p, ""), new[p]) for p in touched]
    return result


def _read(path: str) -> list[_Line]:
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return [_parse(line) for line in stream]


def _parse(line: str) -> _Line:
    text = line.strip()
    enabled = not text.startswith("#")
    text, _, comment = text.lstrip("#" if not enabled else "").partition("#")
    text = text.strip()
    if text.split(" ")[0] in _KINDS:
        text = " ".join(text.split())
    return _Line(enabled, text, comment.strip())


def _with(call: Call, lists: dict[str, list[_Line]], source: str) -> dict[str, list[_Line]]:
    """The lists in which the source is in force: where it stands already, or in its own file."""
    if any(line.text == source for lines in lists.values() for line in lines):
        return {
            path: [line._replace(enabled=True) if line.text == source else line for line in lines]
            for path, lines in lists.items()
        }
    path = _own_file(call, source)
    return {**lists, path: [*lists.get(path, ()), _Line(True, source)]}


def _without(lists: dict[str, list[_Line]], source: str) -> dict[str, list[_Line]]:
    gone = _Line(True, source)
    return {path: [line for line in lines if line[:2] != gone[:2]] for path, lines in lists.items()}


def _own_file(call: Call, source: str) -> str:
    """The file that is named, or one named after the archive's address."""
    name = call["filename"]
    if name is None:
        bare = re.sub(r"\w+://", "", re.sub(r"\[[^\]]+\]", "", source))
        address = next(word for word in bare.split() if word not in _KINDS).rpartition("@")[2]
        name = "_".join(re.findall("[a-zA-Z0-9]+", address))
    return f"{name}.list" if "/" in name else os.path.join(_PARTS, f"{name}.list")


def _write(call: Call, touched: list[str], old: dict[str, str], new: dict[str, str]) -> None:
    for path in touched:
        _put(call, path, new[path])
        grown = new[path].count("\n") > old.get(path, "").count("\n")
        if path not in old or (grown and call["mode"] is not None):
            os.chmod(path, 0o644 if call["mode"] is None else _files.mode_of(call["mode"], path, 0o644, False))
    if not call["update_cache"]:
        return
    try:
        refresh(call)
    except Failure:
        for path in touched:
            _put(call, path, old.get(path, ""))
        raise


def _put(call: Call, path: str, text: str) -> None:
    if text:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _files.write(call, path, text.encode("utf-8", "surrogateescape"))
    elif os.path.exists(path):
        os.unlink(path)

"""A git working copy at a version."""

from __future__ import annotations

import os
from typing import Any

from playbooks.engine.helper.call import Call, Completed, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "repo": Option(required=True, aliases=("name",)),
    "dest": Option(),
    "version": Option(default="HEAD"),
    "remote": Option(default="origin"),
    "refspec": Option(),
    "force": Option("bool", default=False),
    "update": Option("bool", default=True),
    "clone": Option("bool", default=True),
    "depth": Option("int"),
    "bare": Option("bool", default=False),
    "recursive": Option("bool", default=True),
    "single_branch": Option("bool", default=False),
    "track_submodules": Option("bool", default=False),
    "accept_hostkey": Option("bool", default=False),
    "accept_newhostkey": Option("bool", default=False),
    "ssh_opts": Option(),
    "key_file": Option(),
    "executable": Option(default="git"),
    "umask": Option("raw"),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `git`."""
    if not call["dest"]:
        raise Failure("the destination directory must be specified unless clone=no")
    dest = os.path.abspath(os.path.expanduser(call["dest"]))
    there = os.path.isdir(dest if call["bare"] else os.path.join(dest, ".git"))
    result: dict[str, Any] = {"before": None, "after": None, "remote_url_changed": False, "changed": False}
    if not there:
        return _clone(call, dest, result)
    before = result["before"] = _git(call, dest, "rev-parse", "HEAD").out.strip()
    result["remote_url_changed"] = _point(call, dest)
    if not call["update"]:
        return {**result, "after": before, "changed": result["remote_url_changed"]}
    dirty = not call["bare"] and bool(_git(call, dest, "status", "--porcelain", "-uno").out.strip())
    if dirty and not call["force"]:
        raise Failure("Local modifications exist in the destination: " + dest + " (force=no).", **result)
    _fetch(call, dest)
    wanted = _resolve(call, dest)
    changed = wanted != before or dirty or result["remote_url_changed"]
    if changed and not call.check and not call["bare"]:
        _switch(call, dest, wanted)
    return {**result, "after": wanted, "changed": changed}


def _clone(call: Call, dest: str, result: dict[str, Any]) -> dict[str, Any]:
    if not call["clone"]:
        raise Failure(f"{dest} is no git repository and clone=no", **result)
    if call.check:
        return {**result, "changed": True}
    words = ["clone", "--origin", call["remote"]]
    words += ["--bare"] if call["bare"] else ["--recursive"] if call["recursive"] else []
    named = call["version"] != "HEAD" and not _is_hash(call["version"])
    if call["depth"]:
        words += ["--depth", str(call["depth"])]
    if named:
        words += ["--branch", call["version"]]
    if call["single_branch"]:
        words.append("--single-branch")
    os.makedirs(os.path.dirname(dest), exist_ok=True)
    done = _run(call, None, [*words, call["repo"], dest])
    if done.status != 0:
        raise Failure(f"Failed to clone: {_last(done)}", **result, stderr=done.err)
    if call["refspec"]:
        _git(call, dest, "fetch", call["remote"], call["refspec"])
    if _is_hash(call["version"]) and not call["bare"]:
        _switch(call, dest, _resolve(call, dest))
    return {**result, "after": _git(call, dest, "rev-parse", "HEAD").out.strip(), "changed": True}


def _is_hash(version: str) -> bool:
    return len(version) >= 7 and all(letter in "0123456789abcdef" for letter in version)


def _point(call: Call, dest: str) -> bool:
    """Make the remote's URL the one asked for."""
    current = _run(call, dest, ["remote", "get-url", call["remote"]])
    if current.status == 0 and current.out.strip() == call["repo"]:
        return False
    if not call.check:
        _git(call, dest, "remote", "set-url" if current.status == 0 else "add", call["remote"], call["repo"])
    return True


def _fetch(call: Call, dest: str) -> None:
    words = ["fetch", "--tags", "--force"]
    if call["depth"]:
        words += ["--depth", str(call["depth"])]
    _git(call, dest, *words, call["remote"], *([call["refspec"]] if call["refspec"] else []))
    _run(call, dest, ["remote", "set-head", call["remote"], "--auto"])


def _resolve(call: Call, dest: str) -> str:
    version, remote = call["version"], call["remote"]
    names = [f"refs/remotes/{remote}/{version}", f"refs/tags/{version}", version]
    if version == "HEAD":
        names = [f"refs/remotes/{remote}/HEAD", "HEAD"]
    for name in names:
        done = _run(call, dest, ["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"])
        if done.status == 0:
            return done.out.strip()
    raise Failure(f"Failed to checkout {version}: {call['repo']} has no such branch, tag or commit")


def _switch(call: Call, dest: str, wanted: str) -> None:
    version, remote = call["version"], call["remote"]
    force = ["--force"] if call["force"] else []
    if _run(call, dest, ["rev-parse", "--verify", "--quiet", f"refs/remotes/{remote}/{version}"]).status == 0:
        if version == "HEAD":
            _git(call, dest, "reset", "--hard", wanted)
        else:
            _git(call, dest, "checkout", *force, "-B", version, wanted)
            _run(call, dest, ["branch", f"--set-upstream-to={remote}/{version}", version])
    else:
        _git(call, dest, "checkout", *force, "--detach", wanted)
    if call["force"]:
        _git(call, dest, "reset", "--hard", wanted)
    if call["recursive"] and os.path.exists(os.path.join(dest, ".gitmodules")):
        remote_words = ["--remote"] if call["track_submodules"] else []
        _git(call, dest, "submodule", "update", "--init", "--recursive", *remote_words)


def _run(call: Call, dest: str | None, words: list[str]) -> Completed:
    options = [f"-i {call['key_file']}", "-o IdentitiesOnly=yes"] if call["key_file"] else []
    if call["accept_hostkey"]:
        options.append("-o StrictHostKeyChecking=no")
    elif call["accept_newhostkey"]:
        options.append("-o StrictHostKeyChecking=accept-new")
    if call["ssh_opts"]:
        options.append(call["ssh_opts"])
    ssh = {"GIT_SSH_COMMAND": " ".join(["ssh", "-o BatchMode=yes", *options])}
    where = ["-C", dest] if dest else []
    try:
        return call.run(
            [call["executable"], *where, *words], environment={"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **ssh}
        )
    except OSError as error:
        raise Failure("git is not on this host; install it") from error


def _git(call: Call, dest: str, *words: str) -> Completed:
    done = _run(call, dest, list(words))
    if done.status != 0:
        raise Failure(f"git {words[0]} failed in {dest}: {_last(done)}", rc=done.status, stderr=done.err)
    return done


def _last(done: Completed) -> str:
    lines = (done.err.strip() or done.out.strip() or "no message").splitlines()
    return lines[-1]

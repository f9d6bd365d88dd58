"""A git working copy at a version."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Completed, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files

OPTIONS = {
    "repo": Option(required=True, aliases=("name",)),
    "dest": Option("path"),
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
    "key_file": Option("path"),
    "executable": Option("path", default="git"),
    "umask": Option("raw"),
    "reference": Option(),
    "archive": Option("path"),
    "archive_prefix": Option(),
    "separate_git_dir": Option("expanded_path"),
    "verify_commit": Option("bool", default=False),
    "gpg_allowlist": Option("list", default=(), elements="str", aliases=("gpg_whitelist",)),
}
EXCLUSIVE = (("separate_git_dir", "bare"), ("accept_hostkey", "accept_newhostkey"))


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `git`."""
    if call["dest"] is None and call["clone"]:
        raise Failure("the destination directory must be specified unless clone=no")
    if call["archive_prefix"] is not None and not call["archive"]:
        raise Failure("missing parameter(s) required by 'archive_prefix': archive")
    dest = os.path.abspath(os.path.expanduser(call["dest"] or "."))
    there = bool(call["dest"]) and os.path.exists(dest + "/config" if call["bare"] else dest + "/.git")
    if not there and (call.check or not call["clone"]):
        return _with_difference(call, dest, {"before": None, "after": _remote_head(call), "changed": True})
    result = _with_difference(call, dest, _present(call, dest) if there else _clone(call, dest))
    if call["verify_commit"] and not call.check:
        _verify(call, dest)
    return {**result, **_archive(call, dest)} if call["archive"] else result


def _with_difference(call: Call, dest: str, result: dict[str, Any]) -> dict[str, Any]:
    """The result with what differs between the commits before and after, if that is asked for."""
    before, after = result["before"], result["after"]
    if not call.diff or before == after:
        return result
    if before is None:
        return {**result, "diff": {"prepared": f">> Newly checked out {after}"}}
    if call.check:
        _run(call, dest, ["fetch", call["remote"], call["version"]])
    done = _run(call, dest, ["diff", before, after])
    shown = done.out if done.status == 0 else f">> {before} and {after} cannot be compared: {_reason(done)}"
    return {**result, "diff": {"prepared": shown}}


def _verify(call: Call, dest: str) -> None:
    """Raises Failure unless the version is signed, and by a key that is trusted."""
    version = call["version"]
    annotated = _run(call, dest, ["cat-file", "-t", version]).out.strip() == "tag"
    done = _run(call, dest, ["verify-tag" if annotated else "verify-commit", "--raw", version])
    if done.status != 0:
        message = f'Failed to verify GPG signature of commit/tag "{version}"'
        raise Failure(message, rc=done.status, stdout=done.out, stderr=done.err)
    signed = [line.split() for line in done.err.splitlines() if line.startswith("[GNUPG:] VALIDSIG")]
    # The last word is the primary key's fingerprint, the third that of the key that signed.
    keys = [words[11] if len(words) > 11 else words[2] for words in signed]
    if call["gpg_allowlist"] and not set(keys) & set(call["gpg_allowlist"]):
        raise Failure(f"The gpg_allowlist does not include the public key {', '.join(keys)!r} for this commit")


def _url(call: Call) -> str:
    """A path becomes a URL: of a path git makes no shallow clone."""
    repo = os.path.expanduser(call["repo"])
    return f"file://{repo}" if repo.startswith("/") else repo


def _present(call: Call, dest: str) -> dict[str, Any]:
    result: dict[str, Any] = {"changed": False}
    apart = call["separate_git_dir"] and os.path.realpath(call["separate_git_dir"])
    if apart and apart != os.path.realpath(_git(call, dest, "rev-parse", "--absolute-git-dir").out.strip()):
        result.update(_move_apart(call, dest, apart))
    before = result["before"] = _git(call, dest, "rev-parse", "HEAD").out.strip()
    if not call["update"]:
        return {**result, "after": before}
    # A submodule that is ahead of what the version names is what `track_submodules` makes of it.
    ahead = ["--ignore-submodules=all"] if call["track_submodules"] else []
    dirty = not call["bare"] and bool(_git(call, dest, "status", "--porcelain", "-uno", *ahead).out.strip())
    if dirty and not call["force"]:
        raise Failure("Local modifications exist in the destination: " + dest + " (force=no).", **result)
    if dirty and not call.check:
        result.update(changed=True, msg="Local modifications exist in the destination: " + dest)
    moved = result["remote_url_changed"] = _point(call, dest)
    if call.check:
        wanted = _remote_head(call)
        told = {"changed": wanted != before or moved or result["changed"], **_submodules(call, dest)}
        return {**result, "after": wanted, **told}
    _fetch(call, dest)
    wanted = _resolve(call, dest)
    changed = wanted != before or dirty or moved or result["changed"]
    if changed and not call["bare"]:
        _switch(call, dest, wanted)
    return {**result, "after": wanted, "changed": changed, **_submodules(call, dest)}


def _move_apart(call: Call, dest: str, apart: str) -> dict[str, Any]:
    """Put the repository where `separate_git_dir` says, and a pointer to it in its place."""
    old = os.path.join(dest, ".git")
    if os.path.exists(apart):
        raise Failure(f"Separate-git-dir path {apart} already exists.")
    if not call.check:
        _git(call, dest, "init", f"--separate-git-dir={apart}")
    return {"changed": True, "git_dir_before": old, "git_dir_now": apart}


def _clone(call: Call, dest: str) -> dict[str, Any]:
    version, bare = call["version"], call["bare"]
    words = ["clone", *(["--bare"] if bare else ["--origin", call["remote"]])]
    # Only branches and tags can be cloned by name, and what a refspec brings has a name only then.
    named = not (bare or call["refspec"] or version == "HEAD" or _is_hash(version) or version.startswith("refs/"))
    # Servers give a shallow copy of names, seldom of a hash.
    if call["depth"] and (call["refspec"] or not _is_hash(version)):
        words += ["--depth", str(call["depth"])]
    if named:
        words += ["--branch", version]
    if call["single_branch"]:
        words.append("--single-branch")
    if call["reference"]:
        words += ["--reference", call["reference"]]
    if call["separate_git_dir"]:
        words.append(f"--separate-git-dir={os.path.realpath(call['separate_git_dir'])}")
    os.makedirs(os.path.dirname(dest), exist_ok=True)
    done = _run(call, None, [*words, _url(call), dest])
    if done.status != 0:
        raise Failure(f"Failed to clone: {_reason(done)}", rc=done.status, stdout=done.out, stderr=done.err)
    if call["refspec"]:
        _git(call, dest, "fetch", *_depth(call), call["remote"], call["refspec"])
    if not named and not bare and version != "HEAD":
        _switch(call, dest, _resolve(call, dest))
    told = _submodules(call, dest)
    return {"before": None, "after": _git(call, dest, "rev-parse", "HEAD").out.strip(), **told, "changed": True}


def _remote_head(call: Call) -> str:
    """The commit that the version is at its source; a hash stands for itself."""
    version = call["version"]
    names = (
        ["HEAD"]
        if version == "HEAD"
        else [f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}"]
    )
    done = _run(call, None, ["ls-remote", _url(call), *names])
    if done.status != 0:
        raise Failure(_reason(done), rc=done.status, stdout=done.out, stderr=done.err)
    found = {name: commit for commit, _, name in (line.partition("\t") for line in done.out.splitlines())}
    return next((found[name] for name in names if name in found), version)


def _archive(call: Call, dest: str) -> dict[str, Any]:
    """Put what the version holds into one file, unless the file has that already."""
    path = os.path.expanduser(call["archive"])
    kind = {".zip": "zip", ".gz": "tar.gz", ".tar": "tar", ".tgz": "tgz"}.get(os.path.splitext(path)[1])
    if kind is None:
        raise Failure(
            f"Unable to get file extension from archive file name : {path}; it can be tar, tar.gz, tgz or zip"
        )
    if call.check:
        return {"changed": True}
    with tempfile.TemporaryDirectory() as scratch:
        new = os.path.join(scratch, "archive")
        prefix = [] if call["archive_prefix"] is None else ["--prefix", call["archive_prefix"]]
        _git(call, dest, "archive", "--format", kind, "--output", new, *prefix, call["version"])
        if _files.read(path) == _files.read(new):
            return {"changed": False}
        shutil.copyfile(new, path)
    return {"changed": True}


def _is_hash(version: str) -> bool:
    return len(version) >= 7 and all(letter in "0123456789abcdef" for letter in version)


def _point(call: Call, dest: str) -> bool:
    """Make the remote's URL the one asked for."""
    current = _run(call, dest, ["remote", "get-url", call["remote"]])
    if current.status == 0 and current.out.strip() in (_url(call), call["repo"]):
        return False
    if not call.check:
        _git(call, dest, "remote", "set-url" if current.status == 0 else "add", call["remote"], _url(call))
    return True


def _depth(call: Call) -> list[str]:
    return ["--depth", str(call["depth"])] if call["depth"] else []


def _fetch(call: Call, dest: str) -> None:
    remote, words = call["remote"], ["fetch", "--tags", "--force", *_depth(call)]
    if call["bare"]:
        # A bare copy has no others than these, and no setting that would have them fetched.
        _git(call, dest, *words, remote, "+refs/heads/*:refs/heads/*")
        return
    _git(call, dest, *words, remote)
    if call["refspec"]:
        _git(call, dest, *words, remote, call["refspec"])
    fetched = _run(call, dest, ["config", "--get-all", f"remote.{remote}.fetch"]).out
    if "refs/heads/*" not in fetched:
        # A shallow copy, or one of a single branch: others come one by one.
        _run(call, dest, [*words, remote, _tracked(call)])
    _run(call, dest, ["remote", "set-head", remote, "--auto"])


def _tracked(call: Call) -> str:
    """The version as a branch to be fetched."""
    return f"+refs/heads/{call['version']}:refs/remotes/{call['remote']}/{call['version']}"


def _resolve(call: Call, dest: str) -> str:
    version, remote = call["version"], call["remote"]
    names = [f"refs/remotes/{remote}/{version}", f"refs/tags/{version}", version]
    if version == "HEAD" or call["bare"]:
        names = [f"refs/remotes/{remote}/HEAD", "HEAD"]
    for name in names:
        commit = _commit(call, dest, name)
        if commit:
            return commit
    for wanted in (_tracked(call), version):
        if _run(call, dest, ["fetch", *_depth(call), remote, wanted]).status == 0:
            return _commit(call, dest, "FETCH_HEAD")
    raise Failure(f"Failed to checkout {version}: {call['repo']} has no such branch, tag or commit")


def _commit(call: Call, dest: str, name: str) -> str:
    """The commit that a name stands for, "" if it stands for none."""
    return _run(call, dest, ["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]).out.strip()


def _switch(call: Call, dest: str, wanted: str) -> None:
    version, remote = call["version"], call["remote"]
    force = ["--force"] if call["force"] else []
    if _commit(call, dest, f"refs/remotes/{remote}/{version}"):
        if version == "HEAD":
            _git(call, dest, "reset", "--hard", wanted)
        else:
            _git(call, dest, "checkout", *force, "-B", version, wanted)
            _run(call, dest, ["branch", f"--set-upstream-to={remote}/{version}", version])
    else:
        # By its name, if it is a tag: git then says where it is in these words.
        tag = _commit(call, dest, f"refs/tags/{version}") == wanted
        _git(call, dest, "checkout", *force, "--detach", version if tag else wanted)
    if call["force"]:
        _git(call, dest, "reset", "--hard", wanted)


def _submodules(call: Call, dest: str) -> dict[str, Any]:
    """Bring the submodules to the commits that the version names, or with `track_submodules` to their newest."""
    if call["bare"] or not call["recursive"] or not os.path.exists(os.path.join(dest, ".gitmodules")):
        return {}
    before = _git(call, dest, "submodule", "status", "--recursive").out
    if call.check:
        changed = any(line[:1] in "-+" for line in before.splitlines())
    else:
        newest = ["--remote"] if call["track_submodules"] else []
        force = ["--force"] if call["force"] else []
        _git(call, dest, "submodule", "sync", "--recursive")
        _git(call, dest, "submodule", "update", "--init", "--recursive", *newest, *force)
        changed = _git(call, dest, "submodule", "status", "--recursive").out != before
    return {"submodules_changed": True, "changed": True} if changed else {}


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
    environment = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **ssh}
    try:
        return call.run([call["executable"], *where, *words], environment=environment, umask=_umask(call))
    except OSError as error:
        raise Failure(f"{call['executable']} is not on this host; install git") from error


def _umask(call: Call) -> int | None:
    try:
        if isinstance(call["umask"], (str, type(None))):
            return None if call["umask"] is None else int(call["umask"], 8)
    except ValueError:
        pass
    raise Failure("umask must be defined as a quoted octal integer")


def _git(call: Call, dest: str, *words: str) -> Completed:
    done = _run(call, dest, list(words))
    if done.status != 0:
        raise Failure(f"git {words[0]} failed in {dest}: {_reason(done)}", rc=done.status, stderr=done.err)
    return done


def _reason(done: Completed) -> str:
    """What git gives as the reason: the first line that it marks as one, else the last of all."""
    lines = (done.err.strip() or done.out.strip() or "no message").splitlines()
    marked = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    return marked[0] if marked else lines[-1]

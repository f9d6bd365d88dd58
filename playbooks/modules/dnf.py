"""Installs and removes packages with dnf (or yum); asks rpm first."""

from __future__ import annotations

import shutil
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option("list", default=(), aliases=("pkg",)),
    "state": Option(choices=("absent", "installed", "latest", "present", "removed")),
    "enablerepo": Option("list", default=()),
    "disablerepo": Option("list", default=()),
    "exclude": Option("list", default=()),
    "disable_gpg_check": Option("bool", default=False),
    "update_cache": Option("bool", default=False, aliases=("expire-cache",)),
    "update_only": Option("bool", default=False),
    "autoremove": Option("bool", default=False),
    "allowerasing": Option("bool", default=False),
    "install_weak_deps": Option("bool", default=True),
    "security": Option("bool", default=False),
    "bugfix": Option("bool", default=False),
    "releasever": Option(),
    "installroot": Option(default="/"),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `dnf`."""
    program = shutil.which("dnf") or shutil.which("yum")
    if program is None:
        raise Failure("neither dnf nor yum is on this host")
    if call["update_cache"] and not call.check:
        call.checked([program, "-y", "makecache", *_settings(call)], what="updating the cache")
    names = [name for name in call["name"] if name]
    state = call["state"] or ("absent" if call["autoremove"] else "present")
    if state in ("absent", "removed"):
        targets = [name for name in names if _there(call, name)]
        return (
            _dnf(call, program, ["remove" if names else "autoremove"], targets) if targets or not names else _nothing()
        )
    if state == "latest":
        words = ["upgrade" if call["update_only"] or names == ["*"] else "install"]
        missing = [name for name in names if not _there(call, name)]
        if words == ["install"] and not missing:
            words = ["upgrade"]
        return _dnf(call, program, words, [name for name in names if name != "*"])
    targets = [name for name in names if not _there(call, name)]
    return _dnf(call, program, ["install"], targets) if targets else _nothing()


def _nothing() -> dict[str, Any]:
    return {"changed": False, "msg": "Nothing to do", "rc": 0, "results": []}


def _there(call: Call, name: str) -> bool:
    if name.startswith("@") or "/" in name:
        return False
    return call.run(["rpm", "-q", "--whatprovides", name]).status == 0


def _settings(call: Call) -> list[str]:
    words = [f"--enablerepo={name}" for name in call["enablerepo"]]
    words += [f"--disablerepo={name}" for name in call["disablerepo"]]
    words += [f"--exclude={name}" for name in call["exclude"]]
    for name, word in (
        ("disable_gpg_check", "--nogpgcheck"),
        ("allowerasing", "--allowerasing"),
        ("security", "--security"),
        ("bugfix", "--bugfix"),
    ):
        if call[name]:
            words.append(word)
    if not call["install_weak_deps"]:
        words.append("--setopt=install_weak_deps=False")
    if call["releasever"]:
        words.append(f"--releasever={call['releasever']}")
    if call["installroot"] != "/":
        words.append(f"--installroot={call['installroot']}")
    return words


def _dnf(call: Call, program: str, words: list[str], names: list[str]) -> dict[str, Any]:
    mode = ["--assumeno"] if call.check else ["-y"]
    done = call.run([program, *mode, *_settings(call), *words, *names], environment={"LC_ALL": "C"})
    nothing = "Nothing to do" in done.out
    if done.status != 0 and not call.check:
        reason = (done.err.strip() or done.out.strip() or "no message").splitlines()[-1]
        raise Failure(f"Failed to {words[0]} packages: {reason}", rc=done.status, stdout=done.out, stderr=done.err)
    return {"changed": not nothing, "msg": "Nothing to do" if nothing else "", "rc": 0, "results": names}

"""Installs and removes packages with dnf (or yum): dnf plans the transaction, rpm says what became of it.

Invariant: what a result tells was planned (in check mode) or has happened; a plan that would downgrade a package which
nobody allowed to be downgraded is made again without it.
Source: ansible.builtin.dnf.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import Any, Iterator, NamedTuple, Sequence

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _dnf_output

_NAMES: dict[str, Any] = {"default": (), "elements": "str"}
OPTIONS = {
    "name": Option("list", aliases=("pkg",), **_NAMES),
    "state": Option(choices=("absent", "installed", "latest", "present", "removed")),
    "list": Option(),
    "enablerepo": Option("list", **_NAMES),
    "disablerepo": Option("list", **_NAMES),
    "exclude": Option("list", **_NAMES),
    "disable_excludes": Option(),
    "enable_plugin": Option("list", **_NAMES),
    "disable_plugin": Option("list", **_NAMES),
    "disable_gpg_check": Option("bool", default=False),
    "validate_certs": Option("bool", default=True),
    "sslverify": Option("bool", default=True),
    "update_cache": Option("bool", default=False, aliases=("expire-cache",)),
    "cacheonly": Option("bool", default=False),
    "update_only": Option("bool", default=False),
    "autoremove": Option("bool", default=False),
    "allowerasing": Option("bool", default=False),
    "allow_downgrade": Option("bool", default=False),
    "best": Option("bool"),
    "nobest": Option("bool"),
    "skip_broken": Option("bool", default=False),
    "install_weak_deps": Option("bool", default=True),
    "security": Option("bool", default=False),
    "bugfix": Option("bool", default=False),
    "download_only": Option("bool", default=False),
    "download_dir": Option(),
    "conf_file": Option(),
    "releasever": Option(),
    "installroot": Option(default="/"),
    # dnf waits for its own lock, and asks for packages without another program.
    "lock_timeout": Option("int", default=30),
    "install_repoquery": Option("bool", default=True),
    "use_backend": Option(default="auto", choices=("auto", "yum", "yum4", "dnf", "dnf4", "dnf5")),
}
EXCLUSIVE = (("name", "list"), ("best", "nobest"))

_CHECKED = "Check mode: No changes made, but would have if not in check mode"
_QUERIES = {"installed": ["--installed"], "available": ["--available"], "upgrades": ["--upgrades"]}
_FORMAT = "%{name}|%{epoch}|%{version}|%{release}|%{arch}|%{repoid}"


class _Step(NamedTuple):
    """One transaction: dnf's word for it, and its packages; none means all."""

    word: str
    names: Sequence[str]


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `dnf`."""
    program = shutil.which("dnf") or shutil.which("yum")
    if program is None:
        raise Failure("neither dnf nor yum is on this host")
    if call["conf_file"] and not os.access(call["conf_file"], os.R_OK):
        raise Failure("cannot read configuration file", conf_file=call["conf_file"], results=[])
    dnf = [program, *_settings(call)]
    if call["list"]:
        return {"changed": False, "msg": "", "results": _listed(call, dnf, call["list"])}
    names = [name.strip() for given in call["name"] for name in given.split(",") if name.strip()]
    if call["update_cache"]:
        call.checked([*dnf, "makecache"], what="updating the cache")
        if not names and not call["autoremove"]:
            return {"changed": False, "msg": "Cache updated", "rc": 0, "results": []}
    notes: list[str] = []
    happened: list[str] = []
    for step in list(_steps(call, names, notes)):
        happened += _carried_out(call, dnf, step, notes)
    results = [*notes, *happened]
    if not happened:
        return {"changed": False, "msg": "Nothing to do", "rc": 0, "results": results}
    return {"changed": True, "msg": _CHECKED if call.check else "", "rc": 0, "results": results}


def _steps(call: Call, names: Sequence[str], notes: list[str]) -> Iterator[_Step]:
    """What has to be asked of dnf; what needs no asking goes to the notes."""
    state = call["state"] or ("absent" if call["autoremove"] else "present")
    there = {name: _there(call, name) for name in names}
    if state in ("absent", "removed"):
        for name in names:
            if name.endswith(".rpm"):
                raise Failure("Cannot remove paths -- please specify package name.", results=[])
        present = [name for name in names if there[name] is not False]
        notes += [f"No match for argument: {name}" for name in names if there[name] is False]
        if present:
            yield _Step("remove", present)
        if call["autoremove"]:
            yield _Step("autoremove", ())
        return
    if state == "latest":
        present = [name for name in names if there[name]]
        missing = [name for name in names if not there[name] and name != "*"]
        if "*" in names:
            yield _Step("upgrade", ())
        elif present:
            yield _Step("upgrade", present)
        if call["update_only"]:
            said = "Packages providing {} not installed due to update_only specified"
            notes += [said.format(name) for name in missing]
            return
    else:
        missing = [name for name in names if not there[name]]
    notes += [f"Installed {name}" for name in missing if name.endswith(".rpm")]
    if missing:
        yield _Step("install", missing)


def _there(call: Call, name: str) -> bool | None:
    """Whether something installed is what the name asks for; None if only dnf can tell."""
    if re.search(r"^@|[*?\[\]<>= ]|\.rpm$", name):
        return None
    return call.run(["rpm", "--root", call["installroot"], "-q", "--whatprovides", name]).status == 0 or (
        call.run(["rpm", "--root", call["installroot"], "-q", name]).status == 0
    )


def _settings(call: Call) -> list[str]:
    words = [
        *(f"--disablerepo={name}" for name in call["disablerepo"]),
        *(f"--enablerepo={name}" for name in call["enablerepo"]),
        *(f"--exclude={name}" for name in call["exclude"]),
        *(f"--disableplugin={name}" for name in call["disable_plugin"]),
        *(f"--enableplugin={name}" for name in call["enable_plugin"]),
    ]
    for name, word in (("disable_excludes", "disableexcludes"), ("conf_file", "config"), ("releasever", "releasever")):
        if call[name]:
            words.append(f"--{word}={call[name]}")
    for name in ("allowerasing", "security", "bugfix", "cacheonly", "best", "nobest"):
        if call[name]:
            words.append(f"--{name}")
    verifies = call["sslverify"] and call["validate_certs"]
    options = {
        "install_weak_deps": call["install_weak_deps"],
        "clean_requirements_on_remove": call["autoremove"],
        "localpkg_gpgcheck": not call["disable_gpg_check"],
        **({"strict": False} if call["skip_broken"] else {}),
        **({} if verifies else {"sslverify": False}),
    }
    words += [f"--setopt={name}={value}" for name, value in options.items()]
    if call["disable_gpg_check"]:
        words.append("--nogpgcheck")
    if call["installroot"] != "/":
        words.append(f"--installroot={call['installroot']}")
    return words


def _carried_out(call: Call, dnf: Sequence[str], step: _Step, notes: list[str]) -> list[str]:
    """What a transaction does, or would do in check mode, as Ansible's sentences. Raises Failure."""
    planned = _planned(call, dnf, step, notes)
    if step.word == "install" and not call["allow_downgrade"]:
        lowered = {row.name for row in planned if row.section == "Downgrading"}
        kept = [name for name in step.names if not any(_is_version_of(name, package) for package in lowered)]
        if len(kept) < len(step.names):
            return _carried_out(call, dnf, step._replace(names=kept), notes) if kept else []
    if not planned:
        return []
    before = _installed(call)
    if call["download_only"]:
        said = [f"Downloaded: {row.package}" for row in planned if row.is_new]
    else:
        replaced = {row.name for row in planned if row.section in ("Upgrading", "Downgrading", "Reinstalling")}
        removed = {row.package for row in planned if not row.is_new}
        removed |= {package for package, name in before.items() if name in replaced}
        said = [f"Installed: {row.package}" for row in planned if row.is_new]
        said += [f"Removed: {package}" for package in sorted(removed)]
    if not call.check:
        aside = ["--downloadonly"] if call["download_only"] else []
        if aside and call["download_dir"]:
            aside.append(f"--destdir={call['download_dir']}")
        done = call.run([*dnf, "-y", *aside, step.word, *step.names], environment={"LC_ALL": "C"})
        if done.status != 0:
            raise _dnf_output.failure(done)
        if not call["download_only"]:
            after = _installed(call)
            said = [f"Installed: {package}" for package in after if package not in before]
            said += [f"Removed: {package}" for package in before if package not in after]
    return said


def _planned(call: Call, dnf: Sequence[str], step: _Step, notes: list[str]) -> list[_dnf_output.Row]:
    done = call.run([*dnf, "--assumeno", step.word, *step.names], environment={"LC_ALL": "C"})
    rows = _dnf_output.rows(done.out)
    if not rows and done.status != 0:
        raise _dnf_output.failure(done)
    said = "No match for argument: {}" if step.word == "remove" else "No package {} available."
    notes += [said.format(name) for name in _dnf_output.unmatched(done)]
    return rows


def _is_version_of(name: str, package: str) -> bool:
    return name.startswith(f"{package}-") and " " not in name


def _installed(call: Call) -> dict[str, str]:
    """The name of every package installed, by the package as Ansible writes it."""
    form = "%{NAME}|%{EPOCH}|%{VERSION}|%{RELEASE}|%{ARCH}\\n"
    done = call.checked(["rpm", "--root", call["installroot"], "-qa", "--qf", form], what="listing packages")
    found = {}
    for line in done.out.splitlines():
        name, epoch, version, release, arch = line.split("|")
        found[_dnf_output.package(name, "" if epoch == "(none)" else epoch, f"{version}-{release}", arch)] = name
    return found


def _listed(call: Call, dnf: Sequence[str], wanted: str) -> list[dict[str, str]]:
    if wanted in ("repos", "repositories"):
        done = call.checked([*dnf, "--quiet", "repolist"], what="listing repositories")
        return [{"repoid": line.split()[0], "state": "enabled"} for line in done.out.splitlines()[1:] if line.strip()]
    wanted = "upgrades" if wanted == "updates" else wanted
    found = []
    for words in [_QUERIES[wanted]] if wanted in _QUERIES else [["--installed", wanted], ["--available", wanted]]:
        command = [*dnf, "--quiet", "repoquery", "--qf", _FORMAT, *words]
        done = call.checked(command, what="listing packages")
        found += [_dnf_output.described(line) for line in done.out.splitlines() if line.count("|") == 5]
    return found

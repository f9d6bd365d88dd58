"""Installs and removes packages with apt-get; asks dpkg first, so that a satisfied task starts nothing else."""

from __future__ import annotations

import fnmatch
import os
import re
import tempfile
import time
from typing import Any, NamedTuple, Sequence

from playbooks.engine.helper.call import Call, Completed, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules._download import download

OPTIONS = {
    "name": Option("list", default=(), aliases=("pkg", "package")),
    "state": Option(default="present", choices=("absent", "build-dep", "fixed", "latest", "present")),
    "update_cache": Option("bool", aliases=("update-cache",)),
    "cache_valid_time": Option("int", default=0),
    "update_cache_retries": Option("int", default=5),
    "update_cache_retry_max_delay": Option("int", default=12),
    "upgrade": Option(choices=("dist", "full", "no", "safe", "yes"), default="no"),
    "deb": Option("path"),
    "default_release": Option(aliases=("default-release",)),
    "install_recommends": Option("bool", aliases=("install-recommends",)),
    "dpkg_options": Option(default="force-confdef,force-confold"),
    "purge": Option("bool", default=False),
    "autoremove": Option("bool", default=False),
    "autoclean": Option("bool", default=False),
    "clean": Option("bool", default=False),
    "force": Option("bool", default=False),
    "force_apt_get": Option("bool", default=False),
    "allow_unauthenticated": Option("bool", default=False, aliases=("allow-unauthenticated",)),
    "allow_downgrade": Option(
        "bool", default=False, aliases=("allow-downgrade", "allow_downgrades", "allow-downgrades")
    ),
    "allow_change_held_packages": Option("bool", default=False),
    "only_upgrade": Option("bool", default=False),
    "fail_on_autoremove": Option("bool", default=False),
    "policy_rc_d": Option("int"),
    "lock_timeout": Option("int", default=60),
    "auto_install_module_deps": Option("bool", default=True),
}
_SAFE_UPGRADE = ["upgrade", "--with-new-pkgs"]
# What apt-get says where it had anything to clean.
_CLEANED = {"autoclean": "Del ", "autoremove": "The following packages will be REMOVED"}
_STAMPS = ("/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists")


class _Wanted(NamedTuple):
    """A package as the task names it: `name`, `name=version` or `name>=version`."""

    name: str
    version: str = ""
    relation: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.relation}{self.version}"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `apt`."""
    names = [name.strip() for name in call["name"] or ()]
    if (call["upgrade"] != "no") + (call["deb"] is not None) + bool(names) > 1:
        raise Failure("parameters are mutually exclusive: deb|package|upgrade")
    if call["clean"]:
        done = Completed(0, "", "") if call.check else call.checked(["apt-get", "clean"])
        if not names and call["deb"] is None and call["upgrade"] == "no":
            return {"changed": True, "msg": done.out, "stdout": done.out, "stderr": done.err}
    result: dict[str, Any] = {}
    updated = _update(call, result)
    if updated is not None and not names and call["deb"] is None and call["upgrade"] == "no":
        return {"changed": updated, **result}
    if call["deb"]:
        return _deb(call)
    if call["upgrade"] != "no":
        words = {"dist": ["dist-upgrade"], "full": ["full-upgrade"]}.get(call["upgrade"], _SAFE_UPGRADE)
        return _upgrade(call, words)
    if "*" in names and call["state"] == "latest":
        return _upgrade(call, _SAFE_UPGRADE)
    wanted = _expanded(call, [_parse(name) for name in names if name != "*"])
    if wanted and call["state"] == "absent":
        return _remove(call, wanted)
    for word in ("autoclean", "autoremove") if not wanted else ():
        if call[word]:
            result = _apt(call, [word], [])
            return {**result, "changed": _CLEANED[word] in result["stdout"]}
    try:
        return {**result, **_install(call, wanted)}
    except Failure as failure:
        # Where apt itself was asked Ansible says of its lists, too.
        if failure.result.get("rc") is not None or str(failure).startswith("no available"):
            failure.result.update(result)
        raise


def _upgrade(call: Call, words: list[str]) -> dict[str, Any]:
    result = _apt(call, words, [])
    return {**result, "msg": result["stdout"]}


def _parse(name: str) -> _Wanted:
    if name.count("=") > 1:
        raise Failure(f"invalid package spec: {name}")
    package, relation, version = re.match("([^=>]*)(>?=)?(.*)", name).groups()  # type: ignore[union-attr]
    return _Wanted(package.strip(), version.strip(), relation or "")


def _expanded(call: Call, wanted: list[_Wanted]) -> list[_Wanted]:
    """Names with wildcards replaced by what apt knows that matches them. Raises Failure where nothing does."""
    expanded: list[_Wanted] = []
    for entry in wanted:
        if not any(sign in entry.name for sign in "*?[]!"):
            expanded.append(entry)
            continue
        known = sorted(call.checked(["apt-cache", "pkgnames"]).out.split())
        found = fnmatch.filter(known, entry.name)
        if not found:
            raise Failure(f"No package(s) matching '{entry.name}' available")
        expanded += map(_Wanted, found)
    return expanded


def _update(call: Call, result: dict[str, Any]) -> bool | None:
    """Refresh the package lists if asked for and not fresh; whether that was done, None if it was not asked for."""
    age = time.time() - _updated_at()
    wanted = bool(call["update_cache"] or (call["update_cache"] is None and call["cache_valid_time"] > 0))
    updated = wanted and (not call["cache_valid_time"] or age > call["cache_valid_time"])
    if updated and not call.check:
        refresh(call, _lock(call))
    result.update(cache_updated=updated, cache_update_time=int(_updated_at()))
    return updated if wanted else None


def _updated_at() -> float:
    return next((os.stat(path).st_mtime for path in _STAMPS if os.path.exists(path)), 0.0)


def refresh(call: Call, words: Sequence[str] = ()) -> None:
    """Have apt read its archives anew, as often as the task allows. Raises Failure."""
    for attempt in range(max(1, call["update_cache_retries"])):
        done = call.run(["apt-get", "update", *words], environment=_environment())
        # A file that could not be fetched is a warning to apt-get, but an archive that is not usable to the task.
        if done.status == 0 and not re.search("^W: (?:Failed to fetch|Some index files)", done.err, re.MULTILINE):
            return
        time.sleep(min(2**attempt, call["update_cache_retry_max_delay"]))
    errors = ", ".join(re.findall("^[EW]: (.*)", done.err, re.MULTILINE)) or "unknown reason"
    raise Failure(f"Failed to update apt cache after {call['update_cache_retries']} retries: {errors}")


def _remove(call: Call, wanted: list[_Wanted]) -> dict[str, Any]:
    installed, _ = _installed(call)
    there = sorted({entry.name for entry in wanted if entry.name in installed})
    if not there:
        return {"changed": False}
    words = ["remove", *(["--purge"] if call["purge"] else []), *(["--auto-remove"] if call["autoremove"] else [])]
    return _apt(call, words, there)


def _install(call: Call, wanted: list[_Wanted]) -> dict[str, Any]:
    state = call["state"]
    if not wanted or state == "absent":
        return {"changed": False}
    if any(not entry.name for entry in wanted):
        raise Failure("No package matching '' is available")
    if state == "build-dep":
        result = _apt(call, ["build-dep"], [entry.name for entry in wanted])
    elif state == "fixed":
        result = _apt(call, ["install", "--fix-broken"], [entry.name for entry in wanted])
    else:
        installed, provided = _installed(call)
        targets = [e for e in wanted if state == "latest" or not _satisfied(call, e, installed, provided)]
        if call["only_upgrade"]:
            targets = [entry for entry in targets if entry.name in installed]
        if not targets:
            return {"changed": False}
        names = [_named(call, entry) for entry in targets]
        result = _apt(call, ["install", *(["--only-upgrade"] if call["only_upgrade"] else [])], names)
    # What changes nothing is nothing that apt has anything to say of.
    return result if result["changed"] else {"changed": False}


def _named(call: Call, entry: _Wanted) -> str:
    """A package as apt-get is told of it."""
    if entry.relation != ">=":
        return str(entry)
    shown = call.run(["apt-cache", "policy", entry.name], environment=_environment()).out
    candidate = re.search(r"^  Candidate: (\S+)", shown, re.MULTILINE)
    if candidate is None or not _at_least(call, candidate.group(1), entry.version):
        raise Failure(f"no available installation candidate for {entry}")
    return f"{entry.name}={candidate.group(1)}"


def _at_least(call: Call, version: str, wanted: str) -> bool:
    return call.run(["dpkg", "--compare-versions", version, "ge", wanted]).status == 0


def _installed(call: Call) -> tuple[dict[str, str], set[str]]:
    """Versions of what is installed by name (and name:architecture), and the virtual packages that it provides."""
    form = "${db:Status-Status}\\t${Package}\\t${Architecture}\\t${Version}\\t${Provides}\\n"
    done = call.checked(["dpkg-query", "-W", "-f", form])
    versions: dict[str, str] = {}
    provided: set[str] = set()
    for line in done.out.splitlines():
        status, name, architecture, version, provides = line.split("\t")
        if status == "installed":
            versions[name] = versions[f"{name}:{architecture}"] = version
            provided.update(part.split("(")[0].strip() for part in provides.split(",") if part.strip())
    return versions, provided


def _satisfied(call: Call, entry: _Wanted, installed: dict[str, str], provided: set[str]) -> bool:
    version = installed.get(entry.name)
    if version is None:
        return entry.name in provided and not entry.version
    if entry.relation == ">=":
        return _at_least(call, version, entry.version)
    return not entry.version or fnmatch.fnmatch(version, entry.version)


def _apt(call: Call, words: list[str], names: list[str]) -> dict[str, Any]:
    command = ["apt-get", "-y", *_settings(call), *(["-s"] if call.check else []), *words, *names]
    with _Policy(call):
        done = call.run(command, environment=_environment())
    if done.status != 0:
        raise _refusal(command, names, done)
    changed = not re.search(r"^0 upgraded, 0 newly installed, 0 to remove", done.out, re.MULTILINE)
    result: dict[str, Any] = {"changed": changed, "stdout": done.out, "stderr": done.err}
    if call.diff:
        result["diff"] = {"prepared": "\n".join(re.findall(r"^(?:Inst|Remv) .*", done.out, re.MULTILINE))}
    return result


def _refusal(command: list[str], names: list[str], done: Completed) -> Failure:
    """Why apt-get would not, in Ansible's words where it has any."""
    unknown = set(re.findall(r"^E: (?:Unable to locate package|Release '.*' for) '?([^\s']+)", done.err, re.MULTILINE))
    unknown |= set(re.findall(r"^E: Package '([^']+)' has no installation candidate", done.err, re.MULTILINE))
    for name in names:
        if name.partition("/")[0] in unknown:
            return Failure(f"No package matching '{name}' is available")
    if missing := re.search(r"^E: Version '(.+)' for '(.+)' was not found", done.err, re.MULTILINE):
        return Failure(f"no available installation candidate for {missing.group(2)}={missing.group(1)}")
    said = _last(done.err or done.out)
    return Failure(
        f"'{' '.join(command)}' failed: {said}", rc=done.status, stdout=done.out, stderr=done.err
    )  # fmt: skip


def _settings(call: Call) -> list[str]:
    words = [f"-o=Dpkg::Options::=--{option.strip()}" for option in call["dpkg_options"].split(",") if option.strip()]
    words += _lock(call)
    if call["default_release"]:
        words += ["-t", call["default_release"]]
    if call["install_recommends"] is not None:
        words.append(f"-o=APT::Install-Recommends={'yes' if call['install_recommends'] else 'no'}")
    for name, word in (
        ("allow_unauthenticated", "--allow-unauthenticated"),
        ("allow_downgrade", "--allow-downgrades"),
        ("allow_change_held_packages", "--allow-change-held-packages"),
        ("force", "--force-yes"),
    ):
        if call[name]:
            words.append(word)
    if call["autoremove"]:
        words.append("--auto-remove")
    if call["fail_on_autoremove"]:
        words.append("--no-remove")
    return words


def _lock(call: Call) -> list[str]:
    return [f"-o=DPkg::Lock::Timeout={call['lock_timeout']}"]


def _environment() -> dict[str, str]:
    return {"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical", "LC_ALL": "C", "LANG": "C"}


def _deb(call: Call) -> dict[str, Any]:
    if call["state"] != "present":
        raise Failure("deb only supports state=present")
    path = os.path.expanduser(call["deb"])
    if "://" in path:
        with tempfile.NamedTemporaryFile(suffix=".deb") as sink:
            download(path, sink.name)
            return _deb_files(call, [sink.name])
    return _deb_files(call, path.split(","))


def _deb_files(call: Call, paths: list[str]) -> dict[str, Any]:
    installed, _ = _installed(call)
    wanted = []
    for path in paths:
        done = call.run(["dpkg-deb", "-f", path, "Package", "Version"])
        if done.status != 0:
            raise Failure(f"Unable to install package: {_last(done.err).replace('dpkg-deb: error: ', '', 1)}")
        package = dict(line.split(": ", 1) for line in done.out.splitlines())
        there = installed.get(package["Package"])
        if there == package["Version"]:
            continue
        if there and _at_least(call, there, package["Version"]) and not (call["allow_downgrade"] or call["force"]):
            raise Failure("A later version is already installed")
        wanted.append(os.path.abspath(path))
    return _apt(call, ["install"], wanted) if wanted else {"changed": False, "stdout": "", "stderr": ""}


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines or ["no message"])[-1]


class _Policy:
    """While packages are installed, `policy_rc_d` answers whether their services may start."""

    _PATH = "/usr/sbin/policy-rc.d"

    def __init__(self, call: Call) -> None:
        self._status = None if call.check else call["policy_rc_d"]

    def __enter__(self) -> None:
        if self._status is not None and not os.path.exists(self._PATH):
            with open(self._PATH, "w") as stream:
                stream.write(f"#!/bin/sh\nexit {self._status}\n")
            os.chmod(self._PATH, 0o755)
        else:
            self._status = None

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            os.unlink(self._PATH)

"""Installs and removes packages with apt-get; asks dpkg first, so that a satisfied task starts nothing else."""

from __future__ import annotations

import fnmatch
import os
import re
import tempfile
import time
from typing import Any, NamedTuple, Sequence

from playbooks.engine.helper.call import Call, Failure
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
    "deb": Option(),
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
    "allow_downgrade": Option("bool", default=False, aliases=("allow-downgrade", "allow_downgrades")),
    "allow_change_held_packages": Option("bool", default=False),
    "only_upgrade": Option("bool", default=False),
    "fail_on_autoremove": Option("bool", default=False),
    "policy_rc_d": Option("int"),
    "lock_timeout": Option("int", default=60),
    "auto_install_module_deps": Option("bool", default=True),
}
_SAFE_UPGRADE = ["upgrade", "--with-new-pkgs"]
_STAMPS = ("/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists")


class _Wanted(NamedTuple):
    """A package as the task names it."""

    name: str
    version: str


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `apt`."""
    result: dict[str, Any] = {"changed": False, "cache_updated": False}
    if call["clean"] and not call.check:
        call.checked(["apt-get", "clean"])
    updated = _update(call, result)
    names = [name for name in call["name"] if name]
    if call["deb"]:
        return {**result, **_deb(call)}
    if call["upgrade"] != "no":
        words = {"dist": ["dist-upgrade"], "full": ["full-upgrade"]}.get(call["upgrade"], _SAFE_UPGRADE)
        return {**result, **_apt(call, words, [])}
    if names and names != ["*"]:
        return {**result, **_packages(call, [_parse(name) for name in names])}
    if names == ["*"] and call["state"] == "latest":
        return {**result, **_apt(call, _SAFE_UPGRADE, [])}
    if call["autoremove"]:
        return {**result, **_apt(call, ["autoremove"], [])}
    return {**result, "changed": updated or call["clean"]}


def _parse(name: str) -> _Wanted:
    package, _, version = name.partition("=")
    return _Wanted(package.strip(), version.strip())


def _update(call: Call, result: dict[str, Any]) -> bool:
    """Refresh the package lists if asked for and not fresh; whether that was done."""
    stamp = next((path for path in _STAMPS if os.path.exists(path)), "")
    age = time.time() - os.stat(stamp).st_mtime if stamp else float("inf")
    wanted = call["update_cache"] or (call["update_cache"] is None and call["cache_valid_time"] > 0)
    updated = bool(wanted and (not call["cache_valid_time"] or age > call["cache_valid_time"]))
    if updated and not call.check:
        refresh(call, _lock(call))
    stamp = next((path for path in _STAMPS if os.path.exists(path)), "")
    result.update(cache_updated=updated, cache_update_time=int(os.stat(stamp).st_mtime) if stamp else 0)
    return updated


def refresh(call: Call, words: Sequence[str] = ()) -> None:
    """Have apt read its archives anew, as often as the task allows. Raises Failure."""
    for attempt in range(max(1, call["update_cache_retries"])):
        done = call.run(["apt-get", "update", *words], environment=_environment())
        # A file that could not be fetched is a warning to apt-get, but an archive that is not usable to the task.
        if done.status == 0 and not re.search("^W: (?:Failed to fetch|Some index files)", done.err, re.MULTILINE):
            return
        time.sleep(min(2**attempt, call["update_cache_retry_max_delay"]))
    raise Failure(f"Failed to update apt cache: {_last(done.err or done.out)}", stderr=done.err)


def _packages(call: Call, wanted: list[_Wanted]) -> dict[str, Any]:
    installed, provided = _installed(call)
    if call["state"] == "absent":
        there = [found for entry in wanted for found in _matching(entry.name, installed)]
        if not there:
            return {"changed": False}
        words = ["remove", *(["--purge"] if call["purge"] else []), *(["--auto-remove"] if call["autoremove"] else [])]
        return _apt(call, words, sorted(set(there)))
    if call["state"] == "build-dep":
        return _apt(call, ["build-dep"], [entry.name for entry in wanted])
    if call["state"] == "fixed":
        return _apt(call, ["install", "--fix-broken"], [entry.name for entry in wanted])
    targets = [entry for entry in wanted if call["state"] == "latest" or not _satisfied(entry, installed, provided)]
    if call["only_upgrade"]:
        targets = [entry for entry in targets if _matching(entry.name, installed)]
    if not targets:
        return {"changed": False}
    names = [f"{entry.name}={entry.version}" if entry.version else entry.name for entry in targets]
    return _apt(call, ["install", *(["--only-upgrade"] if call["only_upgrade"] else [])], names)


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


def _matching(name: str, installed: dict[str, str]) -> list[str]:
    if any(sign in name for sign in "*?["):
        return [found for found in installed if ":" not in found and fnmatch.fnmatch(found, name)]
    return [name] if name in installed else []


def _satisfied(entry: _Wanted, installed: dict[str, str], provided: set[str]) -> bool:
    there = _matching(entry.name, installed)
    if not there:
        return entry.name in provided and not entry.version
    return not entry.version or all(fnmatch.fnmatch(installed[name], entry.version) for name in there)


def _apt(call: Call, words: list[str], names: list[str]) -> dict[str, Any]:
    command = ["apt-get", "-y", *_settings(call), *(["-s"] if call.check else []), *words, *names]
    with _Policy(call):
        done = call.run(command, environment=_environment())
    if done.status != 0:
        raise Failure(
            f"'{' '.join(command)}' failed: {_last(done.err or done.out)}",
            rc=done.status,
            stdout=done.out,
            stderr=done.err,
        )
    changed = not re.search(r"^0 upgraded, 0 newly installed, 0 to remove", done.out, re.MULTILINE)
    result: dict[str, Any] = {"changed": changed, "stdout": done.out, "stderr": done.err}
    if call.diff:
        result["diff"] = {"prepared": "\n".join(re.findall(r"^(?:Inst|Remv) .*", done.out, re.MULTILINE))}
    return result


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
    path = os.path.expanduser(call["deb"])
    if "://" in path:
        with tempfile.NamedTemporaryFile(suffix=".deb") as sink:
            download(path, sink.name)
            return _deb_file(call, sink.name)
    return _deb_file(call, path)


def _deb_file(call: Call, path: str) -> dict[str, Any]:
    done = call.checked(["dpkg-deb", "-f", path, "Package", "Version", "Architecture"])
    fields = dict(line.split(": ", 1) for line in done.out.splitlines())
    installed, _ = _installed(call)
    if installed.get(fields["Package"]) == fields["Version"]:
        return {"changed": False}
    return _apt(call, ["install"], [os.path.abspath(path)])


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

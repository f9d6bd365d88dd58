"""Python packages, by the pip of the host, of a virtual environment, or one that is named."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Completed, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option("list"),
    "version": Option(),
    "requirements": Option(),
    "state": Option(default="present", choices=("present", "absent", "latest", "forcereinstall")),
    "virtualenv": Option("expanded_path"),
    "virtualenv_command": Option("expanded_path", default="virtualenv"),
    "virtualenv_python": Option(),
    "virtualenv_site_packages": Option("bool", default=False),
    "extra_args": Option(),
    "editable": Option("bool", default=False),
    "chdir": Option("expanded_path"),
    "executable": Option("expanded_path"),
    "umask": Option(),
    "break_system_packages": Option("bool", default=False),
}
_VERBS = {
    "present": ["install"],
    "absent": ["uninstall", "-y"],
    "latest": ["install", "-U"],
    "forcereinstall": ["install", "-U", "--force-reinstall"],
}
_FROM_SOURCE = re.compile(r"(?:svn|git|hg|bzr)\+")
_VERSION = re.compile(r"\s*(?:[<>=!~]=?|===)")


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `pip`."""
    _check(call)
    cwd = call["chdir"] or tempfile.gettempdir()
    place = os.path.join(cwd, call["virtualenv"]) if call["virtualenv"] else None
    said = Completed(0, "", "")
    made = bool(place) and not os.path.exists(os.path.join(place or "", "bin", "activate"))
    if made and call.check:
        return {"changed": True}
    if place and made:
        said = _must(call, _environment_command(call, place), cwd)
    pip = _pip(call, place)
    names = _names(call)
    if not names and not call["requirements"]:
        return {"changed": False, "warnings": ["No valid name or requirements file found."]}
    if call.check:
        return _foreseen(call, pip, names, cwd)
    command = [*pip, *_VERBS[call["state"]], *_extra(call), *(names or ["-r", call["requirements"]])]
    by_list = bool(call["requirements"]) or any(map(_FROM_SOURCE.match, names))
    before = _must(call, [*pip, "list", "--format=freeze"], cwd).out if by_list else ""
    done = _pip_run(call, command, cwd, place)
    if done.status != 0 and not (call["state"] == "absent" and "not installed" in done.out + done.err):
        raise _failure(done, command)
    if call["state"] == "absent":
        changed = "Successfully uninstalled" in done.out
    elif by_list:
        changed = before != _must(call, [*pip, "list", "--format=freeze"], cwd).out
    else:
        changed = "Successfully installed" in done.out
    return {
        "changed": changed or made, "cmd": command, "name": call["name"], "version": call["version"],
        "state": call["state"], "requirements": call["requirements"], "virtualenv": place,
        "stdout": said.out + done.out, "stderr": said.err + done.err,
    }  # fmt: skip


def _check(call: Call) -> None:
    for one, other in (("name", "requirements"), ("executable", "virtualenv")):
        if call[one] is not None and call[other] is not None:
            raise Failure(f"parameters are mutually exclusive: {one}|{other}")
    if call["name"] is None and call["requirements"] is None:
        raise Failure("one of the following is required: name, requirements")
    if call["state"] == "latest" and call["version"] is not None:
        raise Failure("version is incompatible with state=latest")
    if call["umask"] is not None and not re.fullmatch("(?:0o?)?[0-7]+", call["umask"]):
        raise Failure("umask must be an octal integer")


def _names(call: Call) -> list[str]:
    """The packages, each with the versions that are wanted of it, though commas stand between these, too."""
    names: list[str] = []
    for part in (part for given in call["name"] or () for part in str(given).split(",")):
        if names and (_VERSION.match(part) or ("[" in names[-1] and "]" not in names[-1])):
            names[-1] += f",{part}"
        else:
            names.append(part.strip())
    if call["version"] is None or not names:
        return names
    if len(names) > 1:
        raise Failure(
            "'version' argument is ambiguous when installing multiple package distributions. Please specify version "
            "restrictions next to each package in 'name' argument."
        )
    if re.search("[<>=!~]=?", names[0]):
        raise Failure(
            "The 'version' argument conflicts with any version specifier provided along with a package name. "
            "Please keep the version specifier, but remove the 'version' argument."
        )
    version = call["version"].lstrip()
    return [names[0] + (f"=={version}" if version[:1].isdigit() else version)]


def _extra(call: Call) -> list[str]:
    words = shlex.split(call["extra_args"] or "")
    return words if not call["editable"] or "-e" in words else [*words, "-e"]


def _pip(call: Call, place: str | None) -> list[str]:
    """The command that is pip."""
    if place:
        found = next(
            (p for p in (os.path.join(place, "bin", name) for name in ("pip3", "pip")) if os.path.exists(p)), ""
        )
        if not found:
            raise Failure(f"Unable to find pip in the virtualenv, {place}; make sure pip is present in the virtualenv.")
        return [found]
    executable = call["executable"]
    if executable is None and importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    program = executable or "pip3"
    path = program if os.path.isabs(program) else shutil.which(program)
    if path is None:
        raise Failure(f"Unable to find any of {program} to use.  pip needs to be installed.")
    return [path]


def _environment_command(call: Call, place: str) -> list[str]:
    """The command that makes a virtual environment."""
    words = shlex.split(call["virtualenv_command"])
    program = words[0] if os.path.dirname(words[0]) else shutil.which(words[0])
    if program is None:
        raise Failure(f'Failed to find required executable "{words[0]}"; set virtualenv_command: python3 -m venv')
    words[0] = program
    if call["virtualenv_site_packages"]:
        words.append("--system-site-packages")
    if os.path.basename(program) != "pyvenv" and words[1:3] != ["-m", "venv"]:
        words.append(f"-p{call['virtualenv_python'] or sys.executable}")
    elif call["virtualenv_python"]:
        raise Failure("virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command")
    return [*words, place]


def _foreseen(call: Call, pip: list[str], names: list[str], cwd: str) -> dict[str, Any]:
    """What would be changed, as far as can be told without asking an index."""
    if call["extra_args"] or call["requirements"] or call["state"] == "latest":
        return {"changed": True}
    command = [*pip, "list", "--format=freeze"]
    done = _must(call, command, cwd)
    versions = {_plain(name): version for name, _, version in (line.partition("==") for line in done.out.splitlines())}
    # Of what would be installed by force Ansible foretells nothing.
    there = {"present": False, "absent": True}.get(call["state"])
    changed = any(_there(name, versions) is there for name in names)
    return {"changed": changed, "cmd": " ".join(command), "stdout": done.out, "stderr": done.err}


def _there(name: str, versions: dict[str, str]) -> bool:
    try:
        requirements: Any = importlib.import_module("packaging.requirements")
    except ImportError:
        requirements = importlib.import_module("pip._vendor.packaging.requirements")
    try:
        wanted = requirements.Requirement(name)
    except requirements.InvalidRequirement:
        return False
    version = versions.get(_plain(wanted.name))
    return version is not None and bool(wanted.specifier.contains(version, prereleases=True))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip_run(call: Call, command: list[str], cwd: str, place: str | None) -> Completed:
    environment = {"PIP_BREAK_SYSTEM_PACKAGES": "1"} if call["break_system_packages"] else {}
    if place:
        # What is built may need programs of the environment.
        environment["PATH"] = os.path.join(place, "bin") + os.pathsep + os.environ.get("PATH", "/usr/bin:/bin")
    umask = None if call["umask"] is None else int(call["umask"].replace("o", ""), 8)
    return call.run(command, cwd=cwd, environment=environment, umask=umask)


def _must(call: Call, command: list[str], cwd: str) -> Completed:
    done = _pip_run(call, command, cwd, None)
    if done.status != 0:
        raise _failure(done, command)
    return done


def _failure(done: Completed, command: list[str]) -> Failure:
    said = (f"stdout: {done.out}" if done.out else "") + (f"\n:stderr: {done.err}" if done.err else "")
    return Failure(said, cmd=command)

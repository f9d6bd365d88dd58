"""Reads the machines of a Vagrantfile from what `vagrant ssh-config` prints.

A Vagrantfile may say more of its machines, their groups say, in an inventory that it keeps beside Vagrant's own data:
`.vagrant/wherry/groups.yml`.

Invariant: all machines are in the group `vagrant`; ports, users and keys are Vagrant's own, and host keys are not
checked only where Vagrant itself says so.
Source: ssh_config(5); Vagrant's `ssh-config` command.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from inventory.builder import Builder
from inventory.documents import Mark
from inventory.errors import InventoryError

GROUP = "vagrant"

_VARIABLES = {"hostname": "ansible_host", "user": "ansible_user", "identityfile": "ansible_ssh_private_key_file"}
_OPTIONS = {"stricthostkeychecking": "StrictHostKeyChecking", "userknownhostsfile": "UserKnownHostsFile"}


def looks_like(text: str) -> bool:
    """Whether a text is an ssh configuration rather than an inventory of another kind."""
    lines = [line.strip().lower() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    return bool(lines) and lines[0].startswith("host ") and any(line.startswith("hostname ") for line in lines)


def groups_file(directory: Path, environment: Mapping[str, str]) -> Path:
    """Where the Vagrantfile of a directory says its machines' groups; a variable of Vagrant's may move its data."""
    return directory / environment.get("VAGRANT_DOTFILE_PATH", ".vagrant") / "wherry" / "groups.yml"


def ssh_config(directory: Path) -> str:
    """What `vagrant ssh-config` says in a directory. Raises InventoryError."""
    try:
        done = subprocess.run(
            ["vagrant", "ssh-config"], cwd=directory, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError as error:
        raise InventoryError(
            f"{directory}: has a Vagrantfile, but the command vagrant is not installed here; install it, "
            "or save the output of `vagrant ssh-config` and name that file"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InventoryError(f"{directory}: `vagrant ssh-config` did not answer within 120 s") from error
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise InventoryError(f"{directory}: `vagrant ssh-config` failed: {reason}")
    return done.stdout


def read(text: str, path: str, builder: Builder) -> None:
    """Add each machine of an ssh configuration to `builder`. Raises InventoryError with file and line."""
    builder.group(GROUP)
    name = ""
    options: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line, Mark(path, number))
        if not words:
            continue
        keyword, value = words[0].lower(), words[1] if len(words) > 1 else ""
        if keyword == "host":
            name = value
            options = {name: []}
            builder.host(name, GROUP)
            continue
        if not name:
            raise InventoryError(f"{path}:{number}: {words[0]!r} stands before the first Host line")
        if keyword in _VARIABLES:
            builder.host(name, GROUP, {_VARIABLES[keyword]: value})
        elif keyword == "port":
            builder.host(name, GROUP, {"ansible_port": _port(value, Mark(path, number))})
        elif keyword in _OPTIONS:
            options[name].append(f"-o {_OPTIONS[keyword]}={value}")
            builder.host(name, GROUP, {"ansible_ssh_common_args": " ".join(options[name])})


def _words(line: str, mark: Mark) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise InventoryError(f"{mark}: {error}") from error


def _port(value: str, mark: Mark) -> int:
    if not value.isdigit():
        raise InventoryError(f"{mark}: the port {value!r} is not a number")
    return int(value)

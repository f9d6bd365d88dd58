"""Where a lab keeps its files: what the user needs in the checkout, what only root needs in /var/lib.

Invariant: all that a lab writes on the machine, but the caches, is below `Paths.user` and `Paths.machine`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.cli.errors import CommandError

MACHINE = Path("/var/lib/wherry-lab")


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of the lab `name`."""

    name: str
    user: Path
    machine: Path

    @property
    def key(self) -> Path:
        """The private SSH key of the lab's operator."""
        return self.user / "ssh_key"

    @property
    def known_hosts(self) -> Path:
        """The lab hosts' keys as seen from the operator's shell."""
        return self.user / "known_hosts"

    @property
    def inventory(self) -> Path:
        """The inventory that `wherry up` reads."""
        return self.user / "inventory.yml"

    @property
    def ssh_config(self) -> Path:
        """OpenSSH's configuration for `ssh -F`, in which hosts have their plain names."""
        return self.user / "ssh_config"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, with an address that the operator's shell reaches."""
        return self.user / "admin.kubeconfig"

    @property
    def state(self) -> Path:
        """What the lab is made of; written before the first thing is made."""
        return self.user / "state.json"

    def host(self, name: str) -> Path:
        """The disk of a host."""
        return self.machine / name

    def log(self, name: str) -> Path:
        """The console of a host, or the log of one of the lab's own processes."""
        return self.user / "logs" / f"{name}.log"


def of(name: str) -> Paths:
    """The paths of a lab. Raises CommandError if the name cannot name namespaces and directories."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise CommandError(f"lab name {name!r} is not made of small letters, digits and dashes (32 at most)")
    return Paths(name, _user_base() / name, MACHINE / name)


def read_state(paths: Paths) -> dict[str, Any]:
    """The lab's state; empty if there is no lab."""
    try:
        state: dict[str, Any] = json.loads(paths.state.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CommandError(f"{paths.state} is damaged ({error}); run `wherry lab down --name {paths.name}`") from error
    return state


def write_state(paths: Paths, state: dict[str, Any]) -> None:
    """Replace the lab's state."""
    paths.user.mkdir(parents=True, exist_ok=True)
    partial = paths.state.with_suffix(".partial")
    partial.write_text(json.dumps(state, indent=1))
    partial.replace(paths.state)


def give_to_user(paths: Paths) -> None:
    """Under sudo, hand the lab's user files to who called sudo, so that ssh and kubectl work in their own shell."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if os.geteuid() != 0 or not user or not group:
        return
    for path in (paths.user.parent, paths.user, *paths.user.rglob("*")):
        os.chown(path, int(user), int(group), follow_symlinks=False)


def _user_base() -> Path:
    """`.lab` in the checkout; in the home directory where Wherry is installed without one."""
    checkout = Path(__file__).resolve().parents[3]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.home()) / ".lab"

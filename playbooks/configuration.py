"""The settings of an ansible.cfg that mean something here, and their environment variables.

Found as ansible finds it: $ANSIBLE_CONFIG, ./ansible.cfg, ~/.ansible.cfg, /etc/ansible/ansible.cfg, the first one only.

Invariant: what the command line says wins over the environment, and that over the file.
Source: Ansible, "Configuration Settings".
"""

from __future__ import annotations

import configparser
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from playbooks.engine.helper.options import boolean
from playbooks.engine.language.keywords import STRATEGIES
from playbooks.errors import PlaybookError

# What holds where nothing else is said: hosts at a time, seconds to wait for a connection.
FORKS, TIMEOUT = 20, 10
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Defaults for the command line; "" or None where nothing is set."""

    inventory: tuple[str, ...] = ()
    roles_path: tuple[str, ...] = ()
    forks: int | None = None
    timeout: float | None = None
    remote_user: str = ""
    private_key_file: str = ""
    host_key_checking: bool = True
    vault_passwords: tuple[str, ...] = ()
    log_path: str = ""
    become: bool = False
    become_user: str = ""
    diff: bool = False
    force_handlers: bool = False
    no_log: bool = False
    gathering: str = "implicit"
    strategy: str = "linear"
    # How to reach hosts that say nothing about it themselves.
    variables: Mapping[str, str] = field(default_factory=dict)


_ROLES = ("~/.ansible/roles", "/usr/share/ansible/roles", "/etc/ansible/roles")
_GATHERING = ("implicit", "explicit", "smart")
_VARIABLES = {
    "ansible_ssh_common_args": ("ssh_connection", "ssh_common_args"),
    "ansible_ssh_extra_args": ("ssh_connection", "ssh_extra_args"),
    "ansible_port": ("defaults", "remote_port"),
    "ansible_python_interpreter": ("defaults", "interpreter_python", "ANSIBLE_PYTHON_INTERPRETER"),
    "ansible_become_method": ("privilege_escalation", "become_method"),
    "ansible_become_exe": ("privilege_escalation", "become_exe"),
    "ansible_become_flags": ("privilege_escalation", "become_flags"),
}


def load(environment: Mapping[str, str], directory: Path) -> Configuration:
    """The configuration for a command run in `directory`. Raises PlaybookError for a file that cannot be read."""
    path = find(environment, directory)
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), strict=False)
    try:
        if path is not None:
            parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PlaybookError(f"{path}: cannot be read as a configuration: {reason}") from error
    base = path.parent if path is not None else directory

    def text(section: str, name: str, variable: str = "") -> str:
        written = parser.get(section, name, fallback="").strip()
        return environment.get(variable or f"ANSIBLE_{name.upper()}", written)

    def place(name: str, variable: str = "") -> str:
        found = text("defaults", name, variable)
        return str(base / Path(found).expanduser()) if found else ""

    def number(name: str, kind: Callable[[str], _Number]) -> _Number | None:
        found = text("defaults", name)
        try:
            return kind(found or "0") or None
        except ValueError as error:
            raise ValueError(f"{name} is {found!r}; it must be a number") from error

    def flag(name: str, section: str = "defaults", variable: str = "", *, usual: bool = False) -> bool:
        try:
            return boolean(text(section, name, variable) or usual)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    try:
        return Configuration(
            inventory=_places(text("defaults", "inventory"), ",", base),
            roles_path=_places(text("defaults", "roles_path") or ":".join(_ROLES), ":", base),
            forks=number("forks", int),
            timeout=number("timeout", float),
            remote_user=text("defaults", "remote_user"),
            private_key_file=place("private_key_file"),
            host_key_checking=flag("host_key_checking", usual=True),
            vault_passwords=_identities(text("defaults", "vault_identity_list"), place("vault_password_file"), base),
            log_path=place("log_path"),
            become=flag("become", "privilege_escalation"),
            become_user=text("privilege_escalation", "become_user"),
            diff=flag("always", "diff", "ANSIBLE_DIFF_ALWAYS"),
            force_handlers=flag("force_handlers"),
            no_log=flag("no_log"),
            strategy=_strategy(text("defaults", "strategy") or "linear"),
            gathering=_choice("gathering", text("defaults", "gathering") or "implicit", _GATHERING),
            variables={name: value for name, words in _VARIABLES.items() if (value := text(*words))},
        )
    except ValueError as error:
        raise PlaybookError(f"{path or 'the environment'}: {error}") from error


def find(environment: Mapping[str, str], directory: Path) -> Path | None:
    """The file that counts. One in a directory that everybody may write to does not, as with Ansible."""
    named = environment.get("ANSIBLE_CONFIG")
    if named:
        path = Path(named).expanduser()
        return path / "ansible.cfg" if path.is_dir() else path
    here = directory / "ansible.cfg"
    if here.is_file() and not directory.stat().st_mode & stat.S_IWOTH:
        return here
    others = (Path("~/.ansible.cfg").expanduser(), Path("/etc/ansible/ansible.cfg"))
    return next((path for path in others if path.is_file()), None)


def _choice(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(known)}")
    return value


def _strategy(value: str) -> str:
    return STRATEGIES[_choice("strategy", value.removeprefix("ansible.builtin."), tuple(STRATEGIES))]


def _identities(found: str, file: str, base: Path) -> tuple[str, ...]:
    """The sources of vault passwords, each with its label if it has one."""
    identities = []
    for part in filter(None, map(str.strip, found.split(","))):
        label, _, name = part.rpartition("@")
        identities.append(part if name == "prompt" else f"{label}@{base / Path(name).expanduser()}".lstrip("@"))
    return (*identities, *((file,) if file else ()))


def _places(found: str, separator: str, base: Path) -> tuple[str, ...]:
    """Paths relative to the file, but for a list of host names, which is none."""
    parts = [part.strip() for part in found.split(separator) if part.strip()]
    if separator == "," and found.rstrip().endswith(","):
        return (found,)
    return tuple(str(base / Path(os.path.expandvars(part)).expanduser()) for part in parts)

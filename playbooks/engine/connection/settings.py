"""What the variables of a host say about reaching it, as one value.

Invariant: pure. An ssh option that would change the meaning of a connection and is not supported is an error.
Source: Ansible, "Connecting to hosts: behavioral inventory parameters"; ssh_config(5).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from playbooks.engine.helper.options import boolean
from playbooks.errors import PlaybookError

# They change speed, noise or authentication order, not which host is trusted or reached.
_HARMLESS_WORDS = """
    controlmaster controlpath controlpersist loglevel compression preferredauthentications pubkeyauthentication
    passwordauthentication kbdinteractiveauthentication gssapiauthentication tcpkeepalive batchmode forwardagent
    forwardx11 connectionattempts addkeystoagent checkhostip updatehostkeys numberofpasswordprompts visualhostkey
    canonicalizehostname"""
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
_KNOWN_WORDS = """
    stricthostkeychecking userknownhostsfile globalknownhostsfile proxyjump proxycommand identityfile identitiesonly
    connecttimeout port user hostname hostkeyalias serveraliveinterval serveralivecountmax"""
_KNOWN = frozenset(_KNOWN_WORDS.split())
_FLAGS = {"-J": "proxyjump", "-i": "identityfile", "-p": "port", "-l": "user", "-F": "configfile"}


@dataclass(frozen=True, slots=True)
class Become:
    """Which user the task runs as; `password` is what sudo may ask for."""

    user: str = "root"
    password: str = field(default="", repr=False)
    program: str = "sudo"
    flags: str = "-H"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything needed to open a connection to a host; equal settings share one."""

    host: str
    kind: str
    address: str
    port: int | None
    user: str | None
    password: str = field(default="", repr=False)
    private_key: str = ""
    host_key_checking: bool = True
    ssh_options: tuple[tuple[str, str], ...] = ()
    python: str = "auto"
    timeout: float = 10.0

    def option(self, name: str, default: str = "") -> str:
        """An ssh option given by the inventory, by its lower-case name."""
        return dict(self.ssh_options).get(name, default)


def settings(host: str, variables: Mapping[str, Any], overrides: Mapping[str, Any]) -> Settings:
    """The settings of a host; `overrides` are a task's or the command line's connection, remote_user and so on.

    `variables` are already templated. Raises PlaybookError for a value that cannot be used.
    """

    def first(*names: str, default: Any = None) -> Any:
        return next((variables[name] for name in names if variables.get(name) is not None), default)

    password = first("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
    timeout = first("ansible_ssh_timeout", "ansible_timeout", default=overrides.get("timeout") or 10)

    kind = str(first("ansible_connection", default=overrides.get("connection") or "ssh"))
    if kind not in (
        "ssh",
        "smart",
        "paramiko",
        "paramiko_ssh",
        "local",
        "ansible.builtin.ssh",
        "ansible.builtin.local",
    ):
        raise PlaybookError(f"{host}: ansible_connection is {kind!r}; Wherry knows ssh and local")
    options = _ssh_options(host, first("ansible_ssh_common_args"), first("ansible_ssh_extra_args"))
    port = first("ansible_port", "ansible_ssh_port", default=options.get("port") or overrides.get("port"))
    checking = first("ansible_ssh_host_key_checking", "ansible_host_key_checking")
    return Settings(
        host=host,
        kind="local" if kind.endswith("local") else "ssh",
        address=str(first("ansible_host", "ansible_ssh_host", default=host)),
        port=None if port is None else _number(host, "ansible_port", port, int),
        user=first("ansible_user", "ansible_ssh_user", default=overrides.get("remote_user")) or options.get("user"),
        password=str(overrides.get("password") or "" if password is None else password),
        private_key=str(
            first(
                "ansible_ssh_private_key_file", "ansible_private_key_file", default=overrides.get("private_key") or ""
            )
        ),
        host_key_checking=overrides.get("host_key_checking", True) if checking is None else boolean(checking),
        ssh_options=tuple(sorted(options.items())),
        python=str(first("ansible_python_interpreter", default="auto")),
        timeout=_number(host, "ansible_timeout", timeout, float),
    )


def become(variables: Mapping[str, Any], keywords: Mapping[str, Any]) -> Become | None:
    """How the task changes its user, or None; `keywords` are the task's own become words, variables win."""
    wanted = variables.get("ansible_become", keywords.get("become"))
    if wanted is None or not boolean(wanted):
        return None
    method = variables.get("ansible_become_method", keywords.get("become_method") or "sudo")
    if method not in ("sudo", "ansible.builtin.sudo"):
        raise PlaybookError(f"become_method is {method!r}; Wherry knows sudo")
    password = variables.get("ansible_become_password", variables.get("ansible_become_pass"))
    return Become(
        user=str(variables.get("ansible_become_user") or keywords.get("become_user") or "root"),
        password="" if password is None else str(password),
        program=str(variables.get("ansible_become_exe") or keywords.get("become_exe") or "sudo"),
        flags=str(variables.get("ansible_become_flags") or keywords.get("become_flags") or "-H"),
    )


def _ssh_options(host: str, *arguments: Any) -> dict[str, str]:
    options: dict[str, str] = {}
    for text in arguments:
        words = iter(shlex.split(str(text)) if text else [])
        for word in words:
            name, value = _option(host, word, words)
            if name in _HARMLESS:
                continue
            if name not in _KNOWN and name != "configfile":
                raise PlaybookError(f"{host}: ssh option {name!r} in ansible_ssh_common_args is not supported")
            options.setdefault(name, value)
    return options


def _option(host: str, word: str, rest: Iterator[str]) -> tuple[str, str]:
    """The name in lower case and the value of one `-o Name=Value` or flag."""
    if word[:2] == "-o":
        text = word[2:] or next(rest, "")
        name, _, value = text.replace("=", " ", 1).strip().partition(" ")
        return name.lower(), value.strip().strip('"')
    if word[:2] in _FLAGS:
        return _FLAGS[word[:2]], word[2:] or next(rest, "")
    if word in ("-C", "-A", "-4", "-6", "-q", "-v", "-vv", "-vvv", "-x", "-T"):
        return "loglevel", ""
    raise PlaybookError(f"{host}: {word!r} in ansible_ssh_common_args is not supported")


def _number(host: str, name: str, value: Any, kind: type[Any]) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise PlaybookError(f"{host}: {name} is {value!r}, not a number") from error

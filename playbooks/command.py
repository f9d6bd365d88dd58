"""`wherry playbook FILE -i INVENTORY`: runs a playbook as ansible-playbook would.

Invariant: the exit status is 0 if all went well, 2 after failed tasks, 4 if hosts were unreachable, 1 for what is
wrong before the first task (one sentence on standard error), 130 after an interruption.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playbooks import configuration
from playbooks.errors import PlaybookError

# Without it, and without -i, there is only this machine.
_DEFAULT_INVENTORY = "/etc/ansible/hosts"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of ansible-playbook that mean something here, under its names."""
    add = parser.add_argument
    add("playbooks", metavar="FILE", nargs="+", help="playbooks, run one after the other")
    add(
        "-i",
        "--inventory",
        "--inventory-file",
        action="append",
        default=[],
        help="a file, directory, program, or 'host1,host2,'",
    )
    add("-l", "--limit", help="only these hosts (a pattern, or @file)")
    add("-t", "--tags", action="append", default=[], help="only tasks with these tags")
    add("--skip-tags", action="append", default=[], help="not the tasks with these tags")
    add("-e", "--extra-vars", action="append", default=[], help="key=value, JSON or YAML, or @file")
    add("-f", "--forks", type=int, help="hosts at a time (20)")
    add("-C", "--check", action="store_true", help="change nothing, say what would change")
    add("-D", "--diff", action="store_true", help="show what changes in files")
    add("-b", "--become", action="store_true", help="run tasks as root by sudo")
    add("--become-user", help="run tasks as this user")
    add_access(parser)
    add("--start-at-task", help="begin at the task of this name")
    add("--force-handlers", action="store_true", help="run handlers on failed hosts too")
    add("--list-hosts", action="store_true", help="list the hosts of each play and end")
    add("--list-tasks", action="store_true", help="list the tasks of each play and end")
    add("--list-tags", action="store_true", help="list the tags of each play and end")
    add("--syntax-check", action="store_true", help="read and check everything and end")
    add("--log", type=Path, help="append every event to this file, one JSON object a line (ansible.cfg: log_path)")
    add("--json", action="store_true", help="one JSON object a line instead of text")
    add("--timing", action="store_true", help="show which tasks took longest")
    add("-v", "--verbose", action="count", default=0, help="show results; -vv also places")


def add_access(parser: argparse.ArgumentParser) -> None:
    """How hosts are reached and what opens vaults: for every command that plays playbooks."""
    add = parser.add_argument
    add("--become-method", help="sudo")
    add("-K", "--ask-become-pass", action="store_true", help="ask for sudo's password")
    add("--become-password-file", "--become-pass-file", help="a file with sudo's password")
    add("-u", "--user", help="log in as this user")
    add("--private-key", "--key-file", help="log in with this key")
    add("-k", "--ask-pass", action="store_true", help="ask for the password of the login")
    add("--connection-password-file", "--conn-pass-file", help="a file with the password of the login")
    add("--ssh-common-args", help="options for ssh, its jumps included")
    add("--ssh-extra-args", help="options for ssh")
    add("-c", "--connection", help="ssh or local")
    add("-T", "--timeout", type=float, help="seconds to wait for a connection (10)")
    add("--no-host-key-checking", action="store_true", help="trust any host key (insecure)")
    secret: dict[str, Any] = {"dest": "vault_password_file", "action": "append", "default": []}
    add("--vault-password-file", "--vault-pass-file", help="a file or program with a vault password", **secret)
    add("--vault-id", metavar="LABEL@FILE", help="the same, with a label; LABEL@prompt asks for it", **secret)
    add("--ask-vault-pass", "--ask-vault-password", "-J", action="store_true", help="ask for a vault password")


def access_of(arguments: argparse.Namespace, configured: configuration.Configuration) -> dict[str, Any]:
    """What these options come to with the configuration, as words of the engine's Options. Raises PlaybookError."""
    become_password = getpass.getpass("BECOME password: ") if arguments.ask_become_pass else None
    if arguments.become_password_file:
        become_password = _secret(arguments.become_password_file)
    said = {
        "ansible_ssh_common_args": arguments.ssh_common_args,
        "ansible_ssh_extra_args": arguments.ssh_extra_args,
        "ansible_become_method": arguments.become_method,
    }
    sources = arguments.vault_password_file or configured.vault_passwords
    secrets = [_vault_secret(source) for source in sources]
    if arguments.ask_vault_pass:
        secrets.append(getpass.getpass("Vault password: ").encode())
    return {
        "remote_user": arguments.user or configured.remote_user or None,
        "private_key": arguments.private_key or configured.private_key_file or None,
        "connection": arguments.connection,
        "timeout": arguments.timeout or configured.timeout,
        "become_password": become_password,
        "connection_password": _connection_password(arguments),
        "host_key_checking": configured.host_key_checking and not arguments.no_host_key_checking,
        "vault_secrets": tuple(secrets),
        "variables": {**configured.variables, **{name: value for name, value in said.items() if value}},
    }


def run(arguments: argparse.Namespace) -> int:
    """Run the playbooks; the worst exit status."""
    try:
        configured = configuration.load(os.environ, Path.cwd())
        _take_defaults(arguments, configured)
        options = options_of(arguments, configured)
        return max(_one(Path(name), arguments, options) for name in arguments.playbooks)
    except PlaybookError as error:
        print(f"wherry playbook: {error}", file=sys.stderr)
        return 1


def _one(path: Path, arguments: argparse.Namespace, options: Any) -> int:
    from playbooks.engine import listing
    from playbooks.engine import run as engine

    sources = arguments.inventory or [place for place in (_DEFAULT_INVENTORY,) if Path(place).exists()]
    inventory = engine.read_inventory(sources, options)
    playbook, loader = engine.read_playbook(path, options)
    if arguments.syntax_check:
        print(f"\nplaybook: {path}")
        return 0
    if arguments.list_hosts or arguments.list_tasks or arguments.list_tags:
        print("\n".join(listing.listing(playbook, inventory, options, loader, arguments)))
        return 0
    return engine.execute(playbook, inventory, options, loader, _display(arguments)).status


def _take_defaults(arguments: argparse.Namespace, configured: configuration.Configuration) -> None:
    """What neither the command line says nor the environment, an ansible.cfg may."""
    arguments.inventory = arguments.inventory or list(configured.inventory)
    arguments.forks = arguments.forks or configured.forks or configuration.FORKS
    arguments.become = arguments.become or configured.become
    arguments.become_user = arguments.become_user or configured.become_user or None
    arguments.diff = arguments.diff or configured.diff
    arguments.force_handlers = arguments.force_handlers or configured.force_handlers
    if configured.log_path and arguments.log is None:
        arguments.log = Path(configured.log_path)


def _display(arguments: argparse.Namespace) -> Any:
    from playbooks.engine.display.json_events import JsonEvents
    from playbooks.engine.display.lines import Lines
    from playbooks.engine.display.several import Several

    shown = JsonEvents() if arguments.json else Lines(verbosity=arguments.verbose, timing=arguments.timing)
    if arguments.log is None:
        return shown
    try:
        return Several(shown, JsonEvents(arguments.log.open("a", encoding="utf-8")))
    except OSError as error:
        raise PlaybookError(f"the log {arguments.log}: {error.strerror}") from error


def options_of(arguments: argparse.Namespace, configured: configuration.Configuration) -> Any:
    """The engine's options from the command line. Raises PlaybookError."""
    from playbooks.engine.result import Options

    access = access_of(arguments, configured)
    return Options(
        **access,
        check=arguments.check,
        diff=arguments.diff,
        limit=arguments.limit,
        tags=_words(arguments.tags),
        skip_tags=_words(arguments.skip_tags),
        forks=arguments.forks,
        extra_variables=extra_variables(arguments.extra_vars, access["vault_secrets"]),
        verbosity=arguments.verbose,
        become=arguments.become,
        become_user=arguments.become_user,
        gathering=configured.gathering,
        strategy=configured.strategy,
        no_log=configured.no_log,
        start_at_task=arguments.start_at_task,
        force_handlers=arguments.force_handlers,
        roles_path=configured.roles_path,
    )


def extra_variables(given: list[str], secrets: Sequence[bytes]) -> dict[str, Any]:
    """The variables of all `-e`. Raises PlaybookError."""
    from inventory.documents import parse
    from inventory.errors import InventoryError
    from inventory.variables import read_file
    from playbooks.engine.language.freeform import pairs

    merged: dict[str, Any] = {}
    for text in given:
        try:
            if text.startswith("@"):
                merged.update(read_file(Path(text[1:]), secrets))
            elif text.lstrip()[:1] in ("{", "["):
                merged.update(json.loads(text) if text.lstrip()[:1] == "{" else parse(text, "--extra-vars"))
            else:
                rest, found = pairs(text)
                if rest:
                    raise PlaybookError(f"--extra-vars {text!r}: expected key=value, JSON or @file")
                merged.update(found)
        except (InventoryError, ValueError) as error:
            raise PlaybookError(f"--extra-vars {text!r}: {error}") from error
    return merged


def _words(given: list[str]) -> frozenset[str]:
    return frozenset(word.strip() for part in given for word in part.split(",") if word.strip())


def _vault_secret(source: str) -> bytes:
    from inventory import vault
    from inventory.errors import InventoryError

    label, _, name = source.rpartition("@")
    if name == "prompt" and label:
        return getpass.getpass(f"Vault password ({label}): ").encode()
    try:
        return vault.secret(source)
    except InventoryError as error:
        raise PlaybookError(str(error)) from error


def _connection_password(arguments: argparse.Namespace) -> str | None:
    if arguments.connection_password_file:
        return _secret(arguments.connection_password_file)
    return getpass.getpass("SSH password: ") if arguments.ask_pass else None


def _secret(name: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except OSError as error:
        raise PlaybookError(f"the password file {name}: {error.strerror}") from error

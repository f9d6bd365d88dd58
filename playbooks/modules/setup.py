"""Gathers facts: what the host is, in the names of Ansible's setup module."""

from __future__ import annotations

import fnmatch
import json
import os
from typing import Any, Callable

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import (
    _facts_devices,
    _facts_hardware,
    _facts_network,
    _facts_subsets,
    _facts_system,
    _facts_tools,
    _facts_virtual,
)

OPTIONS = {
    "gather_subset": Option("list", default=("all",)),
    "gather_timeout": Option("int", default=10),
    "filter": Option("list", default=()),
    "fact_path": Option("path", default="/etc/ansible/facts.d"),
}
# What gathers facts of some of the groups; facts of other groups that come along are left out.
_SOURCES: tuple[tuple[frozenset[str], Callable[..., dict[str, Any]]], ...] = (
    (_facts_subsets.MINIMAL | {"chroot"}, _facts_system.facts),
    (frozenset(("virtual",)), _facts_virtual.facts),
    (frozenset(("hardware", "loadavg")), _facts_hardware.facts),
    (frozenset(("hardware",)), _facts_devices.facts),
    (frozenset(("network",)), _facts_network.facts),
    (frozenset(("caps", "systemd", "network", "fibre_channel_wwn", "iscsi", "nvme")), _facts_tools.facts),
)


def run(call: Call) -> dict[str, Any]:
    """The facts as `ansible_facts`."""
    found: dict[str, Any] = {}
    groups = _facts_subsets.chosen(call["gather_subset"])
    for told, gather in _SOURCES:
        if told & groups:
            given = (call["gather_timeout"],) if gather is _facts_devices.facts else ()
            found.update(_facts_subsets.within(gather(*given), groups))
    if "env" in found:
        found["env"].update(call.environment)
    if "local" in groups:
        found["local"] = _local(call, call["fact_path"] or "")
    facts = {f"ansible_{name}": value for name, value in found.items()}
    facts.update(module_setup=True, gather_subset=list(call["gather_subset"]))
    patterns = [pattern for pattern in call["filter"] if pattern not in ("", "*")]
    if patterns:
        wanted = [*patterns, *(f"ansible_{pattern}" for pattern in patterns)]
        facts = {name: value for name, value in facts.items() if any(fnmatch.fnmatch(name, p) for p in wanted)}
    return {"ansible_facts": facts, "changed": False}


def _local(call: Call, directory: str) -> dict[str, Any]:
    """Facts of the host's own files and programs in facts.d."""
    found: dict[str, Any] = {}
    if not os.path.isdir(directory):
        return found
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not name.endswith(".fact"):
            continue
        runs = os.access(path, os.X_OK)
        try:
            found[name[:-5]] = _parsed(_told(call, path) if runs else _written(path), path)
        except Failure as error:
            found[name[:-5]] = str(error)
        except OSError as error:
            what = "Could not execute fact script" if runs else "error loading facts"
            found[name[:-5]] = f"{what} ({path}): {error}"
    return found


def _told(call: Call, path: str) -> str:
    done = call.run([path])
    if done.status != 0:
        raise Failure(f"Failure executing fact script ({path}), rc: {done.status}, err: {done.err}")
    return done.out


def _written(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _parsed(text: str, path: str) -> Any:
    import configparser

    try:
        return json.loads(text)
    except ValueError:
        parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        return {section: dict(parser.items(section)) for section in parser.sections()}
    except configparser.Error:
        return f"error loading facts as JSON or ini - please check content: {path}"

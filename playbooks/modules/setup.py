"""Gathers facts: what the host is, in the names of Ansible's setup module."""

from __future__ import annotations

import fnmatch
import json
import os
from typing import Any, Callable

from playbooks.engine.helper.call import Call
from playbooks.engine.helper.options import Option
from playbooks.modules import _facts_hardware, _facts_network, _facts_system

OPTIONS = {
    "gather_subset": Option("list", default=("all",)),
    "gather_timeout": Option("int", default=10),
    "filter": Option("list", default=()),
    "fact_path": Option("path", default="/etc/ansible/facts.d"),
}
_SUBSETS: dict[str, Callable[[], dict[str, Any]]] = {
    "system": _facts_system.facts,
    "hardware": _facts_hardware.facts,
    "network": _facts_network.facts,
}
# Every other name means facts of the system, which are gathered together.
_SUBSET_OF = {
    **dict.fromkeys(("hardware", "devices", "mounts", "processor", "processor_cores", "processor_count"), "hardware"),
    **dict.fromkeys(("network", "interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses"), "network"),
    "all_ipv6_addresses": "network",
    "all": "",
}


def run(call: Call) -> dict[str, Any]:
    """The facts as `ansible_facts`."""
    found: dict[str, Any] = {}
    for name in _chosen(list(call["gather_subset"])):
        found.update(_SUBSETS[name]())
    found["local"] = _local(call, os.path.expanduser(call["fact_path"] or ""))
    facts = {f"ansible_{name}": value for name, value in found.items()}
    facts.update(module_setup=True, gather_subset=list(call["gather_subset"]))
    patterns = [pattern for pattern in call["filter"] if pattern not in ("", "*")]
    if patterns:
        wanted = [*patterns, *(f"ansible_{pattern}" for pattern in patterns)]
        facts = {name: value for name, value in facts.items() if any(fnmatch.fnmatch(name, p) for p in wanted)}
    return {"ansible_facts": facts, "changed": False}


def _chosen(asked: list[str]) -> list[str]:
    """The subsets to gather; `min` is the system's, `!name` leaves one out."""
    out = {name[1:] for name in asked if name.startswith("!")}
    plain = [name for name in asked if not name.startswith("!")]
    if not plain:
        plain = ["all"]
    chosen = []
    for name in _SUBSETS:
        asked_for = "all" in plain or any(_SUBSET_OF.get(word, "system") == name for word in plain)
        if name == "system" and "!min" not in asked:
            asked_for = True
        if asked_for and name not in out and not ("all" in out and name != "system" and name not in plain):
            chosen.append(name)
    return chosen


def _local(call: Call, directory: str) -> dict[str, Any]:
    """Facts of the host's own files and programs in facts.d."""
    found: dict[str, Any] = {}
    if not os.path.isdir(directory):
        return found
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not name.endswith(".fact"):
            continue
        if os.access(path, os.X_OK):
            text = call.run([path]).out
        else:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        found[name[:-5]] = _parsed(text)
    return found


def _parsed(text: str) -> Any:
    import configparser

    try:
        return json.loads(text)
    except ValueError:
        parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return f"error loading facts as JSON or ini: {error}"
    return {section: dict(parser.items(section)) for section in parser.sections()}

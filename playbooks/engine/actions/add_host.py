"""Adds a host to the inventory of this run."""

from __future__ import annotations

import re
from typing import Any

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError

OPTIONS = {
    "name": Option(required=True, aliases=("hostname", "host")),
    "groups": Option("list", default=(), aliases=("group", "groupname")),
}
OPEN_ENDED = True


def run(call: ActionCall) -> Result:
    """`add_host`: name, groups, variables; the executor does the rest."""
    # `group` is also a variable of the host: Ansible takes it for one.
    known = {"name", "hostname", "groups", "groupname"}
    variables = {key: value for key, value in call.parameters.items() if key not in known}
    given: Any = next(
        (call.parameters[key] for key in ("groups", "group", "groupname") if call.parameters.get(key)), []
    )
    groups = [part.strip() for part in given.split(",")] if isinstance(given, str) else [str(part) for part in given]
    name = next((call.parameters[key] for key in ("name", "hostname", "host") if call.parameters.get(key)), None)
    if name is None:
        raise TaskError("name, host or hostname needs to be provided")
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:]+):(\d+)", str(name))
    if found:
        # A port stands behind a name as in inventories.
        name, variables = found.group(1).strip("[]"), {**variables, "ansible_ssh_port": int(found.group(2))}
    return {"changed": True, "add_host": {"host_name": str(name), "groups": groups, "host_vars": variables}}

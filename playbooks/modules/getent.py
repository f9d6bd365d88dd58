"""Asks the host's name service: users, groups, hosts, services."""

from __future__ import annotations

from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "database": Option(required=True),
    "key": Option(),
    "service": Option(),
    "split": Option(),
    "fail_key": Option("bool", default=True),
}
_BY_COLON = ("passwd", "shadow", "group", "gshadow")
_REASONS = {
    1: "Missing arguments, or database unknown.",
    2: "One or more supplied key could not be found in the database.",
    3: "Enumeration not supported on this database.",
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `getent`: the entries as facts, by their first field."""
    database, key = call["database"], call["key"]
    words = [*([] if key is None else [key]), *(["-s", call["service"]] if call["service"] else [])]
    done = call.run(["getent", database, *words])
    fact = f"getent_{database}"
    if done.status == 2 and not call["fail_key"]:
        return {"changed": False, "ansible_facts": {fact: {key: None}}, "msg": _REASONS[2]}
    if done.status != 0:
        raise Failure(_REASONS.get(done.status, "Unexpected failure!"))
    separator = call["split"] or (":" if database in _BY_COLON else None)
    entries: dict[str, list[Any]] = {}
    for line in done.out.splitlines():
        name, *rest = line.split(separator)
        entries.setdefault(name, []).append(rest)
    found = {name: rows[0] if len(rows) == 1 else rows for name, rows in entries.items()}
    return {"changed": False, "ansible_facts": {fact: found}}

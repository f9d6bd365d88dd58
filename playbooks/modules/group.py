"""Groups of the host."""

from __future__ import annotations

import grp
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option(required=True),
    "gid": Option("int"),
    "state": Option(default="present", choices=("absent", "present")),
    "system": Option("bool", default=False),
    "force": Option("bool", default=False),
    "local": Option("bool", default=False),
    "gid_min": Option("int"),
    "gid_max": Option("int"),
    "non_unique": Option("bool", default=False),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `group`."""
    if call["local"] and not call.check:
        raise Failure("local needs libuser's own tools, which Wherry does not call; leave it out")
    name = call["name"]
    if call["non_unique"] and call["gid"] is None:
        raise Failure("non_unique is True but all of the following are missing: gid")
    result: dict[str, Any] = {"name": name, "state": call["state"], "changed": False}
    if call["state"] == "present":
        result["system"] = call["system"]
    current = _current(name)
    command: list[str] = []
    if call["state"] == "absent":
        if current is not None:
            command = ["groupdel", *(["-f"] if call["force"] else []), name]
    elif current is None:
        command = ["groupadd"]
        if call["gid"] is not None:
            command += ["-g", str(call["gid"]), *(["-o"] if call["non_unique"] else [])]
        for name_of_limit in ("gid_min", "gid_max"):
            if call[name_of_limit] is not None:
                command += ["-K", f"{name_of_limit.upper()}={call[name_of_limit]}"]
        command += [*(["-r"] if call["system"] else []), name]
    elif call["gid"] is not None and call["gid"] != current:
        command = ["groupmod", "-g", str(call["gid"]), *(["-o"] if call["non_unique"] else []), name]
    if command:
        if call.check:
            return {"changed": True}
        result["changed"] = True
        _run(call, command)
    found = _current(name)
    if found is not None:
        result["gid"] = found
    return result


def _run(call: Call, command: list[str]) -> None:
    done = call.run(command, environment={"LC_ALL": "C"})
    if done.status != 0:
        raise Failure(done.err, name=call["name"])


def _current(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None

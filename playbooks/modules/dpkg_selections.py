"""What dpkg is asked to do with a package: install, hold, deinstall or purge it."""

from __future__ import annotations

from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option(required=True),
    "selection": Option(required=True, choices=("install", "hold", "deinstall", "purge")),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `dpkg_selections`."""
    name, wanted = call["name"], call["selection"]
    words = call.checked(["dpkg", "--get-selections", name]).out.split()
    if not words:
        raise Failure(f"Failed to find package '{name}' to perform selection '{wanted}'.")
    changed = words[1] != wanted
    if changed and not call.check:
        call.checked(["dpkg", "--set-selections"], input=f"{name} {wanted}".encode())
    return {"changed": changed, "before": words[1], "after": wanted}

"""Services, whatever the init system: systemd's units, else init scripts by `service`."""

from __future__ import annotations

import os
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import systemd_service

OPTIONS = {
    "name": Option(required=True),
    "state": Option(choices=("reloaded", "restarted", "started", "stopped")),
    "enabled": Option("bool"),
    "pattern": Option(),
    "sleep": Option("int"),
    "runlevel": Option(default="default"),
    "arguments": Option(default="", aliases=("args",)),
    "use": Option(default="auto"),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `service`."""
    if os.path.isdir("/run/systemd/system"):
        defaults = {name: option.default for name, option in systemd_service.OPTIONS.items()}
        given = {name: call[name] for name in ("name", "state", "enabled")}
        call.parameters = {**defaults, **given}
        return systemd_service.run(call)
    return _script(call)


def _script(call: Call) -> dict[str, Any]:
    name, state = call["name"], call["state"]
    if state is None and call["enabled"] is None:
        raise Failure("Neither 'state' nor 'enabled' set")
    changed = False
    if state:
        running = call.run(["service", name, "status"]).status == 0
        actions = {"started": "start", "stopped": "stop", "restarted": "restart", "reloaded": "reload"}
        if state in ("restarted", "reloaded") or running != (state == "started"):
            changed = True
            if not call.check:
                call.checked(["service", name, actions[state]])
    if call["enabled"] is not None:
        raise Failure(f"enabling {name} needs systemd, which does not run on this host")
    return {"changed": changed, "name": name, "state": "stopped" if state == "stopped" else "started"}

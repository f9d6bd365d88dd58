"""Starts, stops, enables and masks units of systemd."""

from __future__ import annotations

from typing import Any

from playbooks.engine.helper.call import Call, Completed, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option(aliases=("service", "unit")),
    "state": Option(choices=("reloaded", "restarted", "started", "stopped")),
    "enabled": Option("bool"),
    "force": Option("bool", default=False),
    "masked": Option("bool"),
    "daemon_reload": Option("bool", default=False, aliases=("daemon-reload",)),
    "daemon_reexec": Option("bool", default=False, aliases=("daemon-reexec",)),
    "scope": Option(default="system", choices=("system", "user", "global")),
    "no_block": Option("bool", default=False),
}
_RUNNING = ("active", "activating")


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `systemd_service`."""
    asked = [word for word in ("state", "enabled", "masked") if call[word] is not None]
    if asked and not call["name"]:
        raise Failure(f"missing parameter(s) required by '{asked[0]}': name")
    changed = False
    if call["daemon_reload"] and not call.check:
        _checked(call, "daemon-reload")
    if call["daemon_reexec"] and not call.check:
        _checked(call, "daemon-reexec")
    name = call["name"]
    for sign in "*?[":
        if sign in (name or ""):
            raise Failure(
                f"This module does not currently support using glob patterns, found '{sign}' in service name: {name}"
            )
    if not name:
        return {"changed": False, "name": None, "status": {}}
    # What the result says of the unit is what was found, as in Ansible.
    status = _status(call, name)
    result: dict[str, Any] = {"name": name, "status": status, "enabled": call["enabled"], "state": call["state"]}
    if call["masked"] is not None:
        changed = _mask(call, name, status) or changed
    missing = status.get("LoadState") == "not-found" and not _has_init_script(call, name)
    # A unit may be masked before it is there.
    if missing and (call["masked"] is None or call["state"] or call["enabled"] is not None):
        raise Failure(f"Could not find the requested service {name}: host")
    if call["enabled"] is not None:
        changed = _enable(call, name) or changed
    if call["state"]:
        changed = _state(call, name, status, result) or changed
    return {key: value for key, value in {**result, "changed": changed}.items() if value is not None}


def _systemctl(call: Call, *words: str) -> Completed:
    scope = [] if call["scope"] == "system" else [f"--{call['scope']}"]
    try:
        return call.run(["systemctl", *scope, *words], environment={"LC_ALL": "C", "SYSTEMD_COLORS": "0"})
    except OSError as error:
        raise Failure(f"systemctl cannot be run: {error.strerror}; is systemd the init system of this host?") from error


def _checked(call: Call, *words: str) -> None:
    done = _systemctl(call, *words)
    if done.status != 0:
        what = " ".join(words)
        raise Failure(f"failure {done.status} during {what}: {done.err.strip() or done.out.strip()}")


def _status(call: Call, name: str) -> dict[str, str]:
    """The unit's properties."""
    done = _systemctl(call, "show", name)
    if done.status != 0 and "running in chroot" not in done.err:
        raise Failure(f"Service is in unknown state: {done.err.strip() or done.out.strip()}")
    return dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)


def _has_init_script(call: Call, name: str) -> bool:
    return _systemctl(call, "is-enabled", name).out.strip() in ("masked", "masked-runtime")


def _mask(call: Call, name: str, status: dict[str, str]) -> bool:
    masked = status.get("LoadState") == "masked" or status.get("UnitFileState") == "masked"
    if masked == call["masked"]:
        return False
    if not call.check:
        word = "mask" if call["masked"] else "unmask"
        done = _systemctl(call, word, name)
        if done.status != 0:
            raise Failure(f"Failed to {word} the service ({name}): {done.err.strip() or done.out.strip()}")
    return True


def _enable(call: Call, name: str) -> bool:
    done = _systemctl(call, "is-enabled", name)
    said = done.out.strip()
    enabled = done.status == 0 or said in ("enabled", "static", "alias", "indirect", "generated")
    if enabled == call["enabled"] or (said == "static" and call["enabled"]):
        return False
    if not call.check:
        force = ["--force"] if call["force"] else []
        _checked(call, "enable" if call["enabled"] else "disable", *force, name)
    return True


def _state(call: Call, name: str, status: dict[str, str], result: dict[str, Any]) -> bool:
    running = status.get("ActiveState") in _RUNNING
    action = {
        "started": None if running else "start",
        "stopped": "stop" if running or status.get("ActiveState") == "deactivating" else None,
        "restarted": "restart",
        "reloaded": "reload" if running else "start",
    }[call["state"]]
    result["state"] = "stopped" if call["state"] == "stopped" else "started"
    if action is None:
        return False
    if not call.check:
        block = ["--no-block"] if call["no_block"] else []
        done = _systemctl(call, *block, action, name)
        if done.status != 0:
            raise Failure(f"Unable to {action} service {name}: {done.err.strip() or done.out.strip()}")
        if not call["no_block"]:
            _refuse_failed(call, name, action)
    return True


def _refuse_failed(call: Call, name: str, action: str) -> None:
    """A unit that systemd called started may have failed at once: say so with its own last words."""
    after = _status(call, name)
    if action != "stop" and after.get("ActiveState") == "failed":
        log = call.run(["journalctl", "--no-pager", "-n", "5", "-o", "cat", "-u", name]).out.strip()
        raise Failure(f"Unable to {action} service {name}: it failed ({after.get('Result')}): {log}")

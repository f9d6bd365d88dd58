"""Packages, whatever the package manager of the host: its own parameters are passed on to it."""

from __future__ import annotations

import shutil
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option, names, resolve
from playbooks.modules import apt, dnf

_OWN = {
    "name": Option("list", required=True),
    "state": Option(),
    "use": Option(default="auto"),
}
# Which of these the host's own module takes, that says.
_PASSED_ON = {name: Option("raw") for module in (apt, dnf) for name in names(module.OPTIONS) if name not in _OWN}
OPTIONS = {**_OWN, **_PASSED_ON}


def run(call: Call) -> dict[str, Any]:
    """The result of the module that fits the host."""
    use = call["use"]
    if use == "auto":
        use = "apt" if shutil.which("apt-get") else "dnf" if shutil.which("dnf") or shutil.which("yum") else ""
    module = {"apt": apt, "dnf": dnf, "yum": dnf}.get(use)
    if module is None:
        raise Failure("Could not detect which package manager to use; Wherry knows apt and dnf")
    state = {"installed": "present", "removed": "absent"}.get(call["state"], call["state"])
    passed_on = {name: call[name] for name in _PASSED_ON if call[name] is not None}
    if state is not None:
        # Without one, that of the host's own module.
        passed_on["state"] = state
    exclusive = getattr(module, "EXCLUSIVE", ())
    try:
        call.parameters = resolve(use, module.OPTIONS, {"name": call["name"], **passed_on}, exclusive)
    except ValueError as error:
        raise Failure(str(error)) from error
    result: dict[str, Any] = module.run(call)
    return result

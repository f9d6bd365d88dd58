"""The host's name, now and after a restart."""

from __future__ import annotations

import os
import re
import socket
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files

_NAME = re.compile(r"^(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$")
_STRATEGIES = (
    "alpine", "debian", "freebsd", "generic", "macos", "macosx", "darwin", "openbsd", "openrc", "redhat", "sles",
    "solaris", "systemd",
)  # fmt: skip
OPTIONS = {"name": Option(required=True), "use": Option(choices=_STRATEGIES)}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `hostname`."""
    name = call["name"]
    before = socket.gethostname()
    permanent = _files.read("/etc/hostname").decode().strip()
    changed = before != name or permanent != name
    if changed and not call.check:
        _set(call, name)
    facts = {
        "ansible_hostname": name.split(".")[0],
        "ansible_nodename": name,
        "ansible_fqdn": socket.getfqdn(),
        "ansible_domain": ".".join(socket.getfqdn().split(".")[1:]),
    }
    result: dict[str, Any] = {"changed": changed, "name": name, "ansible_facts": facts}
    if changed:
        result["diff"] = {"before": f"hostname = {before}\n", "after": f"hostname = {name}\n"}
    return result


def _set(call: Call, name: str) -> None:
    if not _NAME.match(name):
        raise Failure(f"{name!r} is no name for a host: letters, digits and hyphens between dots, 64 at most")
    if os.path.isdir("/run/systemd/system") and call.run(["hostnamectl", "set-hostname", name]).status == 0:
        return
    _files.write(call, "/etc/hostname", f"{name}\n".encode())
    call.checked(["hostname", name])

"""The vagrant provider: machines of a Vagrantfile, as `vagrant status` tells of them.

It runs where Vagrant does. The file is YAML:

    directory: /home/me/lab                       # where the Vagrantfile is
    command: [vagrant, status, --machine-readable]  # optional

A destroyed machine's Node goes, a halted machine's Node is tainted. Nodes that the Vagrantfile does not name are left
alone.

Invariant: only what Vagrant itself said counts; that it did not answer never removes a Node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from api.objects import Object, name_of
from api.runtime import Runtime
from control.cloud.commands import output
from control.cloud.provider import ConfigError, Metadata, Provider

COMMAND = ("vagrant", "status", "--machine-readable")
_GONE = frozenset({"not_created"})
_OFF = frozenset({"poweroff", "shutoff", "aborted", "saved", "suspended", "paused", "stopped", "inaccessible"})
_TIMEOUT = 120
# Asking takes Vagrant seconds: the answer serves all nodes that are looked at meanwhile.
_FRESH = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's state in Vagrant's words, and its provider (libvirt, virtualbox, …)."""

    state: str
    provider: str = ""


def load(path: Path | None, runtime: Runtime) -> Provider:
    """The provider of that file. Raises ConfigError."""
    if path is None:
        raise ConfigError("--provider vagrant needs --provider-config with the Vagrantfile's directory")
    try:
        document = yaml.safe_load(path.read_text()) or {}
        directory = path.parent / str(document["directory"])
        command = [str(word) for word in document.get("command") or COMMAND]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a vagrant provider's file: {error!r}") from error
    return Provider("vagrant", VagrantInstances(runtime, lambda: output(command, directory, _TIMEOUT)))


def machines(text: str) -> dict[str, Machine]:
    """The machines of `vagrant status --machine-readable`: lines of `time,machine,kind,value`."""
    facts: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        words = line.split(",")
        if len(words) >= 4 and words[1]:
            facts.setdefault(words[1], {})[words[2]] = words[3]
    return {
        name: Machine(found["state"], found.get("provider-name", ""))
        for name, found in facts.items()
        if "state" in found
    }


class VagrantInstances:
    """Machines by their names, which are their Nodes' names."""

    def __init__(self, runtime: Runtime, ask: Callable[[], str]) -> None:
        self._runtime = runtime
        self._ask = ask
        self._lock = runtime.lock()
        self._asked_at = float("-inf")
        self._machines: Mapping[str, Machine] = {}

    def exists(self, node: Object) -> bool:
        """False only for a machine that Vagrant knows and that is not created."""
        machine = self._machine(node)
        return machine is None or machine.state not in _GONE

    def shutdown(self, node: Object) -> bool:
        """Whether the machine is there but does not run."""
        machine = self._machine(node)
        return machine is not None and machine.state in _OFF

    def metadata(self, node: Object) -> Metadata | None:
        """The machine's name with its provider; addresses are the kubelet's to tell."""
        machine = self._machine(node)
        return Metadata(f"vagrant://{name_of(node)}", instance_type=machine.provider) if machine else None

    def _machine(self, node: Object) -> Machine | None:
        with self._lock:
            if self._runtime.monotonic() - self._asked_at > _FRESH:
                self._machines = machines(self._ask())
                self._asked_at = self._runtime.monotonic()
            return self._machines.get(name_of(node))

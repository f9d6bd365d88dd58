"""What a lab could leave behind on the machine, as one value to compare."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The machine's links, namespaces, mounts, tables, control groups and the lab's own processes and files."""

    links: frozenset[str]
    network_namespaces: frozenset[str]
    mounts: frozenset[str]
    tables: frozenset[str]
    cgroups: frozenset[str]
    foreign_processes: frozenset[str]
    files: frozenset[str]

    def added_since(self, before: Machine) -> dict[str, list[str]]:
        """What is here now and was not before."""
        return {
            field.name: sorted(added)
            for field in fields(self)
            if (added := getattr(self, field.name) - getattr(before, field.name))
        }


def look(*directories: Path) -> Machine:
    """The machine as it is now; `directories` are those in which labs keep files."""
    return Machine(
        links=_lines("ip", "-brief", "link"),
        network_namespaces=frozenset(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else frozenset(),
        mounts=frozenset(line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()),
        tables=_lines("nft", "list", "tables"),
        cgroups=frozenset(_cgroups()),
        foreign_processes=frozenset(_processes_elsewhere()),
        files=frozenset(str(path) for directory in directories for path in directory.glob("*")),
    )


def _lines(*command: str) -> frozenset[str]:
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return frozenset(line.split("@")[0].strip() for line in output.splitlines())


def _cgroups() -> list[str]:
    return [
        str(path)
        for pattern in ("wherry*", "wherry*/*", "*/wherry*", "*/wherry*/*", "libpod*", "*/libpod*")
        for path in Path("/sys/fs/cgroup").glob(pattern)
        if path.is_dir()
    ]


def _processes_elsewhere() -> list[str]:
    """Who is in a network namespace, or else a mount namespace, that is not this machine's own.

    Processes of a network namespace count as one: what else runs on the machine, another lab say, may restart its own.
    """
    own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt")}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            network = os.readlink(entry / "ns" / "net")
            if network != own["net"]:
                found.append(network)
            elif os.readlink(entry / "ns" / "mnt") != own["mnt"]:
                found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
        except OSError:
            continue
    return found

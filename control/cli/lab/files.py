"""The files by which other programs find the lab: Ansible's inventory and OpenSSH's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from control.cli.lab.driver import Driver, Host
from control.cli.lab.paths import Paths


def write(where: Paths, hosts: Sequence[Host], driver: Driver) -> None:
    """Write inventory.yml and ssh_config of the lab."""
    where.inventory.write_text(yaml.safe_dump(inventory(where, hosts, driver), sort_keys=False))
    where.ssh_config.write_text("".join(_ssh_entry(host, driver) for host in hosts))


def inventory(where: Paths, hosts: Sequence[Host], driver: Driver) -> dict[str, Any]:
    """The lab as an inventory: `ansible_host` is how the operator reaches a host, `node_address` how hosts do."""
    groups: dict[str, dict[str, Any]] = {}
    for host in hosts:
        endpoint = driver.endpoint(host.name)
        groups.setdefault(host.group, {"hosts": {}})["hosts"][host.name] = {
            "ansible_host": endpoint.address,
            "ansible_port": endpoint.port,
            "ansible_user": endpoint.user,
            "ansible_ssh_private_key_file": endpoint.key,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={endpoint.known_hosts} -o StrictHostKeyChecking=yes",
            "node_address": host.address,
            "api_address": endpoint.service_address,
        }
    return {"all": {"children": groups}}


def _ssh_entry(host: Host, driver: Driver) -> str:
    endpoint = driver.endpoint(host.name)
    options = {
        "HostName": endpoint.address,
        "Port": endpoint.port,
        "User": endpoint.user,
        "IdentityFile": endpoint.key,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": endpoint.known_hosts,
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    return "".join([f"Host {host.name}\n", *(f"  {name} {value}\n" for name, value in options.items())])

"""`wherry lab`: a cluster's worth of hosts on this machine, and the cluster on them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from api.runtime import SystemRuntime
from control.cli import provision
from control.cli.errors import CommandError
from control.cli.lab import cluster, paths, tree
from control.cli.lab.driver import Driver, plan
from control.cli.lab.nspawn import NspawnDriver
from control.cli.lab.vagrant import VagrantDriver


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommands of `wherry lab`."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    up = _verb(verbs, "up", _up, "bring the lab up: hosts, cluster, demo")
    up.add_argument("--workers", type=int, default=2, help="how many workers besides the control host (2)")
    up.add_argument("--driver", choices=["nspawn", "vagrant"], default="", help="what the hosts are made of (nspawn)")
    up.add_argument("-e", "--extra-vars", action="append", default=[], metavar="NAME=VALUE", help="for site.yml")
    up.add_argument("--hosts-only", action="store_true", help="stop when SSH answers on the bare hosts")
    down = _verb(verbs, "down", _down, "remove the lab from this machine")
    down.add_argument("--purge", action="store_true", help="remove the cached base tree too")
    _verb(verbs, "status", _status, "show the lab's hosts and files")
    ssh = _verb(verbs, "ssh", _ssh, "a shell on a host, or one command there")
    ssh.add_argument("host")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    for name, help_text in (
        ("power-off", "cut the power of a host"),
        ("power-on", "boot a host again"),
        ("disconnect", "pull the network cable of a host"),
        ("connect", "plug the network cable of a host in"),
    ):
        _verb(verbs, name, _break, help_text).add_argument("host")
        verbs.choices[name].set_defaults(verb=name.replace("-", "_"))


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    status: int = arguments.action(arguments, paths.of(arguments.name))
    return status


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, action: Callable[..., int], help_text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--name", default="wherry", help="the lab's name (wherry)")
    parser.set_defaults(action=action)
    return parser


def _driver(where: paths.Paths, wanted: str = "") -> Driver:
    kind = paths.read_state(where).get("driver") or wanted or "nspawn"
    if wanted and wanted != kind:
        raise CommandError(f"lab {where.name} is there already, by {kind}; take it down first, or use another --name")
    return VagrantDriver(where) if kind == "vagrant" else NspawnDriver(where)


def _up(arguments: argparse.Namespace, where: paths.Paths) -> int:
    driver = _driver(where, arguments.driver)
    hosts = plan(arguments.workers)
    if arguments.hosts_only:
        changed = cluster.hosts_up(where, driver, hosts, _say)
        print(f"inventory: {where.inventory}" + ("" if changed else "; nothing had to be changed"))
    else:
        variables = provision.variables_of(arguments.extra_vars)
        cluster.cluster_up(where, driver, hosts, variables, SystemRuntime(), _say)
    return 0


def _down(arguments: argparse.Namespace, where: paths.Paths) -> int:
    try:
        driver = _driver(where)
    except CommandError as error:
        # Damaged state must not keep what it described alive: nspawn finds its own by the lab's name.
        _say("", str(error))
        driver = NspawnDriver(where)
    driver.down(_say)
    print(f"lab {where.name} is down")
    if arguments.purge:
        tree.purge()
    else:
        print("the base tree of its hosts stays in the cache for the next one; `wherry lab down --purge` removes it")
    return 0


def _status(arguments: argparse.Namespace, where: paths.Paths) -> int:
    driver = _driver(where)
    running = driver.running()
    if not running:
        raise CommandError(f"there is no lab {where.name}; `wherry lab up --name {where.name}` makes it")
    for name, is_up in running.items():
        endpoint = driver.endpoint(name)
        print(f"{name:12} {'up' if is_up else 'off':4} {endpoint.user}@{endpoint.address} port {endpoint.port}")
    return 0 if all(running.values()) else 1


def _ssh(arguments: argparse.Namespace, where: paths.Paths) -> int:
    _driver(where).endpoint(arguments.host)
    os.execvp("ssh", ["ssh", "-F", str(where.ssh_config), arguments.host, *arguments.words])


def _break(arguments: argparse.Namespace, where: paths.Paths) -> int:
    getattr(_driver(where), arguments.verb)(arguments.host)
    return 0


def _say(host: str, sentence: str) -> None:
    print(f"{host or 'lab':12} {sentence}", file=sys.stdout, flush=True)

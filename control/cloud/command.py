"""`wherry cloud-controller-manager`: the composition root of the cloud controllers.

Invariant: the only module here that makes a real clock, client or server. Without a configuration it changes nothing
but to initialise nodes that wait for a cloud.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from api.client import Client
from api.component import Component, add_arguments
from api.informers import Informers
from api.loop import Loop, Loops, Surroundings
from api.runtime import Runtime
from control.cloud import static, vagrant
from control.cloud.nodes import CloudNodeController
from control.cloud.provider import ConfigError, Provider
from control.cloud.reachability import reaches
from control.cloud.routes import RouteController
from control.cloud.services import ServiceController


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry cloud-controller-manager`."""
    add_arguments(parser, listen="127.0.0.1:10258")
    parser.add_argument("--provider", choices=["static", "vagrant"], default="static", help="(default: %(default)s)")
    parser.add_argument("--provider-config", type=Path, help="the provider's file")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry cloud-controller-manager` until SIGTERM."""
    component = Component("cloud-controller-manager", arguments, {"provider": arguments.provider})
    try:
        provider = _provider(arguments, component.runtime)
    except ConfigError as error:
        print(f"wherry cloud-controller-manager: {error}", file=sys.stderr)
        return 1
    return component.run(lambda client: controllers(client, component.runtime, provider))


def _provider(arguments: argparse.Namespace, runtime: Runtime) -> Provider:
    if arguments.provider == "vagrant":
        return vagrant.load(arguments.provider_config, runtime)
    return static.load(arguments.provider_config, runtime, reaches)


def controllers(client: Client, runtime: Runtime, provider: Provider) -> Loops:
    """One term of the cloud controllers: those for which the provider has the parts."""
    informers = Informers(client, runtime)
    context = Surroundings(client, runtime, informers)
    loops: list[Loop] = []
    if provider.instances is not None:
        loops.append(CloudNodeController(context, provider.instances))
    if provider.load_balancers is not None:
        loops.append(ServiceController(context, provider.load_balancers))
    if provider.routes is not None:
        loops.append(RouteController(context, provider.routes))
    return Loops(informers, loops)

"""`wherry scheduler`: the composition root of the scheduler.

Invariant: the only module here that makes a real clock, client or server.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from api.component import Component, add_arguments
from control.scheduler.configuration import load
from control.scheduler.metrics import Metrics
from control.scheduler.plugin_arguments import ConfigurationError
from control.scheduler.scheduler import Scheduler


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry scheduler`."""
    add_arguments(parser, listen="127.0.0.1:10259")
    parser.add_argument("--config", type=Path, help="a KubeSchedulerConfiguration: profiles and their plugins")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry scheduler` until SIGTERM."""
    try:
        profiles = load(arguments.config)
    except ConfigurationError as error:
        print(f"wherry scheduler: --config: {error}", file=sys.stderr)
        return 1
    config = {"profiles": [{"schedulerName": name} for name in profiles]}
    component = Component("kube-scheduler", arguments, config)
    metrics = Metrics(component.metrics)
    return component.run(lambda client: Scheduler(client, component.runtime, profiles, metrics))

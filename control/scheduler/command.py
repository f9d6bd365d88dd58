"""`wherry scheduler`: the composition root of the scheduler.

Invariant: the only module here that makes a real clock, client or server.
"""

from __future__ import annotations

import argparse

from api.component import Component, add_arguments
from control.scheduler.metrics import Metrics
from control.scheduler.profiles import default_profile
from control.scheduler.scheduler import Scheduler


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry scheduler`."""
    add_arguments(parser, listen="127.0.0.1:10259")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry scheduler` until SIGTERM."""
    profiles = {profile.name: profile for profile in (default_profile(),)}
    config = {"profiles": [{"schedulerName": name} for name in profiles]}
    component = Component("kube-scheduler", arguments, config)
    metrics = Metrics(component.metrics)
    return component.run(lambda client: Scheduler(client, component.runtime, profiles, metrics))

"""`wherry lab up` from end to end: hosts, cluster, demo, and the proof that it answers.

Invariant: repeated, it changes nothing, and says so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api import kubeconfig
from api.runtime import Runtime
from control.cli import provision, up
from control.cli.lab import demo, files, paths
from control.cli.lab.driver import Driver, Host, Say


def hosts_up(where: paths.Paths, driver: Driver, hosts: Sequence[Host], say: Say) -> bool:
    """The hosts alone, and the files by which they are found; True if any had to be brought up."""
    started = driver.up(hosts, say)
    files.write(where, hosts, driver)
    paths.give_to_user(where)
    return bool(started)


def cluster_up(
    where: paths.Paths, driver: Driver, hosts: Sequence[Host], variables: Mapping[str, Any], runtime: Runtime, say: Say
) -> None:
    """Hosts, cluster and demo; prints how to go on. Raises CommandError."""
    began = runtime.monotonic()
    changed = hosts_up(where, driver, hosts, say)
    run = provision.Run(variables=variables)
    cluster = up.up([str(where.inventory)], where.kubeconfig, run, lambda sentence: say("", sentence))
    client = kubeconfig.client(where.kubeconfig, "wherry-lab")
    say("", "all workers are Ready")
    workers = {host.name: driver.endpoint(host.name).service_address for host in hosts if host.group == "workers"}
    demo_changed = demo.prove(client, runtime, workers, say)
    paths.give_to_user(where)
    changed = changed or bool(cluster and cluster.changed) or demo_changed
    _print_next_steps(where, driver, hosts, changed, runtime.monotonic() - began)


def _print_next_steps(where: paths.Paths, driver: Driver, hosts: Sequence[Host], changed: bool, seconds: float) -> None:
    worker = next((host for host in hosts if host.group == "workers"), hosts[0])
    named = "" if where.name == "wherry" else f" --name {where.name}"
    wherry = _short(Path(sys.argv[0]))
    down = "make lab-down" if not named else f"make lab-down LAB={where.name}"
    url = demo.url_of(driver.endpoint(worker.name).service_address)
    outcome = "The lab is up" if changed else "The lab was up already and nothing had to be changed"
    print(f"""
{outcome} ({seconds:.0f} s). Go on with:

  export KUBECONFIG={where.kubeconfig}
  kubectl get pods -o wide
  {wherry} lab ssh{named} {worker.name} sudo podman ps
  curl {url}
  {down}""")


def _short(program: Path) -> str:
    """The path as the user would type it from where they are."""
    absolute = Path(os.path.abspath(program))  # noqa: PTH100 - resolve() would follow the environment's links
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)

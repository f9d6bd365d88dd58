"""`wherry up`: one cluster on the hosts of an inventory, by `playbooks/site.yml`.

What the nodes cannot fetch (Wherry's bundle, the images) is made first; then the playbook runs, the administrator's
kubeconfig is brought here, and the command waits until every worker is Ready.

Invariant: running it again changes nothing on hosts that are as they should be.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api import kubeconfig
from api.client import Client
from api.errors import ApiError
from api.objects import Object
from api.runtime import SystemRuntime
from api.transport import TransportError
from control.cli import bundle, image, provision
from control.cli.errors import CommandError
from control.cli.lab import demo
from control.cli.waiting import await_condition

IMAGES = ("pause", "demo")
READY_WITHIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A provisioned cluster: the administrator's kubeconfig, its workers, and how many tasks changed something."""

    kubeconfig: Path
    workers: tuple[str, ...]
    changed: int


def up(inventories: Sequence[str], target: Path, run: provision.Run, say: Callable[[str], None]) -> Cluster | None:
    """Provision; the kubeconfig goes to `target`. None if the run was a check. Raises CommandError."""
    # What is wrong with the inventory is said before anything is packed.
    provision.hosts(inventories, run.limit, run.secrets)
    changed = with_kubeconfig(inventories, target, "site.yml", prepare(say), run)
    if run.check:
        return None
    hosts = provision.hosts(inventories, run.limit, run.secrets)
    client = kubeconfig.client(target, "wherry-up")
    await_condition(SystemRuntime(), READY_WITHIN_SECONDS, lambda: unready(client, hosts.workers))
    return Cluster(target, hosts.workers, changed)


def with_kubeconfig(
    inventories: Sequence[str], target: Path, playbook: str, variables: dict[str, Any], run: provision.Run
) -> int:
    """Play one of Wherry's playbooks and bring the administrator's kubeconfig to `target`; how much changed.

    Raises CommandError.
    """
    hosts = provision.hosts(inventories, run.limit, run.secrets)
    with tempfile.TemporaryDirectory(prefix="wherry-up-") as scratch:
        fetched = Path(scratch) / "admin.kubeconfig"
        variables = {**variables, "wherry_fetched_kubeconfig": str(fetched)}
        changed = provision.play(playbook, inventories, variables, run)
        if fetched.exists() and not run.check:
            _install_kubeconfig(fetched, target, hosts)
    return changed


def prepare(say: Callable[[str], None]) -> dict[str, Any]:
    """The variables of site.yml that name what was packed for the nodes."""
    with ThreadPoolExecutor() as pool:
        target = bundle.this_machine()
        packing = pool.submit(bundle.build, target, say)
        images = list(pool.map(lambda name: image.build(image.directory_of(name)), IMAGES))
        return {
            "wherry_bundles": {str(target): packing.result().to_json()},
            "wherry_images": [built.to_json() for built in images],
        }


def unready(client: Client, workers: Sequence[str]) -> str:
    """Which workers are not Ready, and why; "" if all are."""
    try:
        nodes = {node["metadata"]["name"]: node for node in client.list("nodes").items}
    except (ApiError, TransportError) as error:
        return f"the API server does not list the nodes: {error}"
    return "; ".join(filter(None, (_why_unready(name, nodes.get(name)) for name in workers)))


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry up`."""
    provision.add_arguments(parser)
    parser.add_argument(
        "--kubeconfig", type=Path, help="where the administrator's kubeconfig goes (beside the inventory)"
    )
    parser.add_argument("--demo", action="store_true", help="deploy the demo too, and wait until each worker answers")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry up`."""
    target = arguments.kubeconfig or beside(arguments.inventory[0])
    wanted = provision.Run.of(arguments)
    cluster = up(arguments.inventory, target, wanted, print)
    if cluster is not None:
        count = len(cluster.workers)
        ready = "1 node is Ready" if count == 1 else f"{count} nodes are Ready"
        print(ready + ("" if cluster.changed else "; nothing had to be changed"))
        print(f"export KUBECONFIG={cluster.kubeconfig}")
    if cluster is not None and arguments.demo:
        addresses = provision.hosts(arguments.inventory, wanted.limit, wanted.secrets).worker_addresses
        client = kubeconfig.client(cluster.kubeconfig, "wherry-up")
        demo.prove(client, SystemRuntime(), addresses, lambda name, sentence: print(f"{name}: {sentence}"))
    return 0


def beside(inventory: str) -> Path:
    """Where the administrator's kubeconfig is kept: beside the inventory."""
    path = Path(inventory).resolve()
    return (path if path.is_dir() else path.parent) / "admin.kubeconfig"


def _install_kubeconfig(fetched: Path, target: Path, hosts: provision.Hosts) -> None:
    """The control host's kubeconfig names its address in the cluster; here it must be the one reached from here."""
    document = yaml.safe_load(fetched.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://{hosts.api_address}:6443"
    content = yaml.safe_dump(document, sort_keys=False)
    if target.exists() and target.read_text() == content:
        return
    partial = target.with_suffix(".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(mode=0o600)
        partial.write_text(content)
        partial.replace(target)
    except OSError as error:
        raise CommandError(f"the kubeconfig cannot be written to {target}: {error.strerror}") from error


def _why_unready(name: str, node: Object | None) -> str:
    if node is None:
        return f"node {name} has not registered; see `journalctl -u wherry-kubelet` there"
    conditions = (node.get("status") or {}).get("conditions") or []
    ready: Object = next((condition for condition in conditions if condition["type"] == "Ready"), {})
    if ready.get("status") == "True":
        return ""
    return f"node {name} is not Ready: {ready.get('reason', 'no condition')}: {ready.get('message', '')}".rstrip(": ")

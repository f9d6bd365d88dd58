"""How long after an endpoint's change the first packet goes right on every node, with many services, under load.

    .venv/bin/python tests/bench/endpoint_bench.py [--services 500] [--changes 40] [--nodes 3]

A real API server, and a real proxy a node, run in namespaces of their own. On each node a pod connects to a service all
the time, and says when who answered, while the service's only endpoint is moved to and fro and other services'
endpoints change too. Time is counted from before the request that changes the slice. Needs root.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from namespace_lab import Host
from proxy_site import ADDRESS, RESOURCES, Site, endpoint_slice, open_site, service, wait_for

PAUSE = 0.05
# So many changes of other services come between two of the watched one.
BETWEEN = 5

WATCH = """
import json, os, socket, sys, time
seen = []
print("started", flush=True)
while not os.path.exists(sys.argv[1] + ".stop"):
    began = time.monotonic()
    try:
        with socket.create_connection(("10.96.0.80", 80), timeout=1) as asking:
            asking.sendall(b"x\\n")
            seen.append((began, asking.recv(100).decode().split()[0]))
    except OSError as error:
        seen.append((began, str(error)))
    time.sleep(0.002)
with open(sys.argv[1] + ".part", "w") as file:
    json.dump(seen, file)
os.rename(file.name, sys.argv[1])
"""


def others(count: int) -> tuple[list[dict], list[dict]]:
    """Services beside the one that is watched, and their slices."""
    services, slices = [], []
    for number in range(count):
        name = f"other-{number}"
        made, found = service(), endpoint_slice("10.244.2.2")
        made["metadata"] = made["metadata"] | {"name": name}
        made["spec"] = made["spec"] | {"clusterIP": f"10.96.{10 + number // 200}.{number % 200 + 1}"}
        labels = {"kubernetes.io/service-name": name}
        found["metadata"] = found["metadata"] | {"name": f"{name}-1", "labels": labels}
        services.append(made)
        slices.append(found)
    return services, slices


def delays(times: list[float], targets: list[str], seen: list[tuple[float, str]]) -> list[float]:
    """For each change the milliseconds until the first connection that the new endpoint answered."""
    found = []
    for at, target in zip(times, targets, strict=True):
        first = next((began for began, who in seen if began >= at and who == target), None)
        if first is not None:
            found.append((first - at) * 1000)
    return found


def plan(site: Site, slices: list[dict], changes: int) -> tuple[list[dict], list[str]]:
    """The slices to write one after another, and who shall answer after each; "" for those of other services."""
    written, targets = [], []
    for number in range(changes):
        name = "b" if number % 2 == 0 else "a"
        written.append(endpoint_slice(site.pods[name == "b"]))
        targets.append(name)
        for index in range(BETWEEN):
            other = slices[(number * BETWEEN + index) % len(slices)]
            moved = dict(other["endpoints"][0], addresses=[f"10.244.2.{(number + index) % 200 + 3}"])
            written.append(other | {"endpoints": [moved]})
            targets.append("")
    return written, targets


def measure(site: Site, hosts: list[Host], services: int, changes: int) -> None:
    """Move the watched endpoint so many times, and print how long each took to be right on each node."""
    made, slices = others(services)
    site.apply(service(), endpoint_slice(site.pods[0]), *made, *slices)
    for host in hosts:
        wait_for(lambda host=host: host.answer("10.96.0.80", 80, pod="client") == "a", f"an answer on {host.name}", 120)
        host.start(argv=["ip", "netns", "exec", "client", sys.executable, "-c", WATCH, f"{host.state}/seen.json"])
    written, targets = plan(site, slices, changes)
    times = site.host.update_each(kubeconfig=site.kubeconfig, resource=RESOURCES["EndpointSlice"], objects=written,
                                  pause=PAUSE)  # fmt: skip
    site.host.sh("sleep 1")
    moved = [(at, target) for at, target in zip(times, targets, strict=True) if target]
    taken: dict[str, list[float]] = {}
    told = f"{services} services, a change every {PAUSE * 1000:.0f} ms"
    for host in hosts:
        seen = watched(host)
        taken[host.name] = delays([at for at, _ in moved], [target for _, target in moved], seen)
        failed = sum(who not in ("a", "b") for _, who in seen)
        told += f"; on {host.name} {len(seen)} connections, {failed} failed"
    print(told)
    taken["all of them"] = [max(each) for each in zip(*taken.values(), strict=True)]
    print("| right on, after milliseconds | median | p95 | worst | changes |\n|---|---|---|---|---|")
    for name, found in taken.items():
        found.sort()
        p95 = found[int(len(found) * 0.95)]
        print(f"| {name} | {statistics.median(found):.0f} | {p95:.0f} | {found[-1]:.0f} | {len(found)} |")


def watched(host: Host) -> list[tuple[float, str]]:
    """What the client of a node has seen, once it has ended."""
    result = f"{host.state}/seen.json"
    host.sh(f"touch {result}.stop")
    wait_for(lambda: host.run(argv=["test", "-e", result])["code"] == 0, "the client's end")
    return [(began, who) for began, who in json.loads(host.sh(f"cat {result}"))]


def main() -> None:
    """Measure in fresh namespaces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=500)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=3)
    arguments = parser.parse_args()
    with open_site(ADDRESS) as site:
        hosts = [site.host, *(site.join(f"node-{number}", number) for number in range(1, arguments.nodes))]
        measure(site, hosts, arguments.services, arguments.changes)


if __name__ == "__main__":
    main()

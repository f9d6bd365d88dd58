"""What the kubelet's server tells monitoring and administrators, on a real node with one pod."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from pod_case import RUN, shell
from podman_host import NODE, Node, eventually
from traces import NAMESPACE, create, pod, ready

from api.errors import ApiError

pytestmark = pytest.mark.integration

PROXY = f"/api/v1/nodes/{NODE}/proxy"
POD = 'namespace="default",pod="watched"'
# What the rules and dashboards that come with Prometheus' operator ask for, of a pod that has done little.
NAMES = {
    "/metrics/cadvisor": (
        *("container_cpu_usage_seconds_total", "container_cpu_cfs_periods_total"),
        *("container_cpu_cfs_throttled_periods_total", "container_memory_working_set_bytes", "container_memory_rss"),
        *("container_memory_cache", "container_memory_swap", "container_memory_usage_bytes"),
        *("container_network_receive_bytes_total", "container_network_transmit_bytes_total"),
        *("container_network_receive_packets_total", "container_network_transmit_packets_total"),
        *("container_network_receive_packets_dropped_total", "container_network_transmit_packets_dropped_total"),
        *("container_fs_reads_total", "container_fs_writes_total", "container_fs_reads_bytes_total"),
        *("container_fs_writes_bytes_total", "container_oom_events_total", "container_start_time_seconds"),
        *("container_spec_memory_limit_bytes", "machine_memory_bytes", "machine_cpu_cores"),
    ),
    "/metrics/resource": (
        *("node_cpu_usage_seconds_total", "node_memory_working_set_bytes", "container_cpu_usage_seconds_total"),
        *("container_memory_working_set_bytes", "container_start_time_seconds", "pod_cpu_usage_seconds_total"),
        *("pod_memory_working_set_bytes", "resource_scrape_error"),
    ),
    "/metrics/probes": ("prober_probe_total",),
    "/metrics": (
        *("kubelet_node_name", "kubelet_running_pods", "kubelet_running_containers", "process_cpu_seconds_total"),
        "process_resident_memory_bytes",
    ),
}


@pytest.fixture(scope="module")
def watched(node: Node) -> Iterator[Node]:
    """The node with a pod that is probed and limited."""
    resources = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    create(node, "watched", containers=[shell(f"echo said; {RUN}", resources=resources, livenessProbe=probe)])
    ready(node, "watched")
    yield node
    node.client.delete("pods", "watched", NAMESPACE, grace_period_seconds=0)


def get(node: Node, path: str) -> str:
    return node.client.raw("GET", f"{PROXY}{path}").decode()


@pytest.mark.parametrize("path", NAMES)
def test_metrics_have_the_names_that_rules_ask_for(watched: Node, path: str) -> None:
    if path == "/metrics/probes":
        eventually(lambda: POD in get(watched, path), "the probe has been counted")
    text = get(watched, path)
    absent = [name for name in NAMES[path] if not re.search(rf"^{name}[{{ ]", text, re.MULTILINE)]
    assert not absent
    assert path == "/metrics" or POD in text


def test_the_configuration_is_shown_in_the_words_of_the_original(watched: Node) -> None:
    config = orjson.loads(get(watched, "/configz"))["kubeletconfig"]
    assert (config["maxPods"], config["clusterDNS"], config["syncFrequency"]) == (110, ["10.96.0.10"], "5s")
    assert config["evictionHard"]["nodefs.available"] == "10%"
    assert config["evictionHard"]["memory.available"] == "100Mi"


def test_the_nodes_log_files_are_listed_and_read(watched: Node) -> None:
    listed = get(watched, "/logs/")
    names = re.findall(r'<a href="([^"]+)">', listed)
    assert listed.startswith("<!doctype html>") and listed.endswith("</pre>\n")
    file = next(path for path in Path("/var/log").iterdir() if path.is_file() and not path.is_symlink())
    assert file.name in names
    assert get(watched, f"/logs/{file.name}") == file.read_text()
    with pytest.raises(ApiError, match="404"):
        get(watched, "/logs/none")


def test_pods_are_listed_and_commands_run_in_them(watched: Node) -> None:
    listed = orjson.loads(get(watched, "/pods"))
    assert (listed["kind"], [entry["metadata"]["name"] for entry in listed["items"]]) == ("PodList", ["watched"])
    running = orjson.loads(get(watched, "/runningpods/"))
    assert [entry["metadata"]["name"] for entry in running["items"]] == ["watched"]
    run = f"{PROXY}/run/{NAMESPACE}/watched/app?cmd=echo&cmd=hello"
    assert watched.client.raw("POST", run) == b"hello\n"
    assert get(watched, f"/containerLogs/{NAMESPACE}/watched/app") == "said\n"
    assert get(watched, "/healthz") == "ok"
    ask = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:10248/healthz').read().decode())"
    assert watched.run(sys.executable, "-c", ask) == "ok\n"
    assert pod(watched, "watched")["status"]["qosClass"] == "Guaranteed"

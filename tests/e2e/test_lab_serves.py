"""What `make lab` ends with is a cluster that does its job on all workers."""

from __future__ import annotations

import re

import pytest
from conftest import WORKERS
from labs import Lab, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_lab_up_says_how_to_go_on(lab: Lab) -> None:
    for words in ("export KUBECONFIG=", "kubectl get pods -o wide", "lab ssh", "curl http://127.56.", "lab-down"):
        assert words in lab.first_words


def test_the_replicas_run_on_all_workers(steady: Lab) -> None:
    pods = steady.running_pods("app=demo")
    assert len(pods) == 3
    assert {pod["spec"]["nodeName"] for pod in pods} == set(WORKERS)


@pytest.mark.parametrize("worker", WORKERS)
def test_every_replica_answers_through_the_node_port_of(worker: str, steady: Lab) -> None:
    names = {pod["metadata"]["name"] for pod in steady.running_pods("app=demo")}
    answered: set[str] = set()

    def all_answered() -> bool:
        answered.update(re.findall(r"by pod (\S+) on node", steady.ask(worker)))
        return answered == names

    eventually(all_answered, 30, f"{names} answer through {worker}")


def test_pods_reach_each_other_across_nodes_by_pod_address_and_by_service(steady: Lab) -> None:
    pods = steady.running_pods("app=demo")
    here = next(pod for pod in pods if pod["spec"]["nodeName"] == "node1")
    there = next(pod for pod in pods if pod["spec"]["nodeName"] == "node2")
    service = steady.kubectl("get", "service", "demo", "-o", "jsonpath={.spec.clusterIP}")
    targets = [(there["status"]["podIP"], 8080), (here["status"]["podIP"], 8080), (service, 80)]
    for address, port in targets:
        # Debian's static wget crashes on any address; netcat speaks enough HTTP for a page.
        request = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w 5 {address} {port}"
        page = steady.kubectl("exec", here["metadata"]["name"], "--", "/bin/sh", "-c", request)
        assert "It lands anywhere." in page, (address, port)


def test_the_api_server_reaches_pods_of_all_workers(steady: Lab) -> None:
    for pod in steady.running_pods("app=demo"):
        path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}:8080/proxy/"
        assert "It lands anywhere." in steady.kubectl("get", "--raw", path), pod["spec"]["nodeName"]
    assert "It lands anywhere." in steady.kubectl("get", "--raw", "/api/v1/namespaces/default/services/demo/proxy/")


def test_logs_and_exec(steady: Lab) -> None:
    pod = steady.running_pods("app=demo")[0]
    name = pod["metadata"]["name"]
    said = steady.kubectl("exec", name, "--", "/bin/sh", "-c", "echo $POD_NAME; echo $NODE_NAME")
    assert said.split() == [name, pod["spec"]["nodeName"]]
    eventually(lambda: "answered " in steady.kubectl("logs", name), 20, "the log shows an answered request")


def test_a_deleted_pod_is_replaced(steady: Lab) -> None:
    before = {pod["metadata"]["name"] for pod in steady.running_pods("app=demo")}
    victim = sorted(before)[0]
    steady.kubectl("delete", "pod", victim, "--wait=true", timeout=90)

    def replaced() -> bool:
        now = {pod["metadata"]["name"] for pod in steady.running_pods("app=demo")}
        return len(now) == 3 and victim not in now

    eventually(replaced, 60, f"another pod stands in for {victim}")


def test_podman_on_the_node_shows_the_containers_under_plain_names(steady: Lab) -> None:
    for pod in steady.running_pods("app=demo"):
        listing = steady.ssh(pod["spec"]["nodeName"], "podman ps --format '{{.Names}}'")
        assert any(pod["metadata"]["name"] in line and "web" in line for line in listing.splitlines()), listing


def test_looking_at_containers_mounts_nothing_over_those_that_run(steady: Lab) -> None:
    for pod in steady.running_pods("app=demo"):
        mounts = steady.ssh(pod["spec"]["nodeName"], "podman images --quiet >/dev/null; cat /proc/self/mounts")
        places = [line.split()[1] for line in mounts.splitlines() if "/containers/storage/overlay" in line]
        assert places and all(place.endswith("/merged") for place in places), places


def test_another_run_changes_nothing_and_says_so(steady: Lab) -> None:
    said = steady.lab("up", "--workers", str(len(WORKERS)), *steady.settings).stdout
    assert "nothing had to be changed" in said, said


def test_provisioning_again_changes_nothing(steady: Lab) -> None:
    done = steady.wherry("up", "-i", str(steady.inventory), *steady.settings)
    assert "nothing had to be changed" in done.stdout
    assert not re.search(r"changed=[1-9]", done.stdout)

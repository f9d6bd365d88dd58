"""Priority and fairness: who is put where, who waits for whom, who is sent away."""

from __future__ import annotations

import threading

import pytest
from crd_objects import eventually

from api.errors import TooManyRequests
from api.objects import condition
from api.runtime import SystemRuntime
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.bootstrap import Bootstrap
from control.apiserver.flow.levels import Level
from control.apiserver.identity import User

pytestmark = pytest.mark.unit

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
AUTHENTICATED = "system:authenticated"
NODE = User("system:node:n", ("system:nodes", AUTHENTICATED))
ACCOUNT = User("system:serviceaccount:shop:a", ("system:serviceaccounts", AUTHENTICATED))
DNS = User("system:serviceaccount:kube-system:dns", ("system:serviceaccounts", AUTHENTICATED))
MANAGER = User("system:kube-controller-manager", (AUTHENTICATED,))
CASES = [
    (User("root", ("system:masters",)), "get", "", "pods", "default", "exempt", "exempt/"),
    (NODE, "update", "", "nodes", "", "node-high", "system-node-high/system:node:n"),
    (NODE, "list", "", "pods", "default", "system", "system-nodes/system:node:n"),
    (MANAGER, "update", "coordination.k8s.io", "leases", "kube-system", "leader-election",
     "system-leader-election/system:kube-controller-manager"),
    (DNS, "update", "coordination.k8s.io", "leases", "kube-system", "leader-election",
     "system-leader-election/system:serviceaccount:kube-system:dns"),
    (MANAGER, "list", "", "pods", "shop", "workload-high", "kube-controller-manager/shop"),
    (DNS, "list", "", "pods", "shop", "workload-high", "kube-system-service-accounts/shop"),
    (ACCOUNT, "list", "", "pods", "shop", "workload-low", "service-accounts/system:serviceaccount:shop:a"),
    (User("system:kube-proxy", (AUTHENTICATED,)), "watch", "", "services", "", "system",
     "wherry-node-proxies/system:kube-proxy"),
    (User("jane", (AUTHENTICATED,)), "list", "", "pods", "shop", "global-default", "global-default/jane"),
]  # fmt: skip


@pytest.mark.parametrize(("user", "verb", "group", "plural", "namespace", "level", "flow"), CASES)
def test_requests_are_put_where_the_default_schemas_say(cluster, user, verb, group, plural, namespace, level, flow):
    asked = Attributes(user, verb, group, "v1", namespace, plural)
    found = cluster.server.flow.classify(asked)
    assert (found.level.name, found.flow) == (level, flow)


def test_answers_name_schema_and_level_also_when_they_refuse(cluster):
    uid = cluster.request("GET", f"{FLOW}/flowschemas/global-default")[1]["metadata"]["uid"]
    level = cluster.request("GET", f"{FLOW}/prioritylevelconfigurations/global-default")[1]["metadata"]["uid"]
    status, _, headers = cluster.request("GET", "/api/v1/pods", user=User("jane", (AUTHENTICATED,)))
    assert status == 403
    named = {key.lower(): value for key, value in headers.items()}
    assert named["x-kubernetes-pf-flowschema-uid"] == uid
    assert named["x-kubernetes-pf-prioritylevel-uid"] == level


def test_seats_follow_the_shares(cluster):
    def seats(name: str) -> int:
        asked = Attributes(User(name, (AUTHENTICATED,)), "list", resource="pods")
        return cluster.server.flow.classify(asked).level.seats

    assert seats("jane") == -(-600 * 20 // 245)
    body = {"metadata": {"name": "one"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 245, "limitResponse": {"type": "Reject"}}}}  # fmt: skip
    assert cluster.request("POST", f"{FLOW}/prioritylevelconfigurations", body)[0] == 201
    cluster.server.cache.catch_up()
    assert seats("jane") == -(-600 * 20 // 490)
    shown = cluster.request("GET", "/metrics")[1].decode()
    assert f'apiserver_flowcontrol_nominal_limit_seats{{priority_level="one"}} {600 * 245 // 490}.0' in shown


def test_a_schema_tells_whether_its_level_exists(cluster):
    body = {"metadata": {"name": "lost"}, "spec": {"priorityLevelConfiguration": {"name": "nowhere"}, "rules": []}}
    assert cluster.request("POST", f"{FLOW}/flowschemas", body)[0] == 201

    def dangling(name: str) -> str:
        found = condition(cluster.request("GET", f"{FLOW}/flowschemas/{name}")[1], "Dangling") or {}
        return str(found.get("status"))

    eventually(lambda: (dangling("lost"), dangling("global-default")) == ("True", "False"))


def test_a_level_without_queues_refuses_and_one_with_queues_serves_flows_in_turn():
    level = Level("l", "u", SystemRuntime())
    level.resize(1, 0)
    level.enter("a")
    with pytest.raises(TooManyRequests) as refused:
        level.enter("b")
    assert refused.value.retry_after_seconds == 1
    level.resize(1, 2)
    served: list[str] = []

    def work(flow: str) -> None:
        level.enter(flow)
        served.append(flow)
        level.leave()

    threads = []
    for flow in ("greedy", "greedy", "modest"):
        threads.append(threading.Thread(target=work, args=(flow,)))
        threads[-1].start()
        waiting = len(threads)
        eventually(lambda waiting=waiting: sum(level.waiting().values()) == waiting)
    assert level.waiting() == {"greedy": 2, "modest": 1}
    with pytest.raises(TooManyRequests):
        level.enter("greedy")
    level.leave()
    for thread in threads:
        thread.join(10)
    assert served == ["greedy", "modest", "greedy"]
    assert level.executing == 0


def test_seats_that_nobody_uses_are_lent_and_taken_back():
    levels: list[Level] = []
    busy, idle = (Level(name, name, SystemRuntime(), lambda: levels) for name in ("busy", "idle"))
    levels += [busy, idle]
    busy.resize(1, 0, 0, None)
    idle.resize(4, 0, 2, 0)
    for _ in range(3):
        busy.enter("a")
    with pytest.raises(TooManyRequests):
        busy.enter("a")
    for _ in range(4):
        idle.enter("b")
    with pytest.raises(TooManyRequests):
        idle.enter("b")
    busy.leave()
    with pytest.raises(TooManyRequests):
        busy.enter("a")
    busy.resize(1, 1, 0, None)
    served = threading.Thread(target=busy.enter, args=("a",))
    served.start()
    eventually(lambda: sum(busy.waiting().values()) == 1)
    for _ in range(4):
        idle.leave()
    served.join(10)
    assert (busy.executing, idle.executing) == (3, 0)
    busy.resize(1, 0, 0, 1)
    with pytest.raises(TooManyRequests):
        busy.enter("a")


def test_mandatory_objects_stay_what_they_are_and_suggested_ones_what_their_mark_says(cluster):
    levels, schemas = f"{FLOW}/prioritylevelconfigurations", f"{FLOW}/flowschemas"
    merge = {"Content-Type": "application/merge-patch+json"}

    def change(path: str, body: object) -> tuple[int, object]:
        status, found, _ = cluster.request("PATCH", path, body, merge)
        return status, found["spec"] if status == 200 else found["message"].rpartition(": ")[2]

    refused = "spec of 'catch-all' must equal the fixed value"
    assert change(f"{schemas}/catch-all", {"spec": {"matchingPrecedence": 9}}) == (422, refused)
    assert change(f"{levels}/catch-all", {"spec": {"limited": {"lendablePercent": 9}}}) == (422, refused)
    assert change(f"{levels}/exempt", {"spec": {"exempt": {"lendablePercent": 9}}})[0] == 200
    for name, mark in (("service-accounts", "true"), ("probes", "false")):
        annotations = {"apf.kubernetes.io/autoupdate-spec": mark}
        body = {"metadata": {"annotations": annotations}, "spec": {"matchingPrecedence": 7}}
        assert change(f"{schemas}/{name}", body)[0] == 200
    cluster.server.cache.catch_up()
    Bootstrap(cluster.server).once()
    found = [cluster.request("GET", f"{schemas}/{name}")[1]["spec"] for name in ("service-accounts", "probes")]
    assert [spec["matchingPrecedence"] for spec in found] == [9000, 7]
    exempt = cluster.request("GET", f"{levels}/exempt")[1]["spec"]["exempt"]
    assert exempt == {"nominalConcurrencyShares": 0, "lendablePercent": 9}


def test_what_is_open_to_all_tells_the_flow_of_who_asks(cluster):
    level = cluster.request("GET", f"{FLOW}/prioritylevelconfigurations/global-default")[1]["metadata"]["uid"]
    headers = cluster.request("GET", "/version", user=User("jane", (AUTHENTICATED,)))[2]
    assert {key.lower(): value for key, value in headers.items()}["x-kubernetes-pf-prioritylevel-uid"] == level
    impersonating = {"Impersonate-User": "jane", "Impersonate-Group": AUTHENTICATED}
    again = cluster.request("GET", "/version", headers=impersonating)[2]
    assert {key: value for key, value in again.items() if "PF" in key} == {
        key: value for key, value in headers.items() if "PF" in key
    }
    status, _, headers = cluster.request("GET", "/readyz", user=None)
    assert (status, headers["Cache-Control"]) == (200, "no-cache, private")
    assert cluster.request("GET", "/version", headers=impersonating, user=User("jane"))[0] == 403

"""Changes to running pods, pods from files, and messages to runtimes, as tables."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from agents.kubelet import grpc
from agents.kubelet.admission import refusal, resize_problem
from agents.kubelet.pods import hosts, resizes, spec
from agents.kubelet.pods.limits import container_limits
from agents.kubelet.pods.resizes import ResizeProblem, Standing
from agents.kubelet.pods.sync import decide
from agents.kubelet.pods.users import first_user, lowest_free
from agents.kubelet.pods.view import Eviction, Memory, PodView, Reading
from agents.kubelet.runtime import cri_messages
from agents.kubelet.runtime.accounts import Accounts
from agents.kubelet.runtime.interface import USERS, Container, PodIdentity, Sandbox, State
from agents.kubelet.static_pods import BadManifest, StaticPods, mirror_of, static_pod
from api.objects import is_deleting, uid_of
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

IDENTITY = PodIdentity("web", "default", "u1")
SMALL = {"requests": {"cpu": "100m", "memory": "16Mi"}}
LARGE = {"requests": {"cpu": "200m", "memory": "16Mi"}}


def pod(resources: dict[str, Any] = SMALL, **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"containers": [{"name": "app", "image": "x:1", "resources": resources} | container]},
        "status": {},
    }


def running(resources: str) -> PodView:
    sandbox = Sandbox("s0", IDENTITY, 0, State.RUNNING, 0.0)
    found = Container("c0", IDENTITY, "app", 0, "s0", State.RUNNING, "x:1", "sha256:x", resources=resources)
    return PodView(sandbox, (), (found,))


RESIZES = [
    ("as it is", SMALL, {}, {}, "nothing"),
    ("other resources", LARGE, {}, {}, "resize"),
    ("already in effect", LARGE, {},
     {"resized": {"c0": spec.resources_text({"spec": {}}, {"resources": LARGE})}}, "nothing"),
    ("restart asked for", LARGE, {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}, {},
     "stop: Container app resize requires restart"),
    ("restart asked for another resource", LARGE,
     {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}, {}, "resize"),
    ("the node has no room", LARGE, {}, {"resize_problem": ("Deferred", "no")}, "nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "more", "memory", "outcome"), [pytest.param(*c[1:], id=c[0]) for c in RESIZES])
def test_resources_of_a_running_container(
    wanted: dict[str, Any], more: dict[str, Any], memory: dict[str, Any], outcome: str
) -> None:
    view = running(spec.resources_text({"spec": {}}, {"resources": SMALL}))
    plan = decide(pod(wanted, **more), view, Memory({"c0": Reading()}, **memory), 0.0)
    words = [f"stop: {stop.message}" for stop in plan.stops] + ["resize" for _ in plan.resizes]
    assert (words or ["nothing"]) == [outcome]


def test_other_resources_of_the_pod_as_a_whole_are_given_to_its_containers() -> None:
    before, after = pod(), pod()
    before["spec"]["resources"] = {"limits": {"memory": "64Mi"}}
    after["spec"]["resources"] = {"limits": {"memory": "96Mi"}}
    view = running(spec.resources_text(before, before["spec"]["containers"][0]))
    wanted = [decide(one, view, Memory({"c0": Reading()}), 0.0).resizes for one in (before, after)]
    assert [len(resizes) for resizes in wanted] == [0, 1]
    assert container_limits(after, after["spec"]["containers"][0], 0).memory == 96 * 1024**2


def test_a_resize_is_held_against_the_node() -> None:
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "300m", "memory": "1Gi", "pods": "9"}}}
    other = pod(LARGE) | {"metadata": {"name": "o", "namespace": "default", "uid": "u2"}}
    assert resize_problem(pod(SMALL), [other], node) is None
    assert (resize_problem(pod(LARGE), [other], node) or ("",))[0] == "Deferred"
    assert (resize_problem(pod({"requests": {"cpu": "2"}}), [], node) or ("",))[0] == "Infeasible"


def test_an_evicted_pod_gets_no_more_time_than_the_eviction_gives() -> None:
    memory = Memory({"c0": Reading()}, evicted=Eviction("Evicted", "why", 1.0))
    (stop,) = decide(pod(), running(""), memory, 0.0).stops
    assert stop.grace == 1.0


FULL = ResizeProblem("Deferred", "Node didn't have enough resource: cpu, requested: 2", "OutOfcpu")
NEVER = ResizeProblem("Infeasible", "Node didn't have enough capacity: cpu, requested: 9", "Infeasible")
BUSY = frozenset({"app"})
STANDINGS = [
    ("begins", Standing(), Standing(None, BUSY), ["Normal ResizeStarted Pod resize started: {}"]),
    ("goes on", Standing(None, BUSY), Standing(None, BUSY), []),
    ("is done", Standing(None, BUSY), Standing(), ["Normal ResizeCompleted Pod resize completed: {}"]),
    ("has to wait", Standing(), Standing(FULL, BUSY), ["Warning ResizeDeferred Pod resize OutOfcpu: {}"]),
    ("waits on", Standing(FULL, BUSY), Standing(FULL, BUSY), []),
    ("can never be", Standing(FULL, BUSY), Standing(NEVER, BUSY),
     ["Warning ResizeInfeasible Pod resize Infeasible: {}"]),
    ("begins after it waited", Standing(FULL, BUSY), Standing(None, BUSY),
     ["Normal ResizeStarted Pod resize started: {}"]),
    ("is taken back", Standing(NEVER, BUSY), Standing(), []),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "used", "refused"), [(0, 9, False), (8, 7, False), (8, 8, True), (8, 9, True)])
def test_a_running_container_is_not_given_less_memory_than_it_uses(limit: int, used: int, refused: bool) -> None:
    assert ("set pod memory limit (8) below current usage" in resizes.too_little("pod", limit, used)) is refused


@pytest.mark.parametrize(("before", "now", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in STANDINGS])
def test_what_is_told_of_a_resize(before: Standing, now: Standing, wanted: list[str]) -> None:
    made = pod(resources={"requests": {"memory": "1Mi", "cpu": "2"}})
    made["metadata"]["generation"] = 3
    error = f',"error":"{now.problem.message}"' if now.problem else ""
    shown = '{"containers":[{"name":"app","resources":{"requests":{"cpu":"2","memory":"1Mi"}}}],"generation":3' + error
    found = [" ".join(event) for event in resizes.told(made, before, now)]
    assert found == [text.replace("{}", shown + "}") for text in wanted]


RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [7]}}
RESTARTS = [
    ("Always", {}, 0, True),
    ("OnFailure", {}, 0, False),
    ("OnFailure", {}, 1, True),
    ("Never", {}, 1, False),
    ("Never", {"restartPolicy": "Always"}, 0, True),
    ("Never", {"restartPolicyRules": [RULE]}, 7, True),
    ("Never", {"restartPolicyRules": [RULE]}, 8, False),
    ("Never", {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [7]}}]}, 8,
     True),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "container", "code", "wanted"), RESTARTS)
def test_which_containers_run_again(policy: str, container: dict[str, Any], code: int, wanted: bool) -> None:
    made = pod(**container)
    made["spec"]["restartPolicy"] = policy
    assert spec.restarts_after(made, made["spec"]["containers"][0], code) is wanted


REFUSALS = [
    ("safe", {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}, {}, ""),
    ("unsafe", {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}, {},
     'forbidden sysctl: "kernel.msgmax" not allowlisted'),
    ("of the node's network", {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}]}, {"hostNetwork": True},
     'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled'),
]  # fmt: skip


@pytest.mark.parametrize(("context", "more", "wanted"), [pytest.param(*c[1:], id=c[0]) for c in REFUSALS])
def test_which_sysctls_are_taken(context: dict[str, Any], more: dict[str, Any], wanted: str) -> None:
    made = pod()
    made["spec"] |= {"securityContext": context} | more
    found = refusal(made, [], {"metadata": {"name": "n"}})
    assert found == (("SysctlForbidden", f"Pod was rejected: {wanted}") if wanted else None)
    if "msgmax" in wanted:
        assert refusal(made, [], {"metadata": {"name": "n"}}, ("kernel.msg*",)) is None


NEEDS = [
    ({"hostUsers": False}, "runtimeHandlers", [{"name": "", "features": {"userNamespaces": True}}],
     "UserNamespacesNotSupported"),
    ({"securityContext": {"supplementalGroupsPolicy": "Strict"}}, "features", {"supplementalGroupsPolicy": True},
     "SupplementalGroupsPolicyNotSupported"),
]  # fmt: skip


@pytest.mark.parametrize(("needed", "place", "offered", "reason"), NEEDS)
def test_what_the_runtime_cannot_do_is_refused(needed: dict[str, Any], place: str, offered: Any, reason: str) -> None:
    made = pod()
    made["spec"] |= needed
    assert (refusal(made, [], {"metadata": {"name": "n"}, "status": {}}) or ("",))[0] == reason
    assert refusal(made, [], {"metadata": {"name": "n"}, "status": {place: offered}}) is None


def test_a_pod_keeps_its_users_and_shares_them_with_none(tmp_path: Path) -> None:
    assert [lowest_free(taken) for taken in ((), (USERS,), (2 * USERS,), (USERS, 3 * USERS, 2 * USERS))] == [
        USERS, 2 * USERS, USERS, 4 * USERS
    ]  # fmt: skip
    found = {name: first_user(tmp_path / name, nullcontext()) for name in ("a", "b", "a", "c")}
    assert found == {"a": USERS, "b": 2 * USERS, "c": 3 * USERS}


def test_pods_that_begin_together_choose_their_users_one_after_the_other(tmp_path: Path) -> None:
    found: list[int] = []

    @contextmanager
    def after_another() -> Iterator[None]:
        found.append(first_user(tmp_path / "other", nullcontext()))
        yield

    found.append(first_user(tmp_path / "own", after_another()))
    assert found == [USERS, 2 * USERS]


def test_an_image_says_which_groups_a_user_has() -> None:
    accounts = Accounts(
        "root:x:0:0::/:\n#old:x:9:9::/:\nbroken\nclerk:x:15:16::/:\n",
        "root:x:0:\nstaff:x:20:clerk,root\nbad:x:y:clerk\nlate:x:30:clerk\n",
    )
    found = {user: (accounts.primary_group(user), accounts.memberships(user)) for user in ("", "15", "clerk", "99")}
    assert found == {"": (0, (20,)), "15": (16, (20, 30)), "clerk": (16, (20, 30)), "99": (0, ())}


def test_pods_on_the_nodes_network_take_its_ports() -> None:
    made = pod(ports=[{"containerPort": 80}])
    made["spec"]["hostNetwork"] = True
    other = made | {"metadata": {"name": "o", "namespace": "default", "uid": "u2"}}
    assert (refusal(made, [other], {"metadata": {"name": "n"}}) or ("",))[0] == "NodePorts"


MANIFEST = "{apiVersion: v1, kind: Pod, metadata: {name: Web}, spec: {containers: [{name: app, image: x}]}}"


def test_a_file_is_a_pod_of_its_own_uid() -> None:
    first, again = (static_pod(MANIFEST, "/m/web.yaml", "node1", now) for now in (1.0, 2.0))
    other = static_pod(MANIFEST.replace("image: x", "image: y"), "/m/web.yaml", "node1", 1.0)
    assert first["metadata"]["name"] == "web-node1"
    assert first["metadata"]["uid"] == again["metadata"]["uid"] != other["metadata"]["uid"]
    assert spec.is_static(first) and spec.is_critical(first)
    mirror = mirror_of(first, {"metadata": {"name": "node1", "uid": "n"}})
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] == first["metadata"]["uid"]
    assert mirror["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "n", "controller": True}
    ]


class Still(SystemRuntime):
    """A clock that stands."""

    def time(self) -> float:
        return 1_800_000_000.0


def test_a_pod_whose_file_is_gone_has_its_grace_before_the_next_of_its_name(tmp_path: Path) -> None:
    pods, file = StaticPods(tmp_path, "node1", Still()), tmp_path / "web.yaml"
    assert pods.refresh() == set()
    file.write_text(MANIFEST)
    (first,) = pods.refresh()
    file.unlink()
    assert pods.refresh() == {first} and pods.refresh() == set()
    (ending,) = pods.items()
    assert spec.deadline_of_deletion(ending) == 1_800_000_030.0 and uid_of(ending) == first
    file.write_text(MANIFEST.replace("image: x", "image: y"))
    assert pods.refresh() == set() and pods.items() == [ending]
    pods.finished(first)
    (second,) = pods.refresh() - {first}
    assert [uid_of(pod) for pod in pods.items()] == [second] and pods.get(first) is None


def test_of_two_files_with_a_pod_of_one_name_the_second_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    pods, first = StaticPods(tmp_path, "node1", Still()), tmp_path / "b.yaml"
    first.write_text(MANIFEST)
    (uid,) = pods.refresh()
    (tmp_path / "a.yaml").write_text(MANIFEST)
    assert pods.refresh() == set() and [uid_of(pod) for pod in pods.items()] == [uid]
    first.unlink()
    assert pods.refresh() == {uid} and [is_deleting(pod) for pod in pods.items()] == [True]
    pods.finished(uid)
    (second,) = pods.refresh() - {uid}
    assert [uid_of(pod) for pod in pods.items()] == [second]


def test_a_pod_whose_file_comes_back_begins_anew_once_it_has_ended(tmp_path: Path) -> None:
    pods, file = StaticPods(tmp_path, "node1", Still()), tmp_path / "web.yaml"
    file.write_text(MANIFEST)
    (uid,) = pods.refresh()
    file.unlink()
    pods.refresh()
    file.write_text(MANIFEST)
    pods.refresh()
    assert [is_deleting(pod) for pod in pods.items()] == [True]
    pods.finished(uid)
    assert pods.refresh() == {uid}
    assert [is_deleting(pod) for pod in pods.items()] == [False]


@pytest.mark.parametrize("text", ["{", "kind: Service", "kind: Pod\nspec: {}", "- 1"])
def test_a_file_that_is_no_pod_is_named(text: str) -> None:
    with pytest.raises(BadManifest, match=r"/m/x\.yaml"):
        static_pod(text, "/m/x.yaml", "node1", 1.0)


# Source: kubelet's TestGeneratePodHostNameAndDomain and TestTruncatePodHostname. What the pod asks for beside its
# name, the name that the kernel shows, and its name in the cluster's domain.
NAMES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "web", ""),
    ({"hostname": "custom"}, "custom", ""),
    ({"subdomain": "crew"}, "web", "web.crew.default.svc.cluster.local"),
    ({"hostname": "custom", "subdomain": "crew"}, "custom", "custom.crew.default.svc.cluster.local"),
    ({"hostname": "h" * 62 + "-h"}, "h" * 62, ""),
    ({"hostname": "h" * 61 + "-.h"}, "h" * 61, ""),
    ({"hostnameOverride": "other"}, "other", ""),
    ({"hostnameOverride": "other.example.com", "hostname": "custom", "subdomain": "crew"}, "other.example.com", ""),
    ({"hostnameOverride": "h" * 64}, "h" * 64, ""),
    ({"hostnameOverride": "other", "subdomain": "crew", "setHostnameAsFQDN": True}, "other", ""),
]


@pytest.mark.parametrize(("asked", "shown", "full"), NAMES)
def test_host_names(asked: dict[str, Any], shown: str, full: str) -> None:
    made = pod()
    made["spec"] |= asked
    names = hosts.host_name_in_container(made, "cluster.local"), hosts.full_name(made, "cluster.local")
    assert names == (shown, full)


def test_full_host_names() -> None:
    made = pod()
    made["spec"] |= {"subdomain": "crew", "setHostnameAsFQDN": True}
    assert hosts.host_name_in_container(made, "cluster.local") == "web.crew.default.svc.cluster.local"
    made["spec"]["hostname"] = "h" * 40
    with pytest.raises(ValueError, match="is too long"):
        hosts.host_name_in_container(made, "cluster.local")


MESSAGES = [
    ("VersionResponse", {"runtime_name": "containerd", "runtime_version": "1.6"}),
    ("ListContainersResponse", {"containers": [{"id": "a", "labels": {"k": "v", "": "x"}}, {"id": "b", "state": 2}]}),
    ("ContainerConfig", {"command": ["sh", ""], "envs": [{"key": "A", "value": "ä"}], "tty": True}),
    ("ContainerStatusResponse", {"status": {"id": "c", "exit_code": -1, "created_at": 1_800_000_000_000_000_000}}),
    ("LinuxContainerSecurityContext", {"run_as_user": {}, "supplemental_groups": [0, 7]}),
]


@pytest.mark.parametrize(("message", "values"), MESSAGES)
def test_messages_survive_the_way_there_and_back(message: str, values: dict[str, Any]) -> None:
    assert cri_messages.decode(message, cri_messages.encode(message, values)) == values


@dataclasses.dataclass
class Peer:
    """A gRPC server for one call: what it answers, and what it was asked."""

    status: str
    body: bytes
    asked: bytes = b""

    def serve(self, sock: socket.socket) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    self.asked += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                if isinstance(event, h2.events.StreamEnded):
                    connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                    if self.body:
                        framed = b"\0" + len(self.body).to_bytes(4, "big") + self.body
                        for start in range(0, len(framed), 16_000):
                            connection.send_data(1, framed[start : start + 16_000])
                    trailers = [("grpc-status", self.status), ("grpc-message", "no%20such")]
                    connection.send_headers(1, trailers, end_stream=True)
                    sock.sendall(connection.data_to_send())
                    return
            sock.sendall(connection.data_to_send())


@pytest.mark.parametrize(("status", "body", "code"), [("0", b"x" * 40_000, 0), ("0", b"", 0), ("5", b"", 5)])
def test_calls_end_with_the_answer_or_the_status(status: str, body: bytes, code: int) -> None:
    ours, theirs = socket.socketpair()
    peer = Peer(status, body)
    server = threading.Thread(target=peer.serve, args=(theirs,))
    server.start()
    try:
        if code:
            with pytest.raises(grpc.GrpcError, match="no such") as caught:
                grpc.call(lambda: ours, "/a.B/C", b"ask", authority="x", timeout=5, agent="t")
            assert caught.value.code == code
        else:
            large = b"q" * 200_000
            assert grpc.call(lambda: ours, "/a.B/C", large, authority="x", timeout=5, agent="t") == body
            assert peer.asked[5:] == large
    finally:
        ours.close()
        server.join(5)
        theirs.close()

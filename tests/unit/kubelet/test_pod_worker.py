"""What a look at a pod writes to the API, with a runtime that only remembers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agents.kubelet.fake_network import FakeNetwork
from agents.kubelet.hollow import HollowBuilder, HollowImages, HollowProbes, Silence
from agents.kubelet.pods.performer import NotReadyToStart, Performer
from agents.kubelet.pods.plan import Plan, Resize
from agents.kubelet.pods.state import PodState
from agents.kubelet.pods.status import NodeFacts
from agents.kubelet.pods.stopper import Stopper
from agents.kubelet.pods.view import PodView
from agents.kubelet.pods.worker import PodSource, Worker
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import Container, PodIdentity, State
from api.client import Client
from api.objects import Object
from api.runtime import SystemRuntime, timestamp

pytestmark = pytest.mark.unit


class Api:
    """The API with one pod, which is the node's; notes what is written."""

    def __init__(self, pod: Object) -> None:
        self.pod, self.written = pod, list[str]()

    def get(self, uid: str) -> Object:
        return self.pod

    def shown(self, pod: Object) -> Object:
        return self.pod

    def items(self) -> list[Object]:
        return [self.pod]

    def finished(self, uid: str) -> None:
        self.written.append("finished")

    def synced(self) -> bool:
        return True

    def patch(self, plural: str, name: str, patch: Object, *rest: Any, **options: Any) -> Object:
        self.written.append(patch["status"]["phase"])
        return self.pod

    def delete(self, plural: str, name: str, *rest: Any, **options: Any) -> None:
        self.written.append("deleted")


def performer_with(builder: HollowBuilder) -> Performer:
    clock = SystemRuntime()
    runtime = FakeRuntime(clock)
    stopper = Stopper(clock, runtime, lambda *anything: None, lambda uid: None)
    return Performer(
        clock, runtime, FakeNetwork("10.0.0.0/24"), builder, HollowImages(), stopper, lambda *anything: "", Silence()
    )


@pytest.mark.parametrize(
    ("finalizers", "written"),
    [([], ["deleted", "finished"]), (["batch.kubernetes.io/job-tracking"], ["Failed", "deleted", "finished"])],
)
def test_a_pod_that_was_deleted_before_it_began_has_failed_for_who_waits_for_its_end(
    finalizers: list[str], written: list[str]
) -> None:
    metadata = {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "1", "finalizers": finalizers}
    deleted = {"deletionTimestamp": timestamp(SystemRuntime().time()), "deletionGracePeriodSeconds": 0}
    spec = {"containers": [{"name": "app", "image": "x:1"}]}
    api = Api({"metadata": metadata | deleted, "spec": spec, "status": {"phase": "Pending"}})
    performer = performer_with(HollowBuilder())
    clock = performer.clock
    worker = Worker(
        clock, cast(Client, api), cast(PodSource, api), performer, HollowProbes(), lambda pod, others: None,
        lambda: NodeFacts(("192.0.2.1",)), lambda pod, view: view, {}, clock.lock(),
    )  # fmt: skip
    assert worker.look("u") is None
    assert api.written == written


class Holding(HollowBuilder):
    """A builder of pods of which a container holds 3 MiB and the whole 8 MiB of memory."""

    def memory_in_use(self, pod: Object, container_id: str = "") -> int:
        return (3 if container_id else 8) << 20

    def resize(self, pod: Object) -> None:
        raise AssertionError("the kernel would have ended what holds more")


@pytest.mark.parametrize(("own", "whole", "refused"), [
    ("2Mi", "16Mi", 'container "app" memory limit (2097152) below current usage (3145728)'),
    ("4Mi", "6Mi", "pod memory limit (6291456) below current usage (8388608)"),
])  # fmt: skip
def test_neither_a_container_nor_its_pod_is_held_to_less_memory_than_it_uses(
    own: str, whole: str, refused: str
) -> None:
    container = {"name": "app", "image": "x:1", "resources": {"limits": {"memory": own}}}
    pod = {"metadata": {"uid": "u"}, "spec": {"containers": [container], "resources": {"limits": {"memory": whole}}}}
    running = Container("c", PodIdentity("web", "default", "u"), "app", 0, "s", State.RUNNING, "x:1", "i")
    state = PodState(seen=0.0)
    with pytest.raises(NotReadyToStart):
        performer_with(Holding()).perform(pod, Plan(resizes=(Resize(running, ""),)), PodView(), state, lambda: None)
    assert refused in state.resize_error

"""What authors of valid objects are warned of, in the original's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_validation import CONTAINER, made, put

from api import warnings
from api.objects import Object, copy
from control.apiserver.response import warning_headers

pytestmark = pytest.mark.unit

POD, DEPLOYMENT, SERVICE = "v1/Pod", "apps/v1/Deployment", "v1/Service"
CLAIM, VOLUME = "v1/PersistentVolumeClaim", "v1/PersistentVolume"
OS = 'deprecated since v1.14; use "kubernetes.io/os" instead'
BETA = "volume.beta.kubernetes.io/storage-class"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
NULL = "labelSelector: a null labelSelector results in matching no pod"
C = "spec.containers[0]"


def container(**values: Any) -> Callable[[Object], Any]:
    return put("spec/containers", [CONTAINER | values])


def spec(**values: Any) -> Callable[[Object], Any]:
    return lambda obj: obj["spec"].update(values)


def term(key: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": "Exists"}]}


SPREAD = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "topologyKey": "failure-domain.beta.kubernetes.io/zone"}
NEW: list[tuple[str, Callable[[Object], Any], list[str]]] = [
    (POD, spec(), []),
    (POD, put("metadata/name", "a.b"),
     ["metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
      "recommended: [must not contain dots]"]),
    (POD, spec(nodeSelector={"beta.kubernetes.io/os": "linux"}), [f"spec.nodeSelector[beta.kubernetes.io/os]: {OS}"]),
    (POD, spec(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [term("beta.kubernetes.io/os")]}}}),
     ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
      f".matchExpressions[0].key: beta.kubernetes.io/os is {OS}"]),
    (POD, spec(topologySpreadConstraints=[SPREAD]),
     ["spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since "
      'v1.17; use "topology.kubernetes.io/zone" instead', f"spec.topologySpreadConstraints[0].{NULL}"]),
    (POD, spec(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]}}),
     [f"spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].{NULL}"]),
    (POD, spec(volumes=[{"name": "g", "gitRepo": {"repository": "r"}}]),
     ["spec.volumes[0].gitRepo: deprecated in v1.11"]),
    (POD, spec(hostAliases=[{"ip": "1.2.3.4"}] * 2, imagePullSecrets=[{"name": ""}]),
     ['spec.hostAliases[1].ip: duplicate ip "1.2.3.4"', 'spec.imagePullSecrets[0].name: invalid empty name ""']),
    (POD, put("metadata/annotations", {SECCOMP: "unconfined"}),
     [f'metadata.annotations[{SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field instead']),
    (POD, container(resources={"limits": {"memory": "1500m"}, "requests": {"memory": "1Gi"}}),
     [f'{C}.resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer']),
    (POD, container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}]),
     [f'{C}.env[2]: hides previous definition of "A", which may be dropped when using apply']),
    (POD, container(ports=[{"containerPort": 80}, {"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}]),
     [f"{C}.ports[1]: duplicate port definition with {C}.ports[0]",
      f"{C}.ports[2]: overlapping port definition with {C}.ports[0]",
      f"{C}.ports[2]: overlapping port definition with {C}.ports[1]"]),
    (DEPLOYMENT, lambda it: it["spec"]["template"]["metadata"].update(
        annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
     ["spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; "
      'use the "appArmorProfile" field instead']),
    (SERVICE, put("metadata/annotations", {"service.kubernetes.io/topology-aware-hints": "auto"}),
     ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
      "service.kubernetes.io/topology-mode instead"]),
    (SERVICE, spec(clusterIP="None", externalIPs=["1.2.3.4"], sessionAffinity="ClientIP"),
     ["spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services"]),
    (CLAIM, put("metadata/annotations", {BETA: "x"}),
     [f'metadata.annotations[{BETA}]: deprecated since v1.8; use "storageClassName" attribute instead']),
    (CLAIM, put("spec/resources/requests/storage", "1500m"),
     ['spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer']),
    (VOLUME, spec(persistentVolumeReclaimPolicy="Recycle"),
     ["spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
      "is to use dynamic provisioning."]),
    ("networking.k8s.io/v1/Ingress", put("metadata/annotations", {"kubernetes.io/ingress.class": "x"}),
     ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "wanted"), NEW, ids=[f"{case[0]}-{case[2]}"[:60] for case in NEW])
def test_what_is_odd_is_told(kind: str, change: Callable[[Object], Any], wanted: list[str]) -> None:
    obj = made(kind, change)
    assert warnings.of_new(obj["kind"], obj) == wanted


def test_what_does_not_change_is_told_once() -> None:
    old = made(DEPLOYMENT, put("spec/template/spec/nodeSelector", {"beta.kubernetes.io/os": "linux"}))
    assert warnings.of_changed("Deployment", copy(old), old) == []
    new = copy(old)
    new["spec"]["template"]["metadata"]["labels"]["more"] = "x"
    assert warnings.of_changed("Deployment", new, old) == [
        f"spec.template.spec.nodeSelector[beta.kubernetes.io/os]: {OS}"
    ]
    pod = made(POD, spec(nodeSelector={"beta.kubernetes.io/os": "linux"}))
    assert warnings.of_changed("Pod", pod, pod) == []


@pytest.mark.timeout(10)
def test_very_many_ports_are_not_compared_with_each_other() -> None:
    for ports in (
        [{"containerPort": 80}] * 10_000,
        [{"containerPort": 80, "hostPort": number} for number in range(1, 20_000)],
    ):
        assert len(warnings.of_new("Pod", made(POD, container(ports=ports)))) < 5000


@pytest.mark.parametrize(
    ("told", "lengths"),
    [
        (["a", "b", "a"], [1, 1]),
        (["a" * 4096], [4096]),
        (["a" * 4096, "b"], [256, 1]),
        ([f"{number:0300}" for number in range(100)], [256] * 16),
        ([f"{number:0100}" for number in range(100)], [100] * 41),
    ],
)
def test_an_answer_has_room_for_so_many_warnings(told: list[str], lengths: list[int]) -> None:
    assert [len(text) - len('299 - ""') for _, text in warning_headers(told)] == lengths

"""PodSecurity and the classes that complete objects: what is refused, warned of and filled in."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_objects import deployment, pod

from control.apiserver.admission.pod_security.checks import violations

pytestmark = pytest.mark.unit

PODS = "/api/v1/namespaces/default/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "main", "image": "web:1", "securityContext": {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}],
}  # fmt: skip


def label(cluster: Any, **modes: str) -> tuple[int, Any, dict[str, str]]:
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
    answer = cluster.request("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": labels}}, MERGE)
    cluster.server.cache.catch_up()
    return answer


def main(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "web:1", "securityContext": context}]}


BASELINE: list[tuple[dict[str, Any], str, str]] = [
    ({"hostNetwork": True, "hostPID": True, "containers": []}, "host namespaces", "hostNetwork=true, hostPID=true"),
    (main(privileged=True), "privileged", 'container "main" must not set securityContext.privileged=true'),
    (main(capabilities={"add": ["NET_ADMIN", "CHOWN"]}), "non-default capabilities",
     'container "main" must not include "NET_ADMIN" in securityContext.capabilities.add'),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "hostPath volumes", 'volume "v"'),
    ({"containers": [{"name": "a", "ports": [{"hostPort": 80}]}, {"name": "b", "ports": [{"hostPort": 90}]}]},
     "hostPort", 'containers "a", "b" use hostPorts 80, 90'),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls", "kernel.msgmax"),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile",
     'pod must not set securityContext.seccompProfile.type to "Unconfined"'),
    (main(procMount="Unmasked"), "procMount", 'container "main" must not set securityContext.procMount to "Unmasked"'),
    (main(seLinuxOptions={"type": "x", "user": "u"}), "seLinuxOptions",
     'container "main" sets forbidden securityContext.seLinuxOptions: type "x"; user may not be set'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "reason", "detail"), BASELINE, ids=[case[1] for case in BASELINE])
def test_baseline_names_what_it_forbids(spec, reason, detail):
    assert violations("baseline", {"spec": spec}) == [(reason, detail)]
    assert violations("privileged", {"spec": spec}) == []


def test_restricted_wants_all_of_it_in_the_originals_words(cluster):
    label(cluster, enforce="restricted")
    status, refused, _ = cluster.request("POST", PODS, pod("p"))
    assert (status, refused["message"]) == (
        403,
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    )
    assert cluster.request("POST", PODS, pod("p", **GOOD))[0] == 201


def test_workloads_are_warned_of_and_not_refused(cluster):
    label(cluster, enforce="restricted", warn="baseline")
    path = "/apis/apps/v1/namespaces/default/deployments"
    bad = deployment("d")
    bad["spec"]["template"]["spec"]["hostNetwork"] = True
    status, _, headers = cluster.request("POST", path, bad)
    assert status == 201
    assert headers["Warning"] == (
        '299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces (hostNetwork=true)"'
    )


def test_tightening_a_namespace_tells_of_the_pods_in_it(cluster):
    cluster.request("POST", PODS, pod("p", hostNetwork=True))
    headers = label(cluster, enforce="baseline")[2]
    assert headers["Warning"] == '299 - "p: host namespaces"'
    status, refused, _ = label(cluster, enforce="strict")
    assert (status, refused["details"]["causes"][0]["field"]) == (
        422, "metadata.labels[pod-security.kubernetes.io/enforce]",
    )  # fmt: skip


def test_a_runtime_class_adds_its_overhead_selector_and_tolerations(cluster):
    scheduling = {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}
    overhead = {"podFixed": {"memory": "10Mi"}}
    body = {"metadata": {"name": "vm"}, "handler": "vm", "overhead": overhead, "scheduling": scheduling}
    assert cluster.request("POST", "/apis/node.k8s.io/v1/runtimeclasses", body)[0] == 201
    made = cluster.request("POST", PODS, pod("p", runtimeClassName="vm"))[1]["spec"]
    assert (made["overhead"], made["nodeSelector"]) == ({"memory": "10Mi"}, {"vm": "yes"})
    assert {"key": "vm", "operator": "Exists"} in made["tolerations"]
    status, refused, _ = cluster.request("POST", PODS, pod("q", runtimeClassName="none"))
    assert (status, refused["message"]) == (403, 'pods "q" is forbidden: pod rejected: RuntimeClass "none" not found')


def test_an_ingress_gets_the_default_class(cluster):
    body = {"metadata": {"name": "c", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
            "spec": {"controller": "example.com/c"}}  # fmt: skip
    cluster.request("POST", "/apis/networking.k8s.io/v1/ingressclasses", body)
    cluster.server.cache.catch_up()
    ingress = {
        "metadata": {"name": "i"},
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    }
    made = cluster.request("POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", ingress)[1]
    assert made["spec"]["ingressClassName"] == "c"

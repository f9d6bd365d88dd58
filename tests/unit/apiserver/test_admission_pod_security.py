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
     'container "main" set forbidden securityContext.seLinuxOptions: type "x"; user may not be set'),
]  # fmt: skip


APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
PROBED = {"containers": [{"name": "main", "readinessProbe": {"httpGet": {"host": "a.example"}},
                          "lifecycle": {"preStop": {"tcpSocket": {"host": "b.example"}}}}]}  # fmt: skip
UNMASKED = main(procMount="Unmasked") | {"hostUsers": False}
ROOT = main(runAsUser=0, runAsNonRoot=True)
WINDOWS = main(runAsNonRoot=True) | {"os": {"name": "windows"}}


def sysctl(name: str) -> dict[str, Any]:
    return {"securityContext": {"sysctls": [{"name": name}]}}


# The level, the minor version, what is judged, and the reasons of what is wrong with it.
VERSIONS: list[tuple[str, int, dict[str, Any], list[str]]] = [
    ("baseline", 26, sysctl("net.ipv4.ip_local_reserved_ports"), ["forbidden sysctls"]),
    ("baseline", 27, sysctl("net.ipv4.ip_local_reserved_ports"), []),
    ("baseline", 36, sysctl("net.ipv4.tcp_notsent_lowat"), ["forbidden sysctls"]),
    ("baseline", 37, sysctl("net.ipv4.tcp_notsent_lowat"), []),
    ("baseline", 30, main(seLinuxOptions={"type": "container_engine_t"}), ["seLinuxOptions"]),
    ("baseline", 31, main(seLinuxOptions={"type": "container_engine_t"}), []),
    ("baseline", 33, PROBED, []),
    ("baseline", 34, PROBED, ["probe or lifecycle host"]),
    ("baseline", 34, UNMASKED, ["procMount"]),
    ("baseline", 35, UNMASKED, []),
    ("baseline", 18, main(seccompProfile={"type": "Unconfined"}), []),
    ("baseline", 19, main(seccompProfile={"type": "Unconfined"}), ["seccompProfile"]),
    ("restricted", 7, main(runAsNonRoot=True), []),
    ("restricted", 8, main(runAsNonRoot=True), ["allowPrivilegeEscalation != false"]),
    ("restricted", 7, main(runAsNonRoot=True, capabilities={"add": ["SYS_TIME"]}), ["non-default capabilities"]),
    ("restricted", 24, WINDOWS,
     ["allowPrivilegeEscalation != false", "unrestricted capabilities", "seccompProfile"]),
    ("restricted", 25, WINDOWS, []),
    ("restricted", 7, ROOT, []),
    ("restricted", 34, UNMASKED | {"containers": GOOD["containers"]}, ["runAsNonRoot != true", "seccompProfile"]),
    ("restricted", 35, UNMASKED | {"containers": GOOD["containers"]}, ["seccompProfile"]),
    ("restricted", 0, {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, ["restricted volume types"]),
]  # fmt: skip


@pytest.mark.parametrize(("level", "minor", "spec", "reasons"), VERSIONS)
def test_a_rule_holds_as_of_its_version(level, minor, spec, reasons):
    assert [reason for reason, _ in violations(level, {"spec": spec}, minor)] == reasons


def explained(level: str, reason: str, spec: dict[str, Any], **annotations: str) -> str:
    pod = {"metadata": {"annotations": annotations}, "spec": spec}
    return dict(violations(level, pod)).get(reason, "")


EXPLAINED: list[tuple[str, str, dict[str, Any], dict[str, str], str]] = [
    ("restricted", "runAsNonRoot != true",
     main(runAsNonRoot=True) | {"securityContext": {"runAsNonRoot": False}}, {},
     "pod must not set securityContext.runAsNonRoot=false"),
    ("baseline", "hostPort",
     {"containers": [{"name": "a", "ports": [{"hostPort": port} for port in (9, 80, 100)]}]}, {},
     'container "a" uses hostPorts 100, 80, 9'),
    ("baseline", "forbidden AppArmor profiles",
     main(appArmorProfile={"type": "Unconfined"}), {APPARMOR: "unconfined"},
     'container "main" and annotation must not set AppArmor profile type to '
     f'"Unconfined", "{APPARMOR}="unconfined""'),
    ("baseline", "forbidden AppArmor profile", main(), {APPARMOR: "localhost/x"}, ""),
    ("baseline", "probe or lifecycle host", PROBED, {},
     'container "main" uses probe or lifecycle hosts "a.example", "b.example"'),
    ("restricted", "restricted volume types",
     {"volumes": [{"name": "b", "nfs": {}}, {"name": "a", "hostPath": {}}]}, {},
     'volumes "b", "a" use restricted volume types "hostPath", "nfs"'),
]  # fmt: skip


@pytest.mark.parametrize(("level", "reason", "spec", "annotations", "detail"), EXPLAINED)
def test_a_violation_is_explained_in_the_originals_words(level, reason, spec, annotations, detail):
    assert explained(level, reason, spec, **annotations) == detail


def test_seccomp_of_old_is_read_from_annotations():
    spec, bad = main(), {"metadata": {"annotations": {SECCOMP: "unconfined"}}}
    said = [("seccompProfile", f'forbidden annotation {SECCOMP}="unconfined"')]
    assert violations("baseline", bad | {"spec": spec}, 18) == said
    assert violations("baseline", bad | {"spec": spec}, 19) == []


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
    headers = label(cluster, **{"enforce-version": "v1.20"})[2]
    assert headers["Warning"] == '299 - "p: host namespaces"'
    assert "Warning" not in label(cluster, enforce="privileged")[2]
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
    assert cluster.request("POST", PODS, pod("r", runtimeClassName="vm", overhead={"memory": "10240Ki"}))[0] == 201
    twice = [{"key": "vm", "value": "a", "effect": "NoSchedule"}, {"key": "x", "operator": "Exists"}]
    made = cluster.request("POST", PODS, pod("s", runtimeClassName="vm", tolerations=twice))[1]["spec"]
    assert [one["key"].rpartition("/")[2] for one in made["tolerations"]] == ["x", "not-ready", "unreachable", "vm"]
    cluster.request("POST", "/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "bare"}, "handler": "b"})
    for name in ("bare", None):
        body = pod("t", overhead={"memory": "1Mi"}, **({"runtimeClassName": name} if name else {}))
        assert cluster.request("POST", PODS, body)[1]["message"].endswith(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        )
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

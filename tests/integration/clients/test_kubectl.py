"""kubectl of two versions: what people type, and what they see."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from client_cluster import Program

pytestmark = pytest.mark.integration

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1", ports: [{containerPort: 80}]}]}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: red}
"""
SIGNER = "kubernetes.io/kube-apiserver-client"
CREATES = [
    "serviceaccount robot",
    "deployment web --image=web:1 --replicas=1 --port=80",
    "service clusterip plain --tcp=80:8080",
    "service nodeport open --tcp=80:8080",
    "service externalname other --external-name=example.com",
    "service loadbalancer balanced --tcp=80:80",
    "configmap settings --from-literal=colour=red",
    "secret generic hidden --from-literal=a=b",
    "secret docker-registry registry --docker-username=u --docker-password=p",
    "job once --image=web:1 -- true",
    "cronjob often --image=web:1 --schedule=@hourly -- true",
    "ingress way --rule=example.com/*=web:80",
    "role reader --verb=get,list --resource=pods,deployments.apps",
    "rolebinding reader --role=reader --user=alice",
    "quota most --hard=pods=50",
    "poddisruptionbudget some --selector=app=web --min-available=1",
]
DESCRIBED = {
    "deployment/web": r"Replicas:\s+1 desired \| 1 updated \| 1 total",
    "replicaset": r"Controlled By:\s+Deployment/web",
    "pod": r"Controlled By:\s+ReplicaSet/web-",
    "service/open": r"NodePort:\s+.*\d{5}/TCP",
    "endpointslice": r"AddressType:\s+IPv4",
    "ingress/way": r"Host\s+Path\s+Backends",
    "job/once": r"Pods Statuses:\s+1 Active",
    "cronjob/often": r"Schedule:\s+@hourly",
    "quota/most": r"pods\s+\d+\s+50",
    "pdb/some": r"Min available:\s+1",
    "role/reader": r"deployments.apps\s+\[\]\s+\[\]\s+\[get list\]",
    "rolebinding/reader": r"User\s+alice",
    "secret/hidden": r"a:\s+1 bytes",
    "configmap/settings": r"colour:\n----\nred",
    "serviceaccount/robot": r"Name:\s+robot",
    "node": r"Non-terminated Pods:",
    "namespace": r"Resource Quotas",
    "storageclass": "",
    "clusterrole/view": r"pods/log\s+\[\]\s+\[\]\s+\[get list watch\]",
    "priorityclass/system-node-critical": r"Value:\s+2000001000",
}


def test_every_generator_creates_and_every_kind_is_described(kubectl_here: Program) -> None:
    for words in CREATES:
        kind = words.split()[0]
        assert " created" in kubectl_here("create", *words.split()), kind
    assert "exposed" in kubectl_here("expose", "deployment", "web", "--name=front", "--port=80")
    assert kubectl_here("create", "token", "robot").count(".") == 2
    kubectl_here("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl_here("wait", "pod", "--selector=job-name=once", "--for=condition=Ready", "--timeout=60s")
    for target, line in DESCRIBED.items():
        described = kubectl_here("describe", target)
        assert re.search(line, described), f"{target}: {described}"
    shown = kubectl_here("get", "all", "--output=wide")
    for kind in ("pod/web-", "service/open", "deployment.apps/web", "replicaset.apps/web-", "job.batch/once"):
        assert kind in shown


def test_get_selects_sorts_and_forms(kubectl_here: Program, namespace: str) -> None:
    for name, tier, size in (("a", "front", "3"), ("b", "back", "1"), ("c", "front", "2")):
        kubectl_here("create", "configmap", name, f"--from-literal=size={size}")
        kubectl_here("label", "configmap", name, f"tier={tier}")
    get = ("get", "configmaps")
    assert kubectl_here(*get, "--selector=tier in (front),!old", "--output=name").split() == [
        "configmap/a",
        "configmap/c",
    ]
    assert kubectl_here(*get, "--field-selector=metadata.name=b", "--no-headers", "--output=name").split() == [
        "configmap/b"
    ]
    columns = "--output=custom-columns=N:.metadata.name,S:.data.size"
    lines = kubectl_here(*get, "--selector=tier", columns, "--sort-by=.data.size").splitlines()
    assert [line.split() for line in lines] == [["N", "S"], ["b", "1"], ["c", "2"], ["a", "3"]]
    assert kubectl_here(*get, "a", "--output=jsonpath={.data.size}") == "3"
    assert len(kubectl_here(*get, "--chunk-size=1", "--no-headers").splitlines()) == 4
    assert [item["kind"] for item in json.loads(kubectl_here(*get, "a", "b", "--output=json"))["items"]] == [
        "ConfigMap"
    ] * 2
    shown = yaml.safe_load(kubectl_here(*get, "a", "--output=yaml", "--show-managed-fields"))
    assert {entry["manager"] for entry in shown["metadata"]["managedFields"]} == {"kubectl-create", "kubectl-label"}
    assert namespace in kubectl_here("get", "configmaps", "--all-namespaces", "--selector=tier=back")


def test_apply_patches_prunes_and_takes_over(kubectl_here: Program, namespace: str) -> None:
    file = Path(kubectl_here.home) / "all.yaml"
    file.write_text(f"{DEPLOYMENT}---{SETTINGS}")
    apply = ("apply", f"--filename={file}")
    assert kubectl_here(*apply).count("created") == 2
    assert kubectl_here(*apply).count("unchanged") == 2
    file.write_text(file.read_text().replace("replicas: 1", "replicas: 2"))
    diff = kubectl_here.run("diff", f"--filename={file}")
    assert diff.returncode == 1 and "-  replicas: 1\n+  replicas: 2" in diff.stdout
    assert "(server dry run)" in kubectl_here(*apply, "--dry-run=server")
    assert 'conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas' in kubectl_here.refused(
        "apply", "--filename=-", "--server-side", "--field-manager=other", given=file.read_text().partition("---")[0]
    )
    assert kubectl_here(*apply, "--server-side", "--force-conflicts").count("serverside-applied") == 2
    file.write_text(DEPLOYMENT)
    pruned = kubectl_here(
        "apply", f"--filename={file}", "--prune", "--selector=app=web", "--prune-allowlist=core/v1/ConfigMap"
    )
    assert "configmap/settings pruned" in pruned
    overlay = Path(kubectl_here.home) / "overlay"
    overlay.mkdir()
    (overlay / "settings.yaml").write_text(SETTINGS)
    (overlay / "kustomization.yaml").write_text("resources: [settings.yaml]\nnameSuffix: -two\n")
    assert "configmap/settings-two created" in kubectl_here("apply", f"--kustomize={overlay}")


def test_objects_are_edited_patched_replaced_and_set(kubectl_here: Program) -> None:
    kubectl_here("apply", "--filename=-", given=DEPLOYMENT)
    kubectl_here("apply", "--filename=-", given=SETTINGS)
    assert "edited" in kubectl_here("edit", "configmap/settings", EDITOR="sed -i s/red/blue/")
    web, replicas = "deployment/web", "--output=jsonpath={.spec.replicas}"
    for kind, patch, expected in (
        ("strategic", '{"spec":{"replicas":2}}', "2"),
        ("merge", '{"spec":{"replicas":3}}', "3"),
        ("json", '[{"op":"replace","path":"/spec/replicas","value":1}]', "1"),
    ):
        assert "patched" in kubectl_here("patch", web, f"--type={kind}", f"--patch={patch}")
        assert kubectl_here("get", web, replicas) == expected
    scale = ("--subresource=scale", "--type=merge", '--patch={"spec":{"replicas":2}}')
    assert "scale.autoscaling/web patched" in kubectl_here("patch", web, *scale)
    assert kubectl_here("get", web, "--subresource=scale", "--no-headers").split()[:2] == ["web", "2"]
    assert "Expected replicas to be 7, was 2" in kubectl_here.refused(
        "scale", web, "--replicas=3", "--current-replicas=7"
    )
    assert "scaled" in kubectl_here("scale", web, "--replicas=1")
    assert "autoscaled" in kubectl_here("autoscale", web, "--min=1", "--max=4")
    for words in (
        ["set", "image", web, "main=web:2"], ["set", "env", web, "A=B"], ["set", "serviceaccount", web, "default"],
        ["set", "resources", web, "--limits=cpu=1,memory=1Gi"], ["label", web, "a=b"], ["annotate", web, "c=d"],
    ):  # fmt: skip
        kubectl_here(*words)
    assert "already has a value (b), and --overwrite is false" in kubectl_here.refused("label", web, "a=c")
    body = kubectl_here("get", "configmap/settings", "--output=yaml").replace("blue", "green")
    assert "replaced" in kubectl_here("replace", "--filename=-", given=body)
    assert "the object has been modified" in kubectl_here.refused("replace", "--filename=-", given=body)


def test_rollouts_go_forward_and_back(kubectl_here: Program) -> None:
    web = "deployment/web"
    kubectl_here("apply", "--filename=-", given=DEPLOYMENT)
    rollout = ("rollout", "status", web, "--timeout=60s")
    kubectl_here(*rollout)
    kubectl_here("set", "image", web, "main=web:2")
    kubectl_here("annotate", web, "kubernetes.io/change-cause=second")
    assert "successfully rolled out" in kubectl_here(*rollout)
    assert re.search(r"^2\s+second$", kubectl_here("rollout", "history", web), re.MULTILINE)
    assert "rolled back" in kubectl_here("rollout", "undo", web)
    assert kubectl_here("get", web, "--output=jsonpath={.spec.template.spec.containers[0].image}") == "web:1"
    kubectl_here("rollout", "pause", web)
    assert "can't restart paused deployment" in kubectl_here.refused("rollout", "restart", web)
    kubectl_here("rollout", "resume", web)
    kubectl_here("rollout", "restart", web)
    kubectl_here(*rollout)


def test_deletion_cascades_as_asked(newest: Program) -> None:
    newest("apply", "--filename=-", given=DEPLOYMENT)
    newest("rollout", "status", "deployment/web", "--timeout=60s")
    newest("delete", "deployment/web", "--cascade=orphan")
    assert "replicaset.apps/web-" in newest("get", "replicasets,pods", "--output=name")
    newest("delete", "replicasets", "--all", "--cascade=foreground", "--timeout=60s")
    assert newest("get", "replicasets,pods", "--output=name") == ""
    newest("run", "single", "--image=web:1", "--restart=Never")
    newest("wait", "pod/single", "--for=condition=Ready", "--timeout=60s")
    newest("delete", "pod/single", "--grace-period=0", "--force")
    assert '"single" not found' in newest.refused("delete", "pod/single")
    newest("delete", "pod/single", "--ignore-not-found")


def test_what_is_served_is_explained(newest: Program) -> None:
    explained = newest("explain", "pod.spec.containers.livenessProbe", "--recursive")
    assert re.search(r"httpGet\s+<HTTPGetAction>\n\s+host\s+<string>", explained)
    assert "KIND:     Deployment" in newest("explain", "deployment", "--output=plaintext-openapiv2")
    assert "GROUP:      autoscaling" in newest("explain", "horizontalpodautoscalers.spec.metrics")
    resources = newest("api-resources", "--output=wide", "--no-headers")
    assert re.search(
        r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment\s+create,delete,.*\s+all$", resources, re.MULTILINE
    )
    assert {"v1", "apps/v1", "autoscaling/v2"} <= set(newest("api-versions").split())
    assert 'the server doesn\'t have a resource type "boat"' in newest.refused("get", "boat")
    assert re.search(r"Server Version: v1\.3\d", newest("version"))
    assert newest("get", "--raw=/readyz?verbose").endswith("readyz check passed\n")
    dump = Path(newest.home) / "dump"
    newest("cluster-info", "dump", f"--output-directory={dump}")
    assert json.loads((dump / "nodes.json").read_text())["items"]


def test_who_may_what(newest: Program, namespace: str) -> None:
    newest("create", "role", "reader", "--verb=get", "--resource=pods")
    newest("create", "rolebinding", "reader", "--role=reader", "--user=alice")
    alice = ("--as=alice",)
    assert newest("auth", "can-i", "get", "pods", *alice) == "yes\n"
    assert newest.run("auth", "can-i", "delete", "pods", *alice).stdout == "no\n"
    assert re.search(r"^pods\s+\[\]\s+\[\]\s+\[get\]$", newest("auth", "can-i", "--list", *alice), re.MULTILINE)
    assert re.search(r"Username\s+alice", newest("auth", "whoami", *alice))
    said = newest.refused("delete", "pod", "x", *alice)
    expected = f'User "alice" cannot delete resource "pods" in API group "" in the namespace "{namespace}"'
    assert f'pods "x" is forbidden: {expected}' in said
    rules = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": namespace},
        "rules": [rules],
    }
    reconciled = newest.run("auth", "reconcile", "--filename=-", given=json.dumps(role))
    assert "missing rules added" in reconciled.stderr


def test_nodes_are_drained_and_certificates_signed(newest: Program) -> None:
    newest("apply", "--filename=-", given=DEPLOYMENT.replace("web", "moved"))
    newest("rollout", "status", "deployment/moved", "--timeout=60s")
    node = newest("get", "pods", "--output=jsonpath={.items[0].spec.nodeName}")
    drain = ("drain", node, "--ignore-daemonsets", "--force", "--pod-selector=app=moved", "--timeout=60s")
    assert f"node/{node} drained" in newest(*drain)
    newest("rollout", "status", "deployment/moved", "--timeout=60s")
    assert newest("get", "pods", "--output=jsonpath={.items[*].spec.nodeName}") != node
    assert "already cordoned" in newest("cordon", node), "draining does that"
    assert "SchedulingDisabled" in newest("get", "node", node)
    assert "uncordoned" in newest("uncordon", node)
    assert f"node/{node} cordoned" in newest("cordon", node)
    assert "uncordoned" in newest("uncordon", node)
    newest("taint", "node", node, "a=b:NoSchedule")
    newest("taint", "node", node, "a:NoSchedule-")
    name = f"csr-{newest.home.name}".replace("_", "-")
    pem = subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec:/dev/stdin", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=alice"],
        input=subprocess.run(["openssl", "ecparam", "-name", "prime256v1"], capture_output=True, check=True).stdout,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    signing = {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": _base64(pem), "signerName": SIGNER, "usages": ["client auth"]},
    }  # fmt: skip
    newest("create", "--filename=-", given=json.dumps(signing))
    assert "approved" in newest("certificate", "approve", name)
    newest("wait", f"csr/{name}", "--for=jsonpath={.status.certificate}", "--timeout=30s")
    assert re.search(r"Status:\s+Approved,Issued", newest("describe", "csr", name))
    newest("delete", "csr", name)


REFUSED = [
    (
        "create -f -",
        {"spec": {"containers": [{"name": "a", "image": "b", "x": 1}]}},
        'unknown field "spec.containers[0].x"',
    ),
    ("create -f -", {"spec": {"containers": []}}, "* spec.containers: Required value"),
    (
        "create -f - --validate=false",
        {"spec": {"containers": [{"name": "a", "image": "b", "stdin": 3}]}},
        "json: cannot unmarshal number into Go struct field Container.spec.containers.stdin of type bool",
    ),
    (
        "get pods --field-selector=bad=1",
        {},
        'Unable to find "/v1, Resource=pods" that match label selector "", field selector "bad=1": '
        "field label not supported: bad",
    ),
    ("get pod/x service/y", {}, 'Error from server (NotFound): services "y" not found'),
    ("rollout undo deployment/x", {}, 'deployments.apps "x" not found'),
]


def test_refusals_read_as_ever(newest: Program) -> None:
    for words, pod, said in REFUSED:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A_B"}} | pod
        assert said in newest.refused(*words.split(), given=json.dumps(body))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()

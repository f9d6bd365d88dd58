"""helm 3 and helm 4 install, upgrade, test, roll back and uninstall charts."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from client_cluster import ClientCluster, Program

pytestmark = pytest.mark.integration

CHART = {
    "Chart.yaml": """
        apiVersion: v2
        name: web
        version: 0.1.0
        appVersion: "1"
        kubeVersion: ">=1.30.0-0"
    """,
    "values.yaml": """
        replicas: 1
        image: web:1
        settings: {}
    """,
    "templates/all.yaml": """
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: {{ .Release.Name }}
          labels: {app: {{ .Release.Name }}}
        spec:
          replicas: {{ .Values.replicas }}
          selector: {matchLabels: {app: {{ .Release.Name }}}}
          template:
            metadata: {labels: {app: {{ .Release.Name }}}}
            spec:
              containers: [{name: main, image: {{ .Values.image }}, ports: [{containerPort: 80}]}]
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: {{ .Release.Name }}}
        spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}
        ---
        {{- with .Values.settings }}
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: {{ $.Release.Name }}-settings}
        data: {{ toJson . }}
        {{- end }}
        ---
        {{- if .Capabilities.APIVersions.Has "policy/v1" }}
        apiVersion: policy/v1
        kind: PodDisruptionBudget
        metadata: {name: {{ .Release.Name }}}
        spec: {minAvailable: 1, selector: {matchLabels: {app: {{ .Release.Name }}}}}
        {{- end }}
    """,
    "templates/hook.yaml": """
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: {{ .Release.Name }}-before
          annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
        data: {revision: "{{ .Release.Revision }}"}
    """,
    "templates/check.yaml": """
        apiVersion: v1
        kind: Pod
        metadata:
          name: {{ .Release.Name }}-check
          annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
        spec:
          restartPolicy: Never
          containers: [{name: main, image: check}]
    """,
}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """The chart's directory."""
    for name, text in CHART.items():
        file = tmp_path / "web" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return tmp_path / "web"


def test_a_release_lives_and_dies(helm_here: Program, chart: Path, cluster: ClientCluster, namespace: str) -> None:
    def get(resource: str, name: str) -> Any:
        return cluster.client.get(resource, name, namespace)

    helm_here("install", "site", str(chart), "--wait", "--timeout", "60s", "--set", "settings.colour=red")
    assert get("deployments.apps", "site")["status"]["readyReplicas"] == 1
    assert get("poddisruptionbudgets.policy", "site")["spec"]["minAvailable"] == 1
    helm_here("upgrade", "site", str(chart), "--wait", "--timeout", "60s", "--set", "replicas=2,image=web:2")
    assert get("deployments.apps", "site")["spec"]["replicas"] == 2
    assert get("configmaps", "site-before")["data"] == {"revision": "2"}
    names = [item["metadata"]["name"] for item in cluster.client.list("configmaps", namespace).items]
    assert "site-settings" not in names
    helm_here("rollback", "site", "1", "--wait", "--timeout", "60s")
    assert get("deployments.apps", "site")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
    assert get("configmaps", "site-settings")["data"] == {"colour": "red"}
    history = json.loads(helm_here("history", "site", "--output", "json"))
    assert [(line["revision"], line["status"]) for line in history] == [
        (1, "superseded"), (2, "superseded"), (3, "deployed")
    ]  # fmt: skip
    assert "STATUS: deployed" in helm_here("status", "site")
    helm_here("uninstall", "site", "--wait", "--timeout", "60s")
    assert cluster.client.list("deployments.apps", namespace).items == []
    assert cluster.client.list("secrets", namespace, label_selector="owner=helm").items == []


def test_a_test_hook_reports_its_outcome(
    helm_here: Program, chart: Path, cluster: ClientCluster, namespace: str
) -> None:
    """A hollow container runs for ever, so the test itself reports the pod's end, as its node would."""
    helm_here("install", "site", str(chart))
    with helm_here.started("test", "site", "--timeout", "60s") as running:
        pods = lambda: cluster.client.list("pods", namespace, field_selector="metadata.name=site-check").items  # noqa: E731
        cluster.until(lambda: pods() and pods()[0]["status"].get("phase") == "Running", "the check runs")
        pod = pods()[0]
        pod["status"]["phase"] = "Succeeded"
        cluster.client.update_status("pods", pod)
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, output
    assert "Phase:          Succeeded" in output


def test_a_chart_that_the_server_refuses_leaves_no_deployed_release(helm_here: Program, chart: Path) -> None:
    said = helm_here.refused("install", "site", str(chart), "--set", "replicas=-1")
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in said
    assert json.loads(helm_here("list", "--deployed", "--output", "json")) == []

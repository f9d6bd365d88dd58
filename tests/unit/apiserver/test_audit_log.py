"""The audit log: what a line says, and what admission notes in it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from apiserver_in_process import ADMIN
from apiserver_objects import config_map, deployment, pod

from api.transport import Request, WsgiTransport
from control.apiserver.application import application
from control.apiserver.audit import AuditLog
from control.apiserver.authentication.certificates import ENVIRON_USER
from control.apiserver.identity import User

pytestmark = pytest.mark.unit

MAPS = "/api/v1/namespaces/default/configmaps"
GROUP = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture
def audited(cluster, tmp_path):
    """Sends a request to the cluster's server with an audit log, and gives (answer's headers, the line of it)."""
    file = tmp_path / "audit.log"
    served = application(cluster.server, {}, AuditLog(str(file), cluster.server.runtime))

    def send(method: str, path: str, body: Any = None, user: User = ADMIN, **headers: str) -> tuple[Any, Any]:
        transport = WsgiTransport(served, {ENVIRON_USER: user, "REMOTE_ADDR": "192.0.2.7"})
        given = {"Content-Type": "application/json", **headers}
        answer = transport.send(Request(method, path, given, orjson.dumps(body) if body else None))
        if "watch" not in path:
            answer.read()
        answer.close()
        return dict(answer.headers), orjson.loads(file.read_bytes().splitlines()[-1])

    return send


def test_a_line_says_who_asked_for_what_and_how_it_ended(audited):
    headers, line = audited("POST", f"{MAPS}?dryRun=All", config_map("m"), **{"User-Agent": "kubectl/v1"})
    assert line["auditID"] == headers["Audit-Id"]
    stamps = line.pop("requestReceivedTimestamp"), line.pop("stageTimestamp")
    assert stamps == tuple(sorted(stamps))
    assert line == {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": headers["Audit-Id"],
        "stage": "ResponseComplete", "requestURI": f"{MAPS}?dryRun=All", "verb": "create",
        "user": {"username": "kubernetes-admin", "groups": list(ADMIN.groups)},
        "sourceIPs": ["192.0.2.7"], "userAgent": "kubectl/v1",
        "objectRef": {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }  # fmt: skip


def test_refusals_streams_impersonation_and_given_ids_are_told(audited):
    _, refused = audited("GET", f"{MAPS}/m", user=User("bob"))
    assert refused["responseStatus"]["code"] == 403
    assert refused["responseStatus"]["reason"] == "Forbidden"
    assert refused["annotations"] == {"authorization.k8s.io/decision": "forbid"}
    _, watch = audited("GET", f"{MAPS}?watch=1&timeoutSeconds=1")
    assert (watch["verb"], watch["stage"]) == ("watch", "ResponseStarted")
    headers, acted = audited("GET", MAPS, **{"Impersonate-User": "carol", "Audit-Id": "mine"})
    assert (headers["Audit-Id"], acted["auditID"]) == ("mine", "mine")
    assert (acted["user"]["username"], acted["impersonatedUser"]["username"]) == ("kubernetes-admin", "carol")


def test_pod_security_notes_which_policy_held_and_what_would_break_another(cluster, audited):
    labels = {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/audit": "restricted"}
    cluster.request("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": labels}},
                    {"Content-Type": "application/merge-patch+json"})  # fmt: skip
    cluster.server.cache.catch_up()
    _, line = audited("POST", "/api/v1/namespaces/default/pods", pod("p"))
    noted = line["annotations"]
    assert noted["pod-security.kubernetes.io/enforce-policy"] == "baseline:latest"
    violation = 'would violate PodSecurity "restricted:latest": '
    assert noted["pod-security.kubernetes.io/audit-violations"].startswith(violation)
    _, line = audited("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("d"))
    assert noted["pod-security.kubernetes.io/audit-violations"].startswith(violation)


def test_policies_note_their_annotations_and_what_they_only_audit(cluster, audited):
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false", "message": "no"}],
            "auditAnnotations": [{"key": "named", "valueExpression": "'it is ' + object.metadata.name"},
                                 {"key": "silent", "valueExpression": "null"}]}  # fmt: skip
    cluster.request("POST", f"{GROUP}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    for name in ("a", "b"):
        bound = {"policyName": "p", "validationActions": ["Audit"]}
        cluster.request("POST", f"{GROUP}/validatingadmissionpolicybindings",
                        {"metadata": {"name": name}, "spec": bound})  # fmt: skip
    cluster.server.cache.catch_up()
    _, line = audited("POST", MAPS, config_map("m"))
    assert line["responseStatus"]["code"] == 201
    assert line["annotations"]["p/named"] == "it is m"
    assert "p/silent" not in line["annotations"]
    assert orjson.loads(line["annotations"]["validation.policy.admission.k8s.io/validation_failure"]) == [
        {"message": "no", "policy": "p", "binding": name, "expressionIndex": 0, "validationActions": ["Audit"]}
        for name in ("a", "b")
    ]

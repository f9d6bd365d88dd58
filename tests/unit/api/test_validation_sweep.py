"""Bad objects of every kind against the original's words: field by field, new and changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_validation import CONTAINER, made, put, sentences

from api.objects import Object, copy

pytestmark = pytest.mark.unit

C = "spec.containers[0]"
NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
POD, SERVICE, NODE, QUOTA, RANGE = "v1/Pod", "v1/Service", "v1/Node", "v1/ResourceQuota", "v1/LimitRange"
CLAIM, VOLUME, JOB = "v1/PersistentVolumeClaim", "v1/PersistentVolume", "batch/v1/Job"
STATEFUL, POLICY = "apps/v1/StatefulSet", "networking.k8s.io/v1/NetworkPolicy"


def container(**values: Any) -> Callable[[Object], Any]:
    return put("spec/containers", [CONTAINER | values])


NEW: list[tuple[str, Callable[[Object], Any], list[str]]] = [
    (POD, container(image=" web:1"),
     [f'{C}.image: Invalid value: " web:1": must not have leading or trailing whitespace']),
    (POD, container(terminationMessagePolicy="X"),
     [f'{C}.terminationMessagePolicy: Unsupported value: "X": supported values: "File", "FallbackToLogsOnError"']),
    (POD, container(env=[{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.x"}}}]),
     [f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.x": supported values: "metadata.name", '
      '"metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", '
      '"status.hostIPs", "status.podIP", "status.podIPs"']),
    (POD, container(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]),
     [f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 '
      "are supported with the cpu resource"]),
    (POD, container(env=[{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "x", "path": "../f", "key": "A="}}}]),
     [f'{C}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "x"',
      f"{C}.env[0].valueFrom.fileKeyRef.path: Invalid value: \"../f\": must not contain '..'",
      f'{C}.env[0].valueFrom.fileKeyRef.key: Invalid value: "A=": a valid environment variable name must consist only '
      "of printable ASCII characters other than '='"]),
    (POD, container(envFrom=[{"prefix": "p"}]),
     [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
    (POD, container(resources={"requests": {"example.com/gpu": "1"}}),
     [f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"]),
    (POD, container(resources={"limits": {"example.com/gpu": "500m"}}),
     [f'{C}.resources.{kind}[example.com/gpu]: Invalid value: "500m": must be an integer'
      for kind in ("limits", "requests")]),
    (POD, container(resources={"requests": {"disk": "1"}}),
     [f'{C}.resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
      f'{C}.resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers']),
    (POD, container(resources={"limits": {"hugepages-2Mi": "3Mi"}}),
     [*(f'{C}.resources.{kind}[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
        "hugepages-2Mi" for kind in ("limits", "requests")),
      f"{C}.resources: Forbidden: HugePages require cpu or memory"]),
    (POD, container(resources={"claims": [{"name": "gpu"}]}),
     [f'{C}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims '
      "which is empty"]),
    (POD, container(lifecycle={"preStop": {"sleep": {"seconds": 60}}}),
     [f"{C}.lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than "
      "terminationGracePeriodSeconds (30)"]),
    (POD, container(securityContext={"runAsUser": 2**31}),
     [f"{C}.securityContext.runAsUser: Invalid value: 2147483648: must be between 0 and 2147483647, inclusive"]),
    (POD, container(securityContext={"seccompProfile": {"type": "Localhost"}}),
     [f"{C}.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is "
      "Localhost"]),
    (POD, container(volumeMounts=[{"name": "", "mountPath": ""}]),
     [f"{C}.volumeMounts[0].name: Required value", f'{C}.volumeMounts[0].name: Not found: ""',
      f"{C}.volumeMounts[0].mountPath: Required value"]),
    (POD, container(volumeDevices=[{"name": "v", "devicePath": "/dev/../x"}]),
     [f'{C}.volumeDevices[0].name: Not found: "v"',
      f"{C}.volumeDevices[0].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps ('..')"]),
    (POD, container(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "Never"}]),
     [f'{C}.resizePolicy: Unsupported value: "Never": supported values: "NotRequired", "RestartContainer"']),
    (POD, put("spec/hostUsers", False), []),
    (POD, lambda pod: pod["spec"].update(hostUsers=False, hostPID=True),
     ["spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"]),
    (POD, lambda pod: pod["spec"].update(hostPID=True, shareProcessNamespace=True),
     ["spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both "
      "be enabled"]),
    (POD, put("spec/securityContext", {"sysctls": [{"name": "A B", "value": "1"}]}),
     ['spec.securityContext.sysctls[0].name: Invalid value: "A B": must have at most 253 characters and match regex '
      r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"]),
    (POD, put("spec/dnsPolicy", "None"),
     ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (POD, put("spec/dnsConfig", {"nameservers": ["x"], "options": [{}]}),
     [f'spec.dnsConfig.nameservers[0]: Invalid value: "x": {NO_ADDRESS}',
      "spec.dnsConfig.options[0]: Required value: must not be empty"]),
    (POD, put("spec/hostAliases", [{"ip": "1", "hostnames": ["A"]}]),
     ['spec.hostAliases[0].ip: Invalid value: "1": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      'spec.hostAliases[0].hostnames[0]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case '
      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
      "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]),
    (POD, put("spec/preemptionPolicy", "X"),
     ['spec.preemptionPolicy: Unsupported value: "X": supported values: "PreemptLowerPriority", "Never"']),
    (POD, lambda pod: pod["spec"].update(nodeName="n", schedulingGates=[{"name": "g"}]),
     ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"]),
    (SERVICE, put("spec/clusterIP", "x"),
     ['spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']),
    (SERVICE, lambda it: it["spec"].update(type="NodePort", clusterIP="None", clusterIPs=["None"]),
     ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"]),
    (SERVICE, put("spec/ipFamilies", ["IPv4", "IPv4", "IPv5"]),
     ['spec.ipFamilies[1]: Duplicate value: "IPv4"',
      'spec.ipFamilies[2]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"']),
    (SERVICE, lambda it: it["spec"].update(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "10.0.0.2"]),
     ['spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family']),
    (SERVICE, lambda it: it["spec"].update(type="ExternalName", externalName="", ipFamilyPolicy="SingleStack"),
     ["spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services", "spec.externalName: Required value"]),
    (SERVICE, put("spec/externalIPs", ["127.0.0.1"]),
     ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)']),
    (SERVICE, put("spec/loadBalancerSourceRanges", ["10.0.0.0/33"]),
     ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
      'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 '
      "or 2001:db8::/64)"]),
    (SERVICE, put("spec/trafficDistribution", "Near"),
     ['spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", '
      '"PreferSameZone"']),
    (SERVICE, put("spec/healthCheckNodePort", 30000),
     ["spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
      "`externalTrafficPolicy` is 'Local'"]),
    (NODE, put("spec/taints", [{"key": "a", "effect": "NoSchedule"}] * 2),
     ['metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect '
      "pair"]),
    (NODE, put("spec/podCIDRs", ["10.0.0.0/8", "11.0.0.0/8"]),
     ['spec.podCIDRs: Invalid value: ["10.0.0.0/8","11.0.0.0/8"]: may specify no more than one CIDR for each IP '
      "family"]),
    (QUOTA, put("spec/hard", {"gpus": "1", "pods": "1500m"}),
     ['spec.hard[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
      'spec.hard[gpus]: Invalid value: "gpus": must be a standard resource for quota',
      'spec.hard[pods]: Invalid value: "1500m": must be an integer']),
    (QUOTA, put("spec", {"hard": {"secrets": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
     ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
      'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes']),
    (QUOTA, put("spec/scopeSelector", {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}),
     ["spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' "
      "or 'NotIn' for scope selector"]),
    (RANGE, put("spec/limits", [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]),
     ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1']),
    (RANGE, put("spec/limits", [{"type": "Pod", "default": {"cpu": "2"}}, {"type": "Pod"}]),
     ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
      'spec.limits[1].type: Duplicate value: "Pod"']),
    (RANGE, put("spec/limits", [{"type": "PersistentVolumeClaim"}]),
     ["spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was "
      "provided"]),
    (RANGE, put("spec/limits", [{"type": "Container", "maxLimitRequestRatio": {"cpu": "3"}, "min": {"cpu": "1"},
                                 "max": {"cpu": "2"}}]),
     ['spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000']),
    (CLAIM, put("spec/dataSource", {"kind": "Backup", "name": "b"}),
     ["spec.dataSource: Invalid value: \"Backup\": must be 'PersistentVolumeClaim' when referencing the default "
      "apiGroup"]),
    (JOB, lambda job: job["spec"].update(backoffLimitPerIndex=1),
     ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"]),
    (JOB, put("spec/podFailurePolicy", {"rules": [
        {"action": "X", "onExitCodes": {"operator": "In", "values": [0, 0]}}]}),
     ['spec.podFailurePolicy.rules[0].action: Unsupported value: "X": supported values: "Count", "FailIndex", '
      '"FailJob", "Ignore"',
      "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
      "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
      "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Duplicate value: 0"]),
    (STATEFUL, put("spec/podManagementPolicy", "X"),
     ["spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'"]),
    (STATEFUL, put("spec/updateStrategy", {"type": "X"}),
     ["spec.updateStrategy: Invalid value: {\"type\":\"X\"}: must be 'RollingUpdate' or 'OnDelete'"]),
    (POLICY, put("spec/ingress", [{"ports": [{"port": "http", "endPort": 5, "protocol": "TCP"}]}]),
     ["spec.ingress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is non-numeric"]),
    (POLICY, put("spec/ingress", [{"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/16"]}}]}]),
     ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/16": must be a strict subset of `cidr`']),
    ("discovery.k8s.io/v1/EndpointSlice", put("endpoints/0/addresses", ["169.254.1.1"]),
     ['endpoints[0].addresses[0]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, '
      "fe80::/10)"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "wanted"), NEW, ids=[f"{case[0]}-{str(case[2])[:50]}" for case in NEW])
def test_each_bad_field_has_the_originals_causes(kind: str, change: Callable[[Object], Any], wanted: list[str]) -> None:
    obj = made(kind, change)
    spec = obj.get("spec") or {}
    if kind == SERVICE and spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    assert sentences(obj) == wanted


def status(**values: Any) -> Callable[[Object], Any]:
    return lambda obj: obj.setdefault("status", {}).update(values)


def spec(**values: Any) -> Callable[[Object], Any]:
    return lambda obj: obj["spec"].update(values)


ADDRESSED = spec(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
SIZE = ("spec/resources/requests/storage",)
CHANGES: list[tuple[str, Callable[[Object], Any], Callable[[Object], Any], list[str]]] = [
    (SERVICE, ADDRESSED, spec(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"]),
     ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set']),
    (SERVICE, ADDRESSED, spec(clusterIP="", clusterIPs=[]),
     ["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"]),
    (SERVICE, ADDRESSED, spec(ipFamilies=["IPv6"], clusterIP="10.0.0.1"),
     ['spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
      'spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`']),
    (SERVICE, ADDRESSED, lambda it: it.update(spec={"type": "ExternalName", "externalName": "a.example.com",
                                                    "sessionAffinity": "None"}), []),
    (POD, put("spec/activeDeadlineSeconds", 9), put("spec/activeDeadlineSeconds", 10),
     ["spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value"]),
    (POD, put("spec/activeDeadlineSeconds", 9), put("spec/activeDeadlineSeconds", None),
     ['spec.activeDeadlineSeconds: Invalid value: "null": must not update from a positive integer to nil value']),
    (POD, put("spec/tolerations", [{"key": "a", "operator": "Exists"}]), put("spec/tolerations", []),
     ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]),
    (POD, spec(schedulingGates=[{"name": "a"}], nodeSelector={"x": "1"}),
     spec(schedulingGates=[{"name": "b"}], nodeSelector={"x": "1", "y": "2"}),
     ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'"]),
    (POD, spec(schedulingGates=[{"name": "a"}], nodeSelector={"x": "1"}), spec(nodeSelector={"y": "2"}),
     ['spec.nodeSelector: Invalid value: {"y":"2"}: only additions to spec.nodeSelector are allowed (no mutations or '
      "deletions)"]),
    (NODE, put("spec/providerID", "a"), put("spec/providerID", "b"),
     ['spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
      ": Forbidden: node updates may only change labels, taints, or capacity"]),
    (VOLUME, put("metadata/labels", {}), put("spec/volumeMode", "Block"),
     ['volumeMode: Invalid value: "Block": field is immutable']),
    (VOLUME, put("spec/nodeAffinity", {"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "a", "operator": "Exists"}]}]}}), put("spec/nodeAffinity", None),
     ['nodeAffinity: Invalid value: "null": field is immutable']),
    (CLAIM, status(phase="Bound", capacity={"storage": "1Gi"}), put(SIZE[0], "2Gi"), []),
    (CLAIM, status(phase="Bound", capacity={"storage": "1Gi"}), put(SIZE[0], "1Mi"),
     ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]),
    (CLAIM, put(SIZE[0], "1Gi"), put(SIZE[0], "2Gi"),
     ["spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
      'bound claims\n- resources: {"requests":{"storage":"1Gi"}}\n+ resources: {"requests":{"storage":"2Gi"}}']),
    (CLAIM, spec(volumeAttributesClassName="a"), status(phase="Bound"), []),
    (JOB, spec(completionMode="Indexed", completions=2, parallelism=2), spec(completions=3),
     ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"]),
    (JOB, spec(completionMode="Indexed", completions=2, parallelism=2), spec(completions=3, parallelism=3), []),
    (JOB, spec(suspend=True), put("spec/template/spec/nodeSelector", {"a": "b"}), []),
    (QUOTA, put("spec/scopes", ["Terminating"]), put("spec/scopes", ["NotTerminating"]),
     ['spec.scopes: Invalid value: ["NotTerminating"]: field is immutable']),
    ("storage.k8s.io/v1/StorageClass", put("metadata/labels", {}), put("volumeBindingMode", "WaitForFirstConsumer"),
     ['volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable']),
    ("discovery.k8s.io/v1/EndpointSlice", put("endpoints", []), put("addressType", "IPv6"),
     ['addressType: Invalid value: "IPv6": field is immutable']),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "before", "change", "wanted"), CHANGES, ids=[str(case[3])[:60] for case in CHANGES])
def test_each_changed_field_has_the_originals_causes(
    kind: str, before: Callable[[Object], Any], change: Callable[[Object], Any], wanted: list[str]
) -> None:
    old = made(kind, before)
    if kind == QUOTA:
        old["spec"]["hard"] = {"pods": "1"}
    new = copy(old)
    change(new)
    assert sentences(new, old) == wanted


FLOW = "flowcontrol.apiserver.k8s.io/v1/FlowSchema"
LEVEL = "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration"


def test_flow_schemas_and_levels_are_held_to_their_rules() -> None:
    rule = {"subjects": [{"kind": "User", "group": {"name": "g"}}], "resourceRules": [{"verbs": ["get", "*"]}]}
    schema = {"apiVersion": FLOW.rpartition("/")[0], "kind": "FlowSchema", "metadata": {"name": "f"},
              "spec": {"matchingPrecedence": 1, "rules": [rule]}}  # fmt: skip
    path = "spec.rules[0]"
    assert sentences(schema) == [
        "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        f"{path}.subjects[0].user: Required value: user is required when subject kind is 'User'",
        f"{path}.subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        f'{path}.resourceRules[0].verbs: Invalid value: ["get","*"]: if \'*\' is present, must not specify other verbs',
        f"{path}.resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
        f"{path}.resourceRules[0].resources: Required value: resource rules must supply at least one resource",
        f"{path}.resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply "
        "at least one namespace",
    ]
    level = {"apiVersion": LEVEL.rpartition("/")[0], "kind": "PriorityLevelConfiguration", "metadata": {"name": "l"},
             "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 1,
                      "handSize": 2, "queueLengthLimit": 0}}}}}  # fmt: skip
    assert sentences(level) == [
        "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: 0: must be positive",
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 2: should not be greater than queues (1)",
    ]

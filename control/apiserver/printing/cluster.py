"""The columns of what administers a cluster: access, certificates, leases, storage, admission, flow control.

Source: `kubectl get` of the original for those groups.
"""

from __future__ import annotations

from typing import Any

from api import objects
from api.objects import Object
from control.apiserver.printing.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cells,
    Column,
    Doc,
    Printer,
    age,
    human_duration,
    joined,
)  # fmt: skip

_CERTIFICATES, _STORAGE = "io.k8s.api.certificates.v1.", "io.k8s.api.storage.v1."
_FLOW, _ADMISSION = "io.k8s.api.flowcontrol.v1.", "io.k8s.api.admissionregistration.v1."
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _spec(obj: Object) -> Object:
    return obj.get("spec") or {}


def _binding(binding: Object, now: float) -> Cells:
    role = binding.get("roleRef") or {}
    subjects = binding.get("subjects") or []
    users = [subject.get("name", "") for subject in subjects if subject.get("kind") == "User"]
    groups = [subject.get("name", "") for subject in subjects if subject.get("kind") == "Group"]
    accounts = [
        f"{subject.get('namespace', '')}/{subject.get('name', '')}"
        for subject in subjects
        if subject.get("kind") == "ServiceAccount"
    ]
    return [
        objects.name_of(binding),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age(binding, now),
        *(", ".join(names) for names in (users, groups, accounts)),
    ]


def _signing_request(request: Object, now: float) -> Cells:
    spec, status = _spec(request), request.get("status") or {}
    kinds = {condition.get("type") for condition in status.get("conditions") or []}
    word = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    word += ",Failed" * ("Failed" in kinds) + ",Issued" * bool(status.get("certificate"))
    seconds = spec.get("expirationSeconds")
    return [
        objects.name_of(request),
        age(request, now),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if seconds is None else human_duration(seconds),
        word,
    ]


def _lease(lease: Object, now: float) -> Cells:
    return [objects.name_of(lease), _spec(lease).get("holderIdentity", ""), age(lease, now)]


def _storage_class(storage_class: Object, now: float) -> Cells:
    name = objects.name_of(storage_class)
    is_default = objects.annotations_of(storage_class).get(_DEFAULT_CLASS) == "true"
    return [
        name + " (default)" * is_default,
        storage_class.get("provisioner", ""),
        storage_class.get("reclaimPolicy", "Delete"),
        storage_class.get("volumeBindingMode", UNSET),
        bool(storage_class.get("allowVolumeExpansion")),
        age(storage_class, now),
    ]


def _attributes_class(attributes: Object, now: float) -> Cells:
    return [objects.name_of(attributes), attributes.get("driverName", ""), age(attributes, now)]


def _attachment(attachment: Object, now: float) -> Cells:
    spec = _spec(attachment)
    return [
        objects.name_of(attachment),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool((attachment.get("status") or {}).get("attached")),
        age(attachment, now),
    ]


def _csi_node(node: Object, now: float) -> Cells:
    return [objects.name_of(node), len(_spec(node).get("drivers") or []), age(node, now)]


def _csi_driver(driver: Object, now: float) -> Cells:
    spec = _spec(driver)
    audiences = [request.get("audience", "") for request in spec.get("tokenRequests") or []]
    return [
        objects.name_of(driver),
        spec.get("attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        joined(audiences, UNSET),
        bool(spec.get("requiresRepublish")),
        joined(spec.get("volumeLifecycleModes") or [], NONE),
        age(driver, now),
    ]


def _storage_capacity(capacity: Object, now: float) -> Cells:
    amount = capacity.get("capacity") or UNSET
    return [objects.name_of(capacity), capacity.get("storageClassName", ""), amount]


def _priority_class(priority: Object, now: float) -> Cells:
    return [
        objects.name_of(priority),
        priority.get("value", 0),
        bool(priority.get("globalDefault")),
        age(priority, now),
        priority.get("preemptionPolicy") or UNSET,
    ]


def _runtime_class(runtime_class: Object, now: float) -> Cells:
    return [objects.name_of(runtime_class), runtime_class.get("handler", ""), age(runtime_class, now)]


def _webhooks(configuration: Object, now: float) -> Cells:
    return [objects.name_of(configuration), len(configuration.get("webhooks") or []), age(configuration, now)]


def _admission_policy(policy: Object, now: float) -> Cells:
    spec = _spec(policy)
    parameter = spec.get("paramKind")
    rules = spec.get("validations") or spec.get("mutations") or []
    kind = f"{parameter.get('apiVersion', '')}/{parameter.get('kind', '')}" if parameter else UNSET
    return [objects.name_of(policy), len(rules), kind, age(policy, now)]


def _policy_binding(binding: Object, now: float) -> Cells:
    spec = _spec(binding)
    parameter = spec.get("paramRef")
    text = UNSET
    if parameter:
        text = f"{parameter.get('namespace') or '*'}/{parameter['name']}" if parameter.get("name") else "*"
    return [objects.name_of(binding), spec.get("policyName", ""), text, age(binding, now)]


def _flow_schema(schema: Object, now: float) -> Cells:
    spec = _spec(schema)
    dangling = objects.condition(schema, "Dangling")
    return [
        objects.name_of(schema),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age(schema, now),
        "?" if dangling is None else dangling.get("status"),
    ]


def _priority_level(level: Object, now: float) -> Cells:
    spec = _spec(level)
    limits = spec.get("limited") or spec.get("exempt") or {}
    queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing") or {}
    shares: Any = limits.get("nominalConcurrencyShares")
    fields = ("queues", "handSize", "queueLengthLimit")
    return [
        objects.name_of(level),
        spec.get("type", ""),
        NONE if shares is None else shares,
        *(queuing.get(field, NONE) for field in fields),
        age(level, now),
    ]


def _api_service(api_service: Object, now: float) -> Cells:
    service = _spec(api_service).get("service")
    available = objects.condition(api_service, "Available") or {"status": "Unknown"}
    word = str(available.get("status"))
    if word == "False":
        word = f"False ({available.get('reason', '')})"
    name = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [objects.name_of(api_service), name, word, age(api_service, now)]


def _trust_bundle(bundle: Object, now: float) -> Cells:
    return [objects.name_of(bundle), _spec(bundle).get("signerName") or NONE]


def _column(name: str, kind: str, definition: str, field: str, priority: int = 0) -> Column:
    return Column(name, kind, Doc(definition, field), priority=priority)


_BINDING = (
    NAME,
    _column("Role", "string", "io.k8s.api.rbac.v1.RoleBinding", "roleRef"),
    AGE,
    Column("Users", "string", "Users in the roleBinding", priority=1),
    Column("Groups", "string", "Groups in the roleBinding", priority=1),
    Column("ServiceAccounts", "string", "ServiceAccounts in the roleBinding", priority=1),
)
_WEBHOOKS = (NAME, Column("Webhooks", "integer", "Webhooks indicates the number of webhooks registered in this"
                          " configuration"), AGE)  # fmt: skip
_DRIVER_COLUMNS = [
    ("AttachRequired", "boolean", "attachRequired"), ("PodInfoOnMount", "boolean", "podInfoOnMount"),
    ("StorageCapacity", "boolean", "storageCapacity"), ("TokenRequests", "string", "tokenRequests"),
    ("RequiresRepublish", "boolean", "requiresRepublish"), ("Modes", "string", "volumeLifecycleModes"),
]  # fmt: skip

PRINTERS = {
    "RoleBinding": Printer(_BINDING, _binding),
    "ClusterRoleBinding": Printer(_BINDING, _binding),
    "CertificateSigningRequest": Printer(
        (
            NAME,
            AGE,
            _column("SignerName", "string", _CERTIFICATES + "CertificateSigningRequestSpec", "signerName"),
            _column("Requestor", "string", _CERTIFICATES + "CertificateSigningRequestSpec", "request"),
            _column("RequestedDuration", "string", _CERTIFICATES + "CertificateSigningRequestSpec",
                    "expirationSeconds"),
            _column("Condition", "string", _CERTIFICATES + "CertificateSigningRequestStatus", "conditions"),
        ),
        _signing_request,
    ),
    "ClusterTrustBundle": Printer(
        (NAME, _column("SignerName", "string", _CERTIFICATES + "ClusterTrustBundleSpec", "signerName")), _trust_bundle
    ),
    "Lease": Printer(
        (NAME, _column("Holder", "string", "io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity"), AGE), _lease
    ),
    "StorageClass": Printer(
        (
            NAME,
            _column("Provisioner", "string", _STORAGE + "StorageClass", "provisioner"),
            _column("ReclaimPolicy", "string", _STORAGE + "StorageClass", "reclaimPolicy"),
            _column("VolumeBindingMode", "string", _STORAGE + "StorageClass", "volumeBindingMode"),
            _column("AllowVolumeExpansion", "string", _STORAGE + "StorageClass", "allowVolumeExpansion"),
            AGE,
        ),
        _storage_class,
    ),
    "VolumeAttributesClass": Printer(
        (NAME, _column("DriverName", "string", _STORAGE + "VolumeAttributesClass", "driverName"), AGE),
        _attributes_class,
    ),
    "VolumeAttachment": Printer(
        (
            NAME,
            _column("Attacher", "string", _STORAGE + "VolumeAttachmentSpec", "attacher"),
            _column("PV", "string", _STORAGE + "VolumeAttachmentSource", "persistentVolumeName"),
            _column("Node", "string", _STORAGE + "VolumeAttachmentSpec", "nodeName"),
            _column("Attached", "boolean", _STORAGE + "VolumeAttachmentStatus", "attached"),
            AGE,
        ),
        _attachment,
    ),
    "CSINode": Printer(
        (NAME, Column("Drivers", "integer", "Drivers indicates the number of CSI drivers registered on the node"), AGE),
        _csi_node,
    ),
    "CSIDriver": Printer(
        (NAME, *(_column(n, kind, _STORAGE + "CSIDriverSpec", field) for n, kind, field in _DRIVER_COLUMNS), AGE),
        _csi_driver,
    ),
    "CSIStorageCapacity": Printer(
        (
            NAME,
            _column("StorageClassName", "string", _STORAGE + "CSIStorageCapacity", "storageClassName"),
            _column("Capacity", "string", _STORAGE + "CSIStorageCapacity", "capacity"),
        ),
        _storage_capacity,
    ),
    "PriorityClass": Printer(
        (
            NAME,
            _column("Value", "integer", "io.k8s.api.scheduling.v1.PriorityClass", "value"),
            _column("Global-Default", "boolean", "io.k8s.api.scheduling.v1.PriorityClass", "globalDefault"),
            AGE,
            _column("PreemptionPolicy", "string", "io.k8s.api.scheduling.v1.PriorityClass", "preemptionPolicy"),
        ),
        _priority_class,
    ),
    "RuntimeClass": Printer(
        (NAME, _column("Handler", "string", "io.k8s.api.node.v1.RuntimeClass", "handler"), AGE), _runtime_class
    ),
    "MutatingWebhookConfiguration": Printer(_WEBHOOKS, _webhooks),
    "ValidatingWebhookConfiguration": Printer(_WEBHOOKS, _webhooks),
    "ValidatingAdmissionPolicy": Printer(
        (
            NAME,
            Column("Validations", "integer", "Validations indicates the number of validation rules defined in this"
                   " configuration"),
            _column("ParamKind", "string", _ADMISSION + "ValidatingAdmissionPolicySpec", "paramKind"),
            AGE,
        ),
        _admission_policy,
    ),
    "MutatingAdmissionPolicy": Printer(
        (
            NAME,
            Column("Mutations", "integer", "Mutation indicates the number of mutations rules defined in this"
                   " configuration"),
            _column("ParamKind", "string", _ADMISSION + "MutatingAdmissionPolicySpec", "paramKind"),
            AGE,
        ),
        _admission_policy,
    ),
    "ValidatingAdmissionPolicyBinding": Printer(
        (
            NAME,
            _column("PolicyName", "string", _ADMISSION + "ValidatingAdmissionPolicyBindingSpec", "policyName"),
            _column("ParamRef", "string", _ADMISSION + "ValidatingAdmissionPolicyBindingSpec", "paramRef"),
            AGE,
        ),
        _policy_binding,
    ),
    "MutatingAdmissionPolicyBinding": Printer(
        (
            NAME,
            _column("PolicyName", "string", _ADMISSION + "MutatingAdmissionPolicyBindingSpec", "policyName"),
            _column("ParamRef", "string", _ADMISSION + "MutatingAdmissionPolicyBindingSpec", "paramRef"),
            AGE,
        ),
        _policy_binding,
    ),
    "FlowSchema": Printer(
        (
            NAME,
            _column("PriorityLevel", "string", _FLOW + "FlowSchemaSpec", "priorityLevelConfiguration"),
            _column("MatchingPrecedence", "string", _FLOW + "FlowSchemaSpec", "matchingPrecedence"),
            _column("DistinguisherMethod", "string", _FLOW + "FlowSchemaSpec", "distinguisherMethod"),
            AGE,
            Column("MissingPL", "string", "references a broken or non-existent PriorityLevelConfiguration"),
        ),
        _flow_schema,
    ),
    "PriorityLevelConfiguration": Printer(
        (
            NAME,
            _column("Type", "string", _FLOW + "PriorityLevelConfigurationSpec", "type"),
            _column("NominalConcurrencyShares", "string", _FLOW + "LimitedPriorityLevelConfiguration",
                    "nominalConcurrencyShares"),
            _column("Queues", "string", _FLOW + "QueuingConfiguration", "queues"),
            _column("HandSize", "string", _FLOW + "QueuingConfiguration", "handSize"),
            _column("QueueLengthLimit", "string", _FLOW + "QueuingConfiguration", "queueLengthLimit"),
            AGE,
        ),
        _priority_level,
    ),
    "APIService": Printer(
        (
            NAME,
            Column("Service", "string", "The reference to the service that hosts this API endpoint."),
            Column("Available", "string", "Whether this service is available."),
            AGE,
        ),
        _api_service,
    ),
}  # fmt: skip

"""Rules for leases, priorities, runtime classes and certificate requests.

Source: the original's validation of the coordination, scheduling, node and certificates groups.
"""

from __future__ import annotations

import base64
import binascii

from cryptography import x509

from api import names
from api.objects import Object
from api.validation import fields, pod_certificates, resources, scheduling
from api.validation.fields import Causes

_USAGES = {
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
}  # fmt: skip
_CONDITIONS = ("Approved", "Denied", "Failed")
_SYSTEM_PRIORITY = 1_000_000_000
_SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_MIN_DURATION = 600


def _lease(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found: Causes = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        found.append(fields.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    found += fields.nonnegative("spec.leaseTransitions", spec.get("leaseTransitions"))
    if spec.get("holderIdentity") == "":
        found.append(fields.invalid("spec.holderIdentity", "", "must not be empty"))
    return found


def _priority_class(new: Object, old: Object | None, subresource: str) -> Causes:
    name, value = str(new["metadata"].get("name") or ""), new.get("value") or 0
    found: Causes = []
    if name.startswith("system-"):
        known = _SYSTEM_CLASSES.get(name)
        if known != value:
            why = f"value of {name} PriorityClass must be {known}" if known else (
                f"{name} is not a known system priority class"
            )  # fmt: skip
            detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            found.append(fields.forbidden("metadata.name", detail))
    elif value > _SYSTEM_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_SYSTEM_PRIORITY}"
        found.append(fields.forbidden("value", detail))
    policy = new.get("preemptionPolicy")
    found += fields.one_of("preemptionPolicy", policy, ("Never", "PreemptLowerPriority"), False)
    if old is not None:
        if value != (old.get("value") or 0):
            found.append(fields.forbidden("value", "may not be changed in an update."))
        found += fields.unchanged("preemptionPolicy", policy, old.get("preemptionPolicy"))
    return found


def _runtime_class(new: Object, old: Object | None, subresource: str) -> Causes:
    found = fields.problems("handler", new.get("handler") or "", names.dns_label_problems)
    overhead, placement = new.get("overhead"), new.get("scheduling") or {}
    if overhead is not None:
        found += resources.requirements("overhead", {"limits": overhead.get("podFixed") or {}})
    found += fields.labels("scheduling.nodeSelector", placement.get("nodeSelector"))
    found += scheduling.tolerations("scheduling.tolerations", placement)
    seen = []
    for path, toleration in fields.each(placement, "tolerations", "scheduling"):
        key = {field: value for field, value in toleration.items() if field != "tolerationSeconds"}
        if key in seen:
            found.append(fields.duplicate(path, toleration))
        seen.append(key)
    if old is not None:
        found += fields.unchanged("handler", new.get("handler"), old.get("handler"))
    return found


def _signing_request(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found: Causes = []
    if old is None:
        found += _request("spec.request", spec.get("request") or "")
        found += pod_certificates.signer_name("spec.signerName", spec.get("signerName") or "")
        if not spec.get("usages"):
            found.append(fields.required("spec.usages"))
        for index, usage in enumerate(spec.get("usages") or []):
            if usage not in _USAGES:
                found.append(fields.not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES)))
            elif usage in spec["usages"][:index]:
                found.append(fields.duplicate(f"spec.usages[{index}]", usage))
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < _MIN_DURATION:
            detail = "may not specify a duration less than 600 seconds (10 minutes)"
            found.append(fields.invalid("spec.expirationSeconds", seconds, detail))
    return found + _conditions(new, old, subresource)


def _request(path: str, encoded: str) -> Causes:
    if not encoded:
        return [fields.required(path)]
    try:
        x509.load_pem_x509_csr(base64.b64decode(encoded))
    except (ValueError, binascii.Error):
        return [fields.invalid(path, encoded, "PEM block type must be CERTIFICATE REQUEST")]
    return []


def _conditions(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    now = {condition.get("type"): condition for condition in (new.get("status") or {}).get("conditions") or []}
    if "Approved" in now and "Denied" in now:
        detail = "Approved and Denied conditions are mutually exclusive"
        found.append(fields.invalid("status.conditions", "Denied", detail))
    for path, condition in fields.each(new.get("status") or {}, "conditions", "status"):
        if not condition.get("type"):
            found.append(fields.required(f"{path}.type"))
        elif condition["type"] in _CONDITIONS and condition.get("status") != "True":
            found.append(fields.not_supported(f"{path}.status", condition.get("status", ""), ("True",)))
    before = (old or {}).get("status") or {}
    for condition in before.get("conditions") or []:
        kind = condition.get("type")
        if kind in _CONDITIONS and kind not in now:
            detail = f'updates may not remove a condition of type "{kind}"'
            found.append(fields.forbidden("status.conditions", detail))
    if before.get("certificate") and subresource == "status":
        certificate = (new.get("status") or {}).get("certificate")
        if certificate != before["certificate"]:
            detail = "updates may not set certificate content in a way that would change it"
            found.append(fields.forbidden("status.certificate", detail))
    return found + (_certificate(new, before) if subresource == "status" else [])


def _certificate(new: Object, before: Object) -> Causes:
    """A signer gives PEM blocks of certificates and nothing else."""
    text = (new.get("status") or {}).get("certificate")
    if not text or text == before.get("certificate"):
        return []
    path, shown = "status.certificate", "<certificate data>"
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(text))
    except (ValueError, binascii.Error) as error:
        missing = "PEM" in str(error) or "No " in str(error)
        detail = "must contain at least one CERTIFICATE PEM block" if missing else str(error)
        return [fields.invalid(path, shown, detail)]
    return [] if found else [fields.invalid(path, shown, "must contain at least one CERTIFICATE PEM block")]


VALIDATORS = {
    "Lease": _lease,
    "PriorityClass": _priority_class,
    "RuntimeClass": _runtime_class,
    "CertificateSigningRequest": _signing_request,
    "PodCertificateRequest": pod_certificates.request,
}

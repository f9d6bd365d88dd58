"""Rules for what hooks into admission and into the API itself.

Source: the original's validation of webhook configurations and APIService.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import admission_hooks as hooks
from api.validation import admission_policies, fields, webhook_clients
from api.validation.fields import Causes


def _webhooks(new: Object, old: Object | None, subresource: str) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for path, webhook in fields.each(new, "webhooks", ""):
        path = path.lstrip(".")
        name = webhook.get("name") or ""
        found += _qualified_name(f"{path}.name", name)
        if name in seen:
            found.append(fields.duplicate(f"{path}.name", name))
        seen.add(name)
        found += hooks.rules(webhook, "rules", path)
        found += fields.one_of(f"{path}.failurePolicy", webhook.get("failurePolicy"), ("Fail", "Ignore"))
        found += fields.one_of(f"{path}.matchPolicy", webhook.get("matchPolicy"), ("Equivalent", "Exact"))
        found += _side_effects(path, webhook)
        found += _timeout(path, webhook)
        found += webhook_clients.client(f"{path}.clientConfig", webhook.get("clientConfig") or {})
        for field in ("namespaceSelector", "objectSelector"):
            found += fields.label_selector(f"{path}.{field}", webhook.get(field))
        detail = "must specify one of v1, v1beta1"
        reviews = webhook.get("admissionReviewVersions") or []
        found += webhook_clients.review_versions(f"{path}.admissionReviewVersions", reviews, detail)
        found += hooks.conditions(path, webhook)
    return found


def _qualified_name(path: str, name: str) -> Causes:
    if not name:
        return [fields.required(path)]
    found = fields.problems(path, name, names.dns_subdomain_problems)
    if not found and name.count(".") < 2:
        found.append(fields.invalid(path, name, "should be a domain with at least three segments separated by dots"))
    return found


def _side_effects(path: str, webhook: Object) -> Causes:
    value = webhook.get("sideEffects")
    if value is None:
        return [fields.required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")]
    return fields.one_of(f"{path}.sideEffects", value, ("None", "NoneOnDryRun"))


def _timeout(path: str, webhook: Object) -> Causes:
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        return [fields.invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")]
    return []


def _api_service(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    wanted = f"{spec.get('version', '')}.{spec.get('group', '')}"
    name = new["metadata"].get("name")
    found: Causes = []
    if name != wanted:
        found.append(fields.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    if not spec.get("version"):
        found.append(fields.required("spec.version"))
    for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if value <= 0 or value > limit:
            found.append(fields.invalid(f"spec.{field}", value, f"must be positive and less than {limit}"))
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            found.append(fields.invalid("spec.caBundle", "...", "local APIServices may not have a caBundle"))
        return found
    for field in ("namespace", "name"):
        if not service.get(field):
            found.append(fields.required(f"spec.service.{field}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        found.append(fields.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return found


VALIDATORS = {
    **admission_policies.VALIDATORS,
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "APIService": _api_service,
}

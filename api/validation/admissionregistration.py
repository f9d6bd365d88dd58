"""Rules for what hooks into admission and into the API itself.

Source: the original's validation of webhook configurations, admission policies and APIService.
"""

from __future__ import annotations

import urllib.parse
from functools import lru_cache

from api import cel, names
from api.cel.authorizer import authorizer_functions
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_VERSIONS = ("v1", "v1beta1")
_WORDS = {"apiGroups": "API groups", "apiVersions": "API versions"}
_ACTIONS = ("Audit", "Deny", "Warn")


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
        found += _rules(webhook, "rules", path)
        found += fields.one_of(f"{path}.failurePolicy", webhook.get("failurePolicy"), ("Fail", "Ignore"))
        found += fields.one_of(f"{path}.matchPolicy", webhook.get("matchPolicy"), ("Equivalent", "Exact"))
        found += _side_effects(path, webhook)
        found += _timeout(path, webhook)
        found += _client(f"{path}.clientConfig", webhook.get("clientConfig") or {})
        for field in ("namespaceSelector", "objectSelector"):
            found += fields.label_selector(f"{path}.{field}", webhook.get(field))
        found += _reviews(path, webhook)
        found += _conditions(path, webhook)
    return found


def _qualified_name(path: str, name: str) -> Causes:
    if not name:
        return [fields.required(path)]
    found = fields.problems(path, name, names.dns_subdomain_problems)
    if not found and name.count(".") < 2:
        found.append(fields.invalid(path, name, "should be a domain with at least three segments separated by dots"))
    return found


def _rules(holder: Object, field: str, path: str) -> Causes:
    found: Causes = []
    for place, rule in fields.each(holder, field, path):
        for name, detail in (("apiGroups", ""), ("apiVersions", ""), ("resources", "")):
            if not rule.get(name):
                found.append(fields.required(f"{place}.{name}", detail))
        if not rule.get("operations"):
            found.append(fields.required(f"{place}.operations"))
        for index, operation in enumerate(rule.get("operations") or []):
            if operation not in _OPERATIONS:
                found.append(fields.not_supported(f"{place}.operations[{index}]", operation, _OPERATIONS))
        for name in ("apiGroups", "apiVersions", "operations"):
            values = rule.get(name) or []
            if "*" in values and len(values) > 1:
                detail = f"if '*' is present, must not specify other {_WORDS.get(name, name)}"
                found.append(fields.invalid(f"{place}.{name}", values, detail))
        found += fields.one_of(f"{place}.scope", rule.get("scope"), ("*", "Cluster", "Namespaced"))
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


def _client(path: str, config: Object) -> Causes:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [fields.required(path, "exactly one of url or service is required")]
    found: Causes = []
    if service is None:
        parts = urllib.parse.urlsplit(str(url))
        if parts.scheme != "https":
            detail = f"'{parts.scheme}' is not 'https'; desired format: https://host[/path]"
            found.append(fields.invalid(f"{path}.url", url, detail))
        if not parts.netloc:
            found.append(
                fields.invalid(f"{path}.url", url, "host must be specified; desired format: https://host[/path]")
            )
    else:
        for field in ("name", "namespace"):
            if not service.get(field):
                found.append(fields.required(f"{path}.service.{field}", f"service {field} is required"))
        if service.get("port") is not None:
            found += fields.problems(f"{path}.service.port", service["port"], names.port_problems)
        if service.get("path") and not service["path"].startswith("/"):
            found.append(fields.invalid(f"{path}.service.path", service["path"], "must start with a '/'"))
    return found


def _reviews(path: str, webhook: Object) -> Causes:
    versions = webhook.get("admissionReviewVersions") or []
    place = f"{path}.admissionReviewVersions"
    if not versions:
        return [fields.required(place, "must specify one of v1, v1beta1")]
    if not set(versions) & set(_VERSIONS):
        return [fields.invalid(place, versions, "must include at least one of v1, v1beta1")]
    return [
        fields.duplicate(f"{place}[{versions.index(name)}]", name) for name in set(versions) if versions.count(name) > 1
    ]


def _conditions(path: str, holder: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, condition in fields.each(holder, "matchConditions", path):
        name = condition.get("name") or ""
        found += fields.needed(f"{place}.name", name, names.label_key_problems)
        if name in seen:
            found.append(fields.duplicate(f"{place}.name", name))
        seen.add(name)
        if not str(condition.get("expression") or "").strip():
            found.append(fields.required(f"{place}.expression"))
        else:
            found += _compiles(f"{place}.expression", condition["expression"], "BOOL")
    return found


def _compiles(path: str, text: str, wanted: str) -> Causes:
    """Whether an expression compiles, and to which type ("": any)."""
    try:
        found = _environment().compile(text).result_type
    except cel.CelError as error:
        return [fields.invalid(path, text, str(error))]
    if wanted and found not in (wanted, "DYN"):
        return [fields.invalid(path, text, f"must evaluate to {wanted.lower()}")]
    return []


@lru_cache(1)
def _environment() -> cel.Environment:
    return cel.Environment(cel.ADMISSION_VARIABLES, functions=authorizer_functions(None))


def _policy(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    found = fields.one_of("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.append(fields.required("spec.matchConstraints"))
    elif not constraints.get("resourceRules"):
        found.append(fields.required("spec.matchConstraints.resourceRules"))
    else:
        found += _rules(constraints, "resourceRules", "spec.matchConstraints")
    found += _conditions("spec", spec)
    if new.get("kind") == "ValidatingAdmissionPolicy":
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            detail = "validations or auditAnnotations must contain at least one item"
            found += [fields.required("spec.validations", detail), fields.required("spec.auditAnnotations", detail)]
        for path, validation in fields.each(spec, "validations", "spec"):
            if not str(validation.get("expression") or "").strip():
                found.append(fields.required(f"{path}.expression", "expression is not specified"))
            else:
                found += _compiles(f"{path}.expression", validation["expression"], "BOOL")
            if validation.get("messageExpression"):
                found += _compiles(f"{path}.messageExpression", validation["messageExpression"], "STRING")
        for path, variable in fields.each(spec, "variables", "spec"):
            found += _compiles(f"{path}.expression", variable.get("expression") or "", "")
    return found


def _binding(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found = [] if spec.get("policyName") else [fields.required("spec.policyName")]
    if new.get("kind") == "ValidatingAdmissionPolicyBinding":
        actions = spec.get("validationActions") or []
        if not actions:
            found.append(fields.required("spec.validationActions"))
        for index, action in enumerate(actions):
            if action not in _ACTIONS:
                found.append(fields.not_supported(f"spec.validationActions[{index}]", action, _ACTIONS))
        if {"Deny", "Warn"} <= set(actions):
            detail = (
                "must not contain both Deny and Warn (repeating the same validation failure information in the API"
                " response and headers serves no purpose)"
            )
            found.append(fields.invalid("spec.validationActions", actions, detail))
    return found


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
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "ValidatingAdmissionPolicy": _policy,
    "MutatingAdmissionPolicy": _policy,
    "ValidatingAdmissionPolicyBinding": _binding,
    "MutatingAdmissionPolicyBinding": _binding,
    "APIService": _api_service,
}

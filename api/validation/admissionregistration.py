"""Rules for what hooks into admission and into the API itself.

Source: the original's validation of webhook configurations and APIService.
"""

from __future__ import annotations

import urllib.parse

from api import names
from api.objects import Object
from api.validation import admission_hooks as hooks
from api.validation import admission_policies, fields
from api.validation.fields import Causes

_VERSIONS = ("v1", "v1beta1")


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
        found += _client(f"{path}.clientConfig", webhook.get("clientConfig") or {})
        for field in ("namespaceSelector", "objectSelector"):
            found += fields.label_selector(f"{path}.{field}", webhook.get(field))
        found += _reviews(path, webhook)
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


def _client(path: str, config: Object) -> Causes:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [fields.required(path, "exactly one of url or service is required")]
    return _url(f"{path}.url", str(url)) if service is None else _service(f"{path}.service", service)


def _url(path: str, text: str) -> Causes:
    """An address over TLS, of which nothing but host and path is taken."""
    form = "; desired format: https://host[/path]"
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError as error:
        return [fields.required(path, f"url must be a valid URL: {error}{form}")]
    user, at, host = parts.netloc.rpartition("@")
    found: Causes = []
    if parts.scheme != "https":
        found.append(fields.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{form}"))
    if not host:
        found.append(fields.invalid(path, "", f"host must be provided{form}"))
    for given, value, what in (
        (at, user, "user information is"),
        (parts.fragment, parts.fragment, "fragments are"),
        (parts.query, parts.query, "query parameters are"),
    ):
        if given:
            found.append(fields.invalid(path, value, f"{what} not permitted in the URL"))
    return found


def _service(path: str, service: Object) -> Causes:
    found: Causes = []
    for field in ("name", "namespace"):
        if not service.get(field):
            found.append(fields.required(f"{path}.{field}", f"service {field} is required"))
    told = [] if service.get("port") is None else names.port_problems(service["port"])
    if told:
        found.append(fields.invalid(f"{path}.port", service["port"], f"port is not valid: {', '.join(told)}"))
    return found + _service_path(f"{path}.path", service.get("path") or "")


def _service_path(path: str, text: str) -> Causes:
    if text in ("", "/"):
        return []
    if text == "//":
        return [fields.invalid(path, text, "segment[0] may not be empty")]
    found = [] if text.startswith("/") else [fields.invalid(path, text, "must start with a '/'")]
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            found.append(fields.invalid(path, text, f"segment[{index}] may not be empty"))
            continue
        for sentence in names.dns_subdomain_problems(step):
            found.append(fields.invalid(path, text, f"segment[{index}]: {sentence}"))
    return found


def _reviews(path: str, webhook: Object) -> Causes:
    versions = webhook.get("admissionReviewVersions") or []
    place = f"{path}.admissionReviewVersions"
    if not versions:
        return [fields.required(place, "must specify one of v1, v1beta1")]
    found: Causes = []
    for index, name in enumerate(versions):
        if name in versions[:index]:
            found.append(fields.invalid(f"{place}[{index}]", name, "duplicate version"))
        else:
            found += fields.problems(f"{place}[{index}]", name, names.dns_1035_label_problems)
    if not set(versions) & set(_VERSIONS):
        found.append(fields.invalid(place, versions, "must include at least one of v1, v1beta1"))
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
    **admission_policies.VALIDATORS,
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "APIService": _api_service,
}

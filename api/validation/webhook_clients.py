"""Rules for where webhooks are and which reviews they understand, shared by those of admission and of conversion.

Source: apiserver/pkg/util/webhook/validation.go; validateAdmissionReviewVersions and its like for conversions.
"""

from __future__ import annotations

import urllib.parse

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_VERSIONS = ("v1", "v1beta1")


def client(path: str, config: Object) -> Causes:
    """Where a webhook is: at a URL or behind a Service."""
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


def review_versions(path: str, versions: list[str], detail: str = "") -> Causes:
    """The versions of reviews that a webhook takes; one of them is spoken here. `detail` is said if there are none."""
    if not versions:
        return [fields.required(path, detail)]
    found: Causes = []
    for index, name in enumerate(versions):
        if name in versions[:index]:
            found.append(fields.invalid(f"{path}[{index}]", name, "duplicate version"))
        else:
            found += fields.problems(f"{path}[{index}]", name, names.dns_1035_label_problems)
    if not set(versions) & set(_VERSIONS):
        found.append(fields.invalid(path, versions, "must include at least one of v1, v1beta1"))
    return found

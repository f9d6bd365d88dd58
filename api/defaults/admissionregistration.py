"""Defaults of admissionregistration.k8s.io.

Source: the admissionregistration group in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import fill, fill_absent, items
from api.objects import Object

_TIMEOUT = 10
_HTTPS = 443


def _webhooks(configuration: Object, mutating: bool) -> None:
    for webhook in items(configuration, "webhooks"):
        fill_absent(
            webhook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            timeoutSeconds=_TIMEOUT,
        )
        if mutating:
            fill_absent(webhook, reinvocationPolicy="Never")
        _scopes(webhook, "rules")
        service = (webhook.get("clientConfig") or {}).get("service")
        if isinstance(service, dict):
            fill_absent(service, port=_HTTPS)


def _mutating(configuration: Object) -> None:
    _webhooks(configuration, mutating=True)


def _validating(configuration: Object) -> None:
    _webhooks(configuration, mutating=False)


def _policy(policy: Object) -> None:
    fill_absent(policy["spec"], failurePolicy="Fail")
    _match_resources(policy["spec"].get("matchConstraints"))


def _mutating_policy(policy: Object) -> None:
    _policy(policy)
    fill_absent(policy["spec"], reinvocationPolicy="Never")


def _binding(binding: Object) -> None:
    _match_resources(binding["spec"].get("matchResources"))


def _match_resources(resources: Object | None) -> None:
    if not isinstance(resources, dict):
        return
    fill_absent(resources, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    _scopes(resources, "resourceRules")
    _scopes(resources, "excludeResourceRules")


def _scopes(holder: Object, field: str) -> None:
    for rule in items(holder, field):
        fill(rule, scope="*")


DEFAULTERS = {
    "MutatingWebhookConfiguration": _mutating,
    "ValidatingWebhookConfiguration": _validating,
    "ValidatingAdmissionPolicy": _policy,
    "MutatingAdmissionPolicy": _mutating_policy,
    "ValidatingAdmissionPolicyBinding": _binding,
    "MutatingAdmissionPolicyBinding": _binding,
}

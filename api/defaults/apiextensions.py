"""Defaults of the two groups that extend the API: apiextensions.k8s.io and apiregistration.k8s.io.

Source: "CustomResourceDefinition" and "APIService" in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import child, fill, fill_absent
from api.objects import Object

_HTTPS = 443


def _definition(definition: Object) -> None:
    names = child(definition["spec"], "names")
    kind = str(names.get("kind") or "")
    fill(names, singular=kind.lower(), listKind=f"{kind}List" if kind else "")
    conversion = child(definition["spec"], "conversion")
    fill(conversion, strategy="None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if isinstance(service, dict):
        fill_absent(service, port=_HTTPS)


def _api_service(api_service: Object) -> None:
    service = api_service["spec"].get("service")
    if isinstance(service, dict):
        fill_absent(service, port=_HTTPS)


DEFAULTERS = {"CustomResourceDefinition": _definition, "APIService": _api_service}

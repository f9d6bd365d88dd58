"""Defaults of resource.k8s.io.

Source: "ResourceClaim" in the API reference: a request for devices wants one of them unless it says otherwise.
"""

from __future__ import annotations

from api.defaults.fill import fill, fill_absent
from api.objects import Object


def _claim(claim: Object) -> None:
    _devices(claim["spec"])


def _template(template: Object) -> None:
    _devices(template["spec"].get("spec") or {})


def _devices(spec: Object) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        for wanted in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if wanted is not None:
                fill(wanted, allocationMode="ExactCount")
                if wanted["allocationMode"] == "ExactCount":
                    fill(wanted, count=1)


def _slice(published: Object) -> None:
    if isinstance(published["spec"].get("pool"), dict):
        fill_absent(published["spec"]["pool"], generation=0)


DEFAULTERS = {"ResourceClaim": _claim, "ResourceClaimTemplate": _template, "ResourceSlice": _slice}

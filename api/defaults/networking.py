"""Defaults of networking.k8s.io.

Source: the networking group in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import child, fill, items
from api.objects import Object


def _network_policy(policy: Object) -> None:
    spec = policy["spec"]
    for direction in ("ingress", "egress"):
        for rule in items(spec, direction):
            for port in items(rule, "ports"):
                fill(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress"] + ["Egress"] * bool(spec.get("egress"))


def _ingress(ingress: Object) -> None:
    child(ingress, "status", "loadBalancer")


def _ingress_class(ingress_class: Object) -> None:
    parameters = ingress_class["spec"].get("parameters")
    if isinstance(parameters, dict):
        fill(parameters, scope="Cluster")


DEFAULTERS = {"NetworkPolicy": _network_policy, "Ingress": _ingress, "IngressClass": _ingress_class}

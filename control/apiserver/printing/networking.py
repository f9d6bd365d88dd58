"""The columns of services and of what leads traffic to pods.

Source: `kubectl get` of the original for services, endpoints, discovery.k8s.io and networking.k8s.io.
"""

from __future__ import annotations

from api import objects
from api.objects import Object
from control.apiserver.printing.columns import (
    AGE,
    NAME,
    NONE,
    SHOWN,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Doc,
    Printer,
    age,
    core,
    joined,
    labels_text,
    selector_text,
    shortened,
)  # fmt: skip

_NETWORKING = "io.k8s.api.networking.v1."


def _service(service: Object, now: float) -> Cells:
    spec = service.get("spec") or {}
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [
        objects.name_of(service),
        spec.get("type", ""),
        addresses[0] or NONE,
        _external_address(service),
        joined(_port(port) for port in spec.get("ports") or []),
        age(service, now),
        labels_text(spec.get("selector")),
    ]


def _port(port: Object) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol')}"


def _external_address(service: Object) -> str:
    spec = service.get("spec") or {}
    external = spec.get("externalIPs") or []
    kind = spec.get("type")
    if kind in ("ClusterIP", "NodePort"):
        return joined(external)
    if kind == "LoadBalancer":
        return joined(_balancer_addresses(service) + external, "<pending>")
    return str(spec.get("externalName", "")) if kind == "ExternalName" else UNKNOWN


def _balancer_addresses(obj: Object) -> list[str]:
    points = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return sorted({str(point.get("ip") or point.get("hostname") or "") for point in points} - {""})


def _endpoints(endpoints: Object, now: float) -> Cells:
    texts = []
    for subset in endpoints.get("subsets") or []:
        for port in subset.get("ports") or [{}]:
            for address in subset.get("addresses") or []:
                texts.append(_joined_address(str(address.get("ip", "")), port.get("port")))
    nobody = "" if endpoints.get("subsets") else NONE
    return [objects.name_of(endpoints), shortened(texts, nobody), age(endpoints, now)]


def _joined_address(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoint_slice(endpoint_slice: Object, now: float) -> Cells:
    ports = ["*" if port.get("port") is None else str(port["port"]) for port in endpoint_slice.get("ports") or []]
    addresses = [
        str(address)
        for endpoint in endpoint_slice.get("endpoints") or []
        for address in endpoint.get("addresses") or []
    ]
    return [
        objects.name_of(endpoint_slice),
        endpoint_slice.get("addressType", ""),
        shortened(ports, UNSET),
        shortened(addresses, UNSET),
        age(endpoint_slice, now),
    ]


def _ingress(ingress: Object, now: float) -> Cells:
    spec = ingress.get("spec") or {}
    return [
        objects.name_of(ingress),
        spec.get("ingressClassName") or NONE,
        _hosts(spec.get("rules") or []),
        ",".join(_balancer_addresses(ingress)),
        "80, 443" if spec.get("tls") else "80",
        age(ingress, now),
    ]


def _hosts(rules: list[Object]) -> str:
    """The first hosts; what follows them is counted by rules, as the original does, whether they name a host or not."""
    named = [(index, str(rule["host"])) for index, rule in enumerate(rules) if rule.get("host")][:SHOWN]
    text = ",".join(host for _, host in named) or "*"
    is_more = len(named) == SHOWN and named[-1][0] < len(rules) - 1
    return f"{text} + {len(rules) - SHOWN} more..." if is_more else text


def _ingress_class(ingress_class: Object, now: float) -> Cells:
    spec = ingress_class.get("spec") or {}
    parameters = spec.get("parameters")
    text = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        text = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [objects.name_of(ingress_class), spec.get("controller", ""), text, age(ingress_class, now)]


def _network_policy(policy: Object, now: float) -> Cells:
    return [
        objects.name_of(policy),
        selector_text((policy.get("spec") or {}).get("podSelector") or {}),
        age(policy, now),
    ]


def _service_cidr(cidr: Object, now: float) -> Cells:
    return [objects.name_of(cidr), ",".join((cidr.get("spec") or {}).get("cidrs") or []), age(cidr, now)]


def _ip_address(address: Object, now: float) -> Cells:
    parent = (address.get("spec") or {}).get("parentRef") or {}
    group = f".{parent['group']}" if parent.get("group") else ""
    parts = [f"{parent.get('resource', '')}{group}", parent.get("namespace", ""), parent.get("name", "")]
    return [objects.name_of(address), "/".join(part for part in parts if part), age(address, now)]


PRINTERS = {
    "Service": Printer(
        (
            NAME,
            Column("Type", "string", core("ServiceSpec", "type")),
            Column("Cluster-IP", "string", core("ServiceSpec", "clusterIP")),
            Column("External-IP", "string", core("ServiceSpec", "externalIPs")),
            Column("Port(s)", "string", core("ServiceSpec", "ports")),
            AGE,
            Column("Selector", "string", core("ServiceSpec", "selector"), priority=1),
        ),
        _service,
    ),
    "Endpoints": Printer((NAME, Column("Endpoints", "string", core("Endpoints", "subsets")), AGE), _endpoints),
    "EndpointSlice": Printer(
        (
            NAME,
            Column("AddressType", "string", Doc("io.k8s.api.discovery.v1.EndpointSlice", "addressType")),
            Column("Ports", "string", Doc("io.k8s.api.discovery.v1.EndpointSlice", "ports")),
            Column("Endpoints", "string", Doc("io.k8s.api.discovery.v1.EndpointSlice", "endpoints")),
            AGE,
        ),
        _endpoint_slice,
    ),
    "Ingress": Printer(
        (
            NAME,
            Column("Class", "string", "The name of the IngressClass resource that should be used for additional"
                   " configuration"),
            Column("Hosts", "string", "Hosts that incoming requests are matched against before the ingress rule"),
            Column("Address", "string", "Address is a list containing ingress points for the load-balancer"),
            Column("Ports", "string", "Ports of TLS configurations that open"),
            AGE,
        ),
        _ingress,
    ),
    "IngressClass": Printer(
        (
            NAME,
            Column("Controller", "string", "Controller that is responsible for handling this class"),
            Column("Parameters", "string", "A reference to a resource with additional parameters"),
            AGE,
        ),
        _ingress_class,
    ),
    "NetworkPolicy": Printer(
        (NAME, Column("Pod-Selector", "string", Doc(_NETWORKING + "NetworkPolicySpec", "podSelector")), AGE),
        _network_policy,
    ),
    "ServiceCIDR": Printer(
        (NAME, Column("CIDRs", "string", Doc(_NETWORKING + "ServiceCIDRSpec", "cidrs")), AGE), _service_cidr
    ),
    "IPAddress": Printer(
        (NAME, Column("ParentRef", "string", Doc(_NETWORKING + "IPAddressSpec", "parentRef")), AGE), _ip_address
    ),
}  # fmt: skip

"""Rules for services and endpoints.

Source: the original's validation of Service and Endpoints.
"""

from __future__ import annotations

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.containers import PROTOCOLS, port
from api.validation.fields import Causes
from api.validation.service_addresses import changed_addresses, cidr, cluster_addresses, ip_address, reachable

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_WITH_NODE_PORTS = ("LoadBalancer", "NodePort")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_MAX_AFFINITY = 86400
_KUBELET_PORT = 10250
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_BALANCED_ONLY = "may only be used when `type` is 'LoadBalancer'"


def service(new: Object, old: Object | None, subresource: str) -> Causes:
    """A Service, new or changed."""
    spec = new["spec"]
    if subresource == "status":
        return _balancer_status(new)
    found = _update(spec, old["spec"]) if old is not None else []
    found += _topology(new["metadata"].get("annotations") or {})
    found += _for_type(spec, str(spec.get("type")))
    found += _ports(spec)
    found += fields.labels("spec.selector", spec.get("selector"))
    found += _affinity(spec)
    if spec.get("type") != "ExternalName":
        found += cluster_addresses(spec)
    for index, text in enumerate(spec.get("externalIPs") or []):
        place = f"spec.externalIPs[{index}]"
        found += ip_address(place, text) or reachable(place, text)
    found += fields.one_of("spec.type", spec.get("type"), _TYPES)
    found += _distinct_ports(spec)
    found += _source_ranges(new)
    found += _balancer(spec)
    return found + _policies(spec)


def _topology(annotations: Object) -> Causes:
    hints, mode = annotations.get(_HINTS), annotations.get(_MODE)
    if hints is None or mode is None or hints == mode:
        return []
    detail = f"must match annotations[{_HINTS}] when both are specified"
    return [fields.invalid(f"metadata.annotations[{_MODE}]", mode, detail)]


def _for_type(spec: Object, kind: str) -> Causes:
    headless = spec.get("clusterIP") == "None"
    found: Causes = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        found.append(fields.required("spec.ports"))
    if kind in _WITH_NODE_PORTS and headless:
        found.append(fields.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    for place, item in fields.each(spec, "ports", "spec") if kind == "LoadBalancer" else ():
        if item.get("port") == _KUBELET_PORT:
            detail = f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
            found.append(fields.invalid(place, _KUBELET_PORT, detail))
    if kind == "ExternalName":
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field) or (field == "clusterIPs" and spec.get("clusterIP")):
                found.append(fields.forbidden(f"spec.{field}", "may not be set for ExternalName services"))
        name = str(spec.get("externalName") or "").removesuffix(".")
        found += fields.needed("spec.externalName", name, names.dns_subdomain_problems)
    return found


def _affinity(spec: Object) -> Causes:
    kind, config, path = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"), "spec.sessionAffinityConfig"
    found = fields.one_of("spec.sessionAffinity", kind, ("ClientIP", "None"))
    if kind == "None" and config is not None:
        found.append(fields.forbidden(path, "must not be set when session affinity is None"))
    if kind != "ClientIP":
        return found
    client = (config or {}).get("clientIP")
    seconds = (client or {}).get("timeoutSeconds")
    if config is None:
        found.append(fields.required(path, "when session affinity type is ClientIP"))
    elif client is None:
        found.append(fields.required(f"{path}.clientIP", "when session affinity type is ClientIP"))
    elif seconds is None:
        found.append(fields.required(f"{path}.clientIP.timeoutSeconds", "when session affinity type is ClientIP"))
    elif not 0 < seconds <= _MAX_AFFINITY:
        detail = f"must be greater than 0 and less than {_MAX_AFFINITY}"
        found.append(fields.invalid(f"{path}.clientIP.timeoutSeconds", seconds, detail))
    return found


def _ports(spec: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    needs_name = len(spec.get("ports") or []) > 1
    for place, item in fields.each(spec, "ports", "spec"):
        name = item.get("name") or ""
        if not name and needs_name:
            found.append(fields.required(f"{place}.name"))
        elif name:
            found += fields.problems(f"{place}.name", name, names.dns_label_problems)
            if name in seen:
                found.append(fields.duplicate(f"{place}.name", name))
            seen.add(name)
        found += fields.problems(f"{place}.port", item.get("port") or 0, names.port_problems)
        found += fields.one_of(f"{place}.protocol", item.get("protocol"), PROTOCOLS)
        found += port(f"{place}.targetPort", item.get("targetPort"))
        if item.get("appProtocol") is not None:
            found += fields.problems(f"{place}.appProtocol", item["appProtocol"], names.label_key_problems)
    return found


def _distinct_ports(spec: Object) -> Causes:
    found: Causes = []
    node_ports: set[tuple[object, object]] = set()
    numbers: set[tuple[object, object]] = set()
    twice: Causes = []
    for place, item in fields.each(spec, "ports", "spec"):
        number, node_port, protocol = item.get("port") or 0, item.get("nodePort"), item.get("protocol")
        if node_port and spec.get("type") == "ClusterIP":
            found.append(fields.forbidden(f"{place}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        if node_port and (protocol, node_port) in node_ports:
            found.append(fields.duplicate(f"{place}.nodePort", node_port))
        if (protocol, number) in numbers:
            twice.append(fields.duplicate(place, {"port": number, "protocol": protocol}))
        node_ports.add((protocol, node_port))
        numbers.add((protocol, number))
    return found + twice


def _source_ranges(new: Object) -> Causes:
    spec, annotations = new["spec"], new["metadata"].get("annotations") or {}
    ranges, path = spec.get("loadBalancerSourceRanges") or [], "spec.LoadBalancerSourceRanges"
    places = [f"{path}[{index}]" for index in range(len(ranges))]
    if not ranges:
        if _SOURCE_RANGES not in annotations:
            return []
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        ranges = [one for one in annotations[_SOURCE_RANGES].strip().split(",") if annotations[_SOURCE_RANGES].strip()]
        places = [path] * len(ranges)
    found = [fields.forbidden(path, _BALANCED_ONLY)] if spec.get("type") != "LoadBalancer" else []
    for place, text in zip(places, ranges):
        found += cidr(place, text.strip())
    return found


def _balancer(spec: Object) -> Causes:
    found: Causes = []
    balanced = spec.get("type") == "LoadBalancer"
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        found.append(fields.forbidden("spec.allocateLoadBalancerNodePorts", _BALANCED_ONLY))
    name = spec.get("loadBalancerClass")
    if name is not None:
        if not balanced:
            found.append(fields.forbidden("spec.loadBalancerClass", _BALANCED_ONLY))
        else:
            found += fields.problems("spec.loadBalancerClass", name, names.label_key_problems)
    return found


def _policies(spec: Object) -> Causes:
    kind, policy = spec.get("type"), spec.get("externalTrafficPolicy")
    found: Causes = []
    if kind in _WITH_NODE_PORTS or (kind == "ClusterIP" and spec.get("externalIPs")):
        found += fields.one_of("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    elif policy:
        detail = "may only be set for externally-accessible services"
        found.append(fields.invalid("spec.externalTrafficPolicy", policy, detail))
    number = spec.get("healthCheckNodePort")
    if number and not _is_health_checked(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.append(fields.invalid("spec.healthCheckNodePort", number, detail))
    elif number:
        found += fields.problems("spec.healthCheckNodePort", number, names.port_problems)
    internal = spec.get("internalTrafficPolicy")
    needed = kind in ("ClusterIP", *_WITH_NODE_PORTS)
    found += fields.one_of("spec.internalTrafficPolicy", internal, ("Cluster", "Local"), needed)
    distribution = spec.get("trafficDistribution")
    return found + fields.one_of("spec.trafficDistribution", distribution, _DISTRIBUTIONS, is_required=False)


def _is_health_checked(spec: Object) -> bool:
    return bool(spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


def _update(new: Object, old: Object) -> Causes:
    found = changed_addresses(new, old)
    before, now = old.get("loadBalancerClass"), new.get("loadBalancerClass")
    if old.get("type") == new.get("type") == "LoadBalancer" and before != now:
        detail = "may not change once set"
        found.append(fields.invalid("spec.loadBalancerClass", now, detail))
    if _is_health_checked(old) and _is_health_checked(new):
        number = new.get("healthCheckNodePort")
        if number and number != old.get("healthCheckNodePort"):
            found.append(fields.forbidden("spec.healthCheckNodePort", fields.IMMUTABLE))
    return found


def _balancer_status(new: Object) -> Causes:
    found: Causes = []
    balancer = (new.get("status") or {}).get("loadBalancer") or {}
    if balancer.get("ingress") and new["spec"].get("type") != "LoadBalancer":
        return [fields.forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is LoadBalancer")]
    for place, ingress in fields.each(balancer, "ingress", "status.loadBalancer"):
        address, mode = ingress.get("ip") or "", ingress.get("ipMode")
        if address:
            found += ip_address(f"{place}.ip", address)
        if address and mode is None:
            found.append(fields.required(f"{place}.ipMode", "must be specified when `ip` is set"))
        elif mode is not None and not address:
            found.append(fields.forbidden(f"{place}.ipMode", "may not be specified when `ip` is not set"))
        elif mode is not None:
            found += fields.one_of(f"{place}.ipMode", mode, ("Proxy", "VIP"))
        found += host_name(f"{place}.hostname", ingress.get("hostname") or "")
    return found


def host_name(path: str, name: str) -> Causes:
    """The name of a load balancer, if it has one."""
    if not name:
        return []
    found = fields.problems(path, name, names.dns_subdomain_problems)
    if not ip_address("", name):
        found.append(fields.invalid(path, name, "must be a DNS name, not an IP address"))
    return found


def endpoints(new: Object, old: Object | None, subresource: str) -> Causes:
    """An Endpoints."""
    found: Causes = []
    for place, subset in fields.each(new, "subsets", ""):
        place = place.lstrip(".")
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.append(fields.required(place, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for inner, address in fields.each(subset, field, place):
                found += _endpoint_address(inner, address)
        needs_name = len(subset.get("ports") or []) > 1
        for inner, item in fields.each(subset, "ports", place):
            if not item.get("name") and needs_name:
                found.append(fields.required(f"{inner}.name"))
            elif item.get("name"):
                found += fields.problems(f"{inner}.name", item["name"], names.dns_label_problems)
            found += fields.problems(f"{inner}.port", item.get("port") or 0, names.port_problems)
            found += fields.one_of(f"{inner}.protocol", item.get("protocol"), PROTOCOLS)
            if item.get("appProtocol") is not None:
                found += fields.problems(f"{inner}.appProtocol", item["appProtocol"], names.label_key_problems)
    return found


def _endpoint_address(path: str, address: Object) -> Causes:
    text = address.get("ip") or ""
    found = ip_address(f"{path}.ip", text)
    if address.get("hostname"):
        found += fields.problems(f"{path}.hostname", address["hostname"], names.dns_label_problems)
    if address.get("nodeName") is not None:
        found += fields.problems(f"{path}.nodeName", address["nodeName"], names.dns_subdomain_problems)
    return found + reachable(f"{path}.ip", text)

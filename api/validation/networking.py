"""Rules for networking.k8s.io and discovery.k8s.io.

Source: the original's validation of Ingress, IngressClass, NetworkPolicy, ServiceCIDR, IPAddress and EndpointSlice.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.containers import PROTOCOLS
from api.validation.fields import Causes
from api.validation.service_addresses import cidr, ip_address, reachable
from api.validation.services import host_name

_FAMILIES = ("FQDN", "IPv4", "IPv6")
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_CLASS = "kubernetes.io/ingress.class"
_LONGEST_CONTROLLER = 250
_MAX_ENDPOINTS, _MAX_PORTS, _MAX_ADDRESSES = 1000, 20_000, 100


def _endpoint_slice(new: Object, old: Object | None, subresource: str) -> Causes:
    family = new.get("addressType") or ""
    found = fields.one_of("addressType", family, _FAMILIES)
    endpoints, ports = new.get("endpoints") or [], new.get("ports") or []
    if len(endpoints) > _MAX_ENDPOINTS:
        return [*found, fields.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)]
    for index, endpoint in enumerate(endpoints):
        found += _endpoint(f"endpoints[{index}]", endpoint, family)
    if len(ports) > _MAX_PORTS:
        return [*found, fields.too_many("ports", len(ports), _MAX_PORTS)]
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name") or ""
        if name in seen:
            found.append(fields.duplicate(f"ports[{index}].name", name))
        seen.add(name)
        if name:
            found += fields.problems(f"ports[{index}].name", name, names.dns_label_problems)
        found += fields.one_of(f"ports[{index}].protocol", port.get("protocol"), PROTOCOLS)
        if port.get("appProtocol") is not None:
            found += fields.problems(f"ports[{index}].appProtocol", port["appProtocol"], names.label_key_problems)
    if old is not None:
        found += fields.unchanged("addressType", family, old.get("addressType"))
    return found


def _endpoint(path: str, endpoint: Object, family: str) -> Causes:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        return [fields.required(f"{path}.addresses", "must contain at least 1 address")]
    if len(addresses) > _MAX_ADDRESSES:
        return [fields.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)]
    found: Causes = []
    for index, text in enumerate(addresses):
        place = f"{path}.addresses[{index}]"
        if family == "FQDN":
            told = fields.problems(place, text.removesuffix("."), names.dns_subdomain_problems)
            if not told and "." not in text:
                detail = "should be a domain with at least two segments separated by dots"
                told = [fields.invalid(place, text, detail)]
            found += told
        elif _family(text) != family:
            detail = "must be an IPv4 address" if family == "IPv4" else "must be an IPv6 address"
            found.append(fields.invalid(place, text, detail))
        else:
            found += reachable(place, text)
    if endpoint.get("hostname") is not None:
        found += fields.problems(f"{path}.hostname", endpoint["hostname"], names.dns_label_problems)
    if endpoint.get("nodeName") is not None:
        found += fields.problems(f"{path}.nodeName", endpoint["nodeName"], names.dns_subdomain_problems)
    return found


def _family(text: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(text).version}"
    except ValueError:
        return ""


def _ingress(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return _ingress_status(new.get("status") or {})
    spec = new["spec"]
    found: Causes = []
    backend = spec.get("defaultBackend")
    if not spec.get("rules") and backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        found.append(fields.invalid("spec", fields.NO_LIST, detail))
    if backend is not None:
        found += _backend("spec.defaultBackend", backend)
    for path, rule in fields.each(spec, "rules", "spec"):
        host = rule.get("host") or ""
        if "*" in host:
            found += fields.problems(f"{path}.host", host, names.wildcard_subdomain_problems)
        elif host:
            found += _host(f"{path}.host", host)
        http = rule.get("http")
        if http is not None and not http.get("paths"):
            found.append(fields.required(f"{path}.http.paths"))
        for place, item in fields.each(http or {}, "paths", f"{path}.http"):
            found += _http_path(place, item)
    for path, tls in fields.each(spec, "tls", "spec"):
        for index, host in enumerate(tls.get("hosts") or []):
            check = names.wildcard_subdomain_problems if "*" in host else names.dns_subdomain_problems
            found += fields.problems(f"{path}.hosts[{index}]", host, check)
        if tls.get("secretName"):
            found += fields.problems(f"{path}.secretName", tls["secretName"], names.dns_subdomain_problems)
    chosen, annotated = spec.get("ingressClassName"), (new["metadata"].get("annotations") or {}).get(_CLASS)
    if chosen is not None:
        found += fields.problems("spec.ingressClassName", chosen, names.dns_subdomain_problems)
    if old is None and None not in (chosen, annotated) and chosen != annotated:
        detail = "must match `ingressClassName` when both are specified"
        found.append(fields.invalid(f"annotations.{_CLASS}", annotated, detail))
    return found


def _ingress_status(status: Object) -> Causes:
    found: Causes = []
    for path, ingress in fields.each(status.get("loadBalancer") or {}, "ingress", "status.loadBalancer"):
        if ingress.get("ip"):
            found += ip_address(f"{path}.ip", ingress["ip"])
        found += host_name(f"{path}.hostname", ingress.get("hostname") or "")
    return found


def _host(path: str, host: str) -> Causes:
    if _family(host):
        return [fields.invalid(path, host, "must be a DNS name, not an IP address")]
    return fields.problems(path, host, names.dns_subdomain_problems)


def _http_path(path: str, item: Object) -> Causes:
    kind, text = item.get("pathType") or "", item.get("path") or ""
    found: Causes = []
    if not kind:
        found.append(fields.required(f"{path}.pathType", "pathType must be specified"))
    elif kind not in _PATH_TYPES:
        found.append(fields.not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    if kind in ("Exact", "Prefix") and not text.startswith("/"):
        found.append(fields.invalid(f"{path}.path", text, "must be an absolute path"))
    return found + _backend(f"{path}.backend", item.get("backend") or {})


def _backend(path: str, backend: Object) -> Causes:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [fields.invalid(path, "", "cannot set both resource and service backends")]
    if service is None and resource is None:
        return [fields.required(path, "resource or service backend is required")]
    if service is None:
        return []
    found = fields.needed(f"{path}.service.name", service.get("name") or "", names.dns_1035_label_problems)
    port = service.get("port") or {}
    name, number = port.get("name") or "", port.get("number") or 0
    if name and number:
        found.append(fields.invalid(f"{path}.service", "", "cannot set both port name & port number"))
    elif name:
        found += fields.problems(f"{path}.service.port.name", name, names.port_name_problems)
    elif number:
        found += fields.problems(f"{path}.service.port.number", number, names.port_problems)
    else:
        found.append(fields.required(f"{path}.service", "port name or number is required"))
    return found


def _ingress_class(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found: Causes = []
    if len(spec.get("controller") or "") > _LONGEST_CONTROLLER:
        found.append(fields.too_long("spec.controller", _LONGEST_CONTROLLER))
    found += fields.domain_path("spec.controller", spec.get("controller") or "")
    if old is not None:
        found += fields.unchanged("spec.controller", spec.get("controller"), old["spec"].get("controller"))
    parameters = spec.get("parameters")
    return found + _class_parameters("spec.parameters", parameters) if parameters is not None else found


def _class_parameters(path: str, parameters: Object) -> Causes:
    found: Causes = []
    for field in ("kind", "name"):
        found += fields.needed(f"{path}.{field}", parameters.get(field), names.path_segment_problems)
    group, scope = parameters.get("apiGroup"), parameters.get("scope")
    if group:
        found += fields.problems(f"{path}.apiGroup", group, names.dns_subdomain_problems)
    found += fields.one_of(f"{path}.scope", scope, ("Cluster", "Namespace"))
    if scope == "Namespace":
        namespace, detail = parameters.get("namespace"), "`parameters.scope` is set to 'Namespace'"
        found += fields.problems(f"{path}.namespace", namespace, names.dns_label_problems) if namespace else [
            fields.required(f"{path}.namespace", detail)
        ]  # fmt: skip
    elif scope == "Cluster" and parameters.get("namespace") is not None:
        found.append(fields.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return found


def _network_policy(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found = fields.label_selector("spec.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for path, rule in fields.each(spec, direction, "spec"):
            for place, port in fields.each(rule, "ports", path):
                found += _policy_port(place, port)
            for place, peer in fields.each(rule, peers, path):
                found += _peer(place, peer)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        return [*found, fields.invalid("spec.policyTypes", kinds, "may not specify more than two policyTypes")]
    for index, kind in enumerate(kinds):
        if kind not in ("Ingress", "Egress"):
            found.append(fields.not_supported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress")))
    return found


def _policy_port(path: str, port: Object) -> Causes:
    found = fields.one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS, False)
    value, end = port.get("port"), port.get("endPort")
    if isinstance(value, int):
        found += fields.problems(f"{path}.port", value, names.port_problems)
        if end is not None and end < value:
            found.append(fields.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
        found += fields.problems(f"{path}.endPort", end, names.port_problems) if end is not None else []
        return found
    if end is not None:
        which = "non-numeric" if isinstance(value, str) else "not specified"
        found.append(fields.invalid(f"{path}.endPort", end, f"may not be specified when `port` is {which}"))
    if isinstance(value, str):
        found += fields.problems(f"{path}.port", value, names.port_name_problems)
    return found


def _peer(path: str, peer: Object) -> Causes:
    block = peer.get("ipBlock")
    kinds = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    if not kinds:
        return [fields.required(path, "must specify a peer")]
    found: Causes = []
    for field in ("podSelector", "namespaceSelector"):
        found += fields.label_selector(f"{path}.{field}", peer.get(field))
    if block is not None:
        found += _block(f"{path}.ipBlock", block)
        if len(kinds) > 1:
            found.append(fields.forbidden(path, "may not specify both ipBlock and another peer"))
    return found


def _block(path: str, block: Object) -> Causes:
    if not block.get("cidr"):
        return [fields.required(f"{path}.cidr")]
    found = cidr(f"{path}.cidr", block["cidr"])
    if found:
        return found
    outer: Any = ipaddress.ip_network(block["cidr"], strict=False)
    for index, text in enumerate(block.get("except") or []):
        place = f"{path}.except[{index}]"
        wrong = cidr(place, text)
        inner: Any = None if wrong else ipaddress.ip_network(text, strict=False)
        if inner is not None and (inner.version != outer.version or not inner.subnet_of(outer) or inner == outer):
            wrong = [fields.invalid(place, text, "must be a strict subset of `cidr`")]
        found += wrong
    return found


_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _service_cidr(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    cidrs = new["spec"].get("cidrs") or []
    if old is not None:
        return _same_cidrs(cidrs, old["spec"].get("cidrs") or [])
    if len(cidrs) > 2:
        return [fields.invalid("spec.cidrs", new["spec"], "may only hold up to 2 values")]
    found: Causes = [] if cidrs else [fields.required("spec.cidrs", "at least one CIDR required")]
    families = []
    for index, text in enumerate(cidrs):
        place = f"spec.cidrs[{index}]"
        try:
            families.append(ipaddress.ip_network(text).version)
        except ValueError:
            found.append(fields.invalid(place, text, _CIDR))
        else:
            found += cidr(place, text)
    if len(families) > len(set(families)):
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        found.append(fields.invalid("spec.cidrs", cidrs, detail))
    return found


def _same_cidrs(now: list[str], before: list[str]) -> Causes:
    """They do not change, but that a second family may be added."""
    if len(now) == len(before) or (len(before), len(now)) == (1, 2):
        pairs = enumerate(zip(before, now, strict=False))
        return [
            fields.invalid(f"spec.cidrs[{index}]", new, fields.IMMUTABLE) for index, (old, new) in pairs if new != old
        ]
    return [fields.invalid("spec.cidrs", now, fields.IMMUTABLE)]


def _ip_address(new: Object, old: Object | None, subresource: str) -> Causes:
    parent = new["spec"].get("parentRef")
    if parent is None:
        return [fields.required("spec.parentRef")]
    if old is not None:
        return fields.unchanged("spec.parentRef", parent, old["spec"].get("parentRef"))
    found: Causes = []
    if parent.get("group"):
        found += fields.problems("spec.parentRef.group", parent["group"], names.dns_subdomain_problems)
    for field in ("resource", "name"):
        found += fields.needed(f"spec.parentRef.{field}", parent.get(field), names.path_segment_problems)
    if parent.get("namespace"):
        found += fields.problems("spec.parentRef.namespace", parent["namespace"], names.path_segment_problems)
    return found


VALIDATORS = {
    "EndpointSlice": _endpoint_slice,
    "Ingress": _ingress,
    "IngressClass": _ingress_class,
    "NetworkPolicy": _network_policy,
    "ServiceCIDR": _service_cidr,
    "IPAddress": _ip_address,
}

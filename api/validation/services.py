"""Rules for services and endpoints.

Source: the original's validation of Service and Endpoints.
"""

from __future__ import annotations

import ipaddress

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.containers import PROTOCOLS, port
from api.validation.fields import Causes

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_MAX_AFFINITY = 86400
_MAX_FAMILIES = 2


def service(new: Object, old: Object | None, subresource: str) -> Causes:
    """A Service, new or changed."""
    if subresource == "status":
        return []
    spec = new["spec"]
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    found = fields.one_of("spec.type", kind, _TYPES)
    found += fields.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    found += _affinity_timeout(spec)
    if kind == "ExternalName":
        found += _external_name(spec)
    elif not spec.get("ports") and not headless:
        found.append(fields.required("spec.ports"))
    found += _ports(spec, kind in ("NodePort", "LoadBalancer"))
    found += fields.labels("spec.selector", spec.get("selector"))
    found += _addresses(spec)
    found += _policies(spec, str(kind))
    if old is not None:
        found += _update(spec, old["spec"])
    return found


def _affinity_timeout(spec: Object) -> Causes:
    config = spec.get("sessionAffinityConfig") or {}
    seconds = (config.get("clientIP") or {}).get("timeoutSeconds")
    if spec.get("sessionAffinity") != "ClientIP" or seconds is None or 0 < seconds <= _MAX_AFFINITY:
        return []
    path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    return [fields.invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY}")]


def _external_name(spec: Object) -> Causes:
    name = str(spec.get("externalName") or "").removesuffix(".")
    found: Causes = []
    if not name:
        found.append(fields.required("spec.externalName"))
    else:
        found += fields.problems("spec.externalName", name, names.dns_subdomain_problems)
    if spec.get("clusterIP"):
        found.append(fields.forbidden("spec.clusterIPs[0]", "may not be set for ExternalName services"))
    return found


def _ports(spec: Object, has_node_ports: bool) -> Causes:
    found: Causes = []
    seen_names: set[str] = set()
    seen: set[tuple[object, object]] = set()
    seen_node_ports: set[tuple[object, object]] = set()
    needs_name = len(spec.get("ports") or []) > 1
    for place, item in fields.each(spec, "ports", "spec"):
        name, number, protocol = item.get("name") or "", item.get("port") or 0, item.get("protocol")
        if not name and needs_name:
            found.append(fields.required(f"{place}.name"))
        elif name:
            found += fields.problems(f"{place}.name", name, names.dns_label_problems)
            if name in seen_names:
                found.append(fields.duplicate(f"{place}.name", name))
            seen_names.add(name)
        found += fields.problems(f"{place}.port", number, names.port_problems)
        found += fields.one_of(f"{place}.protocol", protocol, PROTOCOLS)
        found += port(f"{place}.targetPort", item.get("targetPort"))
        if (protocol, number) in seen:
            found.append(fields.duplicate(place, {"port": number, "protocol": protocol}))
        seen.add((protocol, number))
        node_port = item.get("nodePort")
        if node_port and not has_node_ports:
            detail = "may not be used when `type` is 'ClusterIP'"
            found.append(fields.forbidden(f"{place}.nodePort", detail))
        elif node_port and (protocol, node_port) in seen_node_ports:
            found.append(fields.duplicate(f"{place}.nodePort", node_port))
        seen_node_ports.add((protocol, node_port))
    return found


def ip_address(path: str, text: str) -> Causes:
    """An address of either family."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [fields.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


def _addresses(spec: Object) -> Causes:
    found: Causes = []
    cluster = spec.get("clusterIPs") or []
    if spec.get("clusterIP") and cluster and spec["clusterIP"] != cluster[0]:
        found.append(fields.invalid("spec.clusterIPs", cluster, "first value must match `clusterIP`"))
    families = spec.get("ipFamilies") or []
    found += _families(cluster, families)
    for index, text in enumerate(cluster):
        place = f"spec.clusterIPs[{index}]"
        if text != "None":
            wrong = ip_address(place, text)
            if not wrong and index < len(families) and families[index] != _family(text):
                detail = f"expected an {families[index]} value as indicated by `ipFamilies[{index}]`"
                wrong = [fields.invalid(place, cluster, detail)]
            found += wrong
        elif index:
            found.append(fields.invalid(f"spec.clusterIPs[{index}]", text, "must not be `None` after the first"))
    for index, text in enumerate(spec.get("externalIPs") or []):
        place = f"spec.externalIPs[{index}]"
        found += ip_address(place, text) or _routable(place, text)
    return found


def _family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def _families(cluster: list[str], families: list[str]) -> Causes:
    """At most one address, and one entry, for each family."""
    found: Causes = []
    for path, values in (("spec.clusterIPs", cluster), ("spec.ipFamilies", families)):
        if len(values) > _MAX_FAMILIES:
            found.append(fields.invalid(path, values, f"may only hold up to {_MAX_FAMILIES} values"))
    for index, family in enumerate(families):
        found += fields.one_of(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
        if family in families[:index]:
            found.append(fields.duplicate(f"spec.ipFamilies[{index}]", family))
    given = [_family(text) for text in cluster if text != "None" and not ip_address("", text)]
    if len(given) > len(set(given)):
        found.append(fields.invalid("spec.clusterIPs", cluster, "may specify no more than one IP for each IP family"))
    return found


def _routable(path: str, text: str) -> Causes:
    address = ipaddress.ip_address(text)
    checks = (
        (address.is_unspecified, f"may not be unspecified ({text})"),
        (address.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (address.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (address.is_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    )
    return [fields.invalid(path, text, detail) for is_bad, detail in checks if is_bad]


def _policies(spec: Object, kind: str) -> Causes:
    found: Causes = []
    external = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    policy = spec.get("externalTrafficPolicy")
    if external:
        found += fields.one_of("spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    elif policy:
        detail = "may only be set for externally-accessible services"
        found.append(fields.invalid("spec.externalTrafficPolicy", policy, detail))
    if kind != "ExternalName":
        found += fields.one_of("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), ("Cluster", "Local"))
    if spec.get("loadBalancerClass") and kind != "LoadBalancer":
        detail = "may only be used when `type` is 'LoadBalancer'"
        found.append(fields.forbidden("spec.loadBalancerClass", detail))
    return found


def _update(new: Object, old: Object) -> Causes:
    """An allocated address stays, unless the service becomes an ExternalName or comes from one."""
    if "ExternalName" in (new.get("type"), old.get("type")):
        return []
    before, now = old.get("clusterIPs") or [], new.get("clusterIPs") or []
    if not before and not old.get("clusterIP"):
        return []
    primary = (before or [old.get("clusterIP")])[0]
    if not now and not new.get("clusterIP"):
        return [fields.invalid("spec.clusterIPs[0]", now, "primary clusterIP can not be unset")]
    if primary != (now or [new.get("clusterIP")])[0]:
        return [fields.invalid("spec.clusterIPs[0]", now or [new["clusterIP"]], "may not change once set")]
    return [
        fields.invalid(f"spec.{field}[{index}]", new[field], "may not change once set")
        for field, index in (("clusterIPs", 1), ("ipFamilies", 0), ("ipFamilies", 1))
        if _changed(new.get(field) or [], old.get(field) or [], index)
    ]


def _changed(now: list[str], before: list[str], index: int) -> bool:
    return index < min(len(now), len(before)) and now[index] != before[index]


def endpoints(new: Object, old: Object | None, subresource: str) -> Causes:
    """An Endpoints."""
    found: Causes = []
    for place, subset in fields.each(new, "subsets", ""):
        place = place.lstrip(".")
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.append(fields.required(place, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for inner, address in fields.each(subset, field, place):
                text = address.get("ip") or ""
                found += ip_address(f"{inner}.ip", text) or _routable(f"{inner}.ip", text)
        needs_name = len(subset.get("ports") or []) > 1
        for inner, item in fields.each(subset, "ports", place):
            if not item.get("name") and needs_name:
                found.append(fields.required(f"{inner}.name"))
            elif item.get("name"):
                found += fields.problems(f"{inner}.name", item["name"], names.dns_label_problems)
            found += fields.problems(f"{inner}.port", item.get("port") or 0, names.port_problems)
            found += fields.one_of(f"{inner}.protocol", item.get("protocol"), PROTOCOLS)
    return found

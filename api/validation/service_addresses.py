"""Rules for the addresses of services, and for addresses that others write: families, duplicates, what may change.

Source: the original's ValidateServiceClusterIPsRelatedFields, validateUpgradeDowngradeClusterIPs, ValidateNonSpecialIP.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CHANGED = "may not change once set"
_LINK_LOCAL_MULTICAST = tuple(ipaddress.ip_network(text) for text in ("224.0.0.0/24", "ff02::/16"))


def ip_address(path: str, text: str) -> Causes:
    """An address of either family; none that only one host's link makes one, such as fe80::1%eth0."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [fields.invalid(path, text, _ADDRESS)]
    return [fields.invalid(path, text, _ADDRESS)] if "%" in text else []


def cidr(path: str, text: str) -> Causes:
    """A network of either family; bits of a host do not matter."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return [fields.invalid(path, text, _CIDR)]
    # Python takes 10.0.0.1 and 10.0.0.0/255.0.0.0 for networks, too.
    is_cidr = text.partition("/")[2].isdecimal() and "%" not in text
    return [] if is_cidr else [fields.invalid(path, text, _CIDR)]


def reachable(path: str, text: str) -> Causes:
    """An address to which others can send."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return [fields.invalid(path, text, "must be a valid IP address")]
    if "%" in text:
        return [fields.invalid(path, text, "must be a valid IP address")]
    local_multicast = any(address in network for network in _LINK_LOCAL_MULTICAST)
    checks = (
        (address.is_unspecified, f"may not be unspecified ({text})"),
        (address.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (address.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    )
    return [fields.invalid(path, text, detail) for is_bad, detail in checks if is_bad]


def cluster_addresses(spec: Object) -> Causes:
    """`clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` of a service that is not an ExternalName."""
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    first = spec.get("clusterIP") or ""
    found: Causes = []
    if first and addresses and addresses[0] != first:
        found.append(fields.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif addresses and not first:
        found.append(fields.invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            found.append(fields.not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES))
        if family in families[:index]:
            found.append(fields.duplicate(f"spec.ipFamilies[{index}]", family))
    found += fields.one_of("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), _POLICIES, is_required=False)
    wrong: Causes = []
    for index, text in enumerate(addresses):
        if index == 0 and text == "None":
            if len(addresses) > 1:
                wrong.append(fields.invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
        else:
            wrong += ip_address(f"spec.clusterIPs[{index}]", text)
    if len(addresses) > 2:
        found.append(fields.invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    return found + (wrong or _families(addresses, families))


def _families(addresses: list[str], families: list[str]) -> Causes:
    if addresses[:1] in ([], ["None"]):
        return []
    have = [f"IPv{ipaddress.ip_address(text).version}" for text in addresses]
    found: Causes = []
    if len(have) > 1 and len(set(have)) < 2:
        detail = "may specify no more than one IP for each IP family"
        found.append(fields.invalid("spec.clusterIPs", addresses, detail))
    for index, (family, wanted) in enumerate(zip(have, families)):
        if wanted in _FAMILIES and family != wanted:
            detail = f"expected an {wanted} value as indicated by `ipFamilies[{index}]`"
            found.append(fields.invalid(f"spec.clusterIPs[{index}]", addresses[index], detail))
    return found


def changed_addresses(new: Object, old: Object) -> Causes:
    """A service's first address and family stay, unless it becomes an ExternalName or comes from one."""
    if "ExternalName" in (new.get("type"), old.get("type")):
        return []
    was_headless, is_headless = (spec.get("clusterIP") == "None" for spec in (old, new))
    if was_headless and is_headless:
        return []
    found = _changed(new, old, "clusterIPs", "primary clusterIP can not be unset", "clusterIP")
    if was_headless == is_headless:
        found += _changed(new, old, "ipFamilies", "primary ipFamily can not be unset", "ipFamily")
    return found


def _changed(new: Object, old: Object, field: str, unset: str, singular: str) -> Causes:
    before: list[Any] = old.get(field) or []
    now: list[Any] = new.get(field) or []
    shown = now or fields.NO_LIST
    place = f"spec.{field}[0]"
    if len(before) == len(now):
        return [
            fields.invalid(f"spec.{field}[{index if field == 'clusterIPs' else 0}]", now, _CHANGED)
            for index, (one, other) in enumerate(zip(before, now))
            if one != other
        ]
    if len(before) < len(now):
        return [fields.invalid(place, now, _CHANGED)] if before and before[0] != now[0] else []
    found: Causes = []
    if not new.get("clusterIPs"):
        found.append(fields.invalid(place, shown, unset))
    if now and now[0] != before[0]:
        found.append(fields.invalid(place, now, _CHANGED))
    if len(now) == 1 and new.get("ipFamilyPolicy") != "SingleStack":
        detail = f"must be set to 'SingleStack' when releasing the secondary {singular}"
        found.append(fields.invalid("spec.ipFamilyPolicy", new.get("ipFamilyPolicy"), detail))
    return found

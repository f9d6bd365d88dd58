"""Which address families a Service has: what it says, completed by what the cluster has.

Invariant: a Service never changes between one and two families unless its ipFamilyPolicy asks for it.
Source: pkg/registry/core/service/storage/alloc.go; KEP-563 (IPv4/IPv6 dual-stack).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.errors import Cause

FAMILIES = ("IPv4", "IPv6")
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
HEADLESS = "None"

_POLICY = "spec.ipFamilyPolicy"
_SECONDARY = "must be 'SingleStack' to release the secondary"
_DUAL = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"


@dataclass(frozen=True, slots=True)
class Settled:
    """The policy, the families in their order, the cluster addresses that are kept or asked for; what is wrong."""

    policy: str
    families: tuple[str, ...]
    addresses: tuple[str, ...]
    causes: tuple[Cause, ...] = ()


def family_of(address: str) -> str:
    """IPv4 or IPv6."""
    return f"IPv{ipaddress.ip_address(address).version}"


def settle(spec: Mapping[str, Any], old: Mapping[str, Any] | None, configured: Sequence[str]) -> Settled:
    """The families of a Service that is created, or updated from `old`; `configured` are the cluster's in order."""
    families, addresses = _families(spec), _addresses(spec)
    before = Settled(str(old.get("ipFamilyPolicy") or ""), _families(old), _addresses(old)) if old else None
    bare = addresses[:1] == (HEADLESS,) and not spec.get("selector")
    given = spec.get("ipFamilyPolicy") or (before.policy if before else "")
    policy = str(given or (REQUIRE if bare else SINGLE))
    if before is not None and policy == PREFER and before == Settled(policy, families, addresses):
        # A cluster that has become dual-stack, or no longer is, changes no Service by itself.
        return before
    causes: list[Cause] = []
    if before is not None and policy == SINGLE:
        addresses = addresses[:1] if addresses == before.addresses else addresses
        families = families[:1] if families == before.families else families
    elif before is not None:
        if _reduced(addresses, before.addresses):
            causes.append(_invalid(_POLICY, policy, f"{_SECONDARY} cluster IP"))
        if _reduced(families, before.families):
            causes.append(_invalid(_POLICY, policy, f"{_SECONDARY} IP family"))
    if policy == SINGLE and len(addresses) == 2:
        causes.append(_invalid(_POLICY, policy, f"{_DUAL} cluster IPs are specified"))
    if policy == SINGLE and len(families) == 2:
        causes.append(_invalid(_POLICY, policy, f"{_DUAL} IP families are specified"))
    for index, address in enumerate(addresses):
        if address == HEADLESS or index < len(families):
            continue
        if family_of(address) in configured:
            families = (*families, family_of(address))
        else:
            detail = f"{family_of(address)} is not configured on this cluster"
            causes.append(_invalid(f"spec.clusterIPs[{index}]", list(addresses), detail))
    if not causes and not bare:
        causes = _unavailable(policy, families, configured)
    families = families or tuple(configured[:1])
    # Whoever lists the endpoints of a headless Service without selector may list those of both families anywhere.
    if policy != SINGLE and len(families) == 1 and (bare or len(configured) == 2):
        families = (*families, next(family for family in FAMILIES if family != families[0]))
    return Settled(policy, families, addresses, tuple(causes))


def _families(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(spec.get("ipFamilies") or ())


def _addresses(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else ()))


def _reduced(now: tuple[str, ...], before: tuple[str, ...]) -> bool:
    return len(before) == 2 and now == before[:1]


def _unavailable(policy: str, families: Sequence[str], configured: Sequence[str]) -> list[Cause]:
    """What is asked for that the cluster does not have."""
    causes = []
    if policy == REQUIRE and len(configured) < 2:
        causes.append(_invalid(_POLICY, policy, "this cluster is not configured for dual-stack services"))
    for index, family in enumerate(families):
        if family not in configured:
            causes.append(_invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
    return causes


def _invalid(field: str, value: object, why: str) -> Cause:
    shown = str(value).replace("'", '"') if isinstance(value, list) else f'"{value}"'
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)

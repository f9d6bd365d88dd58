"""Ranges of addresses as the command line gives them: one an address family, the first one the main family's; and which
IPAddress objects follow the Services.

Invariant: what `networks` returns has at least one range and no two of a family.
"""

from __future__ import annotations

import argparse
import ipaddress

from api.objects import Object, labels_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"


def networks(text: str) -> tuple[Network, ...]:
    """The ranges in A or A,B. Raises argparse.ArgumentTypeError, which says what is wrong."""
    try:
        found = tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if len({network.version for network in found}) < len(found):
        raise argparse.ArgumentTypeError(f"{text} has two ranges of one address family; give one of IPv4, one of IPv6")
    return found


def written(ranges: tuple[Network, ...]) -> str:
    """The ranges as `networks` reads them."""
    return ",".join(map(str, ranges))


def is_managed(address: Object) -> bool:
    """Whether an IPAddress is one of those that follow the Services. Source: KEP-1880."""
    return labels_of(address).get(MANAGED_BY) == ALLOCATOR

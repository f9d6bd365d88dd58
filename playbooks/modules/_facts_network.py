"""Facts of the network: interfaces with their addresses, and where the default routes go.

All is read from /sys, /proc and the kernel's own calls; no program is started.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import os
import socket
import struct
from typing import Any

from playbooks.modules._facts_system import _read

_SIOCGIFADDR = 0x8915
_SIOCGIFNETMASK = 0x891B
_SIOCGIFBRDADDR = 0x8919
_SIOCGIFCONF = 0x8912
_SCOPES = {"00": "global", "10": "host", "20": "link", "40": "site"}


def facts() -> dict[str, Any]:
    """All of them, without the prefix."""
    names = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
    names = [name for name in names if os.path.isdir(f"/sys/class/net/{name}")]
    by_name = {name: _interface(name) for name in names}
    _add_ipv4(by_name)
    _add_ipv6(by_name)
    gateway4, device4 = _route4()
    gateway6, device6 = _route6()
    found: dict[str, Any] = {
        "interfaces": names,
        "default_ipv4": _default(by_name, device4, gateway4, "ipv4"),
        "default_ipv6": _default(by_name, device6, gateway6, "ipv6"),
        "all_ipv4_addresses": _addresses(by_name, "ipv4"),
        "all_ipv6_addresses": _addresses(by_name, "ipv6"),
    }
    for name, described in by_name.items():
        found[name.replace("-", "_").replace(":", "_").replace(".", "_")] = described
    return found


def _interface(name: str) -> dict[str, Any]:
    base = f"/sys/class/net/{name}"
    kind = _read(f"{base}/type").strip()
    described: dict[str, Any] = {
        "device": name,
        "active": _read(f"{base}/operstate").strip() != "down",
        "mtu": int(_read(f"{base}/mtu").strip() or 0),
        "type": "loopback" if kind == "772" else "bridge" if os.path.isdir(f"{base}/bridge") else "ether",
        "promisc": bool(int(_read(f"{base}/flags").strip() or "0", 16) & 0x100),
    }
    speed = _read(f"{base}/speed").strip()
    if speed.lstrip("-").isdigit():
        # -1 where the device cannot tell.
        described["speed"] = int(speed)
    if os.path.exists(f"{base}/device"):
        described["pciid"] = os.path.basename(os.readlink(f"{base}/device"))
    if os.path.exists(f"{base}/device/driver/module"):
        described["module"] = os.path.basename(os.path.realpath(f"{base}/device/driver/module"))
    address = _read(f"{base}/address").strip()
    if address and address != "00:00:00:00:00:00":
        described["macaddress"] = address
    if os.path.isdir(f"{base}/bridge"):
        described["interfaces"] = sorted(os.listdir(f"{base}/brif"))
        described["id"] = _read(f"{base}/bridge/bridge_id").strip()
        described["stp"] = _read(f"{base}/bridge/stp_state").strip() == "1"
    return described


def _add_ipv4(by_name: dict[str, dict[str, Any]]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for label, address in _ipv4_list(probe):
            described = by_name.get(label.split(":")[0])
            if described is None:
                continue
            mask = _ask(probe, _SIOCGIFNETMASK, label)
            broadcast = _ask(probe, _SIOCGIFBRDADDR, label) or ""
            network = ipaddress.ip_interface(f"{address}/{mask or '255.255.255.255'}").network
            entry = {
                "address": address,
                "broadcast": "" if broadcast == "0.0.0.0" else broadcast,
                "netmask": str(network.netmask),
                "network": str(network.network_address),
                "prefix": str(network.prefixlen),
            }
            if "ipv4" in described:
                described.setdefault("ipv4_secondaries", []).append(entry)
            else:
                described["ipv4"] = entry


def _ipv4_list(probe: socket.socket) -> list[tuple[str, str]]:
    """Every interface label with its IPv4 address, by SIOCGIFCONF."""
    size = 40
    buffer = array.array("B", bytes(size * 512))
    pointer, _ = buffer.buffer_info()
    packed = struct.pack("iL", len(buffer), pointer)
    filled = struct.unpack("iL", fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, packed))[0]
    data = buffer.tobytes()[:filled]
    rows = [data[start : start + size] for start in range(0, filled, size)]
    return [(row[:16].split(b"\0")[0].decode(), socket.inet_ntoa(row[20:24])) for row in rows]


def _ask(probe: socket.socket, request: int, label: str) -> str:
    try:
        answer = fcntl.ioctl(probe.fileno(), request, struct.pack("256s", label.encode()[:15]))
    except OSError:
        return ""
    return socket.inet_ntoa(answer[20:24])


def _add_ipv6(by_name: dict[str, dict[str, Any]]) -> None:
    rows = [line.split() for line in _read("/proc/net/if_inet6").splitlines()]
    # Those that others can reach come first, as `ip` lists them: the first one is the default.
    for raw, _, prefix, scope, _, name in sorted(rows, key=lambda row: row[3]):
        if name in by_name:
            address = str(ipaddress.IPv6Address(int(raw, 16)))
            entry = {"address": address, "prefix": str(int(prefix, 16)), "scope": _SCOPES.get(scope, scope)}
            by_name[name].setdefault("ipv6", []).append(entry)


def _route4() -> tuple[str, str]:
    best = None
    for line in _read("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[7] == "00000000":
            metric = int(fields[6])
            if best is None or metric < best[0]:
                best = (metric, socket.inet_ntoa(struct.pack("<L", int(fields[2], 16))), fields[0])
    return (best[1], best[2]) if best else ("", "")


def _route6() -> tuple[str, str]:
    for line in _read("/proc/net/ipv6_route").splitlines():
        fields = line.split()
        if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            return str(ipaddress.IPv6Address(int(fields[4], 16))), fields[9]
    return "", ""


def _default(by_name: dict[str, dict[str, Any]], device: str, gateway: str, family: str) -> dict[str, Any]:
    described = by_name.get(device)
    if described is None:
        return {}
    own = described.get(family)
    entry = own[0] if isinstance(own, list) and own else own if isinstance(own, dict) else {}
    common = {key: described[key] for key in ("macaddress", "mtu", "type") if key in described}
    alias = {"alias": device} if family == "ipv4" else {}
    return {**entry, **common, **alias, "gateway": gateway, "interface": device}


def _addresses(by_name: dict[str, dict[str, Any]], family: str) -> list[str]:
    found: list[str] = []
    for name, described in by_name.items():
        if name == "lo":
            continue
        own = described.get(family)
        entries = own if isinstance(own, list) else [own] if own else []
        found.extend(entry["address"] for entry in [*entries, *described.get(f"{family}_secondaries", [])])
    return found

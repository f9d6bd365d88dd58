"""A pod's /etc/hosts and /etc/resolv.conf.

Invariant: pure, text in and text out.
Source: kubelet_pods' managedHostsFileContent and network/dns Configurer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agents.kubelet.pods import spec
from api.objects import Object, name_of, namespace_of

_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_MANAGED = "# Kubernetes-managed hosts file.\n"
_MANAGED_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
_LONGEST = 63
_LONGEST_FULL = 64
# What resolvers of C libraries read at most. Source: core/v1 validation of DNS limits.
_MOST_SERVERS = 3
_MOST_DOMAINS, _LONGEST_DOMAIN, _LONGEST_SEARCH = 32, 253, 2048


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """The cluster's name servers (may be empty) and domain, and the node's own resolv.conf."""

    cluster_servers: tuple[str, ...] = ()
    domain: str = "cluster.local"
    node_file: str = ""


def hostname(pod: Object) -> str:
    """What a pod calls itself."""
    if pod["spec"].get("hostnameOverride"):
        return str(pod["spec"]["hostnameOverride"])
    return str(pod["spec"].get("hostname") or name_of(pod))[:_LONGEST].rstrip("-.")


def host_name_in_container(pod: Object, domain: str) -> str:
    """The name that the kernel shows in the pod: with setHostnameAsFQDN the full one. Raises ValueError if too long."""
    full = full_name(pod, domain)
    if not pod["spec"].get("setHostnameAsFQDN") or not full:
        return hostname(pod)
    if len(full) > _LONGEST_FULL:
        raise ValueError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({_LONGEST_FULL} characters is the max, {len(full)} characters requested)"
        )
    return full


def full_name(pod: Object, domain: str) -> str:
    """The pod's name in the cluster's domain; "" without a subdomain, or if it calls itself something else."""
    subdomain = "" if pod["spec"].get("hostnameOverride") else pod["spec"].get("subdomain")
    return f"{hostname(pod)}.{subdomain}.{namespace_of(pod)}.svc.{domain}" if subdomain else ""


def hosts_file(pod: Object, addresses: Sequence[str], node_hosts: str, domain: str) -> str:
    """The text of /etc/hosts; on the node's network the node's own with a heading."""
    aliases = _aliases(pod)
    if spec.is_host_network(pod):
        return _MANAGED_HOST_NETWORK + node_hosts + aliases
    name = hostname(pod)
    full = full_name(pod, domain)
    own = "".join(f"{address}\t{full + chr(9) if full else ''}{name}\n" for address in addresses)
    return _MANAGED + _LOCAL + own + aliases


def _aliases(pod: Object) -> str:
    entries = pod["spec"].get("hostAliases") or []
    if not entries:
        return ""
    lines = "".join("\t".join([entry["ip"], *(entry.get("hostnames") or [])]) + "\n" for entry in entries)
    return f"\n# Entries added by HostAliases.\n{lines}"


class Resolver(NamedTuple):
    """Whom a pod asks for names: servers, search domains, and options as `name:value` or `name`."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def file(self) -> str:
        """The text of /etc/resolv.conf."""
        lines = [f"nameserver {server}" for server in self.servers]
        if self.searches:
            lines.append(f"search {' '.join(self.searches)}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "\n".join(lines) + "\n"


def resolver(pod: Object, dns: DnsSettings) -> Resolver:
    """Whom a pod asks, by its dnsPolicy and dnsConfig."""
    found = _wanted(pod, dns)
    return Resolver(found.servers[:_MOST_SERVERS], _fitting(found.searches), found.options)


def resolver_warnings(pod: Object, dns: DnsSettings) -> list[tuple[str, str]]:
    """Reason and sentence of each event that tells why a pod does not resolve names as it asks to."""
    found, told = _wanted(pod, dns), []
    if _asks_cluster(pod) and not dns.cluster_servers:
        message = (
            'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. '
            'Falling back to "Default" policy.'
        )
        told.append(("MissingClusterDNS", f'pod: "{spec.long_name(pod)}". {message}'))
    if len(found.servers) > _MOST_SERVERS:
        told.append(_omitted("Nameserver", "nameservers", "nameserver", found.servers[:_MOST_SERVERS]))
    if (kept := _fitting(found.searches)) != found.searches:
        told.append(_omitted("Search Line", "search paths", "search", kept))
    return told


def _omitted(limits: str, what: str, line: str, kept: Sequence[str]) -> tuple[str, str]:
    message = f"{limits} limits were exceeded, some {what} have been omitted, the applied {line} line is: "
    return "DNSConfigForming", message + " ".join(kept)


def _asks_cluster(pod: Object) -> bool:
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    return policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.is_host_network(pod))


def _wanted(pod: Object, dns: DnsSettings) -> Resolver:
    """Whom a pod asks if nothing limited it."""
    servers, search, options = _parse(dns.node_file)
    if pod["spec"].get("dnsPolicy") == "None":
        servers, search, options = [], [], []
    elif _asks_cluster(pod) and dns.cluster_servers:
        own = [f"{namespace_of(pod)}.svc.{dns.domain}", f"svc.{dns.domain}", dns.domain]
        servers, search, options = list(dns.cluster_servers), _unique(own + search), ["ndots:5"]
    config = pod["spec"].get("dnsConfig")
    if config:
        servers = _unique(servers + list(config.get("nameservers") or []))
        search = _unique(search + list(config.get("searches") or []))
    merged = dict(_option(text) for text in options)
    merged |= {entry["name"]: entry.get("value") or "" for entry in (config or {}).get("options") or []}
    written = (f"{name}:{value}" if value else name for name, value in merged.items())
    return Resolver(tuple(servers), tuple(search), tuple(written))


def _fitting(domains: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the search domains as resolvers take. Source: network/dns formDNSSearchFitsLimits."""
    chosen: list[str] = []
    for domain in [entry for entry in domains[:_MOST_DOMAINS] if len(entry) <= _LONGEST_DOMAIN]:
        if len(" ".join([*chosen, domain])) > _LONGEST_SEARCH:
            break
        chosen.append(domain)
    return tuple(chosen)


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    """(name servers, search domains, options) of a resolv.conf."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] == "search":
            search = [word.rstrip(".") for word in words[1:] if word != "."]
        elif words[0] == "options":
            options += words[1:]
    return servers, search, options


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))

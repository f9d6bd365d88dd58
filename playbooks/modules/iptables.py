"""Rules, chains and policies of the kernel's packet filter, by `iptables` and `ip6tables`.

The options become words in a fixed order, `_WORDS`: the kernel's tool tells by the same words whether a rule is there.
"""

from __future__ import annotations

import re
import shutil
from typing import Any, Iterator

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

_LEVELS = (*"01234567", "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_SETS = ("src", "dst", "src,dst", "dst,src", "src,src", "dst,dst")
_PLAIN = (
    "chain", "rule_num", "protocol", "wait", "source", "to_source", "destination", "to_destination", "jump", "gateway",
    "log_prefix", "goto", "in_interface", "out_interface", "fragment", "set_counters", "source_port",
    "destination_port", "to_ports", "set_dscp_mark", "set_dscp_mark_class", "comment", "src_range", "dst_range",
    "match_set", "limit", "limit_burst", "uid_owner", "gid_owner", "reject_with", "icmp_type",
)  # fmt: skip
OPTIONS = {
    "table": Option(default="filter", choices=("filter", "nat", "mangle", "raw", "security")),
    "state": Option(default="present", choices=("absent", "present")),
    "action": Option(default="append", choices=("append", "insert")),
    "ip_version": Option(default="ipv4", choices=("ipv4", "ipv6", "both")),
    "match": Option("list", default=()),
    "tcp_flags": Option("dict"),
    "log_level": Option(choices=_LEVELS),
    "destination_ports": Option("list", default=()),
    "ctstate": Option("list", default=()),
    "match_set_flags": Option(choices=_SETS),
    "syn": Option(default="ignore", choices=("ignore", "match", "negate")),
    "flush": Option("bool", default=False),
    "policy": Option(choices=("ACCEPT", "DROP", "QUEUE", "RETURN")),
    "chain_management": Option("bool", default=False),
    "numeric": Option("bool", default=False),
    **{name: Option() for name in _PLAIN},
}
# An option's flag, and the match extension that it loads unless `match` names it.
_WORDS = (
    ("protocol", "-p", ""), ("source", "-s", ""), ("destination", "-d", ""), ("match", "-m", ""),
    ("tcp_flags", "--tcp-flags", ""), ("jump", "-j", ""), ("gateway", "--gateway", ""),
    ("log_prefix", "--log-prefix", ""), ("log_level", "--log-level", ""), ("to_destination", "--to-destination", ""),
    ("destination_ports", "--dports", "multiport"), ("to_source", "--to-source", ""), ("goto", "-g", ""),
    ("in_interface", "-i", ""), ("out_interface", "-o", ""), ("fragment", "-f", ""), ("set_counters", "-c", ""),
    ("source_port", "--source-port", ""), ("destination_port", "--destination-port", ""),
    ("to_ports", "--to-ports", ""), ("set_dscp_mark", "--set-dscp", ""),
    ("set_dscp_mark_class", "--set-dscp-class", ""), ("syn", "--syn", ""), ("ctstate", "--ctstate", "conntrack"),
    ("src_range", "--src-range", "iprange"), ("dst_range", "--dst-range", "iprange"),
    ("match_set", "--match-set", "set"), ("limit", "--limit", "limit"), ("limit_burst", "--limit-burst", "limit"),
    ("uid_owner", "--uid-owner", "owner"), ("gid_owner", "--gid-owner", "owner"),
    ("reject_with", "--reject-with", ""), ("icmp_type", "", ""), ("comment", "--comment", "comment"),
)  # fmt: skip
_LOADED_ONCE = ("conntrack", "iprange", "set")
_PROGRAMS = {"ipv4": ("iptables",), "ipv6": ("ip6tables",), "both": ("iptables", "ip6tables")}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `iptables`."""
    parameters = dict(call.parameters)
    _check(parameters)
    result = {name: parameters[name] for name in ("ip_version", "table", "chain", "flush", "state", "chain_management")}
    # Ansible tells the rule as it was asked for, before logging without a target gets its own.
    result.update(changed=False, rule=" ".join(rule(parameters)), wait=parameters["wait"])
    if (parameters["log_prefix"] or parameters["log_level"]) and parameters["jump"] is None:
        parameters["jump"] = "LOG"
    for program in _PROGRAMS[parameters["ip_version"]]:
        if shutil.which(program) is None:
            raise Failure(f"the program {program} is not on this host; install the package iptables")
        result["changed"] = _Table(call, program, parameters).make(result["rule"]) or result["changed"]
    return result


def _check(parameters: dict[str, Any]) -> None:
    for one, other in (("flush", "policy"), ("set_dscp_mark", "set_dscp_mark_class")):
        if parameters[one] and parameters[other]:
            raise Failure(f"parameters are mutually exclusive: {one}|{other}")
    for name in ("set_dscp_mark", "set_dscp_mark_class"):
        if parameters[name] and parameters["jump"] is None:
            raise Failure(f"missing parameter(s) required by '{name}': jump")
    if not parameters["flush"] and parameters["chain"] is None:
        raise Failure("flush is False but all of the following are missing: chain")
    jump = parameters["jump"]
    if str(jump).lower() == "tee" and not parameters["gateway"]:
        raise Failure(f"jump is {jump} but all of the following are missing: gateway")
    if (parameters["log_prefix"] or parameters["log_level"]) and jump not in (None, "LOG"):
        raise Failure("Logging options can only be used with the LOG jump target.")


def rule(parameters: dict[str, Any]) -> list[str]:
    """The words that describe the rule."""
    words: list[str] = []
    loaded = {extension for extension in parameters["match"] if extension in _LOADED_ONCE}
    state = "state" in parameters["match"]
    for name, flag, extension in _WORDS:
        value = parameters[name]
        if value in (None, [], (), {}, "ignore") or (name == "gateway" and str(parameters["jump"]).lower() != "tee"):
            continue
        if extension and (extension not in loaded or name == "gid_owner") and not (name == "ctstate" and state):
            loaded.add(extension)
            words += ["-m", extension]
        if name == "icmp_type":
            flag = "--icmpv6-type" if parameters["ip_version"] == "ipv6" else "--icmp-type"
        if name == "ctstate" and state:
            flag = "--state"
        words += _option(name, flag, value)
        if name == "match_set" and parameters["match_set_flags"]:
            words.append(parameters["match_set_flags"])
        if name == "reject_with" and parameters["jump"] is None:
            words[-2:-2] = ["-j", "REJECT"]
    return words


def _option(name: str, flag: str, value: Any) -> Iterator[str]:
    if name == "match":
        for extension in value:
            yield from (flag, extension)
    elif name == "tcp_flags":
        flags, those_set = value.get("flags"), value.get("flags_set")
        if flags and those_set:
            yield from (flag, _joined(flags), _joined(those_set))
    elif name == "syn":
        yield from (["!"] if value == "negate" else []) + [flag]
    elif isinstance(value, (list, tuple)):
        yield from (flag, ",".join(map(str, value)))
    elif value.startswith("!"):
        yield from ("!", flag, value[1:].strip())
    else:
        yield from (flag, value)


def _joined(flags: Any) -> str:
    return flags if isinstance(flags, str) else ",".join(flags)


class _Table:
    """One table of one family, as the task sees it."""

    def __init__(self, call: Call, program: str, parameters: dict[str, Any]) -> None:
        self._call = call
        self._program = program
        self._parameters = parameters

    def make(self, asked: str) -> bool:
        """Make it as the task says; whether anything had to change."""
        parameters = self._parameters
        if parameters["flush"]:
            return self._change("-F")
        if parameters["policy"]:
            shown = re.search(r"\(policy ([A-Z]+)", self._list(must=True))
            if shown is None:
                raise Failure("Can't detect current policy")
            return shown.group(1) != parameters["policy"] and self._change("-P", parameters["policy"])
        wanted = parameters["state"] == "present"
        if not asked:
            if bool(self._list()) is wanted:
                return False
            return self._change("-N" if wanted else "-X") if parameters["chain_management"] else True
        words = rule(parameters)
        if (self._ask("-C", *words).status == 0) is wanted:
            return False
        if not wanted:
            return self._change("-D", *words)
        return self._change("-I" if parameters["action"] == "insert" else "-A", *words)

    def _list(self, *, must: bool = False) -> str:
        words = ("--numeric",) if self._parameters["numeric"] else ()
        if must:
            return self._call.checked(self._command("-L", words)).out
        done = self._ask("-L", *words)
        return done.out if done.status == 0 else ""

    def _change(self, verb: str, *words: str) -> bool:
        if not self._call.check:
            self._call.checked(self._command(verb, words))
        return True

    def _ask(self, verb: str, *words: str) -> Any:
        return self._call.run(self._command(verb, words), environment={"LC_ALL": "C"})

    def _command(self, verb: str, words: tuple[str, ...]) -> list[str]:
        parameters = self._parameters
        command = [self._program, "-t", parameters["table"], verb]
        command += [parameters["chain"]] if parameters["chain"] else []
        command += [parameters["rule_num"]] if verb == "-I" and parameters["rule_num"] else []
        command += ["-w", parameters["wait"]] if parameters["wait"] else []
        return [*command, *words]

"""Waits for a port, a file, or a time."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "host": Option(default="127.0.0.1"),
    "port": Option("int"),
    "path": Option("path"),
    "state": Option(default="started", choices=("absent", "drained", "present", "started", "stopped")),
    "timeout": Option("int", default=300),
    "connect_timeout": Option("int", default=5),
    "delay": Option("int", default=0),
    "sleep": Option("float", default=1),
    "search_regex": Option(),
    "msg": Option(),
    "active_connection_states": Option("list"),
    "exclude_hosts": Option("list"),
}
SUPPORTS_CHECK = False


def run(call: Call) -> dict[str, Any]:
    """`elapsed` seconds, and what the pattern matched."""
    if call["port"] and call["path"]:
        raise Failure("port and path parameter can not both be passed to wait_for")
    started = time.monotonic()
    result: dict[str, Any] = {key: call[key] for key in ("state", "port", "path", "search_regex")}
    result.update(changed=False, match_groups=[], match_groupdict={})
    if call.check:
        return {**result, "elapsed": 0}
    time.sleep(call["delay"])
    if not call["port"] and not call["path"] and call["state"] != "drained":
        time.sleep(call["timeout"])
        return {**result, "elapsed": int(time.monotonic() - started)}
    while not _reached(call, result):
        elapsed = time.monotonic() - started
        if elapsed >= call["timeout"]:
            raise Failure(call["msg"] or _timeout(call), elapsed=int(elapsed))
        time.sleep(min(call["sleep"], max(0.0, call["timeout"] - elapsed)))
    if call["path"]:
        result["path"] = call["path"]
    return {**result, "elapsed": int(time.monotonic() - started)}


def _reached(call: Call, result: dict[str, Any]) -> bool:
    wanted_there = call["state"] in ("started", "present")
    if call["path"]:
        there = os.path.exists(call["path"])
        return _matches_file(call, result) if wanted_there and there and call["search_regex"] else there == wanted_there
    if call["state"] == "drained":
        return not _connections(call["port"])
    return _port(call, result) == wanted_there


def _matches_file(call: Call, result: dict[str, Any]) -> bool:
    with open(call["path"], "rb") as stream:
        return _found(call, stream.read(), result)


def _found(call: Call, content: bytes, result: dict[str, Any]) -> bool:
    match = re.search(call["search_regex"], content.decode("utf-8", "surrogateescape"), re.MULTILINE)
    if match:
        result["match_groups"], result["match_groupdict"] = list(match.groups()), match.groupdict()
    return bool(match)


def _port(call: Call, result: dict[str, Any]) -> bool:
    try:
        with socket.create_connection((call["host"], call["port"]), call["connect_timeout"]) as connection:
            return _answers(call, connection, result) if call["search_regex"] else True
    except OSError:
        return False


def _answers(call: Call, connection: socket.socket, result: dict[str, Any]) -> bool:
    content = b""
    while True:
        part = connection.recv(1024)
        content += part
        if _found(call, content, result):
            return True
        if not part:
            return False


def _connections(port: int) -> bool:
    """Whether this machine has a TCP connection on the port, other than a listening one."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(name):
            continue
        with open(name) as stream:
            for line in stream.readlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port and fields[3] not in ("0A", "06"):
                    return True
    return False


def _timeout(call: Call) -> str:
    if call["path"]:
        what = f"file {call['path']} to be {call['state']}"
        return f"Timeout when waiting for {what}"
    what = "stop" if call["state"] in ("stopped", "absent") else call["state"] if call["state"] == "drained" else ""
    if what:
        return f"Timeout when waiting for {call['host']}:{call['port']} to {what}."
    pattern = f"search string {call['search_regex']} in " if call["search_regex"] else ""
    return f"Timeout when waiting for {pattern}{call['host']}:{call['port']}"

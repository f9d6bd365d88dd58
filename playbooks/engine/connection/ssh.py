"""Opens a connection with fabric and says in one sentence why it could not.

Invariant: an unknown or changed host key ends the attempt unless the inventory asked otherwise by name.
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection

from playbooks.engine.connection.liveness import Liveness
from playbooks.engine.connection.settings import Settings
from playbooks.errors import Unreachable

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
_WINDOW = 8 * 1024 * 1024
_DEAD_AFTER_MILLISECONDS = 60_000
# What is done where ssh's configuration does not say; ssh itself would never ask.
_ASK_AFTER, _ASK_TIMES = 15, 3
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _fabric_config() -> Any:
    """Fabric with nothing of the user's own fabric.yml: what counts is the inventory and ssh's configuration.

    One for each connection: Fabric rewrites it on the way, and another thread would find it empty meanwhile.
    """
    return Config(ssh_config=paramiko.SSHConfig(), lazy=True)


@functools.cache
def _ssh_config(path: str) -> paramiko.SSHConfig:
    merged = paramiko.SSHConfig()
    for name in (path,) if path else ("~/.ssh/config", "/etc/ssh/ssh_config"):
        file = Path(name).expanduser()
        if file.is_file():
            with file.open(encoding="utf-8") as stream:
                merged.parse(stream)
    return merged


def connect(settings: Settings) -> Connection:
    """An open connection to the host. Raises Unreachable."""
    try:
        return _open(settings)
    except Unreachable:
        raise
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(_explain(settings, error)) from error


def _options(settings: Settings) -> dict[str, Any]:
    """What ssh's configuration says of the host, and the inventory over it."""
    config = _ssh_config(settings.option("configfile")).lookup(settings.address)
    return {**config, **dict(settings.ssh_options)}


def _user_files(options: dict[str, Any]) -> list[str]:
    """Where the operator's known hosts are; the first is the one to write to."""
    return str(options.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")).split()


def _open(settings: Settings) -> Connection:
    options = _options(settings)
    address = str(options.get("hostname", settings.address))
    connection = Connection(
        host=address,
        user=settings.user or options.get("user") or getpass.getuser(),
        port=settings.port or int(options.get("port", 22)),
        config=_fabric_config(),
        gateway=_gateway(settings, options),
        connect_timeout=float(options.get("connecttimeout", settings.timeout)),
        connect_kwargs=_credentials(settings, options),
    )
    _trust(connection.client, settings, options)
    connection.open()
    _watch(connection.transport, settings, options)
    return connection


def _gateway(settings: Settings, options: dict[str, Any]) -> Any:
    jump = str(options.get("proxyjump", "none"))
    if jump.lower() != "none":
        hops = jump.split(",")
        user, _, rest = hops[-1].rpartition("@")
        address, _, port = rest.partition(":") if rest.count(":") == 1 else (rest, "", "")
        before = tuple((key, value) for key, value in settings.ssh_options if key != "proxyjump")
        if hops[:-1]:
            before = (*before, ("proxyjump", ",".join(hops[:-1])))
        hop = Settings(
            host=f"{settings.host} (jump host {address})",
            kind="ssh",
            address=address,
            port=int(port) if port else None,
            user=user or None,
            private_key=settings.private_key,
            host_key_checking=settings.host_key_checking,
            ssh_options=before,
            timeout=settings.timeout,
        )
        return connect(hop)
    proxy = str(options.get("proxycommand", "none"))
    if proxy.lower() == "none":
        return None
    values = {"%h": settings.address, "%p": str(settings.port or 22), "%r": settings.user or getpass.getuser()}
    for token, value in values.items():
        proxy = proxy.replace(token, value)
    return proxy


def _credentials(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    files = options.get("identityfile", [])
    keys = [settings.private_key] if settings.private_key else [files] if isinstance(files, str) else list(files)
    keys = [os.path.expanduser(key) for key in keys]  # noqa: PTH111 - paramiko takes text
    if settings.private_key and not Path(keys[0]).is_file():
        raise Unreachable(f"{settings.host}: the key file {keys[0]} (ansible_ssh_private_key_file) does not exist")
    only = str(options.get("identitiesonly", "no")).lower() == "yes"
    return {
        "key_filename": [key for key in keys if Path(key).is_file()],
        "password": settings.password or None,
        "allow_agent": not only,
        "look_for_keys": not keys and not only,
        "banner_timeout": settings.timeout,
        "auth_timeout": max(settings.timeout, 30.0),
        "transport_factory": _transport,
    }


def _transport(sock: Any, **rest: Any) -> paramiko.Transport:
    """Ciphers the processors do in hardware first, and a window that a large file does not wait on."""
    transport = paramiko.Transport(sock, default_window_size=_WINDOW, **rest)
    security = transport.get_security_options()
    known = tuple(security.ciphers)
    security.ciphers = [name for name in (*_CIPHERS, *known) if name in known]
    return transport


def _trust(client: paramiko.SSHClient, settings: Settings, options: dict[str, Any]) -> None:
    checking = str(options.get("stricthostkeychecking", "yes" if settings.host_key_checking else "no")).lower()
    if checking in ("no", "off", "false") or not settings.host_key_checking:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        return
    user_files = _user_files(options)
    system_files = str(options.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")).split()
    files = [file for name in (*system_files, *user_files) if (file := Path(name).expanduser()).is_file()]
    alias = str(options.get("hostkeyalias", ""))
    if alias:
        _know_as(client, alias, _server_name(settings, options), files)
    else:
        for file in files:
            client.load_system_host_keys(str(file))
    if checking == "accept-new":
        client.set_missing_host_key_policy(_Remember(Path(user_files[0]).expanduser(), alias))
    else:
        client.set_missing_host_key_policy(paramiko.RejectPolicy())


def _know_as(client: paramiko.SSHClient, alias: str, name: str, files: Iterable[Path]) -> None:
    """Of all known keys only those of `alias` count, for the host that paramiko calls `name`."""
    keys = paramiko.HostKeys()
    for file in files:
        keys.load(str(file))
    for kind, key in (keys.lookup(alias) or {}).items():
        client.get_host_keys().add(name, kind, key)


def _server_name(settings: Settings, options: dict[str, Any]) -> str:
    address = str(options.get("hostname", settings.address))
    port = int(settings.port or options.get("port") or 22)
    return address if port == 22 else f"[{address}]:{port}"


class _Remember(paramiko.MissingHostKeyPolicy):
    """Trusts a host seen for the first time and writes its key down."""

    def __init__(self, file: Path, alias: str = "") -> None:
        self._file = file
        self._alias = alias

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Append the key to the user's known hosts."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file.open("a", encoding="ascii") as stream:
            stream.write(f"{self._alias or hostname} {key.get_name()} {key.get_base64()}\n")


def _watch(transport: paramiko.Transport, settings: Settings, options: dict[str, Any]) -> None:
    """A host that vanishes without a word must not hold a task for the kernel's quarter of an hour, or for ever."""
    interval = _seconds(settings, "ServerAliveInterval", options.get("serveraliveinterval", _ASK_AFTER))
    count = _seconds(settings, "ServerAliveCountMax", options.get("serveralivecountmax", _ASK_TIMES))
    Liveness(transport, interval, count)
    if isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MILLISECONDS)


def _seconds(settings: Settings, name: str, value: Any) -> int:
    """A time as ssh's configuration writes it: `90`, `1m30s`."""
    if not re.fullmatch(r"(\d+[smhd]?)+", str(value).lower()):
        raise Unreachable(f"{settings.host}: the ssh option {name} is {value!r}, which is no number")
    parts = re.findall(r"(\d+)([smhd]?)", str(value).lower())
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def _explain(settings: Settings, error: BaseException) -> str:
    host, options = settings.host, _options(settings)
    address, port = str(options.get("hostname", settings.address)), settings.port or int(options.get("port", 22))
    target, name = f"{address}:{port}", address if port == 22 else f"'[{address}]:{port}'"
    file = _user_files(options)[0]
    scan = f"ssh-keyscan -p {port} {address} >> {file}"
    if isinstance(error, paramiko.BadHostKeyException):
        return (
            f"{host}: the host key of {target} has changed: expected {_print(error.expected_key)}, "
            f"got {_print(error.key)}; if the host was made anew, forget the old key with "
            f"`ssh-keygen -R {name} -f {file}` and add the new one with `{scan}`; "
            "if it was not, somebody else answers there"
        )
    if isinstance(error, paramiko.PasswordRequiredException):
        return f"{host}: the private key is encrypted; load it into ssh-agent"
    if isinstance(error, paramiko.AuthenticationException):
        tried = settings.private_key or ("the password" if settings.password else "the keys found here")
        return (
            f"{host}: {target} refused user {settings.user or getpass.getuser()} with {tried} ({error}); "
            "check ansible_user, ansible_ssh_private_key_file and the host's authorized_keys"
        )
    if isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error):
        return (
            f"{host}: the host key of {target} is not known; check it and add it with `{scan}`, "
            "or set ansible_ssh_common_args='-o StrictHostKeyChecking=accept-new'"
        )
    if isinstance(error, socket.gaierror):
        return f"{host}: the name {settings.address!r} cannot be resolved; set ansible_host to an address"
    if isinstance(error, TimeoutError):
        return f"{host}: no answer from {target} within {settings.timeout:g} s; is the host up and the address right?"
    return f"{host}: cannot connect to {target}: {str(error) or type(error).__name__}; is sshd running there?"


def _print(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"

"""Kubeconfig files: how every component and user finds the API server and proves who they are.

Invariant: what `render` writes, `load` and kubectl read; credentials are embedded, or named by absolute path.
Source: client-go's clientcmd/api/v1 Config.
"""

from __future__ import annotations

import base64
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from api.client import Client
from api.runtime import Runtime
from api.transport import HttpTransport, Request, Response

log = logging.getLogger(__name__)


class KubeconfigError(Exception):
    """The file is missing, malformed, or names a context that it does not define."""


def render(
    server: str,
    authority: bytes,
    user: str,
    *,
    certificate: bytes | None = None,
    key: bytes | None = None,
    certificate_file: str = "",
    key_file: str = "",
    token: str = "",
    cluster: str = "wherry",
) -> bytes:
    """A kubeconfig with one context. Give a certificate and key (embedded, or as files), or a token."""
    credentials: dict[str, str] = {}
    if certificate and key:
        credentials["client-certificate-data"] = base64.b64encode(certificate).decode()
        credentials["client-key-data"] = base64.b64encode(key).decode()
    if certificate_file and key_file:
        credentials |= {"client-certificate": certificate_file, "client-key": key_file}
    if token:
        credentials["token"] = token
    context = f"{user}@{cluster}"
    cluster_data = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": cluster_data}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def load(path: str | Path) -> HttpTransport:
    """A transport for the file's current context. Raises KubeconfigError."""
    source = Path(path)
    _, cluster, user = _read(source)
    return _transport(source, cluster, user)


def client(path: str | Path, user_agent: str) -> Client:
    """A client for the file's current context. Raises KubeconfigError."""
    return Client(load(path), user_agent=user_agent)


def embedded_certificate(path: str | Path) -> tuple[bytes, str]:
    """(client certificate PEM or b"", server URL) of the current context. Raises KubeconfigError."""
    _, cluster, user = _read(Path(path))
    return base64.b64decode(user.get("client-certificate-data") or ""), str(cluster["server"])


def _read(source: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    try:
        document = yaml.safe_load(source.read_text())
        context = _named(document, "context", document["current-context"])
        cluster = _named(document, "cluster", context["cluster"])
        user = _named(document, "user", context["user"]) or {}
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {source} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise KubeconfigError(f"kubeconfig {source} is malformed: {error!r}") from error
    return context, cluster, user


def authority(path: str | Path) -> tuple[str, bytes]:
    """The server and the certificate authority (PEM) of the file's current context. Raises KubeconfigError."""
    source = Path(path)
    try:
        document = yaml.safe_load(source.read_text())
        cluster = _named(document, "cluster", _named(document, "context", document["current-context"])["cluster"])
        embedded = cluster.get("certificate-authority-data")
        if embedded:
            return cluster["server"], base64.b64decode(embedded)
        return cluster["server"], (source.parent / cluster["certificate-authority"]).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {source} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise KubeconfigError(f"kubeconfig {source} is malformed: {error!r}") from error


class FollowingTransport:
    """A transport that follows its kubeconfig: renewed credentials are used without a restart.

    The file, and those with credentials that it names, are looked at every `seconds`. While they cannot be read, the
    former ones serve on: who sends requests can do nothing about it. Only the first time it raises KubeconfigError.
    """

    def __init__(self, path: str | Path, runtime: Runtime, *, seconds: float = 10.0) -> None:
        self._path = Path(path)
        self._runtime = runtime
        self._seconds = seconds
        self._looked = runtime.monotonic()
        self._follow()

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        if self._runtime.monotonic() - self._looked >= self._seconds:
            self._looked = self._runtime.monotonic()
            try:
                if self._signature() != self._seen:
                    self._follow()
            except (KubeconfigError, OSError, ValueError) as error:
                log.warning("the former credentials serve on: %s", error)
        return self._transport.send(request, timeout=timeout, stream=stream)

    def _follow(self) -> None:
        """Load the files as they are; what changes meanwhile is seen to differ the next time."""
        self._watched = (self._path, *_credential_files(self._path))
        seen = self._signature()
        self._transport = load(self._path)
        self._seen = seen

    def _signature(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in self._watched)


def _credential_files(source: Path) -> Iterator[Path]:
    """The files with the user's certificate and key that a kubeconfig names."""
    user = _read(source)[2]
    for name in ("client-certificate", "client-key"):
        if user.get(name):
            yield source.parent / user[name]


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = document[f"{kind}s"]
    found: dict[str, Any] = next(entry[kind] for entry in entries if entry["name"] == name)
    return found


def _transport(source: Path, cluster: dict[str, Any], user: dict[str, Any]) -> HttpTransport:
    with tempfile.TemporaryDirectory(prefix="wherry-kubeconfig-") as scratch:
        token = user.get("token") or ""
        token_file = user.get("tokenFile") or ""
        return HttpTransport(
            cluster["server"],
            ca_file=_material(source, cluster, "certificate-authority", scratch),
            cert_file=_material(source, user, "client-certificate", scratch),
            key_file=_material(source, user, "client-key", scratch),
            token=(lambda: Path(token_file).read_text().strip()) if token_file else (lambda: token) if token else None,
            verify=not cluster.get("insecure-skip-tls-verify", False),
        )


def _material(source: Path, entry: dict[str, Any], name: str, scratch: str) -> str | None:
    """The path of a credential; an embedded one is put into `scratch`, which the TLS context reads at once."""
    embedded = entry.get(f"{name}-data")
    if embedded:
        target = os.path.join(scratch, name)  # noqa: PTH118 - a plain name inside a fresh directory
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64decode(embedded))
        return target
    if entry.get(name):
        return str((source.parent / entry[name]).resolve())
    return None

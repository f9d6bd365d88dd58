"""Who the kubelet is towards the API server, and its server towards its clients: obtained, kept, renewed.

A kubeconfig given ready-made is used as it is. With a bootstrap kubeconfig the kubelet asks for its own
certificate, and writes the kubeconfig once it has it. In the node's name it also asks for a certificate of the node's
proxy, which is somebody else to the API server, and writes the kubeconfig that the proxy waits for.

Invariant: a written kubeconfig names the certificate by its path, so a renewal changes one file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.kubelet import certificates
from agents.kubelet.certificates import Certificate, CertificateDenied, obtain
from agents.kubelet.clock_skew import DatedTransport
from api import kubeconfig, pki
from api.client import Client
from api.errors import ApiError
from api.kubeconfig import FollowingTransport, KubeconfigError
from api.runtime import Event, Runtime
from api.transport import TransportError

log = logging.getLogger(__name__)

_AGENT = "kubelet/v1.37.0+wherry"
_RETRY = 2.0
_LOOK = 60.0


@dataclass(frozen=True, slots=True)
class CredentialsSettings:
    """The node's name, and where the files are; without `proxy_kubeconfig` no proxy is cared for."""

    node: str
    kubeconfig: Path
    bootstrap: Path | None
    directory: Path
    proxy_kubeconfig: Path | None = None


class Credentials:
    """The node's credentials."""

    def __init__(self, settings: CredentialsSettings, clock: Runtime) -> None:
        self._settings = settings
        self._clock = clock
        self._own = certificates.of_client(settings.directory, settings.node)
        self._client: Client | None = None
        self._dated: DatedTransport | None = None

    def client(self, stop: Event) -> Client | None:
        """A client of the API; waits for the certificate if it has to be asked for. None if `stop` came first.

        Raises KubeconfigError if there is neither a kubeconfig nor a way to bootstrap one.
        """
        if self._settings.bootstrap is not None and self._must_bootstrap() and not self._bootstrap(stop):
            return None
        transport = FollowingTransport(self._settings.kubeconfig, self._clock)
        self._dated = DatedTransport(transport, self._clock)
        self._client = Client(self._dated, user_agent=_AGENT)
        return self._client

    def skew(self) -> float:
        """How many seconds the API server's clock is ahead of this machine's."""
        return self._dated.skew if self._dated is not None else 0.0

    def serving(self, names: Sequence[str], stop: Event) -> Path | None:
        """The server's certificate and key, asked for if there is none for these names; None if `stop` came first."""
        wanted = self._serving_certificate(names)
        while not wanted.is_valid(self._clock.time()) or not _names_match(wanted.file, names):
            if not self._try_obtain(wanted, stop) and stop.is_set():
                return None
        return wanted.file

    def renew_serving(self, names: Sequence[str], stop: Event) -> bool:
        """Renew the server's certificate if it is time; whether a new one is there."""
        wanted = self._serving_certificate(names)
        return wanted.renew_in(self._clock.time()) <= 0 and self._try_obtain(wanted, stop)

    def keep(self, stop: Event) -> None:
        """Renew the client certificate when it is time, until `stop`."""
        while not stop.is_set():
            if self._own.file.exists() and self._own.renew_in(self._clock.time()) <= 0:
                self._try_obtain(self._own, stop)
            stop.wait(_LOOK)

    def keep_proxy(self, stop: Event) -> None:
        """Have the proxy's certificate signed and renewed when it is time, and keep its kubeconfig, until `stop`."""
        path, wanted = self._settings.proxy_kubeconfig, certificates.of_proxy(self._settings.directory)
        while path is not None and not stop.is_set():
            fresh = wanted.renew_in(self._clock.time()) > 0 or self._try_obtain(wanted, stop)
            if fresh or wanted.is_valid(self._clock.time()):
                try:
                    _write_kubeconfig(path, self._settings.kubeconfig, wanted)
                except (KubeconfigError, OSError) as error:
                    log.warning("the proxy's kubeconfig %s could not be written, trying again: %s", path, error)
                stop.wait(_LOOK)

    def authority(self) -> bytes:
        """The cluster's certificate authority, PEM."""
        return kubeconfig.authority(self._settings.kubeconfig)[1]

    def _serving_certificate(self, names: Sequence[str]) -> Certificate:
        return certificates.of_server(self._settings.directory, self._settings.node, names)

    def _must_bootstrap(self) -> bool:
        if not self._settings.kubeconfig.exists():
            return True
        return self._own.file.exists() and not self._own.is_valid(self._clock.time())

    def _bootstrap(self, stop: Event) -> bool:
        bootstrap = self._settings.bootstrap
        if bootstrap is None or not bootstrap.exists():
            raise KubeconfigError(
                f"there is no kubeconfig {self._settings.kubeconfig} and no bootstrap kubeconfig {bootstrap}: "
                "provision this node again, or copy a bootstrap kubeconfig to it"
            )
        self._client = kubeconfig.client(bootstrap, _AGENT)
        if not self._own.is_valid(self._clock.time()):
            while not self._try_obtain(self._own, stop):
                if stop.is_set():
                    return False
        _write_kubeconfig(self._settings.kubeconfig, bootstrap, self._own)
        return True

    def _try_obtain(self, wanted: Certificate, stop: Event) -> bool:
        """Whether a new certificate is there; after a failure it waits a little, so that callers may loop."""
        assert self._client is not None
        try:
            return obtain(self._client, self._clock, wanted, stop)
        except (ApiError, TransportError, CertificateDenied, OSError) as error:
            log.warning("the certificate %s was not obtained, trying again: %s", wanted.name, error)
            if isinstance(error, CertificateDenied):
                wanted.pending_key.unlink(missing_ok=True)
            stop.wait(_RETRY)
            return False


def _write_kubeconfig(path: Path, source: Path, certificate: Certificate) -> None:
    """A kubeconfig for the server of another one, with the certificate; what says so already is left alone."""
    server, authority = kubeconfig.authority(source)
    file = str(certificate.file.resolve())
    content = kubeconfig.render(server, authority, certificate.subject.name, certificate_file=file, key_file=file)
    if not path.exists() or path.read_bytes() != content:
        pki.write_key(path, content)


def _names_match(file: Path, names: Sequence[str]) -> bool:
    return set(pki.server_names(file.read_bytes())) >= set(names)

"""Answers at health check node ports, by which a load balancer learns which nodes have endpoints of a service.

Invariant: exactly the ports of services with the external policy Local are listened on.
Source: Kubernetes, Service.spec.healthCheckNodePort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from agents.proxy.rules import ServiceRules
from api.objects import split_key
from api.serving import ListenError, Server


class HealthPorts:
    """One small HTTP server a service, at `address`; `healthy` tells whether the rules are what they shall be.

    `tell` is told the key of a service whose port is somebody else's, and why, once.
    """

    def __init__(self, healthy: Callable[[], bool], address: str, tell: Callable[[str, str], None]) -> None:
        self._healthy = healthy
        self._tell = tell
        self._told: set[int] = set()
        self._address = address
        self._servers: dict[int, Server] = {}
        self._state: dict[int, tuple[str, int]] = {}

    def sync(self, families: Iterable[Mapping[str, ServiceRules]]) -> None:
        """Listen on the ports of these services, and answer with their present numbers of local endpoints.

        A pod has an address of each family of its service: the number is that of the family with most.
        """
        self._state = {}
        for key, part in (item for parts in families for item in parts.items()):
            if part.health_check_port:
                known = self._state.get(part.health_check_port, (key, 0))[1]
                self._state[part.health_check_port] = (key, max(known, part.local_endpoints))
        for port in self._servers.keys() - self._state.keys():
            self._servers.pop(port).stop()
        self._told &= self._state.keys()
        self.listen()

    def listen(self) -> None:
        """Listen on the ports that were not to be had before."""
        for port in self._state.keys() - self._servers.keys():
            try:
                server = Server(self._application(port), f"{self._address}:{port}")
            except ListenError as error:
                if port not in self._told:
                    self._told.add(port)
                    self._tell(self._state[port][0], str(error))
                continue
            server.start()
            self._servers[port] = server
            self._told.discard(port)

    def close(self) -> None:
        """Stop listening."""
        self.sync([])

    def _application(self, port: int) -> Callable[..., Iterable[bytes]]:
        def application(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            key, count = self._state.get(port, ("", 0))
            namespace, name = split_key(key)
            service, healthy = {"namespace": namespace, "name": name}, self._healthy()
            told = {"service": service, "localEndpoints": count, "serviceProxyHealthy": healthy}
            body = orjson.dumps(told)
            status = "200 OK" if count and healthy else "503 Service Unavailable"
            headers = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]
            start_response(status, [*headers, ("X-Load-Balancing-Endpoint-Weight", str(count))])
            return [body]

        return application

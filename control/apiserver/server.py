"""The API server's parts, and the endpoints made of them.

Invariant: handlers reach time, storage and one another's decisions through this value only.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api import errors
from api.registry import Entry, Registry
from api.runtime import Runtime, timestamp
from control.apiserver import conversion
from control.apiserver.cache import Cache
from control.apiserver.endpoint import Endpoint
from control.apiserver.metrics import RequestMetrics
from control.apiserver.proxy.summaries import Summaries
from control.apiserver.response import PageNotFound
from control.apiserver.storage import Storage
from control.apiserver.strategies.base import Strategy
from control.apiserver.strategies.catalog import strategy_for
from control.apiserver.strategies.special import SPECIAL

if TYPE_CHECKING:
    from control.apiserver.admission.pipeline import Pipeline
    from control.apiserver.aggregation.remote import Aggregator
    from control.apiserver.authentication.bootstrap_tokens import BootstrapTokenMethod
    from control.apiserver.authentication.chain import Authenticator
    from control.apiserver.authentication.service_accounts import Tokens
    from control.apiserver.authorization.chain import Authorizer
    from control.apiserver.config import Config
    from control.apiserver.custom.catalog import CustomResources
    from control.apiserver.flow.control import FlowControl


@dataclass(slots=True)
class ApiServer:
    """What one API server is made of."""

    config: Config
    runtime: Runtime
    registry: Registry
    storage: Storage
    cache: Cache
    authenticator: Authenticator
    authorizer: Authorizer
    admission: Pipeline
    custom: CustomResources
    aggregator: Aggregator
    flow: FlowControl
    tokens: Tokens | None = None
    bootstrap_tokens: BootstrapTokenMethod | None = None
    kubelet_tls: ssl.SSLContext | None = None
    summaries: Summaries = field(default_factory=Summaries)
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    _endpoints: dict[tuple[str, str, str], Endpoint] = field(default_factory=dict)
    _strategies: dict[tuple[str, str], Strategy] = field(default_factory=dict)

    def now(self) -> str:
        """The time as objects carry it."""
        return timestamp(self.runtime.time())

    def endpoint(self, group: str, version: str, plural: str) -> Endpoint:
        """The endpoint of a served resource. Raises NotFound (the answer to an unknown path)."""
        found = self._endpoints.get((group, version, plural)) or self.custom.endpoint(group, version, plural)
        if found is None:
            entry = self.registry.find(group, version, plural)
            if entry is None:
                raise page_not_found()
            found = self._endpoints[group, version, plural] = self._make(entry)
        return found

    def _make(self, entry: Entry) -> Endpoint:
        storage, converter = conversion.storage_of(entry)
        stored_entry = self.registry.find(storage.group, storage.version, storage.plural) or entry
        address = storage.group, storage.plural
        strategy = self._strategies.get(address)
        if strategy is None:
            strategy = self._strategies[address] = strategy_for(stored_entry, SPECIAL)
            if address == ("", "events"):
                strategy.lease_seconds = self.config.event_seconds
        collection = self.cache.collection(*address)
        return Endpoint(entry, stored_entry, strategy, collection, converter)


def page_not_found() -> errors.NotFound:
    """The original's answer to a path or resource that is not served."""
    return PageNotFound("the server could not find the requested resource")

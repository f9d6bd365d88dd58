"""Health checks, metrics and configuration of the API server.

Invariant: /readyz is ok only while the store answers and the cache has been filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask
from prometheus_client import CollectorRegistry

from api.serving import CheckFailed, service
from control.apiserver.server import ApiServer
from control.kvstore.store import StoreError


def service_around(server: ApiServer, shown_config: Mapping[str, Any]) -> flask.Flask:
    """The Flask application with the end points that every component has."""

    def store_answers() -> None:
        try:
            server.storage.revision()
        except StoreError as error:
            raise CheckFailed(str(error)) from error

    def cache_is_filled() -> None:
        if not server.cache.synced():
            raise CheckFailed("the watch cache has not been filled yet")

    return service(
        "apiserver",
        metrics=CollectorRegistry(),
        config=shown_config,
        ready={"etcd": store_answers, "informer-sync": cache_is_filled},
    )

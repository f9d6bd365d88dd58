"""Health checks, metrics and configuration of the API server.

Invariant: /readyz is ok only while the store answers, the cache has been filled, and what the server itself makes is
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import flask
import orjson

from api.serving import CheckFailed, service
from control.apiserver.authentication import jwt
from control.apiserver.authentication.service_accounts import Tokens
from control.apiserver.config import Config
from control.apiserver.metrics import collectors
from control.apiserver.server import ApiServer
from control.apiserver.starting import steps
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

    around = service(
        "apiserver",
        metrics=collectors(server.metrics, server.cache, server.registry, server.flow),
        config=shown_config,
        live={"log": lambda: None, "etcd": store_answers, **steps(server, cache_is_filled)},
        ready={"informer-sync": cache_is_filled},
    )
    if server.tokens is not None:
        _add_key_discovery(around, server.tokens, server.config)
    return around


def _add_key_discovery(around: flask.Flask, tokens: Tokens, config: Config) -> None:
    """The documents by which others verify service account tokens (OpenID Connect Discovery 1.0)."""
    where = f"https://{config.advertise_address}:{config.advertise_port}/openid/v1/jwks"
    configuration = {
        "issuer": tokens.issuer,
        "jwks_uri": where,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in tokens.keys}),
    }
    documents = {
        "/.well-known/openid-configuration": (orjson.dumps(configuration), "application/json"),
        "/openid/v1/jwks": (orjson.dumps(jwt.key_set(tokens.keys)), "application/jwk-set+json"),
    }
    for path, (body, media) in documents.items():
        around.add_url_rule(path, path, partial(flask.Response, body, mimetype=media))

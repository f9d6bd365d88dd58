"""The WSGI application: a request passes authentication, authorization and its handler, and always gets an answer.

Resource paths are routed by their own parser; everything around them (health, metrics, version) is a Flask
application like that of any other service.

Invariant: nothing but health and /version is answered to somebody who is not authenticated; every refusal is a
`Status`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from api import errors
from api.registry import registry as built_in_registry
from api.runtime import Runtime
from control.apiserver import discovery, observe, version
from control.apiserver.admission.pipeline import Pipeline
from control.apiserver.admission.plugins import plugins
from control.apiserver.aggregation.remote import Aggregator
from control.apiserver.audit import DECISION, HEADER, REASON, AuditIds, AuditLog
from control.apiserver.authentication.bootstrap_tokens import BootstrapTokenMethod
from control.apiserver.authentication.chain import Authenticator
from control.apiserver.authentication.chain import Method as AuthenticationMethod
from control.apiserver.authentication.impersonation import impersonated
from control.apiserver.authentication.jwt import SigningKey, VerifyKey
from control.apiserver.authentication.service_accounts import ServiceAccountMethod, Tokens
from control.apiserver.authorization.attributes import Attributes, attributes
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.authorization.node import NodeMethod
from control.apiserver.authorization.rbac import RbacMethod
from control.apiserver.cache import Cache
from control.apiserver.config import Config
from control.apiserver.custom.catalog import CustomResources
from control.apiserver.flow.control import FlowControl
from control.apiserver.handlers import routing, usage
from control.apiserver.hooks.client import Hooks
from control.apiserver.identity import ANONYMOUS
from control.apiserver.openapi.documents import Documents
from control.apiserver.request import Request
from control.apiserver.response import (
    Response,
    StartResponse,
    compress,
    error_response,
    json_response,
    warning_headers,
)
from control.apiserver.server import ApiServer, page_not_found
from control.apiserver.storage import Storage
from control.kvstore.store import Store, StoreError

log = logging.getLogger(__name__)

Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_COMMON = (("Cache-Control", "no-cache, private"),)
_OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})


class Application:
    """One API server as a WSGI application."""

    def __init__(self, server: ApiServer, around: Wsgi, audit: AuditLog | None = None) -> None:
        self.server = server
        self._audit = audit
        self._audit_ids = AuditIds(server.runtime)
        self._around = around
        self._documents = Documents(server.registry, server.custom, server.aggregator)
        self._monotonic = server.runtime.monotonic

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        metrics, started = self.server.metrics, self._monotonic()
        kind = metrics.begin(request)
        response = self._response(request)
        if response is not None:
            audit_id = self._audit_ids.of(request)
            if request.warnings and all(name != "Warning" for name, _ in response.headers):
                # Who is refused, or answered with a Status, is warned like everybody.
                response.headers += warning_headers(request.warnings)
            response.headers += (*request.answer_headers, (HEADER, audit_id))
            if "HTTP_ACCEPT_ENCODING" in environ:
                compress(response, environ["HTTP_ACCEPT_ENCODING"])
            if self._audit is not None:
                received = self.server.runtime.time() - (self._monotonic() - started)
                self._audit.record(request, response, audit_id, request.asked_by or request.user, received)
        metrics.end(kind, request, response.status if response else 200, self._monotonic() - started)
        if response is None:
            return self._around(environ, _with_headers(start_response, request))
        return response.send(start_response)

    def _response(self, request: Request) -> Response | None:
        try:
            return self._answer(request)
        except errors.ApiError as error:
            return error_response(error)
        except StoreError as error:
            log.warning("%s %s: %s", request.method, request.path, error)
            return error_response(errors.InternalError(f"the store did not answer: {error}"))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return error_response(errors.InternalError("an error on the server has prevented the request"))

    def _answer(self, request: Request) -> Response | None:
        """The answer, or None if the applications around resources have it."""
        server = self.server
        if "timeout=" in request.environ.get("QUERY_STRING", ""):
            request.check_timeout()
        if request.path in _OPEN_PATHS:
            self._identify(request)  # what is open to all still refuses a credential that is not good
            admitted = server.flow.classify(attributes(request))
            request.answer_headers = admitted.headers if admitted is not None else ()
            if request.path.startswith("/version") and request.method != "GET":
                raise routing.not_allowed()
            return None
        self._identify(request)
        if request.user is ANONYMOUS:
            raise errors.Unauthorized("Unauthorized")
        asked = attributes(request)
        admitted = server.flow.classify(asked)
        if admitted is None:
            return self._handle(request, asked)
        request.answer_headers = admitted.headers
        admitted.level.enter(admitted.flow)
        try:
            return self._handle(request, asked)
        finally:
            admitted.level.leave()

    def _identify(self, request: Request) -> None:
        """Note in the request who asks, and in whose name. Raises Unauthorized, Forbidden."""
        request.user = self.server.authenticator.authenticate(request)
        if request.user is ANONYMOUS:
            return
        # Every request comes by here, and one text is searched much faster than many.
        if "HTTP_IMPERSONATE_" in " ".join(request.environ):
            request.asked_by, request.user = request.user, impersonated(request, self.server.authorizer)

    def _handle(self, request: Request, asked: Attributes) -> Response | None:
        """The answer to somebody who is known and whose turn it is."""
        server = self.server
        try:
            reason = server.authorizer.check(asked)
        except errors.Forbidden:
            request.annotations[DECISION] = "forbid"
            raise
        if self._audit is not None:
            request.annotations |= {DECISION: "allow", REASON: reason}
        remote = server.aggregator.find(request)
        if remote is not None:
            return server.aggregator.proxy(remote, request)
        if request.path.startswith("//"):
            raise page_not_found()
        if request.info.is_resource:
            return routing.handle(server, request)
        if request.path == "/":
            return json_response({"paths": discovery.paths(server.registry)})
        if request.path.startswith("/api"):
            address = f"{server.config.advertise_address}:{server.config.advertise_port}"
            found = discovery.respond(server.registry, request, address, server.aggregator.remotes())
            if found is None:
                raise page_not_found()
            if request.method != "GET":
                raise routing.not_allowed()
            return found
        return self._documents.respond(request)


def _with_headers(start_response: StartResponse, request: Request) -> StartResponse:
    """The answer of an application around this one, with the headers that every answer has."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, *_COMMON, *request.answer_headers], *more)

    return start


def make_server(
    store: Store,
    runtime: Runtime,
    config: Config,
    *,
    authentication: Iterable[AuthenticationMethod] = (),
    signing_key: SigningKey | None = None,
    verify_keys: Sequence[VerifyKey] = (),
) -> ApiServer:
    """The parts of an API server over a store; start its cache before serving.

    `authentication` are methods besides tokens. Without `signing_key` no service account tokens are issued.
    """
    cache = Cache(store, runtime)
    rbac = RbacMethod(cache)
    tokens = Tokens(signing_key, verify_keys, config.issuer, cache, runtime) if signing_key else None
    methods: list[AuthenticationMethod] = [*authentication]
    if tokens:
        methods.append(ServiceAccountMethod(tokens))
    bootstrap_tokens = BootstrapTokenMethod(cache, runtime)
    methods.append(bootstrap_tokens)
    registry = built_in_registry()
    usage.add_to(registry)
    hooks = Hooks(cache, runtime)
    authorizer = Authorizer((NodeMethod(cache), rbac))
    return ApiServer(
        config=config,
        runtime=runtime,
        registry=registry,
        storage=Storage(store, cache, runtime),
        cache=cache,
        authenticator=Authenticator(methods),
        authorizer=authorizer,
        admission=Pipeline(plugins(cache, hooks, authorizer, rbac)),
        custom=CustomResources(cache, registry, hooks),
        flow=FlowControl(cache, runtime),
        aggregator=Aggregator(cache, runtime, config.pki_directory),
        tokens=tokens,
        bootstrap_tokens=bootstrap_tokens,
    )


def application(server: ApiServer, shown_config: Mapping[str, Any], audit: AuditLog | None = None) -> Application:
    """The WSGI application of a server; `shown_config` is what /configz tells, `audit` where requests are noted."""
    around = observe.service_around(server, shown_config)
    version.add_view(around)
    return Application(server, around.wsgi_app, audit)

"""Requests that schemathesis makes up from the served OpenAPI: whatever they ask for, the server does not fail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
import schemathesis
from apiserver_in_process import ADMIN, Cluster, running
from hypothesis import HealthCheck, Phase, given, settings
from test_plausible_requests import FAILURES

from api.transport import Request, WsgiTransport
from control.apiserver.authentication.certificates import ENVIRON_USER

pytestmark = pytest.mark.integration

DOCUMENTS = (
    "api/v1", "apis/apps/v1", "apis/batch/v1", "apis/policy/v1", "apis/networking.k8s.io/v1",
    "apis/rbac.authorization.k8s.io/v1", "apis/authorization.k8s.io/v1", "apis/authentication.k8s.io/v1",
    "apis/discovery.k8s.io/v1",
)  # fmt: skip
OPERATIONS = 5
EXAMPLES = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of this module's own, in this process: hypothesis and it share no clock but the machine's."""
    with running() as made:
        yield made


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_server_never_fails(cluster: Cluster, document: str) -> None:
    transport = WsgiTransport(cluster.application, {ENVIRON_USER: ADMIN})
    described = cluster.request("GET", f"/openapi/v3/{document}")[1]
    chosen = random.Random(document)
    paths = [path for path in described["paths"] if "/watch/" not in path and not path.endswith("/proxy/{path}")]
    described["paths"] = {path: described["paths"][path] for path in chosen.sample(paths, min(OPERATIONS, len(paths)))}

    def send(case: Any) -> None:
        query = {name: value for name, value in (case.query or {}).items() if name not in ("watch", "follow")}
        content = case.body if isinstance(case.body, bytes) else _json(case.body)
        headers = {str(name): str(value) for name, value in (case.headers or {}).items()}
        headers |= {"Content-Type": case.media_type} if case.media_type else {}
        target = f"{case.formatted_path}?{urlencode(query, doseq=True, errors='replace')}"
        answer = transport.send(Request(case.method.upper(), target, headers, content))
        body = answer.read()
        misfit = any(said in body for said in FAILURES)
        assert answer.status < 500 or misfit, f"{answer.status} for {case.method} {target} {content!r}: {body[:300]!r}"

    for found in schemathesis.openapi.from_dict(described).get_all_operations():
        strategy = found.ok().as_strategy()
        options = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
        settings(max_examples=EXAMPLES, phases=[Phase.generate], **options)(given(case=strategy)(send))()


def _json(body: Any) -> bytes | None:
    """The body as JSON; schemathesis has a value of its own for none."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return None

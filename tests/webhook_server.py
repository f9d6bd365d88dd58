"""An HTTPS server that answers reviews as a test wants."""

from __future__ import annotations

import base64
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from api import pki

Answer = Callable[[dict[str, Any]], Any]


@dataclass
class WebhookServer:
    """`answer` gets the decoded body of each POST and gives the body of the answer; `asked` keeps them.

    GET answers with `documents` by path; `heads` keeps path and headers.
    """

    port: int = 0
    ca_bundle: str = ""
    answer: Answer = lambda body: {}
    asked: list[dict[str, Any]] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    heads: list[tuple[str, Any]] = field(default_factory=list)

    def config(self, path: str = "/") -> dict[str, str]:
        """A clientConfig that reaches this server."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.ca_bundle}

    def answers(self, allowed: bool = True, patch: list[Any] | None = None, **response: Any) -> None:
        """Answer every AdmissionReview so."""

        def answer(review: dict[str, Any]) -> dict[str, Any]:
            made = {"uid": review["request"]["uid"], "allowed": allowed, **response}
            if patch is not None:
                made |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(patch)).decode()}
            return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": made}

        self.answer = answer


@contextmanager
def webhook_server(directory: Path) -> Iterator[WebhookServer]:
    """A running server with a certificate for 127.0.0.1."""
    made = WebhookServer()
    authority = pki.new_authority("hooks", time.time())
    pair = pki.issue(authority, pki.Subject("hook"), time.time(), server_names=["127.0.0.1", "hook.default.svc"])
    (directory / "hook.crt").write_bytes(pair.certificate)
    (directory / "hook.key").write_bytes(pair.key)
    made.ca_bundle = base64.b64encode(authority.certificate).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append(body)
            content = orjson.dumps(made.answer(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            made.heads.append((self.path, self.headers))
            content = orjson.dumps(made.documents.get(self.path.partition("?")[0], {}))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "hook.crt", directory / "hook.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()

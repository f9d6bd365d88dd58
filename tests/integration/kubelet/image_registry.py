"""A registry of one image, which wants a name and a word, in a network namespace of tests."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

PLACE = "127.0.0.1:5055"
IMAGE = f"{PLACE}/guarded/box:1"
USER, WORD = "clerk", "sesame"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer(files: dict[str, Path]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for target, source in files.items():
            archive.add(source, target)
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        archive.addfile(link)
    return body.getvalue()


def _part(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": _digest(content), "size": len(content)}


class Registry:
    """What it serves, by path, and whether it was asked with the right word."""

    def __init__(self, files: dict[str, Path]) -> None:
        layer = _layer(files)
        system = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}}
        config = orjson.dumps(system | {"rootfs": {"type": "layers", "diff_ids": [_digest(layer)]}})
        parts = {"config": _part("config.v1+json", config), "layers": [_part("layer.v1.tar", layer)]}
        manifest = orjson.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, **parts})
        self.digest = _digest(manifest)
        named = {f"manifests/{name}": manifest for name in ("1", self.digest)}
        blobs = {f"blobs/{_digest(blob)}": blob for blob in (config, layer)}
        self.served = {"/v2/": b"{}"} | {f"/v2/guarded/box/{path}": body for path, body in (named | blobs).items()}

    def answer(self, path: str, word: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a request for a path with this Authorization."""
        if word != f"Basic {base64.b64encode(f'{USER}:{WORD}'.encode()).decode()}":
            return 401, {"WWW-Authenticate": 'Basic realm="tests"'}, b'{"errors": [{"code": "UNAUTHORIZED"}]}'
        body = self.served.get(path)
        if body is None:
            return 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
        kind = _MANIFEST if "/manifests/" in path else "application/octet-stream"
        return 200, {"Content-Type": kind, "Docker-Content-Digest": _digest(body)}, body


@contextmanager
def served(files: dict[str, Path], here: Callable[[], AbstractContextManager[Any]]) -> Iterator[Registry]:
    """The registry while it serves in the network namespace that `here` enters."""
    registry = Registry(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = registry.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    address, _, port = PLACE.partition(":")
    with here():
        server = ThreadingHTTPServer((address, int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()

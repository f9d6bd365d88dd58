"""What `uri` sends of this machine and of the host, as the server sees it."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playbook_runs import Playbooks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


class _Mirror(http.server.BaseHTTPRequestHandler):
    """Answers with what was asked."""

    def do_GET(self) -> None:
        if self.path == "/from":
            self.send_response(302)
            self.send_header("Location", "/to")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        said = gzip.compress(json.dumps({name: self.headers[name] for name in ("Authorization", "X-Once")}).encode())
        self.send_response(200)
        for name, value in (("Type", "application/json"), ("Encoding", "gzip"), ("Length", str(len(said)))):
            self.send_header(f"Content-{name}", value)
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("latin-1")
        said = json.dumps({"kind": self.headers["Content-Type"], "body": body}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server that mirrors requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Mirror)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_of_this_machine_and_of_the_host_are_sent(local: Playbooks, url: str) -> None:
    (local.directory / "files").mkdir()
    (local.directory / "files" / "mine.txt").write_text("of this machine\n")
    (local.directory / "theirs.txt").write_text("of the host\n")
    post = f"uri: {{url: '{url}', method: POST, "
    done = local(
        "- hosts: node1\n  gather_facts: false\n  tasks:\n"
        f"    - name: src\n      {post} src: mine.txt}}\n"
        f"    - name: src there\n      {post} src: '{{{{ here }}}}/theirs.txt', remote_src: true}}\n"
        f"    - name: form\n      {post} body_format: form-multipart, body: {{a: b, f: {{filename: mine.txt}}}}}}\n"
        f"    - name: form there\n      {post} body_format: form-multipart, remote_src: true,"
        " body: {f: {filename: '{{ here }}/theirs.txt', multipart_encoding: 7or8bit}}}\n"
        f"    - name: job\n      async: 30\n      poll: 1\n      {post} src: mine.txt}}\n"
        f"    - name: pairs\n      {post} body_format: form-urlencoded, body: [[a, 1], [b, x y]]}}\n"
        f"    - name: none such\n      ignore_errors: true\n      {post} src: nowhere.txt}}\n"
    )
    assert done.result.status == 0, done.result.failures

    def sent(name: str) -> str:
        return str(done.of(name).result["json"]["body"])

    assert sent("src") == sent("job") == "of this machine\n"
    assert sent("src there") == "of the host\n"
    assert 'name="a"\r\n\r\nb\r\n' in sent("form")
    assert 'name="f"; filename="mine.txt"\r\n\r\nb2YgdGhpcyBtYWNoaW5lCg==\r\n' in sent("form")
    assert 'filename="theirs.txt"\r\n\r\nof the host\r\n' in sent("form there")
    assert done.of("form").result["json"]["kind"].startswith("multipart/form-data; boundary=")
    assert sent("pairs") == "a=1&b=x+y"
    assert "nowhere.txt" in done.of("none such").result["msg"]


def test_answers_are_unpacked_and_only_who_may_is_told_who_asks(local: Playbooks, url: str) -> None:
    (local.directory / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (local.directory / "netrc").chmod(0o600)
    once = "headers: {X-Once: here, X-Always: there}, unredirected_headers: [x-once]"
    done = local(
        "- hosts: node1\n  gather_facts: false\n  tasks:\n"
        f"    - {{name: plain, uri: {{url: '{url}', {once}}}}}\n"
        f"    - {{name: led on, uri: {{url: '{url}from', {once}}}}}\n"
        f"    - {{name: packed, uri: {{url: '{url}', decompress: false}}}}\n"
        f"    - name: known\n      environment: {{NETRC: '{{{{ here }}}}/netrc'}}\n      uri: {{url: '{url}'}}\n"
        f"    - name: unknown\n      environment: {{NETRC: '{{{{ here }}}}/netrc'}}\n"
        f"      uri: {{url: '{url}', use_netrc: false}}\n"
        f"    - {{name: kerberos, ignore_errors: true, uri: {{url: '{url}', use_gssapi: true}}}}\n"
    )
    assert done.of("plain").result["json"] == {"Authorization": None, "X-Once": "here"}
    assert done.of("led on").result["json"] == {"Authorization": None, "X-Once": None}
    assert "json" not in done.of("packed").result
    assert done.of("known").result["json"]["Authorization"] == "Basic bWU6c2VjcmV0"
    assert done.of("unknown").result["json"]["Authorization"] is None
    assert "Kerberos is not supported" in done.of("kerberos").result["msg"]

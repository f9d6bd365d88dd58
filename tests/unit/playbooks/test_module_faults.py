"""What parameters, files and answers that are at fault come to: a sentence of the module's, never its traceback."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import socket
import tempfile
import threading
import urllib.response
from pathlib import Path
from typing import Any

import pytest

from playbooks.engine.helper import frames
from playbooks.engine.helper.call import Call
from playbooks.engine.helper.options import resolve
from playbooks.engine.helper.serve import execute
from playbooks.engine.language import modules
from playbooks.modules import _download, file

pytestmark = pytest.mark.unit


def result_of(name: str, diff: bool = False, /, **given: Any) -> dict[str, Any]:
    """What a module of this machine answers."""
    module = modules.module(name)
    assert module is not None
    request = {"module": name, "parameters": resolve(name, module.options, given), "diff": diff}
    return execute(Call(1, request, frames.Writer(io.BytesIO())))


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a pattern": ("lineinfile", {"path": "f", "regexp": "(", "line": "x"}, "is no regular expression"),
    "a block's place": ("blockinfile", {"path": "f", "insertafter": "(", "block": "x"}, "is no regular expression"),
    "a group": (
        "lineinfile",
        {"path": "f", "regexp": "text", "line": r"\g<n>", "backrefs": True},
        "line refers to a group that regexp does not have",
    ),
    "an encoding": ("replace", {"path": "f", "regexp": "x", "encoding": "nope"}, "cannot be read or written as nope"),
    "a text": ("replace", {"path": "f", "regexp": "t", "replace": "\u20ac", "encoding": "ascii"}, "as ascii"),
    "an address": ("get_url", {"url": "nothing", "dest": "g"}, "unknown url type"),
    "an address asked": ("uri", {"url": "nothing"}, "unknown url type"),
    "an algorithm": ("get_url", {"url": "file:///f", "dest": "f", "checksum": "foo:abc"}, "with algorithm 'foo'"),
    "a mode below": ("file", {"path": "f", "mode": "-1"}, "Invalid mode supplied"),
    "a mode beyond": ("file", {"path": "f", "mode": "77777777777777"}, "Invalid mode supplied"),
}


@pytest.mark.parametrize(("name", "given", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_in_a_sentence(
    name: str, given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_text("text\n")
    before = Path("f").stat()
    result = result_of(name, **given)
    assert result["failed"] and said in result["msg"] and "exception" not in result, result
    assert Path("f").read_text() == "text\n" and Path("f").stat().st_mode == before.st_mode


@pytest.mark.parametrize("validate", ["test -s %s", "false %s"])
def test_a_link_is_replaced_by_a_file_that_was_accepted_only(validate: str, tmp_path: Path) -> None:
    source, target, link = (tmp_path / name for name in ("source", "target", "link"))
    source.write_text("new")
    target.write_text("old")
    link.symlink_to(target)
    result = result_of("copy", src=str(source), dest=str(link), remote_src=True, validate=validate)
    accepted = not result.get("failed")
    assert accepted is validate.startswith("test") and link.is_symlink() is not accepted
    assert link.read_text() == ("new" if accepted else "old") and target.read_text() == "old"


@pytest.mark.parametrize("name", ["copy", "lineinfile"])
def test_unsafe_writes_write_where_nothing_new_may_be_beside_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed, source = tmp_path / "fixed", tmp_path / "source"
    fixed.mkdir()
    (fixed / "f").write_text("old\n")
    source.write_text("old\nnew\n")
    make = tempfile.mkstemp

    def refuse(*, dir: str = "", **rest: Any) -> tuple[int, str]:
        if dir == str(fixed):
            raise PermissionError(1, "Operation not permitted")
        return make(**rest)

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    given = {"line": "new"} if name == "lineinfile" else {"src": str(source), "remote_src": True}
    safely = result_of(name, dest=str(fixed / "f"), **given)
    assert "cannot write into" in safely["msg"] and (fixed / "f").read_text() == "old\n"
    assert result_of(name, dest=str(fixed / "f"), unsafe_writes=True, **given)["changed"]
    assert (fixed / "f").read_text() == "old\nnew\n"


def test_a_file_tells_how_it_differs_only_where_that_is_asked(tmp_path: Path) -> None:
    given = {"path": str(tmp_path / "d"), "state": "directory"}
    asked = {"module": "file", "parameters": resolve("file", file.OPTIONS, given), "diff": True, "check": True}
    assert "diff" in execute(Call(1, asked, frames.Writer(io.BytesIO())))
    assert "diff" not in result_of("file", **given)


def test_a_table_in_a_file_needs_cron_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"name": "x", "job": "true", "user": "root", "cron_file": str(tmp_path / "table")}
    monkeypatch.setattr("playbooks.modules.cron._FURTHER", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "crontab is not on this host" in result_of("cron", **given)["msg"]
    assert not (tmp_path / "table").exists()
    (tmp_path / "crontab").write_text("#!/bin/sh\n")
    (tmp_path / "crontab").chmod(0o755)
    assert result_of("cron", **given)["changed"] and "* root true" in (tmp_path / "table").read_text()


def test_facts_of_the_host_s_own_that_cannot_be_read_are_told_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "bad.fact").write_text("[a]\nb = 50%\n")
    (tmp_path / "gone.fact").symlink_to(tmp_path / "nowhere")
    (tmp_path / "no-program.fact").write_bytes(b"\x7fELF")
    (tmp_path / "no-program.fact").chmod(0o755)
    (tmp_path / "good.fact").write_text('{"x": 1}')
    result = result_of("setup", gather_subset=["!all", "!min", "local"], fact_path=str(tmp_path))
    local = result["ansible_facts"]["ansible_local"]
    assert local.pop("good") == {"x": 1}
    assert {name: said.partition(" (")[0].partition(" as ")[0] for name, said in local.items()} == {
        "bad": "error loading facts", "gone": "error loading facts", "no-program": "Could not execute fact script",
    }  # fmt: skip


ANSWERS = {
    "no HTTP": b"what?\r\n\r\n",
    "packed, and cut off": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00",
    "packed, and damaged": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08" + b"\0" * 7 + b"\xff" * 9,
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
}  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("name", ["uri", "get_url"])
def test_a_server_that_answers_nonsense_is_told_in_a_sentence(name: str, answer: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(65536):
                    pass
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        dest = {"dest": str(tmp_path / "f")} if name == "get_url" else {"return_content": True}
        result = result_of(name, url=f"http://127.0.0.1:{server.getsockname()[1]}/", use_proxy=False, **dest)
        thread.join()
    assert result.get("failed") and "exception" not in result, result
    assert list(tmp_path.iterdir()) == []


class _Guarded(http.server.BaseHTTPRequestHandler):
    """Gives a file and its sums to whom brings the token."""

    def do_GET(self) -> None:
        """Answer."""
        known = self.headers.get("X-Token") == "t"
        self.send_response(200 if known else 401)
        self.end_headers()
        text = f"{hashlib.sha1(b'text').hexdigest()}  f\n" if self.path == "/sums" else "text"
        self.wfile.write(text.encode() if known else b"")

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("token", ["t", "other"])
def test_the_sums_of_a_download_are_asked_for_as_the_file_is(token: str, tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Guarded) as server:
        server.timeout = 5

        def serve() -> None:
            for _ in range(2 if token == "t" else 1):
                server.handle_request()

        thread = threading.Thread(target=serve)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        given = {"headers": {"X-Token": token}, "use_proxy": False, "checksum": f"sha1:{base}/sums"}
        result = result_of("get_url", url=f"{base}/f", dest=str(tmp_path / "g"), **given)
        thread.join()
    if token == "t":
        assert result["changed"] and (tmp_path / "g").read_text() == "text", result
    else:
        assert (result["status_code"], result["url"], result["msg"]) == (401, f"{base}/sums", "Request failed")


ADDRESSES = {
    "http://h/a@b": ("http://h/a@b", "http://h/a@b", None),
    "http://h?a:@b": ("http://h?a:@b", "http://h?a:@b", None),
    "http://me:p%40w@h:1/x": ("http://h:1/x", "http://****:****@h:1/x", b"me:p@w"),
    "https://me@h": ("https://h", "https://****@h", b"me:"),
    "nothing": ("nothing", "nothing", None),
}


@pytest.mark.parametrize(("url", "expected"), ADDRESSES.items(), ids=ADDRESSES)
def test_who_an_address_names_is_told_to_the_server_only(url: str, expected: tuple[str, str, bytes | None]) -> None:
    plain, header = _download.without_user(url)
    sent = base64.b64decode(header["Authorization"][6:]) if header else None
    assert (plain, _download.masked(url), sent) == expected


def test_what_is_no_http_can_be_downloaded_where_its_answer_has_no_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.8's has none."""
    monkeypatch.delattr(urllib.response.addinfourl, "status")
    (tmp_path / "f").write_text("text")
    result = result_of("get_url", url=f"file://{tmp_path}/f", dest=str(tmp_path / "g"))
    assert result["changed"] and (tmp_path / "g").read_text() == "text", result


def test_what_validates_is_a_command_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "new")
    target = tmp_path / "target file"
    target.write_text("old\n")
    given = {"path": str(target), "line": "new", "regexp": "old"}
    for refused in ("grep -q nothing %s || true", "grep -q 'new %s", "no-such-program %s"):
        assert result_of("lineinfile", validate=refused, **given)["failed"], refused
    assert target.read_text() == "old\n"
    assert result_of("lineinfile", validate="grep -q $WORD %s", **given)["changed"] and target.read_text() == "new\n"

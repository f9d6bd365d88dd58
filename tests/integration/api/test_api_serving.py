"""Services answer over unix sockets and TLS, know their peer, and hand a connection over when asked."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import pki
from api.transport import HttpTransport, Request, TransportError, UnixTransport

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).with_name("serving_process.py")
NOW = 1_750_000_000.0


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, str(SCRIPT), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "s.sock"
    process, _ = start(f"unix:{path}")
    yield path
    end(process)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    import time

    authority = pki.new_authority("ca", time.time())
    for name, names in (("server", ("127.0.0.1",)), ("client", ())):
        pair = pki.issue(authority, pki.Subject(name), time.time(), server_names=names)
        pki.write_public(tmp_path / f"{name}.crt", pair.certificate)
        pki.write_key(tmp_path / f"{name}.key", pair.key)
    pki.write_public(tmp_path / "ca.crt", authority.certificate)
    files = [str(tmp_path / name) for name in ("server.crt", "server.key", "ca.crt")]
    process, port = start("127.0.0.1:0", *files)
    yield f"https://127.0.0.1:{port}", tmp_path
    end(process)


def get(transport: UnixTransport | HttpTransport, path: str, method: str = "GET") -> tuple[int, str]:
    response = transport.send(Request(method, path))
    return response.status, response.read().decode()


def test_health_names_the_failed_check(unix: Path) -> None:
    transport = UnixTransport(str(unix))
    assert get(transport, "/readyz") == (200, "ok")
    assert get(transport, "/readyz?verbose") == (200, "[+]ping ok\n[+]part ok\nreadyz check passed\n")
    get(transport, "/break", "POST")
    status, text = get(transport, "/readyz")
    assert status == 500
    assert "[-]part failed: reason withheld" in text
    assert get(transport, "/readyz?exclude=part")[0] == 200
    assert get(transport, "/livez") == (200, "ok")
    assert get(transport, "/readyz/part") == (500, "internal server error: it was broken on purpose\n")
    assert get(transport, "/configz") == (200, '{"a":1}')


def test_only_the_owner_may_use_a_unix_socket(unix: Path) -> None:
    assert unix.stat().st_mode & 0o077 == 0


def test_a_streamed_answer_comes_line_by_line(unix: Path) -> None:
    response = UnixTransport(str(unix)).send(Request("GET", "/lines"), stream=True)
    assert list(response.lines()) == [b"0", b"1", b"2"]


def test_the_peer_is_known_by_its_certificate_and_nobody_without(tls: tuple[str, Path]) -> None:
    url, directory = tls
    authority = str(directory / "ca.crt")
    client = HttpTransport(
        url, ca_file=authority, cert_file=str(directory / "client.crt"), key_file=str(directory / "client.key")
    )
    assert get(client, "/who") == (200, "client")
    assert get(HttpTransport(url, ca_file=authority), "/who") == (200, "nobody")


def test_a_certificate_of_another_authority_is_refused(tls: tuple[str, Path]) -> None:
    url, directory = tls
    stranger = pki.issue(pki.new_authority("other", NOW), pki.Subject("client"), NOW)
    pki.write_public(directory / "x.crt", stranger.certificate)
    pki.write_key(directory / "x.key", stranger.key)
    client = HttpTransport(
        url,
        ca_file=str(directory / "ca.crt"),
        cert_file=str(directory / "x.crt"),
        key_file=str(directory / "x.key"),
    )
    with pytest.raises(TransportError):
        get(client, "/who")


def test_a_hijacked_connection_is_the_handlers_own(unix: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(unix))
        connection.settimeout(10)
        connection.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nread ahead\n")
        reader = connection.makefile("rb")
        assert reader.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while reader.readline() != b"\r\n":
            pass
        assert reader.readline() == b"READ AHEAD\n"
        connection.sendall(b"more\n")
        assert reader.readline() == b"MORE\n"


def test_a_request_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    process, _ = start(f"unix:{tmp_path}/s.sock")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "s.sock"))
            connection.settimeout(10)
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert process.stdout is not None
            assert process.stdout.readline() == "slow begins\n"
            process.terminate()
            assert connection.makefile("rb").read().endswith(b"done")
    finally:
        end(process)


def test_an_unreachable_server_is_a_transport_error(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"no\.sock"):
        get(UnixTransport(str(tmp_path / "no.sock")), "/healthz")

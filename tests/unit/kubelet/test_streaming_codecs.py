"""WebSocket and SPDY framing against the specifications' own examples and round trips."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.kubelet.streaming import spdy
from agents.kubelet.streaming.handshake import FORWARDING, Framing, UpgradeRefused, negotiate
from agents.kubelet.streaming.port_forward import named_ports
from agents.kubelet.streaming.remote import Incoming, Kind, terminal_size
from api import websocket
from api.websocket import Message, Opcode, ProtocolError

pytestmark = pytest.mark.unit


def masked(opcode: int, payload: bytes, *, final: bool = True, key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame."""
    head = bytes([(0x80 if final else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def test_accept_key_is_that_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_masked_text_of_the_rfc() -> None:
    frame = bytes.fromhex("818537fa213d7f9f4d5158")
    assert websocket.Decoder().feed(frame) == [Message(Opcode.TEXT, b"Hello")]


@given(st.binary(max_size=70_000), st.integers(1, 5000))
def test_messages_survive_any_cut(payload: bytes, size: int) -> None:
    decoder, found = websocket.Decoder(), []
    frame = masked(Opcode.BINARY, payload)
    for start in range(0, len(frame), size):
        found += decoder.feed(frame[start : start + size])
    assert found == [Message(Opcode.BINARY, payload)]


def test_fragments_become_one_message_around_a_ping() -> None:
    frames = (
        masked(Opcode.BINARY, b"ab", final=False)
        + masked(Opcode.PING, b"p")
        + masked(Opcode.CONTINUATION, b"cd", final=True)
    )
    assert websocket.Decoder().feed(frames) == [Message(Opcode.PING, b"p"), Message(Opcode.BINARY, b"abcd")]


@pytest.mark.parametrize(
    "frame",
    [
        websocket.encode(Opcode.TEXT, b"unmasked"),
        masked(Opcode.CONTINUATION, b"of nothing"),
        masked(Opcode.PING, b"x" * 126),
        masked(0x3, b"unknown"),
        bytes([0xC1]) + masked(Opcode.TEXT, b"")[1:],
    ],
)
def test_broken_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        websocket.Decoder().feed(frame)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_lengths_are_encoded_as_the_rfc_says(size: int) -> None:
    frame = websocket.encode(Opcode.BINARY, b"x" * size)
    assert len(frame) == size + (2 if size < 126 else 4 if size < 65536 else 10)


def test_spdy_dictionary_is_the_published_one() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


HEADERS = st.dictionaries(st.text("abcdefghij-", min_size=1), st.text(max_size=50), max_size=8)


@given(st.lists(st.tuples(st.integers(1, 2**31 - 1), HEADERS, st.binary(max_size=300)), max_size=8), st.integers(1, 99))
def test_spdy_frames_survive_any_cut(streams: list[tuple[int, dict[str, str], bytes]], size: int) -> None:
    encoder, decoder, wire, expected = spdy.Encoder(), spdy.Decoder(), b"", []
    for number, headers, data in streams:
        wire += encoder.syn_stream(number, headers) + encoder.data(number, data, final=True) + encoder.ping(number)
        expected += [
            spdy.Frame(spdy.Type.SYN_STREAM, number, headers=headers),
            spdy.Frame(spdy.Type.DATA, number, final=True, payload=data),
            spdy.Frame(spdy.Type.PING, number),
        ]
    found = []
    for start in range(0, len(wire), size):
        found += decoder.feed(wire[start : start + size])
    assert found == expected


def test_spdy_of_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError, match="version 2"):
        spdy.Decoder().feed(struct.pack(">HHI", 0x8002, 1, 0))


def test_settings_and_windows_are_ignored() -> None:
    settings = struct.pack(">HHI", 0x8003, 4, 4) + struct.pack(">I", 0)
    window = struct.pack(">HHI", 0x8003, 9, 8) + struct.pack(">II", 1, 100)
    assert spdy.Decoder().feed(settings + window) == []


WEBSOCKET = {
    "HTTP_UPGRADE": "websocket",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_PROTOCOL": "v4.channel.k8s.io, v5.channel.k8s.io",
}


def test_the_first_protocol_of_the_client_that_both_know_is_agreed_on() -> None:
    agreed = negotiate(WEBSOCKET, ("v5.channel.k8s.io", "v4.channel.k8s.io"), ())
    assert (agreed.framing, agreed.protocol) == (Framing.WEBSOCKET, "v4.channel.k8s.io")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in agreed.answer
    spdy_request = {"HTTP_UPGRADE": "SPDY/3.1", "HTTP_X_STREAM_PROTOCOL_VERSION": "v4.channel.k8s.io"}
    agreed = negotiate(spdy_request, (), ("v4.channel.k8s.io",))
    assert (agreed.framing, agreed.protocol) == (Framing.SPDY, "v4.channel.k8s.io")


def test_a_client_that_names_no_protocol_is_told_none() -> None:
    unnamed = {name: value for name, value in WEBSOCKET.items() if "PROTOCOL" not in name}
    agreed = negotiate(unnamed, ("binary.k8s.io", ""), ())
    assert (agreed.protocol, b"WebSocket-Protocol" in agreed.answer) == ("", False)
    with pytest.raises(UpgradeRefused) as refused:
        negotiate(unnamed, ("v4.channel.k8s.io",), ())
    assert (refused.value.status, str(refused.value)) == (
        403,
        "unable to upgrade: unable to negotiate protocol: client supports [], server accepts [v4.channel.k8s.io]",
    )
    with pytest.raises(UpgradeRefused, match="X-Stream-Protocol-Version is required") as refused:
        negotiate({"HTTP_UPGRADE": "SPDY/3.1"}, (), ("v4.channel.k8s.io",))
    assert refused.value.status == 400


def test_ports_are_forwarded_to_a_client_that_names_no_protocol() -> None:
    unnamed = {name: value for name, value in WEBSOCKET.items() if "PROTOCOL" not in name}
    assert negotiate(unnamed, FORWARDING, ()).protocol == ""


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_UPGRADE": "h2c"},
        WEBSOCKET | {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
        WEBSOCKET | {"HTTP_SEC_WEBSOCKET_PROTOCOL": "chat"},
    ],
)
def test_other_upgrades_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(UpgradeRefused):
        negotiate(environ, ("v4.channel.k8s.io",), ("v4.channel.k8s.io",))


def test_ports_are_named_one_by_one_or_together() -> None:
    assert named_ports(["80,81", "82"]) == (80, 81, 82)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], '"port" is required'),
        ([""], '"port" cannot be empty'),
        (["80,x"], 'unable to parse "80,x" as a port'),
        (["65536"], "unable to parse"),
        (["0"], "must be > 0"),
    ],
)
def test_what_is_no_port_is_refused(values: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        named_ports(values)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (b'{"Width":99,"Height":33}', (99, 33)),
        (b'{"height":33,"width":99}', (99, 33)),
        (b'{"Width":99}', None),
        (b"[99,33]", None),
        (b'{"Width":99,', None),
    ],
)
def test_a_terminals_size_is_read_as_go_reads_json(message: bytes, size: tuple[int, int] | None) -> None:
    assert terminal_size(message) == (Incoming(Kind.RESIZE, size=size) if size else None)

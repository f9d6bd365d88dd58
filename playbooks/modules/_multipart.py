"""Encodes a form of fields and files as multipart/form-data (RFC 7578), as Ansible sends it."""

from __future__ import annotations

import base64
import mimetypes
import os
import uuid
from typing import Any, Iterator, Mapping

_NEWLINE = b"\r\n"
_ENCODINGS = ("base64", "7or8bit")


def encode(fields: Mapping[str, Any]) -> tuple[str, bytes]:
    """The Content-Type and the body.

    A field is a text, or a mapping of `content`, or of `filename` whose bytes may be there as `data`, already read.
    Raises ValueError, and OSError for a file that cannot be read.
    """
    boundary = f"==============={uuid.uuid4().hex}=="
    mark = b"--" + boundary.encode()
    body = b""
    for name, value in sorted(fields.items()):
        body += mark + _NEWLINE + _NEWLINE.join(_part(name, value)) + _NEWLINE
    return f'multipart/form-data; boundary="{boundary}"', body + mark + b"--" + _NEWLINE


def _part(name: str, value: Any) -> Iterator[bytes]:
    """Its headers, an empty line, and what it holds."""
    file = {"content": value, "mime_type": "text/plain"} if isinstance(value, str) else value
    if not isinstance(file, dict):
        raise ValueError(f"value must be a string, or mapping, cannot be type {type(value).__name__}")
    filename, content = file.get("filename"), file.get("content")
    if not filename and not content and not isinstance(value, str):
        raise ValueError("at least one of filename or content must be provided")
    kind = file.get("mime_type") or mimetypes.guess_type(filename or "", strict=False)[0] or "application/octet-stream"
    if content or not filename:
        held = str(content).encode("utf-8", "surrogateescape").replace(b"\r\n", b"\n").replace(b"\n", _NEWLINE)
    else:
        encoding, held = _encoded(file, _read(file))
        yield b"Content-Transfer-Encoding: " + encoding
    yield f"Content-Type: {kind}".encode()
    said = f'form-data; name="{_quoted(name)}"'
    if filename:
        said += f'; filename="{_quoted(os.path.basename(filename))}"'
    yield f"Content-Disposition: {said}".encode()
    yield b""
    yield held


def _read(file: Mapping[str, Any]) -> bytes:
    if "data" in file:
        return base64.b64decode(file["data"])
    with open(os.path.expanduser(file["filename"]), "rb") as stream:
        return stream.read()


def _encoded(file: Mapping[str, Any], data: bytes) -> tuple[bytes, bytes]:
    wanted = str(file.get("multipart_encoding") or "base64").lower()
    if wanted not in _ENCODINGS:
        raise ValueError(f"multipart_encoding must be one of: {', '.join(_ENCODINGS)}, got: {wanted}")
    if wanted == "base64":
        return b"base64", base64.encodebytes(data).rstrip(b"\n").replace(b"\n", _NEWLINE) + _NEWLINE
    if data.isascii():
        return b"7bit", data.replace(b"\r\n", b"\n").replace(b"\n", _NEWLINE)
    return b"8bit", data


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

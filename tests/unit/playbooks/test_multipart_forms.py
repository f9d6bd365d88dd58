"""Forms as multipart/form-data: the bytes that ansible-core sends, whose modules' servers have got used to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from playbooks.modules._multipart import encode

pytestmark = pytest.mark.unit

FORM = 'Content-Disposition: form-data; name="f"'
# What a field becomes, below the mark that begins its part.
FIELDS: dict[str, tuple[Any, str]] = {
    "text": ("value", f"Content-Type: text/plain\n{FORM}\n\nvalue\n"),
    "lines": ("two\nlines", f"Content-Type: text/plain\n{FORM}\n\ntwo\nlines\n"),
    "empty": ("", f"Content-Type: text/plain\n{FORM}\n\n\n"),
    "content": ({"content": "some ü"}, f"Content-Type: application/octet-stream\n{FORM}\n\nsome ü\n"),
    "content with a name": (
        {"content": "x", "filename": "/a/b.html"}, f'Content-Type: text/html\n{FORM}; filename="b.html"\n\nx\n',
    ),
    "file": (
        {"filename": "FILE"},
        f'Content-Transfer-Encoding: base64\nContent-Type: text/plain\n{FORM}; filename="a.txt"\n\naGVsbG8K\n\n',
    ),
    "file as it is": (
        {"filename": "FILE", "multipart_encoding": "7or8bit", "mime_type": "x/y"},
        f'Content-Transfer-Encoding: 7bit\nContent-Type: x/y\n{FORM}; filename="a.txt"\n\nhello\n\n',
    ),
    "file that came along": (
        {"filename": "a.bin", "data": "/w=="},
        'Content-Transfer-Encoding: base64\nContent-Type: application/octet-stream\n'
        f'{FORM}; filename="a.bin"\n\n/w==\n\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "part"), FIELDS.values(), ids=FIELDS)
def test_a_field_is_a_part(value: Any, part: str, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("hello\n")
    if isinstance(value, dict) and value.get("filename") == "FILE":
        value = {**value, "filename": str(file)}
    kind, body = encode({"f": value})
    boundary = kind.removeprefix('multipart/form-data; boundary="').removesuffix('"')
    assert body.decode() == f"--{boundary}\n{part}--{boundary}--\n".replace("\n", "\r\n")


def test_parts_are_in_the_order_of_their_names() -> None:
    _, body = encode({"b": "1", "a": "2", 'q"': "3"})
    assert [line for line in body.decode().splitlines() if "name=" in line] == [
        f'Content-Disposition: form-data; name="{name}"' for name in ("a", "b", 'q\\"')
    ]


WRONG = {
    "a number": (5, "value must be a string, or mapping, cannot be type int"),
    "nothing in it": ({"mime_type": "a/b"}, "at least one of filename or content must be provided"),
    "an encoding": ({"filename": "/dev/null", "multipart_encoding": "x"}, "multipart_encoding must be one of: base64"),
}


@pytest.mark.parametrize(("value", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_no_field_is_said(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode({"f": value})

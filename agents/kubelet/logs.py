"""Reads containers' logs: files of lines `TIME stdout|stderr F|P TEXT`, where P says that the line goes on.

Invariant: what is served is whole log entries in the order of the file; a follower sees each entry once.
Source: CRI's logging format; kubelet's kuberuntime/logs; core/v1 PodLogOptions.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from api.runtime import Runtime, parse_timestamp

_BLOCK = 65536
_POLL = 0.2
_STREAMS = (b"stdout", b"stderr")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What a client wants of a log. `since` is in seconds since the epoch; None stands for no limit."""

    tail: int | None = None
    since: float | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    follow: bool = False
    stream: str = "All"


def read_log(path: Path, options: LogOptions, clock: Runtime, ended: Callable[[], bool]) -> Iterator[bytes]:
    """The log's text in pieces; with `follow` until `ended()` and all is read. A missing file is an empty log."""
    left = options.limit_bytes
    for text in _entries(path, options, clock, ended):
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


def _entries(path: Path, options: LogOptions, clock: Runtime, ended: Callable[[], bool]) -> Iterator[bytes]:
    while (file := _opened(path)) is None:
        if not options.follow or ended():
            return
        clock.sleep(_POLL)
    with ExitStack() as opened:
        opened.enter_context(file)
        file.seek(tail_offset(file, options.tail) if options.tail is not None else 0)
        rest = b""
        while True:
            was_ended = not options.follow or ended()
            was_replaced = _is_replaced(file, path)
            while block := file.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                piece = b"".join(entry_text(line, options) for line in lines)
                if piece:
                    yield piece
            if was_replaced and (fresh := _opened(path)) is not None:
                # Else what has been rotated away would keep its room on the disk as long as somebody follows.
                file.close()
                file = opened.enter_context(fresh)
                continue
            if was_ended:
                if rest and not options.follow and (piece := entry_text(rest, options)):
                    yield piece.removesuffix(b"\n")
                return
            # An empty piece lets the server notice that the client has gone.
            yield b""
            clock.sleep(_POLL)


def _opened(path: Path) -> io.BufferedReader | None:
    """The log; None if it is not there, or not for now."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def missing(path: Path) -> str:
    """Why there is no such log, in the original's words; "" if there is one."""
    absent = next((part for part in (*reversed(path.parents), path) if not part.exists()), None)
    if absent is None:
        return ""
    return f'failed to try resolving symlinks in path "{path}": lstat {absent}: no such file or directory'


def _is_replaced(file: io.BufferedReader, path: Path) -> bool:
    """Whether the log was begun anew in another file of the same name."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def entry_text(line: bytes, options: LogOptions) -> bytes:
    """What a client sees of one line of the file; empty if it is left out, or is no entry of a log."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in _STREAMS:
        return b""
    moment, stream = parts[0], parts[1]
    if options.stream != "All" and stream.decode().lower() != options.stream.lower():
        return b""
    if options.since is not None and _seconds(moment) < options.since:
        return b""
    text = parts[3] if _is_partial(line) else parts[3] + b"\n"
    return moment_text(moment) + b" " + text if options.timestamps else text


def moment_text(moment: bytes) -> bytes:
    """The time as the API shows it: all nine digits of its fraction, and Z instead of +00:00."""
    whole, point, rest = moment.replace(b"+00:00", b"Z").partition(b".")
    if not point:
        return whole
    digits = rest.rstrip(b"Z") if b"Z" in rest else rest.partition(b"+")[0].partition(b"-")[0]
    return whole + b"." + digits.ljust(9, b"0") + rest[len(digits) :]


def _seconds(moment: bytes) -> float:
    """The time in seconds since the epoch; what is no time is before all."""
    try:
        return parse_timestamp(_microseconds(moment.decode()))
    except ValueError:
        return float("-inf")


def _microseconds(text: str) -> str:
    """RFC 3339 with at most six digits of fraction, which is what datetime reads."""
    whole, point, rest = text.partition(".")
    if not point:
        return text
    digits = "".join(character for character in rest[:9] if character.isdigit())
    zone = rest.lstrip("0123456789")
    return f"{whole}.{digits[:6]}{zone}"


def tail_offset(file: io.BufferedReader, count: int) -> int:
    """Where the last `count` lines begin; a line written in parts counts once."""
    end = file.seek(0, os.SEEK_END)
    if count <= 0:
        return end
    position, buffer, seen = end, b"", 0
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        buffer = file.read(size) + buffer
        lines = buffer.split(b"\n")
        # The first piece may be the end of a line that begins in an earlier block.
        complete = lines[1:-1] if position > 0 else lines[:-1]
        seen = sum(1 for line in complete if not _is_partial(line))
        if seen > count or position == 0:
            return _cut(position + len(buffer) - len(lines[-1]), complete, count, position > 0)
    return 0


def _is_partial(line: bytes) -> bool:
    """Whether a line goes on in the next one. More tags may follow the first."""
    tags = line.split(b" ", 3)[2:3]
    return bool(tags) and tags[0].partition(b":")[0] == b"P"


def _cut(offset: int, lines: list[bytes], count: int, dropped_first: bool) -> int:
    """Where the last `count` of the lines begin, of which the last one ends at `offset`."""
    for line in reversed(lines):
        if not _is_partial(line):
            if count == 0:
                return offset
            count -= 1
        offset -= len(line) + 1
    return offset if dropped_first else 0

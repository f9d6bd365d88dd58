"""The helper's main loop: reads requests, runs each in a thread of its own, writes results as they come.

Invariant: standard output carries frames only; whatever a module prints goes nowhere. When the engine is gone the
helper ends the children it started and itself.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
import traceback
from typing import Any, BinaryIO

from playbooks.engine.helper import background, frames, secrets
from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import expanded
from playbooks.modules._files import told

GREETING = b"wherry-helper "


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Serve requests until `source` ends."""
    writer = frames.Writer(sink)
    calls: dict[int, Call] = {}
    while True:
        try:
            frame = frames.read(source)
        except frames.Closed:
            break
        if frame.kind == frames.REQUEST:
            call = Call(frame.call, frames.decode(frame.body), writer)
            calls[frame.call] = call
            threading.Thread(target=_run, args=(call, calls, writer), daemon=True).start()
            continue
        known = calls.get(frame.call)
        if known is None:
            continue
        if frame.kind == frames.CANCEL:
            known.cancel()
        else:
            known.incoming.put(frame)
    for call in list(calls.values()):
        call.cancel()


def _run(call: Call, calls: dict[int, Call], writer: frames.Writer) -> None:
    try:
        result = execute(call)
    finally:
        calls.pop(call.identity, None)
    try:
        writer.write_json(frames.RESULT, call.identity, result)
    except (BrokenPipeError, ValueError):
        # The engine is gone; the main loop sees the same and ends the helper.
        return


def execute(call: Call) -> dict[str, Any]:
    """A module's result; its failure, whatever kind, is a result too."""
    hidden: list[str] = []
    try:
        if call.background:
            return background.start({**call.request, "background": None}, call.background)
        module = importlib.import_module("playbooks.modules." + call.module)
        options = getattr(module, "OPTIONS", {})
        hidden = secrets.of(options, call.parameters)
        call.parameters = expanded(options, call.parameters, call.filled_in)
        result: dict[str, Any] = module.run(call)
    except Failure as error:
        result = {**error.result, "failed": True, "msg": str(error)}
    except OSError as error:
        result = {"failed": True, "msg": _describe(error)}
    except re.error as error:
        result = {"failed": True, "msg": f"{error.pattern!r} is no regular expression: {error}"}
    except Exception as error:  # noqa: BLE001 - the boundary of a task: the engine shows it with its traceback
        result = {
            "failed": True,
            "msg": f"module {call.module} broke: {type(error).__name__}: {error}",
            "exception": traceback.format_exc(),
        }
    result.setdefault("changed", False)
    told_of: dict[str, Any] = secrets.without(told(result), hidden)
    return told_of


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def main() -> None:
    """Take over standard input and output, greet, and serve."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    sink.write(GREETING + "{}.{}\n".format(*sys.version_info[:2]).encode("ascii"))
    sink.flush()
    serve(source, sink)
    os._exit(0)

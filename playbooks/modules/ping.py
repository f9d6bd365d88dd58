"""Answers: the connection, the helper and Python work."""

from __future__ import annotations

from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {"data": Option(default="pong", doc="what to answer; `crash` fails")}


def run(call: Call) -> dict[str, Any]:
    """`ping`: what was asked for."""
    if call["data"] == "crash":
        raise Failure("boom")
    return {"ping": call["data"]}

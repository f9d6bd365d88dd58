"""Answers the questions that packages ask when they are installed."""

from __future__ import annotations

from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "name": Option(required=True, aliases=("pkg",)),
    "question": Option(aliases=("selection", "setting")),
    "vtype": Option(
        choices=("boolean", "error", "multiselect", "note", "password", "seen", "select", "string", "text", "title")
    ),
    "value": Option("raw", aliases=("answer",)),
    "unseen": Option("bool", default=False),
}
_DATABASE = "/var/cache/debconf/passwords.dat"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `debconf`."""
    package, question, kind = call["name"], call["question"], call["vtype"]
    previous = _answers(call, package)
    if question is None:
        return {"changed": False, "msg": "", "current": previous}
    if kind is None or call["value"] is None:
        raise Failure("when supplying a question you must supply a valid vtype and value")
    value = _text(kind, call["value"])
    if question in previous and _same(kind, value, _known(package, question, kind, previous[question])):
        return {"changed": False, "msg": "", "current": previous}
    if not call.check:
        words = ["debconf-set-selections", *(["-u"] if call["unseen"] else [])]
        call.checked(words, input=f"{package} {question} {kind} {value}".encode())
    before = {question: previous.get(question, "")} if question in previous else {**previous, question: ""}
    result = {"changed": True, "msg": "", "current": {question: value}, "previous": before}
    if call.diff:
        result["diff"] = {"before": before, "after": {**before, question: value}}
    return result


def _answers(call: Call, package: str) -> dict[str, str]:
    lines = (line.partition(":") for line in call.checked(["debconf-show", package]).out.splitlines())
    return {name.strip("*").strip(): answer.strip() for name, _, answer in lines}


def _text(kind: str, value: Any) -> str:
    if kind == "boolean":
        return str(value).lower()
    if kind == "multiselect" and isinstance(value, list):
        return ", ".join(sorted(map(str, value)))
    return str(value)


def _known(package: str, question: str, kind: str, shown: str) -> str:
    """The answer as it is kept; `debconf-show` does not show a password."""
    if kind != "password":
        return shown
    try:
        with open(_DATABASE) as stream:
            entries = stream.read().split("\n\n")
    except OSError:
        return ""
    for entry in entries:
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
        if fields.get("Name") == question and package in fields.get("Owners", ""):
            return fields.get("Value", "")
    return ""


def _same(kind: str, wanted: str, known: str) -> bool:
    if kind == "boolean":
        return wanted == known.lower()
    if kind == "multiselect":
        return wanted == ", ".join(sorted(part.strip() for part in known.split(",")))
    return wanted == known

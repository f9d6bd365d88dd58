"""One short sentence for what a result says went wrong.

Invariant: pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playbooks.engine.result import item_results

_LONGEST = 300


def reason(result: Mapping[str, Any]) -> str:
    """Why a task failed, was skipped or could not run."""
    failed = next((item for item in item_results(result) if item.get("failed") or item.get("unreachable")), None)
    if failed is not None:
        item = failed.get(failed.get("ansible_loop_var", "item"))
        return f"{reason(failed)} (item={_short(str(item), 80)})"
    message = str(result.get("msg") or "no message")
    if "rc" in result and message.startswith("non-zero return code"):
        said = (str(result.get("stderr") or "").strip() or str(result.get("stdout") or "").strip()).splitlines()
        message = f"exit status {result['rc']}" + (f": {said[-1]}" if said else "")
    if "assertion" in result:
        message = f"{message}: {result['assertion']}"
    # Of a host that is not reached the engine itself says why, and the commands that mend it: half of one is none.
    return _short(message, len(message) if result.get("unreachable") else _LONGEST)


def authored(result: Mapping[str, Any]) -> str:
    """What the playbook's author wrote to be told (`fail`, `assert`): whole and in its lines, as it may be a table."""
    message = str(result.get("msg") or "").strip()
    return message if "\n" in message else reason(result)


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"

"""An Ansible callback that writes what happened as JSON lines to the file that $RECORD_RESULTS names.

Ansible loads it by path; the corpus test compares the lines with what Wherry's own display tells.
"""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record_results
type: aggregate
short_description: write results as JSON lines
description: [write results as JSON lines]
"""


class CallbackModule(CallbackBase):
    """Every result and the recap."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record_results"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._stream = open(os.environ["RECORD_RESULTS"], "a", encoding="utf-8")  # noqa: SIM115 - open while it lives

    def v2_runner_on_ok(self, result):
        self._result(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result):
        self._result(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        self._result(result, "unreachable")

    def v2_playbook_on_stats(self, stats):
        names = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")
        counts = {host: {**stats.summarize(host)} for host in stats.processed}
        for found in counts.values():
            found["failed"], found["unreachable"] = found.pop("failures"), found.pop("unreachable")
        self._write({"recap": {host: {name: found[name] for name in names} for host, found in counts.items()}})

    def _result(self, result, status):
        task = result._task
        self._write(
            {
                "host": result._host.get_name(),
                "name": task.get_name(),
                "action": task.action.rpartition(".")[2],
                "status": status,
                "result": result._result,
            }
        )

    def _write(self, line):
        self._stream.write(json.dumps(line, default=str) + "\n")
        self._stream.flush()

"""Runs Ansible's playbooks over one connection and one helper process a host.

`run_playbook` is the entry; `language` reads files into values, `variables` and `evaluation` are pure, `executor`
moves hosts through tasks, `connection` talks to them, `display` shows it.

Invariant: importing this package costs nothing, since the helper on a host imports its subpackage `helper`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from playbooks.engine.display.events import Display
    from playbooks.engine.result import Options, Result


def run_playbook(
    path: str | Path, sources: Iterable[str | Path], options: Options | None = None, display: Display | None = None
) -> Result:
    """Run one playbook against inventory sources; see `playbooks.engine.run.run_playbook`."""
    from playbooks.engine.run import run_playbook as run

    return run(path, sources, options, display)

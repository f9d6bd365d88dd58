"""Several Wherry processes under one parent: started in order, started again when they end, stopped in reverse.

Children are forked after the common modules are loaded, so they share memory and start at once. Each ends
with its parent, also when the parent is killed.

Invariant: a child's output goes to its own log file; the parent prints only what its user must know.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from api.runtime import Event, Runtime
from control.cli.errors import CommandError

PR_SET_PDEATHSIG = 1
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 60.0
POLL_SECONDS = 0.02
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Component:
    """One process: its `wherry` command line, and `ready()`, which says whether it can be used by the next."""

    name: str
    arguments: tuple[str, ...]
    ready: Callable[[], bool]


@dataclass(slots=True)
class _Child:
    component: Component
    pid: int = 0
    started: float = 0.0
    failures: int = 0
    restart_at: float = field(default=0.0)


class Supervisor:
    """Runs components; `main` is the command line's entry point, called in the child."""

    def __init__(self, runtime: Runtime, log_directory: Path, main: Callable[[list[str]], int]) -> None:
        self._runtime = runtime
        self._logs = log_directory
        self._main = main
        self._children: list[_Child] = []

    def pids(self) -> dict[str, int]:
        """The process of each component that runs now."""
        return {child.component.name: child.pid for child in self._children if child.pid}

    def start(self, component: Component, stop: Event, timeout: float = 30.0) -> None:
        """Start and wait until it is ready. Raises CommandError naming the log if it ends or stays unready."""
        child = _Child(component)
        self._children.append(child)
        self._fork(child)
        deadline = self._runtime.monotonic() + timeout
        while not component.ready():
            if stop.is_set():
                raise CommandError(f"stopped while {component.name} was starting")
            if self._reap(child):
                raise CommandError(f"{component.name} ended while starting: {self._last_words(component.name)}")
            if self._runtime.monotonic() > deadline:
                raise CommandError(f"{component.name} is not ready after {timeout:.0f} s; see {self._log(component)}")
            self._runtime.sleep(POLL_SECONDS)

    def watch(self, stop: Event) -> None:
        """Start children again that end, with growing pauses, until `stop`."""
        while not stop.wait(_LOOK_SECONDS if all(child.pid for child in self._children) else POLL_SECONDS):
            now = self._runtime.monotonic()
            for child in self._children:
                if child.pid and self._reap(child):
                    steady = now - child.started > STEADY_SECONDS
                    child.failures = 1 if steady else child.failures + 1
                    pause = min(LONGEST_PAUSE_SECONDS, 0.1 * 2**child.failures)
                    child.restart_at = now + pause
                    name = child.component.name
                    print(
                        f"{name} ended and starts again in {pause:.1f} s; see {self._log(child.component)}", flush=True
                    )
                if not child.pid and child.restart_at <= now:
                    self._fork(child)

    def stop(self, timeout: float = 10.0) -> None:
        """End the children in reverse order: SIGTERM, and SIGKILL after `timeout`."""
        for child in reversed(self._children):
            if not child.pid:
                continue
            # Who stops the whole group has ended the child already.
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
            deadline = self._runtime.monotonic() + timeout
            while not self._reap(child):
                if self._runtime.monotonic() > deadline:
                    os.kill(child.pid, signal.SIGKILL)
                self._runtime.sleep(POLL_SECONDS)

    def _fork(self, child: _Child) -> None:
        sys.stdout.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(child.component, parent)
        child.pid = pid
        child.started = self._runtime.monotonic()

    def _become(self, component: Component, parent: int) -> None:
        """The child's life; never returns."""
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                return
            self._logs.mkdir(parents=True, exist_ok=True)
            log = os.open(self._log(component), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            status = self._main(list(component.arguments))
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
        except BaseException:  # noqa: BLE001 - nothing above this frame would report it: the process ends here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self, child: _Child) -> bool:
        try:
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
        except ChildProcessError:
            pid = child.pid
        if pid == 0:
            return False
        child.pid = 0
        return True

    def _log(self, component: Component) -> Path:
        return self._logs / f"{component.name}.log"

    def _last_words(self, name: str) -> str:
        path = self._logs / f"{name}.log"
        lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        return f"{lines[-1] if lines else 'it said nothing'} ({path})"

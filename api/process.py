"""What every long-running Wherry process does at its composition root: logging and a clean stop.

Invariant: SIGTERM and SIGINT only set the stop event; whoever waits for it shuts down in order.
"""

from __future__ import annotations

import logging
import signal
import sys

from api.runtime import Event, Runtime


def configure_logging(verbosity: int = 0) -> None:
    """One line an event on stderr: time, level, logger, sentence. 0 shows information, 1 debugging."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbosity else logging.INFO, handlers=[handler], force=True)
    for noisy in ("urllib3", "werkzeug", "paramiko", "asyncio", "pyroute2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def stop_event(runtime: Runtime) -> Event:
    """An event that SIGTERM and SIGINT set."""
    stop = runtime.event()

    def on_signal(number: int, frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop

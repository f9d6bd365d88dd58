"""Programs that providers ask.

Invariant: whatever goes wrong is a ProviderError of one sentence.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from control.cloud.provider import ProviderError


def output(command: Sequence[str], directory: Path = Path("/"), timeout: float = 60.0) -> str:
    """What the command prints when run in the directory. Raises ProviderError."""
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=timeout, check=False)
    except OSError as error:
        raise ProviderError(f"`{' '.join(command)}` could not be run in {directory}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ProviderError(f"`{' '.join(command)}` did not answer within {timeout:.0f} s in {directory}") from error
    if done.returncode:
        reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise ProviderError(f"`{' '.join(command)}` failed in {directory}: {reason}")
    return done.stdout

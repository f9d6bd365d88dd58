"""What can go wrong with a playbook, each as one sentence for the user.

Invariant: nothing else leaves `playbooks` for a fault in a file, a variable, or a host.
"""

from __future__ import annotations


class PlaybookError(Exception):
    """What failed, where (file and line, or host), why, and what to do."""


class NotFoundError(PlaybookError):
    """A file or role that a task includes and that is not there."""


class MissingHandlerError(PlaybookError):
    """A notification that means no handler: it ends the whole run, as in Ansible."""


class TemplateError(PlaybookError):
    """An expression that cannot be evaluated: an undefined variable, a syntax error, a filter that refused."""


class UndefinedError(TemplateError):
    """A template that needs a variable which nobody has set: `default` and `is defined` take it as undefined too."""


class TaskError(PlaybookError):
    """A task that cannot succeed on this host; `result` are further values for `register`."""

    def __init__(self, message: str, **result: object) -> None:
        super().__init__(message)
        self.result = result


class Unreachable(PlaybookError):
    """A host that cannot be talked to (any more); the sentence says why and what to do."""

"""Joins a process's streams to a client's until one of them ends.

Invariant: the client gets all output before the status; a client that leaves does not leave the session open.
Source: kubelet's remotecommand ServeExec and ServeAttach.
"""

from __future__ import annotations

import logging

from agents.kubelet.runtime.interface import ContainerRuntimeError, Session
from agents.kubelet.streaming.remote import Kind, RemoteStreams
from api.objects import Object
from api.runtime import Runtime

log = logging.getLogger(__name__)

_LEAVE_TAKING = 5.0
SUCCESS: Object = {"metadata": {}, "status": "Success"}


def serve_command(clock: Runtime, session: Session, streams: RemoteStreams) -> None:
    """Run the session to its end and tell the client how it ended."""
    input_pump = clock.spawn("stream-input", _pump_input, session, streams)
    try:
        while (frame := session.read()) is not None:
            if not streams.send(*frame):
                return
        streams.finish(exit_status(session.exit_code()))
    except ContainerRuntimeError as error:
        streams.finish(failure(str(error)))
    finally:
        session.close()
    # The client closes once it has the status. Closing before, with input unread, would let the kernel throw
    # away what is still on its way to it.
    input_pump.join(_LEAVE_TAKING)


def exit_status(code: int) -> Object:
    """The Status of a process that ended with `code`."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> Object:
    """The Status of a command that could not be run."""
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


def _pump_input(session: Session, streams: RemoteStreams) -> None:
    try:
        while (incoming := streams.receive()) is not None:
            if incoming.kind is Kind.INPUT:
                session.write(incoming.data)
            elif incoming.kind is Kind.INPUT_ENDED:
                session.close_stdin()
            else:
                session.resize(*incoming.size)
        session.close()
    except ContainerRuntimeError as error:
        log.debug("the input of a session ended: %s", error)
        while streams.receive() is not None:
            continue

"""Where one host stands in a play: the next task, and what a failure does to the way there.

A stack of frames: the innermost says which list of nodes and which index. A frame of a block knows its part;
included tasks and handlers are frames too.

Invariant: pure. Positions of hosts in the same play can be compared: the smaller one comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from playbooks.engine.language.values import Block, Node, Role, Task


class Part(IntEnum):
    """The parts of a block in the order in which they run."""

    BLOCK = 0
    RESCUE = 1
    ALWAYS = 2


@dataclass(slots=True)
class Frame:
    """A list of nodes being run; `failing` means that a failure goes on once `always` is done."""

    nodes: tuple[Node, ...]
    index: int = 0
    block: Block | None = None
    part: Part = Part.BLOCK
    failing: bool = False
    handlers: bool = False


class Cursor:
    """One host's way through its play."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._frames = [Frame(nodes)]
        self.failed = False

    @property
    def position(self) -> tuple[tuple[int, int], ...]:
        """Where the host stands, comparable between hosts."""
        return tuple((frame.part, frame.index) for frame in self._frames)

    @property
    def at_handler(self) -> bool:
        """Whether the next task is a handler itself, which runs only if notified."""
        return bool(self._frames) and self._frames[-1].handlers

    @property
    def in_handlers(self) -> bool:
        """Whether the host is running handlers, or what they include."""
        return any(frame.handlers for frame in self._frames)

    @property
    def in_rescue(self) -> bool:
        """Whether the host is cleaning up after a failure."""
        return any(frame.part == Part.RESCUE for frame in self._frames)

    def task(self) -> Task | None:
        """The next task, None at the end of the play."""
        while self._frames:
            frame = self._frames[-1]
            if frame.index >= len(frame.nodes):
                self._leave(frame)
                continue
            node = frame.nodes[frame.index]
            if isinstance(node, Task):
                return node
            self._frames.append(Frame(node.block, block=node))
        return None

    def advance(self) -> None:
        """The current task is done."""
        self._frames[-1].index += 1

    def insert(self, nodes: tuple[Node, ...], *, handlers: bool = False) -> None:
        """Run `nodes` in the place of the current task."""
        self._frames.append(Frame(nodes, handlers=handlers))

    def fail(self) -> bool:
        """The current task failed. Whether a block rescues it."""
        while self._frames:
            frame = self._frames[-1]
            if frame.block is not None and frame.part == Part.BLOCK and frame.block.rescue:
                self._enter(frame, Part.RESCUE)
                return True
            if frame.block is not None and frame.part != Part.ALWAYS and frame.block.always:
                frame.failing = True
                self._enter(frame, Part.ALWAYS)
                return False
            self._frames.pop()
        self.failed = True
        return False

    def forgive(self) -> None:
        """What failed before counts no more: after the `always` that it led to, the host goes on."""
        self.failed = False
        for frame in self._frames:
            frame.failing = False

    def will_be_rescued(self) -> bool:
        """Whether a failure of the current task would be rescued, now or after the `always` parts on the way."""
        return any(
            frame.block is not None and frame.part == Part.BLOCK and bool(frame.block.rescue) for frame in self._frames
        )

    def end(self) -> None:
        """Nothing more to do for this host in this play."""
        self._frames.clear()

    def resume(self, nodes: tuple[Node, ...]) -> None:
        """Run `nodes` as handlers although the host has failed."""
        self._frames = [Frame(nodes, handlers=True)]

    def end_role(self, role: Role | None) -> None:
        """Skip what is left of a role's tasks."""
        while self._frames:
            node = self.task()
            if node is None or node.role is not role:
                return
            self.advance()

    def _leave(self, frame: Frame) -> None:
        if frame.block is not None and frame.part != Part.ALWAYS and frame.block.always:
            self._enter(frame, Part.ALWAYS)
            return
        self._frames.pop()
        if frame.failing:
            self.fail()
        elif self._frames:
            self._frames[-1].index += 1

    @staticmethod
    def _enter(frame: Frame, part: Part) -> None:
        assert frame.block is not None
        frame.part = part
        frame.index = 0
        frame.nodes = frame.block.rescue if part == Part.RESCUE else frame.block.always

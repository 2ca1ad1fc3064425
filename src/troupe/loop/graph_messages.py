"""What waits between nodes: messages for an argument, and results for where they go."""

from __future__ import annotations

from typing import Any

import numpy as np

from troupe.loop.functions import From
from troupe.loop.graph import Sink
from troupe.loop.nodes import All, New, Publish, Source


class Inbox:
    """What came for one argument of a node since the node last ran."""

    def __init__(self, given: Source | New | All) -> None:
        """Make an empty inbox for an argument with this annotation."""
        source = given.source if isinstance(given, New | All) else given
        self._initial = None if isinstance(source, From) else source.initial
        self._is_all, self._is_new = isinstance(given, All), isinstance(given, New)
        self._keeps = given.keep if isinstance(given, All) else not self._is_new
        # packs are views that change; whoever reads only the newest reads it before that
        self._copies = self._is_all or (self._is_new and isinstance(source, From))
        self.reset()

    def reset(self) -> None:
        """Forget all messages."""
        self._messages: list[Any] = []
        self._taken: Any = self._nothing()

    @property
    def has_new(self) -> bool:
        """Whether anything came."""
        return bool(self._messages)

    def put(self, value: Any) -> None:
        """Add a message."""
        value = kept(value) if self._copies else value
        if self._is_all:
            self._messages.append(value)
        else:
            self._messages = [value]

    def take(self) -> Any:
        """Return what the node is to see now."""
        messages, self._messages = self._messages, []
        if messages:
            self._taken = messages if self._is_all else messages[-1]
        elif not self._keeps:
            self._taken = self._nothing()
        return self._taken

    def _nothing(self) -> Any:
        if self._is_all:
            return []
        return None if self._is_new else self._initial


class Outbox:
    """Results of a node that wait until they are sent."""

    def __init__(self, sink: Sink) -> None:
        """Make an empty outbox for a sink."""
        self.sink = sink
        self.messages = sink.output.messages if isinstance(sink.output, Publish) else "last"
        self._latch = isinstance(sink.output, Publish) and sink.output.delivery == "latch"
        self.reset()

    def reset(self) -> None:
        """Forget all results."""
        self._waiting: list[Any] = []
        self._sent: list[Any] = []

    def put(self, value: Any) -> None:
        """Add a result."""
        waiting = [] if self.messages == "last" else self._waiting
        self._waiting = [*waiting, kept(value)]

    def take(self, iteration: int) -> list[Any]:
        """Return what is to be sent at a step, oldest first."""
        if iteration % self.sink.steps:
            return []
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return self._sent
        self._sent = waiting[-1:] if self._latch else []
        return [waiting] if self.messages == "batch" else waiting


def kept(value: Any) -> Any:
    """Return a value that stays as it is when its node goes on with its array."""
    return value.copy() if isinstance(value, np.ndarray) else value

"""Ports: how messages come from outside of a loop, and go there.

A new kind of port has settings with a ``type`` and a ``build`` (see `troupe.loop.mqtt_settings`),
and a class as `troupe.loop.mqtt` has one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Port(Protocol):
    """A way to the outside; messages are what JSON can hold, text or bytes."""

    def connect(self, subscriptions: Sequence[str], publications: Sequence[str]) -> None:
        """Connect, and receive what is sent to some topics from now on.

        Args:
            subscriptions: topics to receive from.
            publications: topics that will be published.

        Raises:
            UserError: that names the address, if nothing can be reached there, or the topic, if it
                cannot be used.
        """

    def poll(self) -> Mapping[str, Sequence[Any]]:
        """Return the messages of each topic since the last poll, oldest first; never waits."""

    def publish(self, topic: str, message: Any) -> None:
        """Send a message; never waits for the other side.

        Raises:
            ValueError: if the message cannot be sent as it is.
        """

    def statistics(self) -> dict[str, int]:
        """Return how many messages were received, lost and so on."""

    def close(self) -> None:
        """Disconnect; may be called again."""


class MessageQueue:
    """Messages between the thread that receives them and the loop; when full, the oldest go.

    Attributes:
        num_received: since the start.
        num_dropped: of these, how many nobody took in time.
    """

    def __init__(self, size: int) -> None:
        """Make an empty queue of so many messages at most."""
        self._messages: deque[Any] = deque(maxlen=size)
        self._lock = threading.Lock()
        self.num_received = 0
        self.num_dropped = 0

    def put(self, message: Any) -> None:
        """Add a message."""
        with self._lock:
            self.num_received += 1
            self.num_dropped += len(self._messages) == self._messages.maxlen
            self._messages.append(message)

    def take(self) -> list[Any]:
        """Return and forget all messages, oldest first."""
        with self._lock:
            messages = list(self._messages)
            self._messages.clear()
        return messages

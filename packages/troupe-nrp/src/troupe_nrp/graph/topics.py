"""Messages of MQTT topics, each of its type."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError, Message
from troupe.core.errors import UserError
from troupe.loop.ports import Port

from troupe_nrp.json_data import NlohmannJson, plain

PORT = "mqtt"
"""The name of the port in the graph."""

logger = logging.getLogger(__name__)


def check_type(kind: Any, topic: str) -> None:
    """Check the type of a topic's messages.

    Raises:
        UserError: if there is no such type.
    """
    if kind not in (str, NlohmannJson) and not (
        isinstance(kind, type) and issubclass(kind, Message)
    ):
        raise UserError(
            f"topic '{topic}': messages are str, NlohmannJson or a protobuf message, not {kind!r}."
        )


class TypedPort:
    """Converts the messages of a port whose own are bytes."""

    def __init__(
        self, port: Port, received: Mapping[str, Any], published: Mapping[str, Any]
    ) -> None:
        """Take a port and the types of the topics, of those received and those published."""
        self._port = port
        self._received, self._published = received, published
        self._num_malformed = 0

    def connect(self, subscriptions: Sequence[str], publications: Sequence[str]) -> None:
        self._port.connect(subscriptions, publications)

    def poll(self) -> Mapping[str, Sequence[Any]]:
        found: dict[str, list[Any]] = {}
        for topic, payloads in self._port.poll().items():
            found[topic] = []
            for payload in payloads:
                try:
                    found[topic].append(_decoded(payload, self._received[topic]))
                except (ValueError, DecodeError) as error:
                    # whoever sends it must not be able to end the run
                    self._num_malformed += 1
                    logger.warning("a message of topic '%s' is malformed: %s", topic, error)
        return found

    def publish(self, topic: str, message: Any) -> None:
        self._port.publish(topic, _encoded(message, self._published[topic], topic))

    def statistics(self) -> dict[str, int]:
        return {**self._port.statistics(), "malformed": self._num_malformed}

    def close(self) -> None:
        self._port.close()


def _decoded(payload: bytes, kind: Any) -> Any:
    if kind is str:
        return payload.decode()
    if kind is NlohmannJson:
        return NlohmannJson(json.loads(payload))
    return kind.FromString(payload)


def _encoded(message: Any, kind: Any, topic: str) -> bytes:
    if kind is NlohmannJson:
        return json.dumps(plain(message)).encode()
    if not isinstance(message, kind):
        raise ValueError(f"'{topic}' takes {kind.__name__}, not {type(message).__name__}")
    content: bytes = message.encode() if kind is str else message.SerializeToString()
    return content

"""Messages from and to an MQTT broker."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from troupe.core.errors import UserError
from troupe.core.time import NANOSECONDS, format_duration
from troupe.loop.mqtt_settings import MqttSettings, MqttTopicSettings, Payload
from troupe.loop.ports import MessageQueue

try:
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
except ModuleNotFoundError as error:
    raise UserError("the port 'mqtt' needs paho-mqtt: pip install 'troupe[mqtt]'.") from error

LONGEST_PAUSE_S = 5
"""Between two attempts to connect again."""


class MqttPort:
    """Receives and publishes on a thread of its own, and connects again after a failure.

    What is published without a connection is not sent later, when it would be old: it is counted.
    """

    def __init__(self, settings: MqttSettings, where: str) -> None:
        """Prepare.

        Args:
            settings: of the broker and topics.
            where: the place in the user's input, for messages.

        Raises:
            UserError: if the variable with the password is missing.
        """
        self._settings, self._where = settings, where
        self._queues: dict[str, MessageQueue] = {}
        self._answer = threading.Condition()
        self._waiting: dict[int, str] = {}
        self._refusal: str | None = None
        self._num_connections = self._num_malformed = self._num_published = self._num_unsent = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=settings.client_id)
        if settings.username is not None:
            self._client.username_pw_set(settings.username, _password(settings, where))
        if settings.tls:
            self._client.tls_set()
        self._client.connect_timeout = settings.timeout / NANOSECONDS["s"]
        self._client.reconnect_delay_set(1, LONGEST_PAUSE_S)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed

    def connect(self, subscriptions: Sequence[str], publications: Sequence[str]) -> None:
        """Connect, and wait until the broker has accepted the subscriptions.

        Raises:
            UserError: if the broker cannot be reached or refuses, or a topic is none.
        """
        self._check_topics(subscriptions, publications)
        for topic in subscriptions:
            self._queues[topic] = MessageQueue(self._of(topic).queue or self._settings.queue)
            self._client.message_callback_add(topic, self._receiver(topic))
        try:
            self._client.connect(self._settings.host, self._settings.port)
        except (OSError, ValueError) as error:
            raise self._unreachable(str(error)) from error
        self._client.loop_start()
        timeout_s = self._settings.timeout / NANOSECONDS["s"]
        with self._answer:
            is_answered = self._answer.wait_for(self._is_answered, timeout_s)
        if self._refusal is not None or not is_answered:
            self.close()
            waited = format_duration(self._settings.timeout)
            raise self._unreachable(self._refusal or f"no answer within {waited}")

    def poll(self) -> Mapping[str, Sequence[Any]]:
        """Return the messages of each topic since the last poll, oldest first."""
        return {topic: queue.take() for topic, queue in self._queues.items()}

    def publish(self, topic: str, message: Any) -> None:
        """Send a message if there is a connection.

        Raises:
            ValueError: if the message is none of the topic's kind.
        """
        settings = self._of(topic)
        payload = encoded(message, settings.payload or self._settings.payload, topic)
        if self._client.is_connected():
            info = self._client.publish(topic, payload, self._quality(topic), settings.retain)
            is_sent = info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        else:
            is_sent = False
        self._num_published += is_sent
        self._num_unsent += not is_sent

    def statistics(self) -> dict[str, int]:
        """Return how many messages there were, and how often the connection was lost."""
        queues = self._queues.values()
        return {
            "received": sum(queue.num_received for queue in queues),
            "dropped": sum(queue.num_dropped for queue in queues),
            "malformed": self._num_malformed,
            "published": self._num_published,
            "unsent": self._num_unsent,
            "reconnections": max(0, self._num_connections - 1),
        }

    def close(self) -> None:
        """Send what is on its way, and disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, more: Any) -> None:
        """Subscribe, also when connected again."""
        with self._answer:
            if reason.is_failure:
                self._refusal = str(reason)
            else:
                self._num_connections += 1
                self._waiting.clear()
                for topic in self._queues:
                    _, number = client.subscribe(topic, self._quality(topic))
                    self._waiting[number] = topic
            self._answer.notify_all()

    def _subscribed(self, client: Any, userdata: Any, number: int, reasons: Any, more: Any) -> None:
        with self._answer:
            topic = self._waiting.pop(number)
            if reasons[0].is_failure:
                self._refusal = f"it refuses the topic '{topic}': {reasons[0]}"
            self._answer.notify_all()

    def _is_answered(self) -> bool:
        return self._refusal is not None or (self._num_connections > 0 and not self._waiting)

    def _receiver(self, topic: str) -> Any:
        queue, payload = self._queues[topic], self._of(topic).payload or self._settings.payload

        def receive(client: Any, userdata: Any, message: Any) -> None:
            try:
                value = decoded(message.payload, payload)
            except ValueError:
                # whoever sends it must not be able to end the run
                self._num_malformed += 1
            else:
                queue.put(value)

        return receive

    def _of(self, topic: str) -> MqttTopicSettings:
        return self._settings.topics.get(topic, _ORDINARY)

    def _quality(self, topic: str) -> int:
        quality = self._of(topic).qos
        return self._settings.qos if quality is None else quality

    def _check_topics(self, subscriptions: Sequence[str], publications: Sequence[str]) -> None:
        for topic in subscriptions:
            levels = topic.split("/")
            if "#" in levels[:-1] or any(len(v) > 1 and ("#" in v or "+" in v) for v in levels):
                raise UserError(
                    f"{self._where}: '{topic}' is no topic to receive from: + stands for a whole "
                    "level, # for all levels at the end."
                )
        for topic in publications:
            if "#" in topic or "+" in topic:
                raise UserError(f"{self._where}: '{topic}' is no topic to publish: it has + or #.")

    def _unreachable(self, reason: str) -> UserError:
        address = f"{self._settings.host}:{self._settings.port}"
        return UserError(
            f"{self._where}: cannot connect to the MQTT broker at {address}: {reason}."
        )


_ORDINARY = MqttTopicSettings()


def encoded(message: Any, payload: Payload, topic: str) -> bytes:
    """Return the bytes of a message; arrays become lists.

    Raises:
        ValueError: if the message cannot be written this way.
    """
    if payload == "json":
        try:
            return json.dumps(message, default=_plain, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{topic}' cannot be sent as JSON: {error}") from error
    kind = str if payload == "text" else bytes
    if not isinstance(message, kind):
        name = type(message).__name__
        raise ValueError(f"'{topic}' is sent as {payload}: return {kind.__name__}, not {name}")
    return message.encode() if isinstance(message, str) else message


def decoded(data: bytes, payload: Payload) -> Any:
    """Return the message that bytes hold.

    Raises:
        ValueError: if they hold none.
    """
    if payload == "bytes":
        return bytes(data)
    text = bytes(data).decode()
    return json.loads(text) if payload == "json" else text


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no number, text, list or dict")


def _password(settings: MqttSettings, where: str) -> str | None:
    name = settings.password_env
    if name is not None and name not in os.environ:
        raise UserError(f"{where}.password_env: the environment has no variable '{name}'.")
    return os.environ[name] if name is not None else None

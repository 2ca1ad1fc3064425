"""What a user writes about a connection to an MQTT broker; importable without its library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from troupe.core.settings import Duration, Settings, nanoseconds

if TYPE_CHECKING:
    from troupe.loop.ports import Port

Payload = Literal["json", "text", "bytes"]
Quality = Literal[0, 1, 2]


class MqttTopicSettings(Settings):
    """What is special about one topic; default: as the port's.

    Attributes:
        qos: quality of service: at most once (0), at least once (1), exactly once (2).
        payload: how messages are written: ``json``, ``text`` in UTF-8, or ``bytes``.
        queue: how many messages wait for the loop at most; the newest are kept.
        retain: whether the broker keeps the last one that is published, for who comes later.
    """

    qos: Quality | None = None
    payload: Payload | None = None
    queue: int | None = Field(None, ge=1)
    retain: bool = False


class MqttSettings(Settings):
    """A connection to an MQTT broker.

    Attributes:
        host: of the broker.
        port: of the broker.
        client_id: unique at the broker; default: one that the broker gives.
        username: to log in with.
        password_env: name of the environment variable that holds the password.
        tls: whether to encrypt, and to check the broker's certificate.
        timeout: real time that connecting may take.
        qos: quality of service of topics.
        payload: how messages are written.
        queue: how many messages of a topic wait for the loop at most; the newest are kept.
        topics: what is special about some, by name.
    """

    type: Literal["mqtt"] = "mqtt"
    host: str = "localhost"
    port: int = Field(1883, ge=1, le=65535)
    client_id: str = ""
    username: str | None = None
    password_env: str | None = None
    tls: bool = False
    timeout: Duration = nanoseconds(5_000_000_000)
    qos: Quality = 0
    payload: Payload = "json"
    queue: int = Field(100, ge=1)
    topics: dict[str, MqttTopicSettings] = {}

    def build(self, name: str) -> Port:
        """Return a new port of these settings, not connected yet.

        Raises:
            UserError: if paho-mqtt is missing, or the variable with the password.
        """
        from troupe.loop.mqtt import MqttPort

        return MqttPort(self, f"loop.ports.{name}")


PortSettings = MqttSettings
"""Settings of any kind of port; a second kind makes this a union by ``type``."""

"""The MQTT port against a real broker, Eclipse Mosquitto."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from troupe.core.errors import FunctionError, UserError
from troupe.core.settings import validated
from troupe.engines.script_settings import ScriptSettings
from troupe.loop.event_loop import EventLoop
from troupe.loop.functions import From, To
from troupe.loop.graph import Graph
from troupe.loop.graph_run import GraphRun
from troupe.loop.mqtt import MqttPort
from troupe.loop.mqtt_settings import MqttSettings
from troupe.loop.nodes import Message, Publish, node
from troupe.loop.settings import EventLoopSettings

MS = 1_000_000


class Broker:
    """A broker on a free port of this machine, in the foreground."""

    def __init__(self, folder: Path, users: str = "") -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.fail("the program 'mosquitto' is missing: apt-get install mosquitto")
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nlog_dest none\nuser {getpass.getuser()}\n"
            f"allow_anonymous {'false' if users else 'true'}\n{users}"
        )
        self._command = [program, "-c", str(config)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_for(self._listens, "the broker listens")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _listens(self) -> bool:
        assert self._process.poll() is None, "mosquitto ended at once"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


class Peer:
    """Somebody else at the broker."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda c, u, m: self.got.append((m.topic, m.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def listen(self, topic: str) -> None:
        accepted = threading.Event()
        self.client.on_subscribe = lambda *_: accepted.set()
        self.client.subscribe(topic)
        assert accepted.wait(10)

    def send(self, topic: str, *payloads: Any, retain: bool = False) -> None:
        for payload in payloads:
            self.client.publish(topic, payload, 1, retain).wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def wait_for(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline, f"it never came that {what}"
        time.sleep(0.01)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def peer(broker: Broker) -> Iterator[Peer]:
    peer = Peer(broker.port)
    yield peer
    peer.close()


Open = Callable[..., MqttPort]


@pytest.fixture
def open_port(broker: Broker) -> Iterator[Open]:
    """Return what connects a port to the broker with some settings."""
    ports = []

    def connect(*subscriptions: str, **more: Any) -> MqttPort:
        values = {"host": "127.0.0.1", "port": broker.port, **more}
        port = validated(MqttSettings, values).build("mqtt")
        assert isinstance(port, MqttPort)
        ports.append(port)
        port.connect(subscriptions, ())
        return port

    yield connect
    for port in ports:
        port.close()


def received(port: MqttPort, number: int) -> None:
    """Wait until so many messages have come."""
    counts = ("received", "malformed")
    wait_for(lambda: sum(port.statistics()[count] for count in counts) >= number, f"{number} come")


def test_messages_come_as_their_topic_says(open_port: Open, peer: Peer) -> None:
    topics = {"words": {"payload": "text", "qos": 2}, "raw": {"payload": "bytes"}}
    port = open_port("words", "raw", "joints/+", topics=topics)
    peer.send("words", "Größe")
    peer.send("raw", b"\xff\x00")
    peer.send("joints/1", '{"angle": [1, 2.5], "on": null}', "3")
    received(port, 4)
    assert port.poll() == {
        "words": ["Größe"],
        "raw": [b"\xff\x00"],
        "joints/+": [{"angle": [1, 2.5], "on": None}, 3],
    }
    assert port.poll() == {"words": [], "raw": [], "joints/+": []}


def test_messages_go_as_their_topic_says(open_port: Open, peer: Peer) -> None:
    peer.listen("#")
    topics = {"words": {"payload": "text"}, "raw": {"payload": "bytes"}, "kept": {"retain": True}}
    port = open_port(topics=topics, qos=1)
    port.publish("state", {"angle": np.array([[0.5, 1.0]]), "n": np.int64(3)})
    port.publish("words", "Größe")
    port.publish("raw", b"\xff")
    port.publish("kept", True)
    wait_for(lambda: len(peer.got) == 4, "4 messages come")
    got = dict(peer.got)
    assert json.loads(got.pop("state")) == {"angle": [[0.5, 1.0]], "n": 3}
    assert got == {"words": "Größe".encode(), "raw": b"\xff", "kept": b"true"}
    assert port.statistics()["published"] == 4
    later = open_port("kept", "state")
    received(later, 1)
    assert later.poll() == {"kept": [True], "state": []}


def test_a_full_queue_keeps_the_newest_and_counts_the_others(open_port: Open, peer: Peer) -> None:
    port = open_port("a", "b", queue=2, topics={"b": {"queue": 1}})
    peer.send("a", "1", "2", "3", "4")
    peer.send("b", "1", "2")
    received(port, 6)
    assert port.poll() == {"a": [3, 4], "b": [2]}
    assert port.statistics()["dropped"] == 3


def test_a_malformed_message_is_counted_and_ends_nothing(open_port: Open, peer: Peer) -> None:
    port = open_port("a", "b", topics={"b": {"payload": "text"}})
    peer.send("a", "{no json", "1")
    peer.send("b", b"\xff")
    received(port, 3)
    assert port.poll() == {"a": [1], "b": []}
    assert port.statistics()["malformed"] == 2


@pytest.mark.parametrize("message", [float("nan"), object(), {"x": np.array([np.inf])}])
def test_what_json_cannot_hold_is_refused(open_port: Open, message: Any) -> None:
    with pytest.raises(ValueError, match="'state' cannot be sent as JSON"):
        open_port().publish("state", message)


def test_another_kind_of_message_than_the_topic_has_is_refused(open_port: Open) -> None:
    port = open_port(topics={"words": {"payload": "text"}})
    with pytest.raises(ValueError, match="'words' is sent as text: return str, not float"):
        port.publish("words", 1.0)


def test_it_connects_and_subscribes_again_after_the_broker_was_gone(
    broker: Broker, open_port: Open
) -> None:
    port = open_port("a")
    broker.stop()
    wait_for(lambda: not port._client.is_connected(), "the loss is noticed")
    port.publish("state", 1)
    assert port.statistics()["unsent"] == 1
    broker.start()
    peer = Peer(broker.port)
    try:
        wait_for(lambda: port.statistics()["reconnections"] == 1, "it is connected again")
        while not port.poll()["a"]:  # what comes before the subscription is lost
            peer.send("a", "5")
    finally:
        peer.close()


def test_a_broker_that_is_not_there_is_an_error_with_its_address() -> None:
    number = free_port()
    port = MqttSettings(host="127.0.0.1", port=number).build("mqtt")
    with pytest.raises(UserError, match=rf"loop\.ports\.mqtt: .* 127\.0\.0\.1:{number}: .*refused"):
        port.connect(["a"], [])
    port.close()


def test_something_else_than_a_broker_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        values = {"host": "127.0.0.1", "port": number, "timeout": "100ms"}
        port = validated(MqttSettings, values).build("mqtt")
        with pytest.raises(UserError, match=f"{number}: no answer within 100ms"):
            port.connect([], [])


def test_the_password_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.fail("the program 'mosquitto_passwd' is missing: apt-get install mosquitto")
    passwords = tmp_path / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", str(passwords), "robot", "secret"]
    subprocess.run(command, check=True, capture_output=True)
    broker = Broker(tmp_path, f"password_file {passwords}\n")
    settings = MqttSettings(
        host="127.0.0.1", port=broker.port, username="robot", password_env="BROKER_PASSWORD"
    )
    try:
        with pytest.raises(UserError, match=r"mqtt\.password_env: .* no variable 'BROKER_PASSW"):
            settings.build("mqtt")
        monkeypatch.setenv("BROKER_PASSWORD", "wrong")
        with pytest.raises(UserError, match=f"127.0.0.1:{broker.port}: Not authorized"):
            settings.build("mqtt").connect([], [])
        monkeypatch.setenv("BROKER_PASSWORD", "secret")
        port = settings.build("mqtt")
        port.connect(["a"], [])
        port.close()
    finally:
        broker.stop()


@pytest.mark.parametrize("topic", ["a/#/b", "a+", "#a"])
def test_wrong_topics_are_errors(topic: str) -> None:
    with pytest.raises(UserError, match="is no topic to receive from"):
        MqttSettings().build("mqtt").connect([topic], [])
    with pytest.raises(UserError, match="is no topic to publish"):
        MqttSettings().build("mqtt").connect([], [topic])


def test_the_extra_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "troupe.loop.mqtt")
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    with pytest.raises(UserError, match=r"pip install 'troupe\[mqtt\]'"):
        MqttSettings().build("mqtt")


def test_settings_name_what_is_unknown() -> None:
    with pytest.raises(UserError, match=r"loop\.ports\.mqtt: unknown key 'hots'.*'host'"):
        validated(EventLoopSettings, {"ports": {"mqtt": {"hots": "x"}}}, "loop")


CART = """
from troupe.engines.script import Script, pack

class Cart(Script):
    inputs = {"force": pack(unit="N")}
    outputs = {"got": pack(unit="N")}

    def step(self, duration_ns):
        self.got = self.force
"""


def loop_over(port: MqttPort, folder: Path, *nodes: Any) -> EventLoop:
    (folder / "cart.py").write_text(CART)
    engines = {"cart": ScriptSettings(file=folder / "cart.py").build("cart", 1, 1)}
    graph = GraphRun(Graph(nodes), engines, {"mqtt": port})
    graph.connect()
    return EventLoop(engines, MS, graph=graph)


def test_an_event_loop_receives_and_publishes(broker: Broker, peer: Peer, tmp_path: Path) -> None:
    @node
    def steer(
        goal: Message("mqtt:goal", 0.0), got: From("cart.got")
    ) -> tuple[To("cart.force"), Publish("mqtt:got")]:
        return goal, got

    peer.listen("got")
    peer.send("goal", "2.5", retain=True)
    port = MqttPort(MqttSettings(host="127.0.0.1", port=broker.port), "loop.ports.mqtt")
    loop = loop_over(port, tmp_path, steer)
    received(port, 1)
    loop.reset([0])
    loop.advance_to(3 * MS)
    wait_for(lambda: len(peer.got) == 3, "3 messages come")
    assert [json.loads(payload) for _, payload in peer.got] == [[0.0], [2.5], [2.5]]
    assert loop.statistics()["ports"]["mqtt"]["published"] == 3
    loop.close()
    assert not port._client.is_connected()


def test_a_message_that_cannot_be_sent_ends_the_run_and_names_the_node(
    broker: Broker, tmp_path: Path
) -> None:
    @node
    def tell(got: From("cart.got")) -> Publish("mqtt:got"):
        return object()

    port = MqttPort(MqttSettings(host="127.0.0.1", port=broker.port), "loop.ports.mqtt")
    loop = loop_over(port, tmp_path, tell)
    loop.reset([0])
    with pytest.raises(FunctionError, match=r"function 'tell' raised.*\n.*'got' cannot be sent"):
        loop.advance_to(MS)
    loop.close()

import getpass
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from troupe.core.errors import FunctionError, UserError

from nrp_client import NrpCore
from troupe_nrp.run import run

LOG = """
import json
def log(*line):
    with open("log.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""

ECHO = """
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("in")
        self._registerDataPack("out")
    def runLoop(self, timestep_ns):
        value = self._getDataPack("in").get("value", 0)
        self._setDataPack("out", {"value": value + 1})
    def shutdown(self):
        pass
"""

GRAPH = """
from log import log
from nrp_core.data.nrp_json import JsonDataPack
from nrp_core.event_loop import *

@FromFunctionalNode(keyword="value", address="/read/value")
@Iteration(keyword="i")
@Clock(keyword="ms")
@ToEngine(keyword="pack", address="/echo/in")
@FunctionalNode(name="write", outputs=["pack"])
def write(value, i, ms):
    log(i, ms, value)
    pack = JsonDataPack("in", "echo")
    pack.data["value"] = -1 if value is None else 10 * value
    return [pack]

@FromEngine(keyword="out", address="/echo/out")
@FunctionalNode(name="read", outputs=["value", "unused"])
def read(out):
    return [None if out is None else out.data["value"], None]
"""


def lines(path: Path) -> list:
    text = (path.parent / "log.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_graph_runs_in_the_fixed_step_loop(write_experiment, engine) -> None:
    path = write_experiment(
        {
            "SimulationTimeout": 0.04,
            "DataPackProcessor": "cg",
            "EngineConfigs": [engine("echo", "echo")],
            "ComputationalGraph": ["graph.py"],
        },
        log=LOG,
        echo=ECHO,
        graph=GRAPH,
    )
    run(path)
    assert lines(path) == [[0, 0, None], [1, 10, 0], [2, 20, 1], [3, 30, 11]]


def test_a_graph_begins_anew_after_a_reset(write_experiment, engine) -> None:
    path = write_experiment(
        {
            "DataPackProcessor": "cg",
            "EngineConfigs": [engine("echo", "echo")],
            "ComputationalGraph": ["graph.py"],
        },
        log=LOG,
        echo=ECHO,
        graph=GRAPH,
    )
    with NrpCore(config_file=path) as core:
        core.initialize()
        core.run_loop(2)
        core.reset()
        core.run_loop(2)
    assert lines(path) == [[0, 0, None], [1, 10, 0]] * 2


def test_the_event_loop_runs_nodes_at_its_own_step(write_experiment, engine) -> None:
    nodes = """
        from log import log
        from nrp_core.data.nrp_json import JsonDataPack
        from nrp_core.event_loop import *

        exec_policy = node_policies.functional_node.exec_policy

        @FromEngine(keyword="out", address="/echo/out",
                    cache_policy=node_policies.input_node.msg_cache.clear)
        @FunctionalNode(name="often", outputs=[], exec_policy=exec_policy.always)
        def often(out):
            log("often", None if out is None else out.data["value"])
            return []

        @FromEngine(keyword="out", address="/echo/out")
        @ToEngine(keyword="pack", address="/echo")
        @FunctionalNode(name="seldom", outputs=["pack"], exec_policy=exec_policy.on_new_message)
        def seldom(out):
            log("seldom", None if out is None else out.data["value"])
            pack = JsonDataPack("in", "echo")
            pack.data["value"] = 7
            return [pack]
    """
    path = write_experiment(
        {
            "SimulationTimeout": 9,
            "SimulationLoop": "EventLoop",
            "EventLoop": {"Timestep": 0.01, "Timeout": 0.05},
            "EngineConfigs": [engine("echo", "echo", EngineTimestep=0.02)],
            "ComputationalGraph": ["nodes.py"],
        },
        log=LOG,
        echo=ECHO,
        nodes=nodes,
    )
    summary = run(path)
    assert summary["time_s"] == 0.05
    assert summary["wall_s"] >= 0.05
    assert [value for name, value in lines(path) if name == "often"] == [None, None, 8, None, 8]
    assert [value for name, value in lines(path) if name == "seldom"] == [None, 8, 8]


@pytest.mark.parametrize(
    ("mode", "expected"), [("AllNodes", [0, 1, 2, 3]), ("OutputDriven", [0, 2])]
)
def test_output_driven_nodes_run_when_their_output_is_due(
    write_experiment, engine, mode, expected
) -> None:
    nodes = """
        from log import log
        from nrp_core.data.nrp_json import JsonDataPack
        from nrp_core.event_loop import *

        @Iteration(keyword="i")
        @ToEngine(keyword="pack", address="/echo/in", compute_period=2)
        @FunctionalNode(name="node", outputs=["pack"])
        def node(i):
            log(i)
            return [JsonDataPack("in", "echo")]
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.04,
            "SimulationLoop": "EventLoop",
            "EventLoop": {"ExecutionMode": mode},
            "EngineConfigs": [engine("echo", "echo")],
            "ComputationalGraph": ["nodes.py"],
        },
        log=LOG,
        echo=ECHO,
        nodes=nodes,
    )
    run(path)
    assert lines(path) == [[i] for i in expected]


def node(*decorators: str, arguments: str = "a") -> str:
    lines = [f"@{decorator}" for decorator in (*decorators, "FunctionalNode(name='n')")]
    return "\n".join([*lines, f"def f({arguments}): pass"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (node("RosSubscriber(keyword='a', address='/b', type=int)"), "through MQTT"),
        (node("FromSpiNNaker(keyword='a', address='b')"), "nest_json"),
        ("createFNFromFactoryModule(module_name='x.so')", "write the node in Python"),
        (node("FromEngine(keyword='a', address='/b/c')"), "node 'n': unknown engine 'b'"),
        (node("FromEngine(keyword='a', address='/echo')"), "write '/engine/pack'"),
        (node("FromEngine(keyword='a', address='/echo/oot')"), "Did you mean 'out'"),
        (node("FromEngine(keyword='b', address='/echo/out')"), "no argument 'b'"),
        (node("FromFunctionalNode(keyword='a', address='/b/c')"), "'b/c'"),
        (node("ToEngine(keyword='o', address='/echo/in')"), "no output 'o'"),
        (node("MQTTSubscriber(keyword='a', address='t', type=int)"), "topic 't': messages are str"),
        ("x = 1", "no node with @FunctionalNode"),
    ],
)
def test_wrong_graphs_are_named(write_experiment, engine, source, message) -> None:
    path = write_experiment(
        {
            "SimulationTimeout": 0.01,
            "DataPackProcessor": "cg",
            "EngineConfigs": [engine("echo", "echo")],
            "ComputationalGraph": ["graph.py"],
        },
        echo=ECHO,
        graph=f"from nrp_core.event_loop import *\n{source}",
    )
    with pytest.raises(UserError, match=message):
        run(path)


def test_a_node_that_returns_too_little_is_named(write_experiment) -> None:
    graph = """
        from nrp_core.event_loop import *

        @Clock(keyword="ms")
        @FunctionalNode(name="short", outputs=["a", "b"])
        def short(ms):
            return [1]
    """
    config = {"SimulationLoop": "EventLoop", "ComputationalGraph": ["graph.py"]}
    with pytest.raises(FunctionError, match=r"(?s)'short'.*a list of 2 values"):
        run(write_experiment(config, graph=graph))


def test_an_unreachable_broker_is_named(write_experiment) -> None:
    graph = """
        from nrp_core.event_loop import *

        @MQTTSubscriber(keyword="a", address="topic", type=str)
        @FunctionalNode(name="listen")
        def listen(a):
            pass
    """
    config = {
        "SimulationLoop": "EventLoop",
        "ComputationalGraph": ["graph.py"],
        "MQTTNode": {"MQTTBroker": "localhost:1"},
    }
    with pytest.raises(UserError, match="localhost:1"):
        run(write_experiment(config, graph=graph))


@pytest.fixture
def broker(tmp_path):
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.fail("the program 'mosquitto' is missing: apt-get install mosquitto")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nlog_dest none\nuser {getpass.getuser()}\nallow_anonymous true"
    )
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield port
    process.terminate()
    process.wait()


def test_messages_of_all_types_go_over_mqtt(write_experiment, broker) -> None:
    graph = """
        from log import log
        from nrp_core.data.nrp_json import NlohmannJson
        from nrp_core.data.nrp_protobuf import GazeboJoint
        from nrp_core.event_loop import *

        always = node_policies.functional_node.exec_policy.always

        @MQTTPublisher(keyword="text", address="text", type=str)
        @MQTTPublisher(keyword="json", address="json", type=NlohmannJson)
        @MQTTPublisher(keyword="joint", address="joint", type=GazeboJoint)
        @FunctionalNode(name="speak", outputs=["text", "json", "joint"], exec_policy=always)
        def speak():
            return ["hello", {"a": [1]}, GazeboJoint(position=0.5)]

        @MQTTSubscriber(keyword="text", address="text", type=str)
        @MQTTSubscriber(keyword="json", address="json", type=NlohmannJson)
        @MQTTSubscriber(keyword="joint", address="joint", type=GazeboJoint)
        @FunctionalNode(name="listen", outputs=[])
        def listen(text, json, joint):
            if text and json and joint:
                log(text, json["a"], joint.position)
            return []
    """
    path = write_experiment(
        {
            "SimulationLoop": "EventLoop",
            "ComputationalGraph": ["graph.py"],
            "MQTTNode": {"MQTTBroker": f"127.0.0.1:{broker}"},
        },
        log=LOG,
        graph=graph,
    )
    with NrpCore(config_file=path) as core:
        core.initialize()
        thread = core.run_until_timeout(run_async=True)
        assert isinstance(thread, threading.Thread)
        deadline = time.monotonic() + 30
        while not (path.parent / "log.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        core.stop()
    assert lines(path)[0] == ["hello", [1], 0.5]

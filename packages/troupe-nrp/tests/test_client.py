import threading
from pathlib import Path

import pytest
from troupe.core.errors import UserError

from nrp_client import NrpCore
from nrp_core.client import NrpCore as SameNrpCore
from nrp_protobuf import enginetest_pb2

STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import JsonRawData

@SimulationIteration(keyword="i")
@EngineDataPack(keyword="heard", id=DataPackIdentifier("heard", "a"))
@StatusFunction()
def status(i, heard):
    data = JsonRawData()
    data.data["i"] = i
    if not heard.isEmpty():
        data.data["heard"] = heard.data["word"]
    return i % 5 == 4, [data]
"""

ECHO = """
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("heard")
        self._registerDataPack("say")
    def runLoop(self, timestep_ns):
        if self._getDataPack("say"):
            self._setDataPack("heard", self._getDataPack("say"))
    def reset(self):
        self._setDataPack("heard", {"word": "reset with " + self._getDataPack("say")["word"]})
"""


@pytest.fixture
def core(write_experiment, engine, function):
    path = write_experiment(
        {
            "SimulationTimeout": 0.075,
            "EngineConfigs": [engine("a", "echo")],
            "StatusFunction": function("status"),
        },
        status=STATUS,
        echo=ECHO,
    )
    with NrpCore("localhost:5345", path.parent, log_output="") as core:
        yield core


def test_both_names_are_the_same_client() -> None:
    assert SameNrpCore is NrpCore


def test_goes_through_the_states(core) -> None:
    assert core.current_state() == "Created"
    core.initialize()
    assert core.current_state() == "Initialized"
    core.run_loop(1)
    assert core.current_state() == "Stopped"
    core.set_json_datapack("say", "a", {"word": "x"})
    core.reset()
    assert core.current_state() == "Initialized"
    core.shutdown()
    assert core.current_state() == "Created"
    core.initialize()
    assert core.current_state() == "Initialized"


@pytest.mark.parametrize("request_", ["run_loop", "shutdown", "reset", "run_until_timeout"])
def test_nothing_is_possible_before_initialize(core, request_) -> None:
    arguments = (1,) if request_ == "run_loop" else ()
    with pytest.raises(RuntimeError, match=f"{request_}.. is not possible in the state Created"):
        getattr(core, request_)(*arguments)
    assert core.current_state() == "Created"


def test_returns_what_the_status_function_returned(core) -> None:
    core.initialize()
    assert core.run_loop(2) == (False, [{"i": 0}, {"i": 1}])
    assert core.run_loop(10) == (True, [{"i": 2}, {"i": 3}, {"i": 4}])
    assert core.run_loop(1) == (False, [{"i": 5}])
    assert core.run_until_timeout() == (False, True, [{"i": 6}, {"i": 7}])
    core.set_json_datapack("say", "a", {"word": "x"})
    core.reset()
    done, timed_out, trajectory = core.run_until_timeout()
    assert (done, timed_out) == (True, False)
    assert [item["i"] for item in trajectory] == [0, 1, 2, 3, 4]


def test_gives_engines_datapacks_with_the_next_run_or_reset(core) -> None:
    assert core.initialize() == []
    core.set_json_datapack("say", "a", {"word": "hello"})
    assert core.run_loop(2) == (False, [{"i": 0}, {"i": 1, "heard": "hello"}])
    core.set_json_datapack("say", "a", {"word": "bye"})
    assert core.reset() == [{"word": "reset with bye"}]
    assert core.run_loop(1)[1] == [{"i": 0, "heard": "reset with bye"}]


def test_runs_in_a_thread_until_stopped(write_experiment, engine) -> None:
    path = write_experiment({"SimulationTimeout": 0, "EngineConfigs": [engine("a")]})
    core = NrpCore(config_file=path)
    core.initialize()
    response: list = []
    thread = core.run_until_timeout(run_async=True, response=response)
    assert isinstance(thread, threading.Thread)
    assert core.current_state() == "Running"
    core.stop()
    assert not thread.is_alive()
    assert core.current_state() == "Stopped"
    assert [core.unpack_thread_results(result) for result in response] == [(False, False, [])]
    core.shutdown()


def test_a_failed_request_leaves_shutdown_only(write_experiment, engine) -> None:
    broken = """
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def runLoop(self, timestep_ns):
                raise ValueError("broken")
    """
    path = write_experiment({"EngineConfigs": [engine("a", "broken")]}, broken=broken)
    before = Path.cwd()
    core = NrpCore(config_file=path)
    core.initialize()
    with pytest.raises(RuntimeError, match="broken"):
        core.run_loop(2)
    assert core.current_state() == "Failed"
    assert Path.cwd() == before
    for request in (core.initialize, core.reset, core.run_until_timeout):
        with pytest.raises(RuntimeError, match=r"(?s)state Failed, .*broken"):
            request()
    core.shutdown()
    assert core.current_state() == "Created"


def test_an_unknown_datapack_fails_the_run(core) -> None:
    core.initialize()
    core.set_json_datapack("sya", "a", {})
    with pytest.raises(RuntimeError, match="Did you mean 'say'"):
        core.run_loop(1)


def test_messages_travel_too(write_experiment, engine, function) -> None:
    adder = """
        from nrp_core.engines.python_grpc import GrpcEngineScript
        from nrp_protobuf import enginetest_pb2

        class Script(GrpcEngineScript):
            def initialize(self):
                self._registerDataPack("number", enginetest_pb2.TestPayload)
                assert self._getDataPack("number") is None
            def runLoop(self, timestep_ns):
                number = self._getDataPack("number")
                number.integer += 1
                self._setDataPack("number", number)
    """
    status = """
        from nrp_core import *
        from nrp_core.data.nrp_protobuf import EngineTestTestPayloadRawData

        @EngineDataPack(keyword="number", id=DataPackIdentifier("number", "adder"))
        @StatusFunction()
        def status(number):
            data = EngineTestTestPayloadRawData()
            data.data.integer = -1 if number.isEmpty() else 10 * number.data.integer
            return False, [data, number]
    """
    path = write_experiment(
        {
            "EngineConfigs": [engine("adder", "adder", EngineType="python_grpc")],
            "StatusFunction": function("status"),
        },
        adder=adder,
        status=status,
    )
    with NrpCore(config_file=path) as core:
        core.initialize()
        core.set_proto_datapack("number", "adder", enginetest_pb2.TestPayload(integer=4))
        done, trajectory = core.run_loop(2)
        assert not done
        assert [data.integer for data in trajectory] == [-1, 50, 5]
        assert isinstance(trajectory[1], enginetest_pb2.TestPayload)


def test_arguments_are_overrides(write_experiment, engine) -> None:
    path = write_experiment({"EngineConfigs": [engine("a")]})
    with NrpCore(config_file=path, args="-o SimulationTimeout=0.02 -l info") as core:
        core.initialize()
        assert core.run_until_timeout() == (False, True, [])
    with pytest.raises(UserError, match="'--mpi'"):
        NrpCore(config_file=path, args="--mpi")
    with pytest.raises(UserError, match="without containers"):
        NrpCore(config_file=path, image_name="nrp")


def test_the_working_directory_returns_after_simulations_in_several_threads(
    write_experiment, engine, tmp_path, monkeypatch
) -> None:
    path = write_experiment({"EngineConfigs": [engine("a")]})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with NrpCore(config_file=path) as short, NrpCore(config_file=path) as long:
        short.initialize()
        long.initialize()
        threads = [long.run_loop(2000, run_async=True), short.run_loop(20, run_async=True)]
        for thread in threads:
            thread.join()
        assert [short.current_state(), long.current_state()] == ["Stopped", "Stopped"]
        assert Path.cwd() == elsewhere

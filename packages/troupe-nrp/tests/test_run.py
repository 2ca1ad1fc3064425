import json
import sys
from pathlib import Path

import pytest
from troupe.core.errors import EngineError, FunctionError, UserError

from troupe_nrp.run import run

LOG = """
import json
LINES = []
def log(*line):
    with open("log.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""


def lines(path: Path) -> list:
    text = (path.parent / "log.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_runs_functions_in_order_at_each_engines_synchronisations(
    write_experiment, engine, function
) -> None:
    write = """
        from log import log
        from nrp_core import *
        from nrp_core.data.nrp_json import *

        @EngineDataPack(keyword="fast", id=DataPackIdentifier("time", "fast"))
        @SimulationTime(keyword="t")
        @SimulationIteration(keyword="i")
        @TransceiverFunction("{engine}")
        def transceiver_function(fast, t, i):
            log("{engine}", t, i, fast.data["ns"], fast.isUpdated())
            out = JsonDataPack("heard", "{engine}")
            out.data["t"] = t
            return [out]
    """
    prepare = """
        from log import log
        from nrp_core import *
        from nrp_core.data.nrp_json import *

        @EngineDataPack(keyword="time", id=DataPackIdentifier("time", "fast"))
        @PreprocessingFunction("fast")
        def prepare(time):
            log("prepare", time.data["ns"])
            doubled = JsonDataPack("doubled", "fast")
            doubled.data["ns"] = 2 * time.data["ns"]
            return [doubled]
    """
    status = """
        from log import log
        from nrp_core import *
        from nrp_core.data.nrp_json import JsonRawData

        @PreprocessedDataPack(keyword="doubled", id=DataPackIdentifier("doubled", "fast"))
        @SimulationTime(keyword="t")
        @StatusFunction()
        def status(doubled, t):
            log("status", t, doubled.data["ns"])
            return t == 30_000_000, []
    """
    path = write_experiment(
        {
            "EngineConfigs": [engine("slow", EngineTimestep=0.02), engine("fast")],
            "DataPackProcessingFunctions": [
                function("to_slow"),
                function("to_fast"),
                function("prepare"),
            ],
            "StatusFunction": function("status"),
        },
        log=LOG,
        to_slow=write.format(engine="slow"),
        to_fast=write.format(engine="fast"),
        prepare=prepare,
        status=status,
    )
    summary = run(path)
    assert summary["stop_reason"] == "status"
    ms = 1_000_000
    assert lines(path) == [
        ["prepare", 0],
        ["slow", 0, 0, 0, True],
        ["fast", 0, 0, 0, True],
        ["status", 0, 0],
        ["prepare", 10 * ms],
        ["fast", 10 * ms, 1, 10 * ms, True],
        ["status", 10 * ms, 20 * ms],
        ["prepare", 20 * ms],
        ["slow", 20 * ms, 2, 20 * ms, True],
        ["fast", 20 * ms, 2, 20 * ms, True],
        ["status", 20 * ms, 40 * ms],
        ["prepare", 30 * ms],
        ["fast", 30 * ms, 3, 30 * ms, True],
        ["status", 30 * ms, 60 * ms],
    ]


def test_a_pack_of_an_engine_that_is_not_due_is_not_updated(
    write_experiment, engine, function
) -> None:
    watch = """
        from log import log
        from nrp_core import *

        @EngineDataPack(keyword="slow", id=DataPackIdentifier("time", "slow"))
        @TransceiverFunction("fast")
        def watch(slow):
            log(slow.data["ns"] // 1_000_000, slow.isUpdated())
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.04,
            "EngineConfigs": [engine("fast"), engine("slow", EngineTimestep=0.02)],
            "DataPackProcessingFunctions": [function("watch")],
        },
        log=LOG,
        watch=watch,
    )
    run(path)
    assert lines(path) == [[0, True], [0, False], [20, True], [20, False]]


def test_results_are_latched_unless_asked_for_once(write_experiment, engine, function) -> None:
    listener = """
        from log import log
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def initialize(self):
                self._registerDataPack("heard")
            def runLoop(self, timestep_ns):
                log(self._getDataPack("heard"))
                self._setDataPack("heard", {"gone": True})
            def shutdown(self):
                pass
    """
    say_once = """
        from nrp_core import *
        from nrp_core.data.nrp_json import *

        @SimulationIteration(keyword="i")
        @TransceiverFunction("listener")
        def say(i):
            if i:
                return []
            pack = JsonDataPack("heard", "listener")
            pack.data["word"] = "hello"
            return [pack]
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.03,
            "EngineConfigs": [engine("listener", "listener")],
            "DataPackProcessingFunctions": [function("say_once")],
        },
        log=LOG,
        listener=listener,
        say_once=say_once,
    )
    run(path)
    assert lines(path) == [[{"word": "hello"}]] * 3
    (path.parent / "log.jsonl").unlink()
    run(path, ["DataPackDelivery=once"])
    assert lines(path) == [[{"word": "hello"}], [{"gone": True}], [{"gone": True}]]


def test_an_empty_pack_keeps_the_last_value(write_experiment, engine, function) -> None:
    sometimes = """
        from nrp_core.engines.python_json import EngineScript, RegisterEngine

        @RegisterEngine()
        class Camera(EngineScript):
            def initialize(self):
                self._registerDataPack("image")
            def runLoop(self, timestep_ns):
                step = self._time_ns // timestep_ns
                self._setDataPack("image", {"step": step} if step % 2 else None)
            def shutdown(self):
                pass
    """
    watch = """
        from log import log
        from nrp_core import *

        @EngineDataPack(keyword="image", id=DataPackIdentifier("image", "camera"))
        @TransceiverFunction("camera")
        def watch(image):
            log(image.isEmpty(), image.isUpdated(), None if image.isEmpty() else image.data["step"])
            return []
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.04,
            "EngineConfigs": [engine("camera", "sometimes")],
            "DataPackProcessingFunctions": [function("watch")],
        },
        log=LOG,
        sometimes=sometimes,
        watch=watch,
    )
    run(path)
    expected = [[True, False, None], [False, True, 1], [False, False, 1], [False, True, 3]]
    assert lines(path) == expected


@pytest.mark.parametrize(
    ("timeout_s", "time_s", "steps"), [(0.3, 0.3, 30), (0.025, 0.025, 3), (1, 1.0, 100)]
)
def test_runs_exactly_to_the_timeout(write_experiment, engine, timeout_s, time_s, steps) -> None:
    path = write_experiment({"SimulationTimeout": timeout_s, "EngineConfigs": [engine("a")]})
    summary = run(path)
    assert summary["stop_reason"] == "timeout"
    assert summary["time_s"] == time_s
    assert summary["iterations"] == steps


def test_a_third_of_a_tenth_of_a_second_is_the_nearest_nanosecond(
    write_experiment, engine, function
) -> None:
    watch = """
        from log import log
        from nrp_core import *

        @EngineDataPack(keyword="time", id=DataPackIdentifier("time", "a.b"))
        @TransceiverFunction("a.b")
        def watch(time):
            log(time.data["ns"])
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.1,
            "EngineConfigs": [engine("a.b", EngineTimestep=1 / 30)],
            "DataPackProcessingFunctions": [function("watch")],
        },
        log=LOG,
        watch=watch,
    )
    run(path)
    assert lines(path) == [[0], [33_333_333], [66_666_666], [99_999_999]]


def test_engines_of_one_dict_argument(write_experiment, engine, function) -> None:
    watch = """
        from log import log
        from nrp_core import *

        @EngineDataPacks(keyword="packs", datapack_names=["time", "heard"], engine_name="a")
        @TransceiverFunction("a")
        def watch(packs):
            log(list(packs), packs["time"].data["ns"], packs["heard"].isEmpty())
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.01,
            "EngineConfigs": [engine("a")],
            "DataPackProcessingFunctions": [function("watch")],
        },
        log=LOG,
        watch=watch,
    )
    run(path)
    assert lines(path) == [[["time", "heard"], 0, True]]


def test_a_missing_preprocessed_pack_is_an_error(write_experiment, engine, function) -> None:
    watch = """
        from nrp_core import *

        @PreprocessedDataPack(keyword="p", id=DataPackIdentifier("doubled", "a"))
        @TransceiverFunction("a")
        def watch(p):
            pass
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.01,
            "EngineConfigs": [engine("a")],
            "DataPackProcessingFunctions": [function("watch")],
        },
        watch=watch,
    )
    with pytest.raises(FunctionError, match="no datapack 'doubled' of engine 'a'"):
        run(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('broken')", "broken"),
        ("import sys; sys.exit(3)", "exited with status 3"),
        ("self._getDataPack('none')", "no datapack 'none' is registered"),
    ],
)
def test_an_engine_that_fails_is_named(write_experiment, engine, body, message) -> None:
    script = f"""
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def runLoop(self, timestep_ns):
                if self._time_ns > 20_000_000:
                    {body}
    """
    path = write_experiment(
        {"SimulationTimeout": 1, "EngineConfigs": [engine("weak", "weak")]}, weak=script
    )
    with pytest.raises(EngineError, match=f"engine 'weak' failed at 30ms[^$]*{message}") as error:
        run(path)
    assert "troupe_nrp" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [("os._exit(5)", "exited with status 5"), ("time.sleep(60)", "did not answer within 300ms")],
)
def test_an_engine_process_that_dies_or_hangs_is_named(
    write_experiment, engine, body, message
) -> None:
    script = f"""
        import os, time
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def runLoop(self, timestep_ns):
                if self._time_ns > 20_000_000:
                    {body}
    """
    entry = engine("weak", "weak", EngineCommandTimeout=0.3)
    path = write_experiment({"SimulationTimeout": 1, "EngineConfigs": [entry]}, weak=script)
    with pytest.raises(EngineError, match=f"engine 'weak' .*{message}"):
        run(path)


def test_an_engine_in_its_own_process_has_its_environment(
    write_experiment, engine, function
) -> None:
    script = """
        import os
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def initialize(self):
                self._registerDataPack("process")
            def runLoop(self, timestep_ns):
                self._setDataPack("process", {"id": os.getpid(), "word": os.environ["NRP_WORD"]})
            def shutdown(self):
                pass
    """
    watch = """
        import os
        from log import log
        from nrp_core import *

        @EngineDataPack(keyword="process", id=DataPackIdentifier("process", "apart"))
        @TransceiverFunction("apart")
        def watch(process):
            if not process.isEmpty():
                log(process.data["id"] == os.getpid(), process.data["word"])
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.02,
            "EngineConfigs": [engine("apart", "apart", EngineEnvParams=["NRP_WORD=a=b"])],
            "DataPackProcessingFunctions": [function("watch")],
        },
        log=LOG,
        apart=script,
        watch=watch,
    )
    run(path)
    assert lines(path) == [[False, "a=b"]]


def test_an_external_process_that_fails_ends_the_run(write_experiment, engine) -> None:
    code = "import sys, time; print('no map'); sys.exit(4)"
    path = write_experiment(
        {
            "SimulationTimeout": 0,
            "EngineConfigs": [engine("a")],
            "ExternalProcesses": [{"ProcCmd": sys.executable, "ProcStartParams": ["-c", code]}],
        }
    )
    with pytest.raises(EngineError, match=r"ended with 4.*\nno map"):
        run(path)


def test_an_external_process_ends_with_the_run(write_experiment, engine, tmp_path) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"
    waiting = """
        import os, time
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def runLoop(self, timestep_ns):
                while not (os.path.exists("pid") and os.path.getsize("pid")):
                    time.sleep(0.01)
    """
    path = write_experiment(
        {
            "SimulationTimeout": 0.01,
            "EngineConfigs": [engine("a", "waiting")],
            "ExternalProcesses": [{"ProcCmd": sys.executable, "ProcStartParams": ["-c", code]}],
        },
        waiting=waiting,
    )
    run(path)
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_function_that_sends_to_an_unknown_pack_fails(write_experiment, engine, function) -> None:
    wrong = """
        from nrp_core import *
        from nrp_core.data.nrp_json import *

        @TransceiverFunction("a")
        def wrong():
            return [JsonDataPack("haerd", "a")]
    """
    path = write_experiment(
        {
            "SimulationTimeout": 1,
            "EngineConfigs": [engine("a")],
            "DataPackProcessingFunctions": [function("wrong")],
        },
        wrong=wrong,
    )
    with pytest.raises(FunctionError, match="Did you mean 'heard'"):
        run(path)


def test_inactive_functions_do_not_run(write_experiment, engine, function) -> None:
    path = write_experiment(
        {
            "SimulationTimeout": 0.01,
            "EngineConfigs": [engine("a")],
            "DataPackProcessingFunctions": [function("broken", IsActive=False)],
        },
        broken="raise RuntimeError",
    )
    assert run(path)["time_s"] == 0.01
    with pytest.raises(UserError, match="RuntimeError"):
        run(path, ["DataPackProcessingFunctions.broken.IsActive=true"])

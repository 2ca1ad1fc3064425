import json

import pytest
from troupe.core.errors import UserError

from troupe_nrp.load import load_experiment
from troupe_nrp.run import run
from troupe_nrp.seconds import nanoseconds


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1 / 30, 33_333_333), (0.3, 300_000_000), (0.1 + 0.2, 300_000_000), (2, 2_000_000_000)],
)
def test_seconds_are_converted_exactly(seconds, expected) -> None:
    assert nanoseconds(seconds) == expected


def test_every_documented_key_is_known(write_experiment, engine, function) -> None:
    config = {
        "SimulationName": "all",
        "SimulationDescription": "of them",
        "SimulationLoop": "FTILoop",
        "SimulationTimeout": 1.5,
        "SimulationTimestep": 0.02,
        "DataPackProcessor": "tf",
        "DataPackPassingPolicy": "value",
        "ProcessLauncherType": "Basic",
        "EngineConfigs": [
            engine(
                "a",
                EngineProcStartParams=[],
                EngineEnvParams=["A=b"],
                EngineLaunchCommand={"LaunchType": "BasicFork"},
                EngineTimestep=0.01,
                EngineCommandTimeout=-1,
                EngineExtraConfigs={"gain": 2},
                ServerAddress="localhost:9002",
                EngineNumber=3,
            )
        ],
        "ExternalProcesses": [{"ProcCmd": "true", "ProcStartParams": [], "ProcEnvParams": []}],
        "DataPackProcessingFunctions": [],
        "ComputationalGraph": [],
        "EventLoop": {"Timeout": 1, "Timestep": 0.01, "ExecutionMode": "OutputDriven"},
    }
    loaded = load_experiment(write_experiment(config)).config
    assert loaded.SimulationTimeout == 1_500_000_000
    assert loaded.SimulationTimestep == 20_000_000
    assert loaded.EngineConfigs[0].EngineTimestep == 10_000_000


def test_overrides_reach_into_engines_by_name_or_number(write_experiment, engine) -> None:
    path = write_experiment({"EngineConfigs": [engine("a"), engine("b")]})
    overrides = [
        "SimulationTimeout=2.5",
        "SimulationName=other",
        "EngineConfigs.b.EngineTimestep=0.05",
        "EngineConfigs.0.EngineExtraConfigs.gain=3",
    ]
    config = load_experiment(path, overrides).config
    assert config.SimulationTimeout == 2_500_000_000
    assert config.SimulationName == "other"
    assert config.EngineConfigs[1].EngineTimestep == 50_000_000
    assert config.EngineConfigs[0].EngineExtraConfigs == {"gain": 3}


def test_scripts_see_their_configuration(write_experiment, engine) -> None:
    script = """
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def initialize(self):
                assert self._config["EngineName"] == "a"
                assert self._config["EngineTimestep"] == 0.02
                assert self._config["EngineExtraConfigs"] == {"gain": 2}
                assert self._config["EngineNumber"] == 3
            def runLoop(self, timestep_ns):
                assert timestep_ns == 20_000_000
    """
    keys = {"EngineTimestep": 0.02, "EngineExtraConfigs": {"gain": 2}, "EngineNumber": 3}
    path = write_experiment(
        {"SimulationTimeout": 0.02, "EngineConfigs": [engine("a", "script", **keys)]}, script=script
    )
    assert run(path)["time_s"] == 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"SimulationTimout": 1},
            "unknown key 'SimulationTimout'. Did you mean 'SimulationTimeout'",
        ),
        ({"SimulationTimeout": "1s"}, "SimulationTimeout: give a number of seconds"),
        ({"SimulationLoop": "Fast"}, "SimulationLoop: .*'FTILoop' or 'EventLoop'"),
        ({"EngineConfigs": []}, "at least one engine"),
        ({"StartROSNode": True}, "StartROSNode: ROS does not run"),
        ({"DataPackProcessingFunctions": [{"Name": "f", "FileName": "f.py"}]}, "no file 'f.py'"),
        ({"ExternalProcesses": [{"ProcCmd": "/no/such"}]}, "'/no/such' cannot be started"),
    ],
)
def test_wrong_values_are_named(write_experiment, engine, change, message) -> None:
    with pytest.raises(UserError, match=message):
        run(write_experiment({"EngineConfigs": [engine("a")], **change}))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"EngineTimestp": 0.1}, "EngineConfigs.a: unknown key 'EngineTimestp'"),
        ({"EngineTimestep": 0}, "EngineConfigs.a.EngineTimestep: .* above 0"),
        ({"PythonFileName": "no.py"}, "no file 'no.py'"),
        ({"EngineType": "python"}, "unknown EngineType 'python'.*python_json"),
        ({"EngineType": "gazebo_grpc"}, "'gazebo_grpc' does not run on Troupe: .*MuJoCo"),
        ({"EngineType": "opensim"}, "'opensim' does not run"),
        ({"EngineType": "py_sim", "WorldFileName": "w"}, "OpenSim does not run"),
        ({"EngineProcCmd": "python3"}, "EngineProcCmd: Troupe starts"),
        ({"EngineLaunchCommand": {"LaunchType": "DockerLauncher"}}, "without containers"),
        ({"EngineLaunchCommand": {"LaunchType": "EmptyLaunchCommand"}}, "for nest_server"),
        ({"EngineEnvParams": ["A"]}, "EngineEnvParams"),
    ],
)
def test_wrong_engines_are_named(write_experiment, engine, entry, message) -> None:
    with pytest.raises(UserError, match=message):
        run(write_experiment({"EngineConfigs": [engine("a", **entry)]}))


def test_two_engines_of_one_name_are_refused(write_experiment, engine) -> None:
    with pytest.raises(UserError, match="two engines 'a'"):
        run(write_experiment({"EngineConfigs": [engine("a"), engine("a")]}))


def reads(pack: str, engine: str) -> str:
    source = f"@EngineDataPack(keyword='p', id=DataPackIdentifier('{pack}', '{engine}'))"
    return f"{source}\n@TransceiverFunction('a')\ndef f(p): pass"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@TransceiverFunction('b')\ndef f(): pass", "function 'f': unknown engine 'b'. Valid: a"),
        (
            reads("tyme", "a"),
            "unknown datapack 'tyme'. Did you mean 'time'",
        ),
        (
            reads("time", "c"),
            "unknown engine 'c'",
        ),
        ("x = 1", "has no function with @TransceiverFunction"),
        ("@StatusFunction()\ndef f(): pass", "name it under StatusFunction"),
        (
            "@SimulationTime(keyword='t')\n@TransceiverFunction('a')\ndef f(): pass",
            "has no argument 't'",
        ),
        ("def f(:", "SyntaxError"),
    ],
)
def test_wrong_functions_are_named_before_anything_runs(
    write_experiment, engine, function, source, message
) -> None:
    path = write_experiment(
        {"EngineConfigs": [engine("a")], "DataPackProcessingFunctions": [function("f")]},
        f=f"from nrp_core import *\n{source}",
    )
    with pytest.raises(UserError, match=message):
        run(path)


def test_a_preprocessing_function_of_another_engines_packs_is_refused(
    write_experiment, engine, function
) -> None:
    source = """
        from nrp_core import *

        @EngineDataPack(keyword="p", id=DataPackIdentifier("time", "b"))
        @PreprocessingFunction("a")
        def f(p):
            pass
    """
    path = write_experiment(
        {
            "EngineConfigs": [engine("a"), engine("b")],
            "DataPackProcessingFunctions": [function("f")],
        },
        f=source,
    )
    with pytest.raises(UserError, match="of its own engine 'a' only, not of 'b'"):
        run(path)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps("x")])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text) -> None:
    path = tmp_path / "simulation_config.json"
    path.write_text(text)
    with pytest.raises(UserError, match="is not"):
        run(path)
    with pytest.raises(UserError, match="cannot be read"):
        run(tmp_path / "none.json")


def test_a_wrong_value_is_named_with_its_file_and_key(write_experiment, engine) -> None:
    path = write_experiment({"EngineConfigs": [engine("a", EngineTimestep="1")]})
    message = "simulation_config.json': EngineConfigs.a.EngineTimestep: .*, not '1'"
    with pytest.raises(UserError, match=message):
        load_experiment(path)

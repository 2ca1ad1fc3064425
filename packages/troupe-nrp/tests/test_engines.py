import json
from pathlib import Path

import pytest
import yaml
from troupe.core.errors import UserError
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.experiments.build import build_loop
from troupe.experiments.load import load_experiment

from nrp_client import NrpCore
from troupe_nrp.engines.settings import PythonJsonSettings
from troupe_nrp.run import run

RETURN_ALL = """
from nrp_core import *

@EngineDataPacks(keyword="packs", datapack_names={names}, engine_name="{engine}")
@StatusFunction()
def status(packs):
    return False, list(packs.values())
"""


def test_openai_steps_and_resets_an_environment(write_experiment, engine, function) -> None:
    script = """
        from nrp_core.engines.py_sim import PySimEngineScript

        class Script(PySimEngineScript):
            def initialize(self):
                self._registerDataPack("seen")
                self._ends = 0
            def runLoop(self, timestep_ns):
                self._ends += self.sim_manager.run_step([1], timestep_ns)
                values = self.sim_manager.get_model_all_properties("Property")
                assert self.sim_manager.get_model_properties("Property") == list(values)
                values["ends"] = self._ends
                values["time"] = self.sim_manager.get_sim_time()
                self._setDataPack("seen", values)
            def shutdown(self):
                self.sim_manager.shutdown()
    """
    entry = engine(
        "gym", "script", EngineType="py_sim", Simulator="OpenAI", WorldFileName="CartPole-v1"
    )
    path = write_experiment(
        {"EngineConfigs": [entry], "StatusFunction": function("status")},
        script=script,
        status=RETURN_ALL.format(names=["seen"], engine="gym"),
    )
    with NrpCore(config_file=path) as core:
        core.initialize()
        _, trajectory = core.run_loop(31)
        assert len(trajectory) == 30
        keys = {"observation", "reward", "truncated", "doneFlag", "trainInfo", "ends", "time"}
        assert set(trajectory[0]) == keys
        assert [len(seen["observation"]) for seen in trajectory] == [4] * 30
        # pushed to one side, the pole falls after about ten steps, and stands again
        ends = trajectory[-1]["ends"]
        assert ends in (2, 3)
        assert sum(seen["doneFlag"] for seen in trajectory) == ends
        assert trajectory[-1]["time"] == pytest.approx(0.3)


MODEL = """
<mujoco>
  <option timestep="0.002" gravity="0 0 0"/>
  <worldbody>
    <body name="cart">
      <joint name="slide" type="slide" axis="1 0 0"/>
      <geom name="box" type="box" size="0.1 0.1 0.1" mass="2"/>
      <site name="tip" pos="0.5 0 0"/>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="slide"/></actuator>
</mujoco>
"""


def mujoco_experiment(write_experiment, engine, function, **keys) -> Path:
    script = """
        from nrp_core.engines.py_sim import PySimEngineScript

        class Script(PySimEngineScript):
            def initialize(self):
                self._registerDataPack("force")
                self._registerDataPack("seen")
            def runLoop(self, timestep_ns):
                manager = self.sim_manager
                manager.run_step(self._getDataPack("force").get("list"), timestep_ns)
                self._setDataPack("seen", {
                    "sites": manager.get_model_properties("site"),
                    "tip": manager.get_model_property("tip", "site_xpos").tolist(),
                    "velocity": manager.get_model_property("slide", "joint_qvel"),
                    "mass": manager.get_model_all_properties("body_mass")["cart"],
                    "time": manager.get_sim_time(),
                })
            def shutdown(self):
                self.sim_manager.shutdown()
    """
    entry = engine(
        "arm",
        "script",
        EngineType="py_sim",
        Simulator="Mujoco",
        WorldFileName="model.xml",
        Visualizer=True,
        **keys,
    )
    path = write_experiment(
        {"EngineConfigs": [entry], "StatusFunction": function("status")},
        script=script,
        status=RETURN_ALL.format(names=["seen"], engine="arm"),
    )
    (path.parent / "model.xml").write_text(MODEL)
    return path


def test_mujoco_applies_controls_and_reads_the_model(
    write_experiment, engine, function, monkeypatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with NrpCore(
        config_file=mujoco_experiment(write_experiment, engine, function, EngineTimestep=0.1)
    ) as core:
        core.initialize()
        core.set_json_datapack("force", "arm", {"list": [4.0]})
        _, (seen,) = core.run_loop(2)
        assert seen["sites"] == ["tip"]
        assert seen["mass"] == 2.0
        assert seen["velocity"] == pytest.approx(4.0 / 2.0 * 0.1)
        assert seen["tip"][0] == pytest.approx(0.5 + 0.5 * 2.0 * 0.1**2, rel=0.03)
        assert seen["time"] == pytest.approx(0.1)
        core.reset()
        core.set_json_datapack("force", "arm", {"list": [0.0]})
        _, (_, seen) = core.run_loop(2)
        assert seen["velocity"] == 0.0


def test_mujocos_time_step_must_divide_the_engines(
    write_experiment, engine, function, monkeypatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    path = mujoco_experiment(write_experiment, engine, function, EngineTimestep=0.003)
    with NrpCore(config_file=path) as core:
        core.initialize()
        with pytest.raises(RuntimeError, match="not a multiple of the model's, 2e"):
            core.run_loop(2)


CAR = """
<robot name="car">
  <link name="chassis">
    <inertial><mass value="1"/>
      <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
  <link name="wheel">
    <inertial><mass value="1"/>
      <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
  <joint name="axle" type="continuous">
    <parent link="chassis"/><child link="wheel"/><axis xyz="0 0 1"/>
  </joint>
</robot>
"""


def test_bullet_drives_joints_and_reads_links(write_experiment, engine, function) -> None:
    script = """
        from nrp_core.engines.py_sim import PySimEngineScript

        class Script(PySimEngineScript):
            def initialize(self):
                self._registerDataPack("seen")
            def runLoop(self, timestep_ns):
                manager = self.sim_manager
                motor = {"index": 0, "controlMode": "VELOCITY_CONTROL", "force": 1000,
                         "targetVelocity": 2.0}
                manager.run_step({"Joint": [motor]}, timestep_ns)
                self._setDataPack("seen", {
                    "links": manager.get_model_properties("Link"),
                    "height": manager.get_model_property("chassis", "Link")[0][2],
                    "speed": manager.get_model_property("axle", "Joint")[1],
                })
            def shutdown(self):
                self.sim_manager.shutdown()
    """
    entry = engine(
        "car", "script", EngineType="py_sim", Simulator="Bullet", WorldFileName="car.urdf"
    )
    path = write_experiment(
        {"EngineConfigs": [entry], "StatusFunction": function("status")},
        script=script,
        status=RETURN_ALL.format(names=["seen"], engine="car"),
    )
    (path.parent / "car.urdf").write_text(CAR)
    with NrpCore(config_file=path) as core:
        core.initialize()
        _, trajectory = core.run_loop(11)
        assert trajectory[0]["links"] == ["chassis", "wheel"]
        assert trajectory[-1]["speed"] == pytest.approx(2.0, rel=0.01)
        assert trajectory[-1]["height"] == pytest.approx(-0.5 * 9.81 * 0.1**2, rel=0.2)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"Simulator": "OpenAI", "WorldFileName": "No-v1"}, "WorldFileName: 'No-v1'"),
        ({"Simulator": "Mujoco", "WorldFileName": "no.xml"}, "no file 'no.xml'"),
        ({"Simulator": "Gazebo", "WorldFileName": "w"}, "Simulator: .*'OpenAI', 'Mujoco'"),
    ],
)
def test_wrong_simulators_are_named(write_experiment, engine, keys, message) -> None:
    script = "from nrp_core.engines.py_sim import PySimEngineScript as P\nclass Script(P): pass"
    path = write_experiment(
        {"EngineConfigs": [engine("sim", "script", EngineType="py_sim", **keys)]}, script=script
    )
    with pytest.raises(UserError, match=message):
        run(path)


def test_datatransfer_writes_datapacks_to_files(
    write_experiment, engine, function, tmp_path
) -> None:
    keep = """
        from nrp_core import *
        from nrp_core.data.nrp_json import *
        from nrp_core.data.nrp_protobuf import *

        @SimulationIteration(keyword="i")
        @TransceiverFunction("log")
        def keep(i):
            text = DumpStringDataPack("text", "log")
            text.data.string_stream = f"step {i}"
            matrix = DumpArrayFloatDataPack("matrix", "log")
            matrix.data.float_stream.extend([1, 2, 3.5, 4, 5])
            matrix.data.dims.extend([2, 3])
            flat = DumpArrayFloatDataPack("flat", "log")
            flat.data.float_stream.extend([i, 2])
            joint = GazeboJointDataPack("joint", "log")
            joint.data.position = 0.5
            plain = JsonDataPack("plain", "log")
            plain.data["i"] = i
            dropped = JsonDataPack("dropped", "log")
            dropped.data["i"] = i
            return [text, matrix, flat, joint, plain, dropped]
    """
    names = ["text", "matrix", "flat", "joint", "plain"]
    path = write_experiment(
        {
            "SimulationTimeout": 0.02,
            "EngineConfigs": [
                {
                    "EngineName": "log",
                    "EngineType": "datatransfer_grpc_engine",
                    "dataDirectory": "kept",
                    "dumps": [*({"name": n, "file": True} for n in names), {"name": "dropped"}],
                }
            ],
            "DataPackProcessingFunctions": [function("keep")],
        },
        keep=keep,
    )
    run(path)
    (folder,) = (tmp_path / "kept").iterdir()
    written = {file.stem: file.read_text().splitlines() for file in folder.iterdir()}
    assert set(written) == set(names)
    assert written["text"] == ["step 0", "step 1"]
    assert written["matrix"] == ["1,2,3.5", "4,5,"] * 2
    assert written["flat"] == ["0,2", "1,2"]
    assert [json.loads(line) for line in written["joint"]] == [{"position": 0.5}] * 2
    assert [json.loads(line) for line in written["plain"]] == [{"i": 0}, {"i": 1}]


def test_what_is_to_be_streamed_is_refused(write_experiment) -> None:
    entry = {
        "EngineName": "log",
        "EngineType": "datatransfer_grpc_engine",
        "dumps": [{"name": "text", "network": True}],
    }
    with pytest.raises(UserError, match="'text' is to be sent to the network"):
        run(write_experiment({"EngineConfigs": [entry]}))


COUNTER = """
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("push")
        self._registerDataPack("sum")
        self._begin()
    def _begin(self):
        self._sum = 0.0
        self._setDataPack("sum", {"sum": 0.0, "ns": 0})
    def runLoop(self, timestep_ns):
        self._sum += self._getDataPack("push").get("x", 0.0)
        self._setDataPack("sum", {"sum": self._sum, "ns": self._time_ns})
    def shutdown(self):
        pass
"""

# laws of several instances; an engine of NRP-core's has one
SEVERAL = {
    "check_spec",
    "check_write_of_some",
    "check_instances_are_independent",
    "check_reset_of_some",
    "check_restore_of_some",
}
LAWS = [check for check in CHECKS if check.__name__ not in SEVERAL]


@pytest.mark.parametrize("check", LAWS, ids=lambda check: check.__name__)
def test_scripts_conform(check, tmp_path) -> None:
    path = tmp_path / "counter.py"
    path.write_text(COUNTER)
    settings = PythonJsonSettings.model_validate({"file": path, "requested": ["sum"]})
    case = Case(
        make=lambda instances, threads: settings.build("counter", 1, threads),
        drive={"push": lambda rng: {"x": float(rng.uniform(-1, 1))}},
        step_ns=10_000_000,
    )
    check_engine(case, (check,))


def test_scripts_run_in_troupes_own_experiments(tmp_path) -> None:
    (tmp_path / "counter.py").write_text(COUNTER)
    engine = {"type": "nrp-python-json", "file": "counter.py"}
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({"name": "mixed", "engines": {"counter": engine}}))
    loop = build_loop(load_experiment(path), 1, 1)
    loop.reset([0])
    loop.advance()
    assert loop.world.read("counter.sum")[0] == {"sum": 0.0, "ns": 20_000_000}
    loop.close()

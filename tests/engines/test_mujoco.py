from fractions import Fraction
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from troupe.core import UserError, plugins
from troupe.core.settings import validated
from troupe.engines.conformance import packs
from troupe.engines.mujoco import MujocoEngine
from troupe.engines.mujoco_settings import MujocoSettings

STEP_NS = 20_000_000


def build(num_instances: int = 4, **settings: Any) -> MujocoEngine:
    engine = validated(MujocoSettings, settings, "engines.arm").build("arm", num_instances, 1)
    engine.reset([0] * num_instances)
    engine.advance(0)
    return engine


def test_does_the_same_as_a_loop_of_mj_step() -> None:
    engine = build(robot="mara")
    robot = plugins.load("troupe.robots", "mara")
    model = mujoco.MjModel.from_xml_path(str(robot.model_path))
    target = np.random.default_rng(0).uniform(*robot.position_limits, (4, 6))
    engine.write("joint_target", target)
    for _ in range(5):
        engine.advance(40_000_000)
    for i in range(4):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        data.ctrl[:] = target[i]
        mujoco.mj_step(model, data, nstep=50)
        mujoco.mj_forward(model, data)
        assert np.array_equal(engine.read("joint_position")[i], data.qpos)
        assert np.array_equal(engine.read("joint_velocity")[i], data.qvel)
        assert np.array_equal(engine.read("tool_position")[i], data.site("tool").xpos)
        assert np.array_equal(engine.read("tool_velocity")[i], data.sensor("tool_velocity").data)


def test_packs_of_a_robot_carry_units_names_and_limits() -> None:
    spec = build(robot="scara").spec
    position = spec.outputs["joint_position"]
    assert (position.unit, position.names) == ("rad", ("joint1", "joint2", "joint3"))
    np.testing.assert_allclose(position.high, 3.1416)
    assert spec.outputs["joint_velocity"].high.tolist() == [10, 10, 10]
    states = {"joint_position", "joint_velocity", "joint_target"}
    parameters = {"joint_damping", "link_mass", "servo_stiffness", "servo_damping"}
    assert set(spec.inputs) == states | parameters


def test_time_step_is_the_models_unless_it_is_given() -> None:
    assert build(robot="scara").spec.timestep_ns == 2_000_000
    engine = build(robot="scara", timestep="1/240s")
    assert engine.spec.timestep_ns == Fraction(10**9, 240)
    for _ in range(100):
        engine.advance(10_000_000)
    # 1 s in steps of 10 ms: 240 physics steps, none lost to rounding
    np.testing.assert_allclose(engine.batch.bind("time"), 1.0, atol=1e-12)


def test_an_instance_counts_its_inner_steps_from_its_own_reset() -> None:
    engine = build(robot="scara", timestep="1/240s", num_instances=2)
    engine.advance(10_000_000)
    engine.reset([0], np.array([1]))
    times = []
    for _ in range(3):
        engine.advance(10_000_000)
        times.append(np.round(engine.batch.bind("time") * 240).astype(int).tolist())
    # steps since the reset: 2 (of 2.4), 4 (4.8), 7 (7.2), 9 (9.6); the second began one later
    assert times == [[4, 2], [7, 4], [9, 7]]


def test_a_raw_model_offers_state_command_and_sensors(mjcf: Path) -> None:
    spec = build(model=mjcf).spec
    assert {name: s.shape for name, s in spec.outputs.items()} == {
        "qpos": (9,),
        "qvel": (8,),
        "ctrl": (1,),
        "sensordata": (1,),
    }
    assert set(spec.inputs) == {"qpos", "qvel", "ctrl"}
    assert (spec.inputs["ctrl"].low, spec.inputs["ctrl"].high) == (-3, 3)


def test_a_urdf_file_swings(urdf: Path) -> None:
    engine = build(model=urdf)
    engine.write("qpos", [[0.0], [0.5], [-0.5], [1.0]])
    engine.advance(STEP_NS)
    velocity = engine.read("qvel")[:, 0]
    assert velocity[0] == 0
    assert (velocity[1:] * [-1, 1, -1] > 0).all()


def test_packs_bind_objects_by_name(mjcf: Path) -> None:
    bindings = {
        "angle": {"kind": "joint", "names": "hinge", "field": "qpos", "unit": "rad"},
        "angles": {"kind": "joint", "names": ["slide", "hinge"], "field": "qpos"},
        "sensed": {"kind": "sensor", "names": "angle", "field": "data"},
        "bodies": {"kind": "body", "names": ["cart", "ball"], "field": "xpos", "unit": "m"},
    }
    engine = build(model=mjcf, packs=bindings)
    assert {name: engine.spec.outputs[name].shape for name in bindings} == {
        "angle": (),
        "angles": (2,),
        "sensed": (),
        "bodies": (2, 3),
    }
    assert set(bindings) & set(engine.spec.inputs) == {"angle", "angles"}
    engine.write("angles", [0.25, 0.5], np.array([1]))
    engine.advance(0)
    assert engine.read("angle").tolist() == [0, 0.5, 0, 0]
    assert engine.read("sensed").tolist() == [0, 0.5, 0, 0]
    assert engine.read("bodies")[:, 0, 0].tolist() == [0, 0.25, 0, 0]
    with pytest.raises(UserError, match="unknown datapack 'bodies'"):
        engine.write("bodies", 0.0)


def test_a_model_parameter_acts_on_its_instances_only() -> None:
    bindings = {"mass": {"kind": "body", "names": ["link1", "link2"], "field": "mass"}}
    engine, plain = build(robot="scara", packs=bindings), build(robot="scara")
    engine.write("mass", [5.0, 5.0], np.array([2]))
    for e in (engine, plain):
        e.write("joint_target", [1.0, 0.5, 0.0])
        e.advance(STEP_NS)
    moved, expected = engine.read("joint_position"), plain.read("joint_position")
    assert np.array_equal(moved[[0, 1, 3]], expected[[0, 1, 3]])
    assert not np.allclose(moved[2], expected[2], rtol=0.1)


def test_derived_constants_follow_a_model_parameter() -> None:
    bindings = {
        "mass": {"kind": "body", "names": "link3", "field": "mass"},
        "subtree": {"kind": "body", "names": "link1", "field": "subtreemass"},
    }
    engine = build(robot="scara", packs=bindings)
    engine.write("mass", 1.0, np.array([1]))
    engine.advance(0)
    np.testing.assert_allclose(
        engine.read("subtree"), np.array([3, 2, 3, 3]) * 0.22652 + [0, 1, 0, 0]
    )


def test_a_reset_returns_model_parameters_too() -> None:
    bindings = {"mass": {"kind": "body", "names": "link3", "field": "mass"}}
    engine = build(robot="scara", packs=bindings)
    engine.write("mass", 1.0)
    engine.reset([0, 0], np.array([0, 3]))
    np.testing.assert_allclose(engine.read("mass"), [0.22652, 1.0, 1.0, 0.22652])


@pytest.mark.parametrize(
    ("pack", "value", "reason"),
    [
        ("joint_target", np.nan, "a command (ctrl) is not finite or huge"),
        ("joint_position", np.nan, "a position (qpos) is not finite or huge"),
        ("joint_velocity", 1e300, "a velocity (qvel) is not finite or huge"),
    ],
)
def test_a_failure_is_reported_reset_and_touches_no_other(
    pack: str, value: float, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failing, sound = build(robot="mara"), build(robot="mara")
    others = np.array([0, 1, 3])
    for engine in (failing, sound):
        engine.write("joint_target", [0.5, 0.4, -0.3, 0.2, -0.1, 0.6])
        engine.advance(STEP_NS)
    initial = {name: values[2] for name, values in packs(build(robot="mara")).items()}
    # a second failure in a row is reported as well
    for _ in range(2):
        failing.write(pack, value, np.array([2]))
        for engine in (failing, sound):
            engine.advance(STEP_NS)
        (fault,) = failing.faults()
        assert (fault.instance, fault.reason) == (2, reason)
        assert fault.last_state["state"].shape == (failing.batch.nstate,)
        for name, values in packs(failing).items():
            assert np.array_equal(values[2], initial[name]), f"{name} is not that after a reset"
            assert np.array_equal(values[others], sound.read(name)[others]), f"{name} was touched"
    failing.advance(STEP_NS)
    assert not failing.faults()
    assert list(tmp_path.iterdir()) == [], "MuJoCo left a log behind"


def test_wrong_models_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<mujoco><worldbody><geom/></worldbody></mujoco>")
    with pytest.raises(UserError, match=r"engines.arm.model: '.*broken.xml' does not compile: "):
        build(model=broken)
    with pytest.raises(UserError, match=r"engines.arm.model: there is no file '.*none.xml'"):
        build(model=tmp_path / "none.xml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"robot": "skara"}, "engines.arm.robot: unknown robot 'skara'. Did you mean 'scara'?"),
        ({}, "engines.arm: give either 'robot' or 'model'"),
        ({"robot": "scara", "timestep": 2}, "engines.arm.timestep: 2 has no unit"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        build(**settings)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ({"kind": "body", "names": "lnk1", "field": "mass"}, ": unknown body 'lnk1'. Did you mean"),
        ({"kind": "boddy", "names": "link1", "field": "mass"}, ".kind: Input should be 'joint', "),
        (
            {"kind": "body", "names": "link1", "field": "masss"},
            ".field: masss is not a field of a body (did you mean 'mass'?)",
        ),
        ({"kind": "body", "names": "link1", "field": "id"}, ".field: 'id' of body 'link1' is no"),
        ({"kind": "body", "names": "link1", "feld": "mass"}, ": unknown key 'feld'. Did you mean"),
    ],
)
def test_wrong_packs_are_refused(binding: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        build(robot="scara", packs={"load": binding})
    assert str(raised.value).startswith(f"engines.arm.packs.load{message}")

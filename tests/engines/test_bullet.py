from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core import EngineError, UserError
from troupe.engines.bullet_settings import BulletSettings
from troupe.engines.conformance import CHECKS, Case, check_engine

MS = 1_000_000
STEP = 25 * MS  # six time steps of 1/240 s

ARM = """
<robot name="arm">
  <link name="base"/>
  <link name="upper">
    <inertial>
      <origin xyz="0 0 0.5"/>
      <mass value="1"/>
      <inertia ixx="0.1" iyy="0.1" izz="0.01" ixy="0" ixz="0" iyz="0"/>
    </inertial>
  </link>
  <link name="lower">
    <inertial>
      <origin xyz="0 0 0.5"/>
      <mass value="1"/>
      <inertia ixx="0.1" iyy="0.1" izz="0.01" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <collision>
      <origin xyz="0 0 0.5"/>
      <geometry><sphere radius="0.1"/></geometry>
    </collision>
  </link>
  <link name="tip">
    <inertial>
      <mass value="0.1"/>
      <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/>
    </inertial>
  </link>
  <joint name="shoulder" type="revolute">
    <parent link="base"/><child link="upper"/>
    <axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" effort="50" velocity="5"/>
  </joint>
  <joint name="elbow" type="revolute">
    <parent link="upper"/><child link="lower"/>
    <origin xyz="0 0 1"/>
    <axis xyz="0 1 0"/>
    <limit lower="-2" upper="2" effort="20" velocity="5"/>
  </joint>
  <joint name="wrist" type="fixed">
    <parent link="lower"/><child link="tip"/>
    <origin xyz="0 0 1"/>
  </joint>
</robot>
"""

BALL = """
<robot name="ball">
  <link name="ball">
    <inertial>
      <mass value="1"/>
      <inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <collision><geometry><sphere radius="0.5"/></geometry></collision>
  </link>
</robot>
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "arm.urdf").write_text(ARM)
    (tmp_path / "ball.urdf").write_text(BALL)
    return tmp_path


@pytest.fixture
def build(files: Path) -> Iterator[Callable[..., Any]]:
    engines = []

    def make(model: str, num_instances: int = 2, **more: Any) -> Any:
        engine = BulletSettings(model=files / model, **more).build("robot", num_instances, 1)
        engines.append(engine)
        engine.reset(range(num_instances))
        engine.advance(0)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("model", "more", "drive"),
    [
        ("arm.urdf", {"tool": "tip"}, None),
        ("arm.urdf", {"control": "velocity"}, None),
        ("arm.urdf", {"control": "torque", "plane": True}, {"joint_torque": (-5, 5)}),
        ("ball.urdf", {"plane": True, "fixed_base": False}, {"base_velocity": (-5, 5)}),
    ],
    ids=["position", "velocity", "torque", "ball"],
)
def test_conforms(
    model: str, more: dict[str, Any], drive: Any, check: Callable[[Case], None], files: Path
) -> None:
    settings = BulletSettings(model=files / model, **more)
    check_engine(Case(lambda n, t: settings.build("robot", n, t), drive, STEP), (check,))


def test_packs_are_named_after_joints_and_links(build: Callable[..., Any]) -> None:
    engine = build("arm.urdf")
    target = engine.spec.inputs["joint_target"]
    assert (target.names, target.unit) == (("shoulder", "elbow"), "rad")
    assert target.high.tolist() == [3, 2]
    assert engine.spec.outputs["motor_torque"].high.tolist() == [50, 20]
    assert engine.spec.outputs["link_position"].names == ("upper", "lower", "tip")
    assert engine.spec.inputs["link_mass"].names == ("base", "upper", "lower", "tip")
    assert engine.read("link_mass")[0].tolist() == [0, 1, 1, 0.1]
    assert not engine.spec.can_snapshot
    with pytest.raises(EngineError, match="no exact snapshots"):
        engine.snapshot()


def test_a_state_that_was_written_shows_without_a_step(build: Callable[..., Any]) -> None:
    engine = build("arm.urdf", tool="tip")
    engine.write("joint_position", [np.pi / 2, -np.pi / 2], np.array([1]))
    engine.write("joint_velocity", [1, 0], np.array([1]))
    engine.advance(0)
    assert engine.read("link_position")[1] == pytest.approx(
        np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1]]), abs=1e-12
    )
    # ω × r, of 1 rad/s about y, at (1, 0, 1)
    assert engine.read("tool_velocity")[1] == pytest.approx([1, 0, -1], abs=1e-12)
    assert engine.read("tool_rotation")[1] == pytest.approx(np.eye(3), abs=1e-12)
    assert engine.read("tool_position")[0] == pytest.approx([0, 0, 2], abs=1e-12)


def test_motors_follow_their_command(build: Callable[..., Any]) -> None:
    engine = build("arm.urdf")
    engine.write("joint_target", [[0.5, -0.5], [-0.5, 0.5]])
    engine.advance(2000 * MS)
    assert engine.read("joint_position") == pytest.approx(
        np.array([[0.5, -0.5], [-0.5, 0.5]]), abs=0.01
    )
    engine = build("arm.urdf", control="velocity")
    engine.write("joint_velocity_target", [0.3, -0.2])
    engine.advance(500 * MS)
    assert engine.read("joint_velocity")[0] == pytest.approx([0.3, -0.2], abs=0.01)


def test_without_torque_the_arm_falls_freely(build: Callable[..., Any]) -> None:
    engine = build("arm.urdf", 1, control="torque")
    engine.write("joint_position", [0.3, 0])
    engine.advance(500 * MS)
    fallen = engine.read("joint_position").copy()
    assert fallen[0, 0] > 0.5
    engine.reset([0])
    engine.write("gravity", [0, 0, 0])
    engine.write("joint_position", [0.3, 0])
    engine.advance(500 * MS)
    assert engine.read("joint_position")[0] == pytest.approx([0.3, 0])
    engine.write("joint_torque", [1, 0])
    engine.advance(500 * MS)
    assert engine.read("joint_velocity")[0, 0] > 0.05


def test_a_ball_falls_as_gravity_says_and_rests_on_the_plane(build: Callable[..., Any]) -> None:
    engine = build("ball.urdf", fixed_base=False, plane=True)
    assert "joint_position" not in engine.spec.outputs
    engine.write("base_pose", [[0, 0, 10, 0, 0, 0, 1], [0, 0, 0.5, 0, 0, 0, 1]])
    engine.advance(500 * MS)
    # 120 semi-implicit Euler steps of 1/240 s, less what Bullet damps, 4 % a second
    height = 10 - 9.81 * 120 * 121 / 2 / 240**2
    assert engine.read("base_pose")[0, 2] == pytest.approx(height, abs=0.04)
    assert engine.read("base_pose")[1, 2] == pytest.approx(0.5, abs=0.01)
    assert engine.read("contacts").tolist() == [0, 1]


def test_model_parameters_hold_until_the_reset(build: Callable[..., Any]) -> None:
    def push(engine: Any) -> Any:
        engine.write("gravity", [0, 0, 0])
        engine.write("joint_torque", [1, 0])
        engine.advance(100 * MS)
        return engine.read("joint_velocity")[:, 0].copy()

    engine = build("arm.urdf", control="torque")
    engine.write("link_mass", [0, 1, 3, 0.1], np.array([1]))
    velocity = push(engine)
    assert velocity[1] < 0.9 * velocity[0]
    engine.reset([0, 1])
    assert engine.read("link_mass")[1].tolist() == [0, 1, 1, 0.1]
    assert engine.read("gravity")[0].tolist() == [0, 0, -9.81]
    velocity = push(engine)
    assert velocity[1] == velocity[0]


def test_an_instance_that_is_not_finite_fails_alone(build: Callable[..., Any]) -> None:
    engine = build("arm.urdf")
    engine.write("joint_velocity", np.nan, np.array([1]))
    engine.advance(STEP)
    (fault,) = engine.faults()
    assert fault.instance == 1
    assert np.isfinite(engine.read("joint_position")).all()
    engine.advance(STEP)
    assert not engine.faults()
    assert np.isfinite(engine.read("joint_position")).all()


def test_mjcf_and_sdf_load_too(build: Callable[..., Any], files: Path) -> None:
    (files / "cart.xml").write_text(
        '<mujoco><worldbody><geom name="floor" type="plane" size="5 5 1"/><body name="cart">'
        '<joint name="slide" type="slide" axis="1 0 0"/><geom type="box" size=".1 .1 .1"/>'
        '<body name="pole"><joint name="hinge" type="hinge" axis="0 1 0"/>'
        '<geom type="sphere" size=".1"/></body></body></worldbody></mujoco>'
    )
    assert build("cart.xml").spec.inputs["joint_position"].names == ("slide", "hinge")
    (files / "box.sdf").write_text(
        '<sdf version="1.6"><model name="box"><link name="link"><inertial><mass>2</mass>'
        "<inertia><ixx>1</ixx><ixy>0</ixy><ixz>0</ixz><iyy>1</iyy><iyz>0</iyz><izz>1</izz>"
        "</inertia></inertial></link></model></sdf>"
    )
    assert build("box.sdf").read("link_mass")[0].tolist() == [2]


def test_what_bullet_says_is_logged_once_and_not_printed(
    build: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    files: Path,
) -> None:
    (files / "massless.urdf").write_text('<robot name="x"><link name="light"/></robot>')
    build("massless.urdf").advance(STEP)
    assert capfd.readouterr() == ("", "")
    assert caplog.text.count("engines.robot.model: Bullet says: No inertial data for link") == 1


@pytest.mark.parametrize(
    ("name", "text", "more", "message"),
    [
        ("a.urdf", "<robot name='a'/>", {}, r"model: '.*a\.urdf' does not load: Cannot load URDF"),
        ("a.urdf", "no XML", {}, "does not load"),
        ("a.xml", "<robot name='a'/>", {}, "Cannot find <mujoco> root element"),
        ("arm.urdf", ARM, {"tool": "tipp"}, "tool: unknown link 'tipp'. Did you mean 'tip'"),
    ],
)
def test_models_that_cannot_be_used_are_refused(
    name: str, text: str, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(
        UserError, match=rf"(?s)engines\.robot\.{message}|engines\.robot.*{message}"
    ):
        BulletSettings(model=tmp_path / name, **more).build("robot", 1, 1)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "arm.obj").write_text("")
    with pytest.raises(ValueError, match=r"is none of \.urdf, \.sdf"):
        BulletSettings(model=tmp_path / "arm.obj")

from pathlib import Path

import numpy as np
import pytest

from nrp_core.engines.py_sim.SimManager import SimulatorManager

STEP_NS = 10_000_000

BOX = """
<robot name="box">
  <link name="base">
    <inertial><mass value="1"/>
      <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><geometry><box size="0.2 0.2 0.2"/></geometry></collision>
  </link>
  <link name="arm">
    <inertial><mass value="1"/>
      <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
  <joint name="hinge" type="continuous">
    <parent link="base"/><child link="arm"/><axis xyz="0 0 1"/>
  </joint>
</robot>
"""

PENDULUM = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <body name="pole">
      <joint name="hinge" type="hinge" axis="0 1 0"/>
      <geom name="rod" type="capsule" fromto="0 0 0 0 0 -1" size="0.05"/>
      <site name="tip" pos="0 0 -1"/>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="hinge"/></actuator>
  <sensor>
    <jointvel name="speed" joint="hinge"/>
    <framepos name="place" objtype="site" objname="tip"/>
  </sensor>
</mujoco>
"""


def manager(tmp_path: Path, simulator: str, name: str, text: str, **extra) -> SimulatorManager:
    path = tmp_path / name
    path.write_text(text)
    return SimulatorManager(
        {"Simulator": simulator, "WorldFileName": str(path), "EngineExtraConfigs": extra}
    )


def height(box: SimulatorManager) -> float:
    return box.get_model_property("base", "Link")[0][2]


def test_bullet_puts_a_robot_on_a_plane(tmp_path) -> None:
    box = manager(tmp_path, "Bullet", "box.urdf", BOX)
    assert box.get_model_properties("Body") == ["plane", "box"]
    assert box.get_model_property("box", "Body")[0] == 1.0
    for _ in range(50):
        box.run_step({}, STEP_NS)
    assert height(box) == pytest.approx(0.1, abs=0.02)
    box.reset()
    assert height(box) == 0.0
    assert box.get_sim_time() == 0.0
    box.shutdown()


def test_bullet_without_the_plane(tmp_path) -> None:
    box = manager(tmp_path, "Bullet", "box.urdf", BOX, plane=False)
    assert box.get_model_properties("Body") == ["box"]
    for _ in range(50):
        box.run_step(None, STEP_NS)
    assert height(box) == pytest.approx(-0.5 * 9.8 * 0.5**2, rel=0.05)
    box.shutdown()


def test_bullet_applies_motors_forces_and_torques(tmp_path) -> None:
    box = manager(tmp_path, "Bullet", "box.urdf", BOX, plane=False, gravity=[0, 0, 0])
    for _ in range(10):
        box.run_step({"Force": [{"index": -1, "forceObj": [0, 0, 4]}]}, STEP_NS)
    assert height(box) == pytest.approx(0.5 * 4 / 2 * 0.1**2, rel=0.2)
    for _ in range(10):
        box.run_step({"Torque": [{"index": -1, "torqueObj": [0, 0, 5]}]}, STEP_NS)
    assert box.get_model_property("base", "Link")[1][2] > 0
    for _ in range(200):
        box.run_step({"Joint": [{"targetPosition": 1, "force": 500}]}, STEP_NS)
    assert box.get_model_property("hinge", "Joint")[0] == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="sets Joint, Force, Torque, not 'Joints'"):
        box.run_step({"Joints": []}, STEP_NS)
    box.shutdown()


def test_mujoco_values_have_the_shapes_and_units_of_scripts(tmp_path) -> None:
    pole = manager(tmp_path, "Mujoco", "pole.xml", PENDULUM)
    for _ in range(5):
        pole.run_step([3.0], STEP_NS)
    angle, speed = (pole.get_model_property("hinge", f"joint_{v}") for v in ("qpos", "qvel"))
    assert pole.get_model_property("pole", "body_xvelr") == pytest.approx([0, speed, 0])
    # MuJoCo's frames are those before the last of its own steps
    matrix = pole.get_model_property("tip", "site_xmat")
    assert matrix.shape == (3, 3)
    assert matrix[0, 2] == pytest.approx(np.sin(angle), abs=1e-3)
    tip = pole.get_model_property("tip", "site_xvelp")
    assert tip == pytest.approx([-speed * np.cos(angle), 0, speed * np.sin(angle)], abs=1e-2)
    assert pole.get_model_property("pole", "body_jacr").tolist() == [0, 1, 0]
    assert pole.get_model_property("speed", "sensor") == pytest.approx(speed, abs=0.1)
    assert pole.get_model_property("place", "sensor").shape == (3,)
    assert pole.get_model_all_properties("qpos").tolist() == [angle]
    assert pole.get_model_all_properties("sensordata").shape == (4,)
    assert pole.get_model_all_properties("joint_qvel") == {"hinge": speed}
    pole.shutdown()

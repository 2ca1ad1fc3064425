from pathlib import Path

import pytest

CART_POLE_AND_BALL = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 0.1"/>
    <body name="cart" pos="0 0 0.5">
      <joint name="slide" type="slide" axis="1 0 0" limited="true" range="-1 1"/>
      <geom name="cart" type="box" size="0.1 0.1 0.1" mass="1"/>
      <body name="pole">
        <joint name="hinge" axis="0 1 0"/>
        <geom name="pole" type="capsule" fromto="0 0 0 0 0 0.6" size="0.02" mass="0.1"/>
      </body>
    </body>
    <body name="ball" pos="0.5 0 0.3">
      <freejoint name="free"/>
      <geom name="ball" type="sphere" size="0.1" mass="0.2"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="push" joint="slide" ctrlrange="-3 3" ctrllimited="true"/>
  </actuator>
  <sensor>
    <jointpos name="angle" joint="hinge"/>
  </sensor>
</mujoco>
"""

PENDULUM = """
<robot name="pendulum">
  <link name="base"/>
  <link name="rod">
    <inertial>
      <origin xyz="0 0 -0.5"/>
      <mass value="1"/>
      <inertia ixx="0.1" iyy="0.1" izz="0.01" ixy="0" ixz="0" iyz="0"/>
    </inertial>
  </link>
  <joint name="hinge" type="revolute">
    <parent link="base"/>
    <child link="rod"/>
    <axis xyz="0 1 0"/>
    <limit lower="-3" upper="3" effort="10" velocity="5"/>
  </joint>
</robot>
"""


@pytest.fixture
def mjcf(tmp_path: Path) -> Path:
    """Return the file of a cart with a pole, beside a free ball above a floor."""
    path = tmp_path / "cart.xml"
    path.write_text(CART_POLE_AND_BALL)
    return path


@pytest.fixture
def urdf(tmp_path: Path) -> Path:
    """Return the file of a pendulum."""
    path = tmp_path / "pendulum.urdf"
    path.write_text(PENDULUM)
    return path

"""Fingers close on nothing, on a thing, gently, and tell which."""

import mujoco
import numpy as np
import pytest

from troupe.robots.control import (
    ErrorCode,
    GoalStatus,
    GripperCommand,
    GripperController,
    StallIs,
)
from troupe.robots.iiwa import ROBOT

GRIPPER = ROBOT.gripper
STEP = 10**9 // 50
HALF_THING_M = 0.02


class Hands:
    """Two hands in the air, in MuJoCo; the second one around a block that hangs on a weld."""

    def __init__(self) -> None:
        spec = mujoco.MjSpec.from_file(str(ROBOT.model_path))
        spec.worldbody.add_geom(
            name="block",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(0.02, HALF_THING_M, 0.02),
            pos=tuple(ROBOT.tool_pose(ROBOT.home)[:3, 3]),
        )
        model = spec.compile()
        self.models = [mujoco.MjModel.from_xml_path(str(ROBOT.model_path)), model]
        self.data = [mujoco.MjData(m) for m in self.models]
        for m, d in zip(self.models, self.data, strict=True):
            mujoco.mj_resetDataKeyframe(m, d, 0)
        self.now_ns = 0

    def position(self) -> np.ndarray:
        return np.array([d.joint("left_finger").qpos[0] for d in self.data])

    def run(self, controller: GripperController, seconds: float) -> None:
        for _ in range(int(seconds * 50)):
            command = controller.update(self.now_ns, self.position())
            for m, d, target in zip(self.models, self.data, command, strict=True):
                d.actuator("gripper").ctrl[0] = target
                mujoco.mj_step(m, d, 5)
            self.now_ns += STEP

    def efforts(self) -> list[float]:
        return [float(d.actuator("gripper").force[0]) for d in self.data]


def test_the_gripper_is_read_from_the_model() -> None:
    assert GRIPPER is not None
    assert (GRIPPER.position_limits, GRIPPER.stiffness, GRIPPER.effort_limit) == (
        (0.0, 0.04),
        2000.0,
        40.0,
    )


def test_fingers_reach_their_goal_or_stall_on_a_thing_with_the_effort_they_were_given() -> None:
    hands = Hands()
    controller = GripperController(GRIPPER, hands.position())
    assert all(controller.send(GripperCommand(0.005, max_effort=12.0)))
    hands.run(controller, 0.1)
    assert (controller.status == GoalStatus.EXECUTING).all()
    hands.run(controller, 1.4)
    assert (controller.status == GoalStatus.SUCCEEDED).all()
    empty, full = controller.outcome(0), controller.outcome(1)
    assert (empty.reached_goal, empty.stalled) == (True, False)
    assert empty.position == pytest.approx(0.005, abs=5e-4)
    assert (full.reached_goal, full.stalled) == (False, True)
    assert full.position == pytest.approx(HALF_THING_M, abs=1e-3)
    # it goes on holding, with no more than that
    assert full.effort == pytest.approx(-12.0, abs=0.1)
    assert hands.efforts()[1] == pytest.approx(-12.0, abs=0.5)
    assert all(controller.send(GripperCommand(0.005)))
    hands.run(controller, 1.0)
    assert hands.efforts()[1] == pytest.approx(-28.0, abs=2.0)  # 2000 N/m over 14 mm
    assert all(controller.send(GripperCommand(0.04)))
    hands.run(controller, 1.0)
    assert controller.reached_goal.all()


def test_stalling_may_be_a_failure() -> None:
    hands = Hands()
    controller = GripperController(GRIPPER, hands.position(), stall_is=StallIs.FAILURE)
    controller.send(GripperCommand(0.0))
    hands.run(controller, 1.5)
    assert controller.status.tolist() == [GoalStatus.SUCCEEDED, GoalStatus.ABORTED]
    assert controller.result(1).error_code == ErrorCode.GOAL_TOLERANCE_VIOLATED
    assert "the fingers stalled at 0.01" in controller.result(1).error_string


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (GripperCommand(0.05), "position: 0.05 m is not between 0 and 0.04"),
        (GripperCommand(float("nan")), "position: nan m"),
        (GripperCommand(0.0, 50.0), "max_effort: 50.0 N is not between 0 and 40"),
    ],
)
def test_what_a_gripper_cannot_do_is_refused(goal: GripperCommand, message: str) -> None:
    controller = GripperController(GRIPPER, np.array([0.04]))
    found = controller.send(goal)[0]
    assert found.error_code == ErrorCode.INVALID_GOAL
    assert message in found.error_string

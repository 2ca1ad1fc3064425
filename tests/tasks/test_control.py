import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from troupe.core import plugins
from troupe.robots import Robot
from troupe.tasks.control import clip, position_command, rate_limited, velocity_command

MARA: Robot = plugins.load("troupe.robots", "mara")
LOW, HIGH = MARA.position_limits
MAX_CHANGE = MARA.velocity_limits * 0.04

actions = arrays(np.float32, (3, 6), elements=st.floats(-5, 5, width=32))
commands = arrays(np.float64, (3, 6), elements=st.floats(0, 1)).map(
    lambda share: LOW + share * (HIGH - LOW)
)


def test_positions_are_shares_of_the_joint_range() -> None:
    command = position_command(np.array([[-1.0] * 6, [0.0] * 6, [1.0] * 6, [9.0] * 6]), MARA)
    np.testing.assert_allclose(command, [LOW, np.zeros(6), HIGH, HIGH], atol=1e-12)


def test_velocities_are_shares_of_the_velocity_limit() -> None:
    start = np.zeros((2, 6))
    moved = velocity_command(start, np.array([[0.5] * 6, [-7.0] * 6]), MAX_CHANGE, MARA)
    np.testing.assert_allclose(moved, [0.5 * MAX_CHANGE, -MAX_CHANGE])


@given(commands, actions)
def test_commands_respect_the_limits_of_position_and_velocity(
    command: np.ndarray, action: np.ndarray
) -> None:
    desired = position_command(action, MARA)
    for moved in (
        velocity_command(command, action, MAX_CHANGE, MARA),
        rate_limited(command, desired, MAX_CHANGE),
    ):
        assert ((LOW - 1e-12 <= moved) & (moved <= HIGH + 1e-12)).all()
        assert (np.abs(moved - command) <= MAX_CHANGE + 1e-12).all()


@given(arrays(np.float64, 5, elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_clip_is_that_of_numpy(values: np.ndarray) -> None:
    np.testing.assert_array_equal(clip(values, -1.0, 1.0), np.clip(values, -1.0, 1.0))

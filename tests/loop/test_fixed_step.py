import numpy as np
import pytest

from troupe.engines.mujoco_settings import MujocoSettings
from troupe.loop import FixedStepLoop


@pytest.fixture
def loop() -> FixedStepLoop:
    engines = {
        "left": MujocoSettings(robot="scara").build("left", 3, 1),
        "right": MujocoSettings(robot="mara").build("right", 3, 1),
    }
    loop = FixedStepLoop(engines, 20_000_000)
    loop.reset([0, 1, 2])
    loop.refresh()
    return loop


def move(loop: FixedStepLoop, steps: range) -> list[np.ndarray]:
    trajectory = []
    for step in steps:
        loop.world.write("left.joint_target", 0.1 * step)
        loop.world.write("right.joint_target", -0.1 * step)
        loop.advance()
        read = loop.world.read
        trajectory.append(np.hstack([read("left.joint_position"), read("right.joint_position")]))
    return trajectory


def test_the_packs_of_all_engines_stand_in_one_world(loop: FixedStepLoop) -> None:
    assert loop.world.num_instances == 3
    assert loop.world.output("left.joint_position").shape == (3,)
    assert loop.world.input("right.joint_target").shape == (6,)


def test_all_engines_advance_by_the_same_time(loop: FixedStepLoop) -> None:
    move(loop, range(5))
    times = [engine.batch.bind("time") for engine in loop.engines.values()]  # type: ignore[attr-defined]
    np.testing.assert_allclose(times, 0.1)


def test_a_snapshot_holds_engines_and_arrays_of_the_task(loop: FixedStepLoop) -> None:
    loop.world.arrays["goal"] = np.arange(3.0)
    move(loop, range(4))
    snapshot = loop.snapshot()
    expected = move(loop, range(4, 8))
    loop.world.arrays["goal"][:] = 7.0
    loop.restore(snapshot)
    assert loop.world.arrays["goal"].tolist() == [0, 1, 2]
    again = move(loop, range(4, 8))
    assert all(np.array_equal(a, b) for a, b in zip(again, expected, strict=True))


def test_failures_of_every_engine_are_collected(loop: FixedStepLoop) -> None:
    loop.world.write("right.joint_target", np.nan, np.array([2]))
    loop.advance()
    assert [fault.instance for fault in loop.faults()] == [2]
    loop.advance()
    assert loop.faults() == []

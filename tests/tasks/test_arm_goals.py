"""Targets changed in hindsight, against real arms whose targets were there from the beginning."""

import numpy as np
import pytest

from tests.tasks.test_arm import Bench, N
from troupe.core.settings import validated
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.tasks.point import PointSettings
from troupe.tasks.reach import ReachSettings

CASES = [
    ("scara", ReachSettings, {}),
    ("scara", ReachSettings, {"ends_when_reached": True, "threshold_m": 0.05}),
    ("mara", ReachSettings, {"orientation": True}),
    ("scara", PointSettings, {}),
]
IDS = ["reach", "reach-ends", "reach-orientation", "point"]


@pytest.mark.parametrize(("robot", "settings", "keys"), CASES, ids=IDS)
def test_it_is_as_if_the_target_had_been_there(robot, settings, keys) -> None:
    bench = Bench(robot, settings, **keys)
    goals = validated(settings, keys, "task").goals({"arm": bench.robot})
    assert goals is not None
    dof = bench.task.action_spec.shape[0]
    action = np.full((N, dof), 0.4)
    bench.step(action)
    early = bench.task.observe(bench.world)
    early_target = {n: bench.world.arrays[n].copy() for n in ("target_position", "target_rotation")}
    for _ in range(5):
        bench.step(-action)
    late = bench.task.observe(bench.world)
    relabelled = goals.relabelled(early, late)
    reward, terminated = goals.outcome(relabelled, action)

    # the same way once more, with the tool's later pose as the target
    bench.world.arrays["target_position"][...] = bench.world.read("arm.tool_position")
    bench.world.arrays["target_rotation"][...] = bench.world.read("arm.tool_rotation")
    later_target = {n: bench.world.arrays[n].copy() for n in early_target}
    bench.reset()
    for name, values in later_target.items():
        assert not np.allclose(values, early_target[name]) or name == "target_rotation"
        bench.world.arrays[name][...] = values
    bench.step(action)
    np.testing.assert_allclose(relabelled, bench.task.observe(bench.world), atol=1e-6)
    np.testing.assert_allclose(reward, bench.task.reward(bench.world, action), atol=1e-5)
    np.testing.assert_array_equal(terminated, bench.task.terminated(bench.world))


@pytest.mark.parametrize(("robot", "settings", "keys"), CASES, ids=IDS)
def test_the_step_that_achieved_it_has_reached_it(robot, settings, keys) -> None:
    bench = Bench(robot, settings, **keys)
    goals = validated(settings, keys, "task").goals({"arm": bench.robot})
    assert goals is not None
    observation = bench.task.observe(bench.world)
    reached = goals.relabelled(observation, observation)
    _, terminated = goals.outcome(reached, np.zeros((N, bench.task.action_spec.shape[0])))
    assert terminated.all() == bench.task._rules.ends_when_reached


def test_what_observations_do_not_tell_cannot_be_changed_in_hindsight() -> None:
    robot = MujocoSettings(robot="mara").load_robot()
    assert robot is not None
    assert PointSettings(target="MARA").goals({"arm": robot}) is None

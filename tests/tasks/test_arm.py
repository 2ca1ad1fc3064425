"""The reaching tasks on real arms, stepped by hand."""

from typing import Any

import numpy as np
import pytest

from troupe.core import Streams, UserError
from troupe.core.settings import validated
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.loop import FixedStepLoop
from troupe.tasks.arm import ReachTask
from troupe.tasks.point import PointSettings
from troupe.tasks.reach import ReachSettings

STEP_NS = 20_000_000
N = 3


class Bench:
    """Three instances of a robot with a task."""

    def __init__(self, robot: str, settings: type[Any], **keys: Any) -> None:
        engine = MujocoSettings(robot=robot)
        self.robot = engine.load_robot()
        assert self.robot is not None
        self.loop = FixedStepLoop({"arm": engine.build("arm", N, 1)}, STEP_NS)
        self.world = self.loop.world
        task = validated(settings, keys, "task")
        self.task: ReachTask = task.build({"arm": self.robot}, self.world, STEP_NS)
        self.reset()

    def reset(self, episode: int = 0) -> None:
        ids = np.arange(N)
        self.loop.reset([0] * N, ids)
        rng = [Streams(0).generator("task", i, episode) for i in range(N)]
        self.task.reset(self.world, ids, rng)
        self.loop.refresh(ids)

    def place(self, angles: np.ndarray) -> None:
        """Put all arms at rest at joint angles."""
        for pack in ("joint_position", "joint_target"):
            self.world.write(f"arm.{pack}", angles)
        self.loop.refresh()

    def step(self, action: np.ndarray) -> None:
        self.task.act(self.world, action)
        self.loop.advance()


def test_observation_of_reach_is_what_it_says() -> None:
    bench = Bench("scara", ReachSettings)
    for _ in range(3):
        bench.step(np.full((N, 3), 0.4))
    read, target = bench.world.read, bench.world.arrays["target_position"]
    expected = [
        read("arm.joint_position"),
        target - read("arm.tool_position"),
        read("arm.tool_velocity"),
        read("arm.joint_target") - read("arm.joint_position"),
        read("arm.joint_velocity"),
    ]
    observed = bench.task.observe(bench.world)
    assert observed.dtype == np.float32
    assert observed.shape == (N, *bench.task.observation_spec.shape)
    np.testing.assert_array_equal(observed, np.concatenate(expected, axis=1, dtype=np.float32))


def test_velocity_of_the_tool_is_that_of_its_motion() -> None:
    bench = Bench("mara", ReachSettings)
    bench.world.write("arm.joint_velocity", [0.3, -0.2, 0.1, 0.4, -0.5, 0.2])
    bench.loop.refresh()
    velocity = bench.world.read("arm.tool_velocity").copy()
    before = bench.world.read("arm.tool_position").copy()
    bench.world.write("arm.joint_position", np.array([0.3, -0.2, 0.1, 0.4, -0.5, 0.2]) * 1e-6)
    bench.loop.refresh()
    moved = bench.world.read("arm.tool_position") - before
    np.testing.assert_allclose(velocity, moved / 1e-6, atol=1e-5)


@pytest.mark.parametrize("action", ["velocity", "position"])
def test_full_actions_move_joints_no_faster_than_their_limit(action: str) -> None:
    bench = Bench("scara", ReachSettings, action=action)
    for step in range(1, 4):
        bench.step(np.ones((N, 3), np.float32))
        # 10 rad/s for 20 ms
        np.testing.assert_allclose(bench.world.read("arm.joint_target"), 0.2 * step)


def test_reward_and_success_are_those_of_the_errors() -> None:
    bench = Bench("scara", ReachSettings, precision_m=0.01)
    bench.place(np.array([0.3, 0.4, -0.2]))
    tool = bench.world.read("arm.tool_position").copy()
    bench.world.arrays["target_position"][:] = tool + [[0, 0, 0], [0.006, 0, 0.008], [0, 0.004, 0]]
    zero = np.zeros((N, 3))
    # -e + 0.01 / (e + 0.01) - 1 for e = 0, 10 and 4 mm
    expected = [0.0, -0.51, -0.004 - 4 / 14]
    np.testing.assert_allclose(bench.task.reward(bench.world, zero), expected, atol=1e-9)
    metrics = bench.task.metrics(bench.world)
    np.testing.assert_allclose(metrics["error_m"], [0, 0.01, 0.004], atol=1e-9)
    assert metrics["success"].tolist() == [1, 0, 1]
    assert not bench.task.terminated(bench.world).any()


def test_orientation_counts_if_it_is_asked_for() -> None:
    bench = Bench("mara", ReachSettings, orientation=True)
    bench.place(np.array([0.3, 0.4, -0.2, 0.1, 0.5, 0.6]))
    bench.world.arrays["target_position"][:] = bench.world.read("arm.tool_position")
    turns = np.array([0.0, 0.05, 0.3])
    turned = [[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in turns]
    bench.world.arrays["target_rotation"][:] = turned @ bench.world.read("arm.tool_rotation")
    metrics = bench.task.metrics(bench.world)
    np.testing.assert_allclose(metrics["angle_rad"], turns, atol=1e-7)
    assert metrics["success"].tolist() == [1, 1, 0]
    expected = -turns + 0.1 / (turns + 0.1) - 1
    reward = bench.task.reward(bench.world, np.zeros((N, 6)))
    np.testing.assert_allclose(reward, expected, atol=1e-6)
    assert bench.task.observe(bench.world).shape == (N, 6 + 6 + 12 + 9)


def test_each_episode_draws_its_own_target() -> None:
    bench = Bench("scara", ReachSettings)
    first = bench.world.arrays["target_position"].copy()
    bench.reset(episode=1)
    second = bench.world.arrays["target_position"].copy()
    assert (np.linalg.norm(first - second, axis=1) > 1e-3).all()
    bench.reset(episode=0)
    assert np.array_equal(bench.world.arrays["target_position"], first)


def test_given_targets_are_used() -> None:
    positions = [[0.3, 0.0, 0.3746], [0.2, 0.2, 0.3746]]
    bench = Bench("scara", ReachSettings, target=positions)
    assert all(t in positions for t in bench.world.arrays["target_position"].tolist())


def test_random_targets_stay_in_a_box() -> None:
    low, high = [-0.5, -0.2, 0.25], [-0.4, 0.2, 0.4]
    bench = Bench("mara", ReachSettings, box_m=[low, high])
    targets = bench.world.arrays["target_position"]
    assert ((targets >= low) & (targets <= high)).all()
    assert (np.ptp(targets, axis=0) > 0.01).all()


@pytest.mark.parametrize(
    ("robot", "target", "position"),
    [
        ("scara", "O", (0.3325683, 0.0657366, 0.3746)),
        ("scara", "H", (0.3305805, -0.1326121, 0.3746)),
        ("scara", "S", (0.3349774, 0.1570571, 0.3746)),
        ("mara", "MARA", (-0.40028, 0.095615, 0.25)),
        ("mara", "Orient", (-0.40028, 0.095615, 0.72466)),
    ],
)
def test_published_targets(robot: str, target: str, position: tuple[float, float, float]) -> None:
    bench = Bench(robot, PointSettings, target=target)
    assert np.array_equal(bench.world.arrays["target_position"], [position] * N)
    # the quaternion wxyz (0, 1, 1, 0) / sqrt(2) swaps x and y and turns z around
    published = np.eye(3) if robot == "scara" else [[0, 1, 0], [1, 0, 0], [0, 0, -1]]
    assert np.array_equal(bench.world.arrays["target_rotation"], [published] * N)


def test_scara_point_ends_within_5_mm_and_pays_the_published_reward() -> None:
    bench = Bench("scara", PointSettings, target="O")
    bench.place(np.array([0.3, 0.4, -0.2]))
    tool = bench.world.read("arm.tool_position").copy()
    off = np.array([0.0, 0.0049, 0.0051]) * np.sqrt(3)
    bench.world.arrays["target_position"][:] = tool + off[:, None] * [1, 0, 0]
    assert bench.task.terminated(bench.world).tolist() == [True, True, False]
    reward = bench.task.reward(bench.world, np.zeros((N, 3)))
    np.testing.assert_allclose(reward, [1.0, 1 - 0.0049, -0.0051], atol=1e-12)


def test_mara_point_does_not_end_and_punishes_collisions() -> None:
    bench = Bench("mara", PointSettings, target="MARA")
    bench.place(np.array([0.0, 2.3, 0.0, 0.0, 0.0, 0.0]))
    bench.world.arrays["target_position"][:] = bench.world.read("arm.tool_position")
    assert (bench.world.read("arm.contacts") > 0).all(), "the arm lies on the floor"
    assert not bench.task.terminated(bench.world).any()
    # 10, less 3 * 0^0.03 = 0 where the error is 0
    np.testing.assert_allclose(bench.task.reward(bench.world, np.zeros((N, 6))), 10.0)
    bench.world.arrays["target_position"][:, 0] += np.sqrt(3)
    np.testing.assert_allclose(bench.task.reward(bench.world, np.zeros((N, 6))), -4.0)


@pytest.mark.parametrize(
    ("robot", "settings", "keys", "message"),
    [
        ("scara", PointSettings, {"target": "P"}, "task.target: unknown target 'P'. Valid: H, O, "),
        ("scara", ReachSettings, {"target": [[2, 0, 0.4]]}, "task.target.0: (2, 0, 0.4) m is out"),
        ("mara", ReachSettings, {"box_m": [[0, 0, 0.3], [2, 0, 0.3]]}, "task.box_m: (1, 0, 0.3) m"),
        (
            "iiwa",
            ReachSettings,
            {"box_m": [[-0.5, -0.5, 0.1], [0.5, 0.5, 0.6]]},
            "task.box_m: (0, 0, 0.35) m",
        ),
        ("mara", ReachSettings, {"box_m": [[0, 1, 0], [0, 0, 0]]}, "task: box_m: y of the first"),
        ("scara", ReachSettings, {"engine": "leg"}, "task.engine: unknown engine with a robot"),
        ("scara", ReachSettings, {"threshold_m": -1}, "task.threshold_m: Input should be greater"),
        ("scara", ReachSettings, {"acton": "velocity"}, "task: unknown key 'acton'. Did you mean"),
    ],
)
def test_wrong_settings_are_refused(
    robot: str, settings: type[Any], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as raised:
        Bench(robot, settings, **keys)
    assert str(raised.value).startswith(message)

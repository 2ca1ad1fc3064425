"""Control of many arms: updates of controllers, inverse kinematics beside mink, planning.

Poses are the tool's in random joint positions of the iiwa; mink solves them one after the other,
from the same start, with as many steps. Ways are planned between free random joint positions before
the tray of `iiwa-grasp`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import mink
import mujoco
import numpy as np

from benchmarks.harness import Options, Spread, Table, in_turn, ratio, write_result
from troupe.core.errors import PlanningError
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.robots.control import (
    CartesianController,
    FollowJointTrajectoryGoal,
    JointTrajectory,
    JointTrajectoryController,
    MoveToPoseGoal,
)
from troupe.robots.iiwa import ROBOT
from troupe.robots.kinematics import solve_pose, solve_pose_anywhere
from troupe.robots.planning import plan_path

STEP_NS = 8_000_000
ITERATIONS = 50
TOLERANCE = (1e-3, 1e-2)
AHEAD = 0.3
"""By which all joints move in the updates that are timed, rad."""


def run(options: Options) -> None:
    """Measure in turn and write the result."""
    rounds = options.choose(9, 1, options.rounds)
    arms = options.choose((1, 64, 1024), (1, 8))
    poses = random_poses(options.choose(200, 4))
    updates = in_turn({n: updating(n) for n in arms}, rounds)
    names = {name for found in updates.values() for name in found[0]}
    rows = [
        [str(n), *(str(Spread.of(f[name] for f in found)) for name in sorted(names))]
        for n, found in updates.items()
    ]
    updated = Table(f"Updates, ms (rounds: {rounds})", ["arms", *sorted(names)], rows)
    print(updated)

    solved = in_turn({"troupe": lambda: solving(poses), "mink": lambda: with_mink(poses)}, rounds)
    per_s = {name: [found["poses_per_s"] for found in values] for name, values in solved.items()}
    rows = [
        [name, str(Spread.of(per_s[name])), f"{values[0]['reached']:.1%}"]
        for name, values in solved.items()
    ]
    rows.append(["ratio", str(ratio(per_s["troupe"], per_s["mink"])), ""])
    header = ["", "poses/s", "reached from the home pose"]
    kinematics = Table(f"Inverse kinematics of {len(poses)} random poses", header, rows)
    anywhere = np.mean([solve_pose_anywhere(ROBOT, p, ROBOT.home)[1][0] for p in poses])
    print(kinematics, f"\n\nfrom several starts: {anywhere:.1%}")

    planned = planning(options.choose(100, 3))
    rows = [
        [key, value if isinstance(value, str) else str(value)] for key, value in planned.items()
    ]
    plans = Table("Planning before the tray", ["", ""], rows)
    print(plans)
    tables = [updated, kinematics, plans]
    found = {str(n): values for n, values in updates.items()}
    write_result(
        "control", options, tables, updates=found, kinematics=solved, anywhere=float(anywhere)
    )


def random_poses(count: int) -> np.ndarray:
    """Return tool poses that joints within the limits attain, (count, 4, 4)."""
    return ROBOT.tool_pose(np.random.default_rng(0).uniform(*ROBOT.position_limits, (count, 7)))


def updating(num_arms: int) -> Callable[[], dict[str, float]]:
    """Return a function that times the updates of controllers, ms each."""
    home = np.tile(ROBOT.home, (num_arms, 1))
    still = np.zeros_like(home)
    there = ROBOT.home + AHEAD

    def measure() -> dict[str, float]:
        follow = JointTrajectoryController(ROBOT, home)
        ways = JointTrajectory.through(ROBOT, np.stack([ROBOT.home, there, ROBOT.home]))
        follow.send(FollowJointTrajectoryGoal(ways))
        tool = CartesianController(ROBOT, home)
        tool.send(MoveToPoseGoal(ROBOT.tool_pose(there)))
        found = {}
        for name, controller in {"joint trajectory": follow, "tool on a line": tool}.items():
            controller.update(0, home, still)
            began = time.perf_counter()
            for k in range(1, 21):
                controller.update(k * STEP_NS, home, still)
            found[name] = (time.perf_counter() - began) / 20 * 1e3
        return found

    return measure


def solving(poses: np.ndarray) -> dict[str, float]:
    """Time the poses together."""
    began = time.perf_counter()
    _, reached = solve_pose(ROBOT, poses, ROBOT.home, TOLERANCE, ITERATIONS)
    return {
        "poses_per_s": len(poses) / (time.perf_counter() - began),
        "reached": float(reached.mean()),
    }


def with_mink(poses: np.ndarray) -> dict[str, float]:
    """Time the poses one after the other, with steps as long as the others' may be."""
    model = mujoco.MjModel.from_xml_path(str(ROBOT.model_path))
    limits = [mink.ConfigurationLimit(model)]
    reached = 0
    began = time.perf_counter()
    for pose in poses:
        configuration = mink.Configuration(model, model.key("home").qpos)
        task = mink.FrameTask("tool", "site", 1.0, 1.0, lm_damping=0.01)
        task.set_target(mink.SE3.from_matrix(pose))
        for _ in range(ITERATIONS):
            error = np.linalg.norm(task.compute_error(configuration).reshape(2, 3), axis=1)
            if (error <= TOLERANCE).all():
                reached += 1
                break
            step = mink.solve_ik(configuration, [task], 1.0, "daqp", limits=limits)
            configuration.integrate_inplace(np.clip(step, -0.5, 0.5), 1.0)
    return {
        "poses_per_s": len(poses) / (time.perf_counter() - began),
        "reached": reached / len(poses),
    }


def planning(count: int) -> dict[str, str]:
    """Plan between free random joint positions, and tell how it went."""
    engine = MujocoSettings(robot="iiwa", scene={"type": "tray"}).build("arm", 1, 1)
    engine.reset([0])
    engine.advance(0)
    checker = engine.collision_checker(clearance_m=0.005)
    drawn = np.random.default_rng(1).uniform(*ROBOT.position_limits, (20 * count + 100, 7))
    began = time.perf_counter()
    free = drawn[checker(drawn)]
    per_check = (time.perf_counter() - began) / len(drawn)
    ends = free[: 2 * count].reshape(-1, 2, 7)
    times, corners, failed = [], [], 0
    for start, goal in ends:
        began = time.perf_counter()
        try:
            corners.append(len(plan_path(ROBOT, start, goal, checker)))
        except PlanningError:
            failed += 1
        times.append(time.perf_counter() - began)
    return {
        "a check, µs": f"{per_check * 1e6:.3g}",
        "found": f"{1 - failed / len(ends):.1%} of {len(ends)}",
        "time, s": str(Spread.of(times)),
        "joint positions of a way": str(Spread.of(corners)) if corners else "none",
    }

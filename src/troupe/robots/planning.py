"""Ways of an arm around what it must not touch, found by OMPL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import PlanningError, UserError
from troupe.robots.kinematics import is_frame, solve_pose_anywhere
from troupe.robots.robot import START_TOLERANCE_RAD, Robot

MAX_ITERATIONS = 5000
RESOLUTION_RAD = 0.02
"""Between joint positions that are checked on a way, in the norm over all joints."""

GOAL_CANDIDATES = 48
STEP_RAD = 1.0
"""By which a tree grows at once, at most."""


class IsValid(Protocol):
    """Says which joint positions may be taken."""

    def __call__(self, joint_position: Array, /) -> npt.NDArray[np.bool_]:
        """Return which of some joint positions, (K, dof), may be taken, (K,)."""


@runtime_checkable
class NamesContacts(IsValid, Protocol):
    """It can also say what touches what."""

    def touching(self, joint_position: Array) -> Sequence[tuple[str, str, float]]:
        """Return pairs by name and their distances, m, of a joint position, (dof,)."""


def plan_path(
    robot: Robot,
    start: Array,
    goal: npt.ArrayLike,
    is_valid: IsValid,
    *,
    seed: int = 0,
    max_iterations: int = MAX_ITERATIONS,
    resolution_rad: float = RESOLUTION_RAD,
) -> Array:
    """Return a way to joint positions or to a pose of the tool, as straight pieces between joints.

    Two trees grow towards each other (RRT-Connect, Kuffner and LaValle 2000); the way is then
    shortened. The same arguments give the same way: what bounds the search is iterations, not time.
    `troupe.robots.control.JointTrajectory.through` makes a trajectory of it.

    Args:
        robot: the arm.
        start: joint positions, (dof,), rad. An arm that is at most `START_TOLERANCE_RAD` outside
            its limits begins at them.
        goal: joint positions, (dof,), rad, or T_base_tool, (4, 4), m, for which several joint
            positions are tried.
        is_valid: which joint positions may be taken, such as
            `troupe.engines.mujoco.MujocoEngine.collision_checker`.
        seed: of the search.
        max_iterations: of growing, after which the search is given up.
        resolution_rad: between joint positions that are checked.

    Returns:
        (P, dof), rad, from start to goal, P >= 2.

    Raises:
        UserError: if OMPL is not installed or an argument makes no sense.
        PlanningError: if start or goal are out of reach or limits or touch something, or no way was
            found.
    """
    base, geometric, util = _ompl()
    if not resolution_rad > 0:
        raise UserError(f"resolution_rad: {resolution_rad!r} is not greater than 0.")
    start = _joints(robot, start, "start", START_TOLERANCE_RAD)
    _check(robot, start[None], is_valid, "start")
    goals = _goals(robot, start, np.asarray(goal, np.float64), is_valid, seed)

    if is_valid(_between(start, goals[0], resolution_rad)).all():
        return np.stack([start, goals[0]])
    with _quiet(util):
        util.RNG.setSeed(seed + 1)
        space = _space(base, robot)
        information = _information(base, space, len(start), is_valid, resolution_rad)
        problem = _problem(base, information, start, goals)
        planner = geometric.RRTConnect(information)
        planner.setRange(STEP_RAD)
        planner.setProblemDefinition(problem)
        planner.setup()
        planner.solve(base.PlannerTerminationCondition(_After(max_iterations)))
        if not problem.hasExactSolution():
            raise PlanningError(
                f"no way was found in {max_iterations} iterations; the arm may be shut in, or "
                "more of them may help (max_iterations)"
            )
        path = problem.getSolutionPath()
        simplifier = geometric.PathSimplifier(information)
        simplifier.reduceVertices(path)
        simplifier.partialShortcutPath(path)
        simplifier.reduceVertices(path)
        return np.array([state[0 : len(start)] for state in path.getStates()])


class _After:
    """Tells a planner to end after so many iterations."""

    def __init__(self, iterations: int) -> None:
        self._left = iterations

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def _ompl() -> tuple[ModuleType, ModuleType, ModuleType]:
    try:
        from ompl import base, geometric, util
    except ImportError as error:
        message = (
            f"OMPL is not installed ({error}); install it with: pip install 'troupe[planning]'"
        )
        raise UserError(message) from error
    return base, geometric, util


@contextmanager
def _quiet(util: Any) -> Iterator[None]:
    """Keep OMPL from writing to the terminal."""
    util.noOutputHandler()
    try:
        yield
    finally:
        util.restorePreviousOutputHandler()


def _joints(robot: Robot, values: npt.ArrayLike, name: str, tolerance_rad: float = 0.0) -> Array:
    joints = np.asarray(values, np.float64)
    if joints.shape != robot.home.shape:
        raise UserError(f"{name}: shape {joints.shape} where {robot.home.shape} is wanted.")
    joints = robot.at_limits(joints, tolerance_rad)
    low, high = robot.position_limits
    outside = (joints < low) | (joints > high) | ~np.isfinite(joints)
    if outside.any():
        j = int(outside.argmax())
        raise PlanningError(
            f"{name}: '{robot.joint_names[j]}' is at {joints[j]:.4g} rad; its limits are "
            f"{low[j]:.4g} and {high[j]:.4g}"
        )
    return joints


def _goals(robot: Robot, start: Array, goal: Array, is_valid: IsValid, seed: int) -> Array:
    """Return joint positions of the goal that may be taken, (G, dof), the nearest first."""
    if goal.shape != (4, 4):
        goals = _joints(robot, goal, "goal")[None]
    else:
        if not is_frame(goal):
            raise UserError("goal: the upper left of the pose is no rotation matrix.")
        angles, reached = solve_pose_anywhere(
            robot, goal, start, restarts=GOAL_CANDIDATES, seed=seed
        )
        if not reached.any():
            x, y, z = goal[:3, 3]
            raise PlanningError(
                f"goal: '{robot.name}' does not reach the pose at ({x:.3g}, {y:.3g}, {z:.3g}) m"
            )
        goals = angles[reached]
    return goals[_check(robot, goals, is_valid, "goal")]


def _check(robot: Robot, joints: Array, is_valid: IsValid, name: str) -> npt.NDArray[np.bool_]:
    """Return which joint positions may be taken, at least one."""
    valid = is_valid(joints)
    if not valid.any():
        raise PlanningError(f"{name}: {_why(robot, joints, is_valid)}")
    return valid


def _why(robot: Robot, joints: Array, is_valid: IsValid) -> str:
    """Say what the joint position touches that is nearest to touching nothing."""
    if not isinstance(is_valid, NamesContacts):
        return f"'{robot.name}' may not be there"
    worst = [min(is_valid.touching(j), key=lambda pair: pair[2]) for j in joints]
    one, other, distance = max(worst, key=lambda pair: pair[2])
    if distance > 0:
        return f"'{one}' is {distance * 1e3:.3g} mm from '{other}', which is too near"
    return f"'{one}' touches '{other}', {-distance * 1e3:.3g} mm deep"


def _between(begin: Array, end: Array, resolution_rad: float) -> Array:
    """Return joint positions on a straight way, with both ends, (K, dof)."""
    count = max(2, int(np.ceil(np.linalg.norm(end - begin) / resolution_rad)) + 1)
    return begin + np.linspace(0.0, 1.0, count)[:, None] * (end - begin)


def _space(base: Any, robot: Robot) -> Any:
    bounds = base.RealVectorBounds(len(robot.joints))
    for j, (low, high) in enumerate(robot.position_limits.T):
        bounds.setLow(j, float(low))
        bounds.setHigh(j, float(high))
    space = base.RealVectorStateSpace(len(robot.joints))
    space.setBounds(bounds)
    return space


def _information(base: Any, space: Any, dof: int, is_valid: IsValid, resolution_rad: float) -> Any:
    """Return what tells a planner where an arm may be, and how closely to look."""
    information = base.SpaceInformation(space)
    information.setStateValidityChecker(lambda state: bool(is_valid(np.array([state[0:dof]]))[0]))
    fraction = resolution_rad / space.getMaximumExtent()
    information.setStateValidityCheckingResolution(fraction)
    information.setup()
    return information


def _problem(base: Any, information: Any, start: Array, goals: Array) -> Any:
    problem, ends = base.ProblemDefinition(information), base.GoalStates(information)
    state = information.allocState()
    state[0 : len(start)] = start.tolist()
    problem.addStartState(state)
    for goal in goals:
        state[0 : len(start)] = goal.tolist()
        ends.addState(state)
    problem.setGoal(ends)
    return problem

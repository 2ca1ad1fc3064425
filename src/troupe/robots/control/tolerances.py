"""How far joints may be from where they should be, and in which words it is told that they are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from troupe.core.arrays import Array
from troupe.robots.control.results import ErrorCode, GoalError
from troupe.robots.control.trajectory import JointTolerance
from troupe.robots.robot import Robot

PATH, GOAL = 0, 1
"""Rows of tolerances (2, 2, dof): on the way and at its end; then of positions and velocities."""

VIOLATION_WIDTH = 5


class Quantity(IntEnum):
    """What a tolerance bounds."""

    POSITION = 0
    VELOCITY = 1


UNITS = {Quantity.POSITION: "rad", Quantity.VELOCITY: "rad/s"}
WHERE = {ErrorCode.PATH_TOLERANCE_VIOLATED: "path", ErrorCode.GOAL_TOLERANCE_VIOLATED: "goal"}


def of_goal(
    robot: Robot,
    defaults: Array,
    path: Sequence[JointTolerance],
    goal: Sequence[JointTolerance],
) -> Array:
    """Return the tolerances of a goal, (2, 2, dof); inf where anything goes.

    Args:
        robot: the arm.
        defaults: where the goal says 0 or nothing, (2, 2, dof).
        path: of the goal, on the way.
        goal: of the goal, at its end.

    Raises:
        GoalError: if one names no joint, or is negative but not -1.
    """
    values = defaults.copy()
    for row, (where, given) in enumerate({"path_tolerance": path, "goal_tolerance": goal}.items()):
        for tolerance in given:
            if tolerance.name not in robot.joint_names:
                valid = ", ".join(robot.joint_names)
                message = f"{where}: '{robot.name}' has no joint '{tolerance.name}'; valid: {valid}"
                raise GoalError(ErrorCode.INVALID_JOINTS, message)
            joint = robot.joint_names.index(tolerance.name)
            for quantity, value in enumerate((tolerance.position, tolerance.velocity)):
                if value == -1:
                    values[row, quantity, joint] = np.inf
                elif value > 0:
                    values[row, quantity, joint] = value
                elif value != 0:
                    message = f"{where}: {value!r} of '{tolerance.name}' is none; 0 is the default"
                    raise GoalError(ErrorCode.INVALID_GOAL, f"{message}, -1 any distance")
    return values


def unbounded_where_0(*values: float) -> Array:
    """Return values with inf in the place of 0."""
    given = np.array(values, np.float64)
    return np.where(given == 0, np.inf, given)


def violations(desired: Array, actual: Array, tolerance: Array) -> Array:
    """Return what is furthest out of its tolerance, (N, 5); NaN where nothing is out of it.

    The columns are quantity, joint, desired value, actual value and tolerance.

    Args:
        desired: positions and velocities, (N, 2, dof).
        actual: the same.
        tolerance: of both, (N, 2, dof).
    """
    n, _, dof = desired.shape
    share = (np.abs(desired - actual) / tolerance).reshape(n, -1)
    worst = share.argmax(axis=1)
    rows = np.arange(n)
    columns = [worst // dof, worst % dof]
    columns += [values.reshape(n, -1)[rows, worst] for values in (desired, actual, tolerance)]
    found: Array = np.stack(columns, axis=1).astype(np.float64)
    found[share[rows, worst] <= 1] = np.nan
    return found


def describe(robot: Robot, code: ErrorCode, violation: Array) -> str:
    """Return the error string of a violation, (5,)."""
    quantity, joint = Quantity(int(violation[0])), robot.joint_names[int(violation[1])]
    desired, actual, tolerance = violation[2:]
    unit, name = UNITS[quantity], quantity.name.lower()
    return (
        f"joint '{joint}': {name} {actual:.4g} {unit} where {desired:.4g} is desired; the error "
        f"{abs(desired - actual):.4g} exceeds the {WHERE[code]} tolerance {tolerance:.4g}"
    )

"""Rewards of reaching and lifting, as functions of errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array

FREE_RANGE = 0.75
"""Share of a joint's range, about its middle, in which its position costs nothing."""


def distance(error_m: Array) -> Array:
    """Return the Euclidean length of position errors, (N, 3) to (N,), metres."""
    length: Array = np.sqrt(np.einsum("ni,ni->n", error_m, error_m))
    return length


def rotation_angle(rotation: Array, target: Array) -> Array:
    """Return the angle between two orientations, (N, 3, 3) each, to (N,), rad.

    cos(angle) = (trace(R^T R_target) - 1) / 2.
    """
    cosine = (np.einsum("nij,nij->n", rotation, target) - 1.0) / 2.0
    angle: Array = np.arccos(np.clip(cosine, -1.0, 1.0))
    return angle


def precise(error: Array, scale: float) -> Array:
    """Reward nearness at every scale: -error, and a peak at 0 that is `scale` wide.

    Without the peak the slope at 1 mm is that at 1 m, and the noise of exploration hides it.

    Args:
        error: (N,), m or rad.
        scale: of the peak, in the unit of the error.
    """
    reward: Array = -error + scale / (error + scale) - 1.0
    return reward


def near(distance_m: Array, scale_m: float) -> Array:
    """Reward nearness between 0 and 1: 1 - tanh(distance / scale), (N,).

    Args:
        distance_m: (N,), m.
        scale_m: at this distance it is 0.24.
    """
    reward: Array = 1.0 - np.tanh(distance_m / scale_m)
    return reward


def progress(value: Array, start: Array, goal: float) -> Array:
    """Return how far values have come from a start to a greater goal, as shares 0 to 1, (N,)."""
    share: Array = np.clip((value - start) / (goal - start), 0.0, 1.0)
    return share


def limit_excess(joint_position: Array, limits: Array) -> Array:
    """Return how far joints are beyond three quarters of their range, summed over joints, (N,).

    An arm that has folded onto its limits no longer moves where it is told to, and a policy learns
    nothing there; a cost on this keeps it away (docs/derivations.md, "Reaching").

    Args:
        joint_position: (N, dof), rad.
        limits: least and greatest angles, (2, dof), rad.
    """
    low, high = limits
    share = np.abs(joint_position - (low + high) / 2) / ((high - low) / 2)
    excess: Array = np.maximum(share - FREE_RANGE, 0.0).sum(axis=1)
    return excess


def scara_point(distance_m: Array, threshold_m: float) -> Array:
    """Return the published SCARA reward (versions 3 and 4), (N,).

    e = distance / sqrt(3); 1 - e where e is below the threshold, else -e.
    """
    rms = distance_m / np.sqrt(3.0)
    reward: Array = np.where(rms < threshold_m, 1.0 - rms, -rms)
    return reward


def mara_point(
    distance_m: Array, angle_rad: Array, collided: npt.NDArray[np.bool_], orientation: bool
) -> Array:
    """Return the published MARA reward, at most 10, (N,).

    r = D O - 1 - C with, for d the root mean square of the position error,
    D = (e^-5d - e^-5) / (1 - e^-5) + 10 (e^-250d - e^-250) / (1 - e^-250),
    O = (2 - (angle / pi)^1.5) / 2 and C = 3 (2 min(d, 0.5))^0.03 on collision.

    Args:
        distance_m: from the target.
        angle_rad: between the tool's orientation and the target's.
        collided: whether the arm touches anything.
        orientation: whether the orientation counts; O is 1 otherwise.
    """
    rms = distance_m / np.sqrt(3.0)
    near = _exponential(5.0, rms) + 10.0 * _exponential(250.0, rms)
    oriented = (2.0 - (angle_rad / np.pi) ** 1.5) / 2.0 if orientation else 1.0
    penalty = np.where(collided, 3.0 * (2.0 * np.minimum(rms, 0.5)) ** 0.03, 0.0)
    reward: Array = near * oriented - 1.0 - penalty
    return reward


def _exponential(rate: float, rms: Array) -> Array:
    value: Array = (np.exp(-rate * rms) - np.exp(-rate)) / (1.0 - np.exp(-rate))
    return value

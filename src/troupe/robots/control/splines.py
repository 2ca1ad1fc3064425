"""Polynomials between waypoints, of many joints and segments at once."""

from __future__ import annotations

import numpy as np

from troupe.core.arrays import Array

NUM_COEFFICIENTS = 6


def linear(duration_s: Array, start: Array, end: Array) -> Array:
    """Return the coefficients of straight segments.

    Args:
        duration_s: of each, (S,).
        start: positions, (S, dof), rad.
        end: positions, (S, dof), rad.

    Returns:
        (S, 6, dof): of the powers 0 to 5 of the time since a segment's beginning, s.
    """
    coefficients = _empty(start)
    coefficients[:, 0] = start
    coefficients[:, 1] = (end - start) / duration_s[:, None]
    return coefficients


def cubic(
    duration_s: Array, start: Array, end: Array, start_velocity: Array, end_velocity: Array
) -> Array:
    """Return the coefficients of segments with given positions and speeds at both ends.

    As `linear`; docs/derivations.md, "Hermite segments".
    """
    t, v0, v1 = duration_s[:, None], start_velocity, end_velocity
    slope = (end - start) / t
    coefficients = _empty(start)
    coefficients[:, 0] = start
    coefficients[:, 1] = v0
    coefficients[:, 2] = (3 * slope - 2 * v0 - v1) / t
    coefficients[:, 3] = (v0 + v1 - 2 * slope) / t**2
    return coefficients


def quintic(
    duration_s: Array,
    start: Array,
    end: Array,
    start_velocity: Array,
    end_velocity: Array,
    start_acceleration: Array,
    end_acceleration: Array,
) -> Array:
    """Return the coefficients of segments with accelerations given too, as `cubic`."""
    t, v0, v1 = duration_s[:, None], start_velocity, end_velocity
    a0, a1 = start_acceleration, end_acceleration
    slope = (end - start) / t
    coefficients = _empty(start)
    coefficients[:, 0] = start
    coefficients[:, 1] = v0
    coefficients[:, 2] = a0 / 2
    coefficients[:, 3] = (20 * slope - 12 * v0 - 8 * v1 - (3 * a0 - a1) * t) / (2 * t**2)
    coefficients[:, 4] = (-30 * slope + 16 * v0 + 14 * v1 + (3 * a0 - 2 * a1) * t) / (2 * t**3)
    coefficients[:, 5] = (12 * slope - 6 * (v0 + v1) - (a0 - a1) * t) / (2 * t**4)
    return coefficients


def evaluate(coefficients: Array, time_s: Array) -> tuple[Array, Array, Array]:
    """Return positions, velocities and accelerations at times since the beginning.

    Args:
        coefficients: (..., 6, dof).
        time_s: (...,).

    Returns:
        Three arrays (..., dof): rad, rad/s and rad/s².
    """
    t = time_s[..., None]
    position = velocity = acceleration = np.zeros_like(coefficients[..., 0, :])
    for power in range(NUM_COEFFICIENTS - 1, -1, -1):
        acceleration = acceleration * t + 2 * velocity
        velocity = velocity * t + position
        position = position * t + coefficients[..., power, :]
    return position, velocity, acceleration


def _empty(positions: Array) -> Array:
    return np.zeros((len(positions), NUM_COEFFICIENTS, positions.shape[1]))

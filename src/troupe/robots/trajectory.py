"""Joint trajectories: smooth motion through waypoints, for many arms at once."""

from __future__ import annotations

import numpy as np

from troupe.core.arrays import Array

PEAK = 15 / 8
"""Greatest speed of the quintic below, as a multiple of the mean one."""


def durations_s(waypoints: Array, velocity_limits: Array, least_s: Array | float = 0.0) -> Array:
    """Return how long arms take between waypoints without exceeding any joint's speed limit.

    Args:
        waypoints: (N, P, dof), rad.
        velocity_limits: (dof,), rad/s.
        least_s: durations that are not undercut, broadcast to (N, P - 1).

    Returns:
        (N, P - 1), s.
    """
    distance = np.abs(np.diff(waypoints, axis=1))
    fastest: Array = PEAK * (distance / velocity_limits).max(axis=2)
    return np.maximum(fastest, least_s)


def positions_at(waypoints: Array, times_s: Array, now_s: Array) -> Array:
    """Return where arms are on their way, at rest in every waypoint.

    Between two waypoints the share of the way is the quintic 10 s^3 - 15 s^4 + 6 s^5 of the share s
    of the time, whose first and second derivatives vanish at both ends (docs/derivations.md, "Joint
    trajectories").

    Args:
        waypoints: (N, P, dof), rad.
        times_s: when each is reached, (N, P), not decreasing; before the first and after the last
            the arm stays there.
        now_s: (N,).

    Returns:
        (N, dof), rad.
    """
    rows = np.arange(len(waypoints))
    last = waypoints.shape[1] - 1
    behind = np.clip((times_s <= now_s[:, None]).sum(axis=1) - 1, 0, last)
    ahead = np.minimum(behind + 1, last)
    begin, end = times_s[rows, behind], times_s[rows, ahead]
    share = np.clip((now_s - begin) / np.maximum(end - begin, 1e-9), 0.0, 1.0)
    way = share_of_way(share)
    start = waypoints[rows, behind]
    reached: Array = start + way[:, None] * (waypoints[rows, ahead] - start)
    return reached


def share_of_way(share: Array) -> Array:
    """Return 10 s^3 - 15 s^4 + 6 s^5, the share of the way after a share of the time, 0 .. 1."""
    way: Array = share**3 * (10 - 15 * share + 6 * share**2)
    return way

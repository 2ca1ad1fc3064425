import numpy as np

from troupe.robots.trajectory import durations_s, positions_at

WAYPOINTS = np.array([[[0.0, 0.0], [1.0, -2.0], [1.0, -2.0], [0.5, 0.0]]])
LIMITS = np.array([1.0, 1.5])


def test_no_joint_exceeds_its_speed_and_one_reaches_it() -> None:
    spent = durations_s(WAYPOINTS, LIMITS)
    # 15/8 of the mean speed is the peak: 2 rad at 1.5 rad/s take 2.5 s; standing still takes none
    np.testing.assert_allclose(spent, [[2.5, 0.0, 2.5]])
    times = np.concatenate([[[0.0]], spent.cumsum(axis=1)], axis=1)
    now = np.linspace(0, 5, 5001)
    many = len(now)
    path = positions_at(np.repeat(WAYPOINTS, many, axis=0), np.repeat(times, many, axis=0), now)
    speed = np.abs(np.diff(path, axis=0)) / 1e-3
    np.testing.assert_allclose(speed.max(axis=0), [0.75, 1.5], rtol=1e-3)


def test_an_arm_is_in_each_waypoint_at_its_time_and_stays_at_the_ends() -> None:
    times = np.array([[0.0, 2.0, 3.0, 4.0]])
    for now, expected in [(-1, 0), (0, 0), (2, 1), (2.5, 1), (3, 2), (4, 3), (9, 3)]:
        at = positions_at(WAYPOINTS, times, np.array([float(now)]))
        np.testing.assert_allclose(at[0], WAYPOINTS[0, expected], atol=1e-12)
    # halfway in time is halfway on the way
    np.testing.assert_allclose(positions_at(WAYPOINTS, times, np.array([1.0])), [[0.5, -1.0]])


def test_durations_are_not_undercut() -> None:
    spent = durations_s(WAYPOINTS, LIMITS, np.array([0.0, 0.4, 9.0]))
    np.testing.assert_allclose(spent, [[2.5, 0.4, 9.0]])

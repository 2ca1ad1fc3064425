"""Segments between waypoints, against SciPy's and by hand."""

import numpy as np
from scipy.interpolate import BPoly, CubicHermiteSpline

from troupe.robots.control.splines import cubic, evaluate, linear, quintic

RNG = np.random.default_rng(0)
DURATION_S = np.array([0.5, 2.0])
ENDS = RNG.uniform(-1, 1, (6, 2, 3))  # p0, p1, v0, v1, a0, a1 of two segments, three joints
SHARES = np.linspace(0, 1, 7)


def test_by_hand_half_way_of_a_cubic_and_a_quintic() -> None:
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    # from 0 to 1 in 2 s, at rest at both ends: half way at half time, at 3/2 and 15/8 of the
    # mean speed
    rests = cubic(np.array([2.0]), zero, one, zero, zero)
    np.testing.assert_allclose(evaluate(rests, np.array([1.0]))[:2], [[[0.5]], [[0.75]]])
    rests = quintic(np.array([2.0]), zero, one, zero, zero, zero, zero)
    np.testing.assert_allclose(evaluate(rests, np.array([1.0]))[:2], [[[0.5]], [[0.9375]]])


def test_linear_segments_have_one_speed() -> None:
    parts = linear(DURATION_S, ENDS[0], ENDS[1])
    for share in SHARES:
        position, velocity, acceleration = evaluate(parts, share * DURATION_S)
        np.testing.assert_allclose(position, ENDS[0] + share * (ENDS[1] - ENDS[0]))
        np.testing.assert_allclose(velocity, (ENDS[1] - ENDS[0]) / DURATION_S[:, None])
        assert not acceleration.any()


def test_cubic_segments_are_scipys() -> None:
    parts = cubic(DURATION_S, *ENDS[:4])
    for i, duration_s in enumerate(DURATION_S):
        theirs = CubicHermiteSpline([0, duration_s], ENDS[:2, i], ENDS[2:4, i])
        for t in SHARES * duration_s:
            for order, found in enumerate(evaluate(parts[i], np.array(t))):
                np.testing.assert_allclose(found, theirs(t, order), atol=1e-12)


def test_quintic_segments_are_scipys() -> None:
    parts = quintic(DURATION_S, *ENDS)
    for i, duration_s in enumerate(DURATION_S):
        theirs = BPoly.from_derivatives([0, duration_s], [ENDS[0::2, i], ENDS[1::2, i]])
        for t in SHARES * duration_s:
            for order, found in enumerate(evaluate(parts[i], np.array(t))):
                np.testing.assert_allclose(found, theirs(t, order), atol=1e-9)

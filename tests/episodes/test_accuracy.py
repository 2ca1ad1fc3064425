"""Figures by hand: docs/derivations.md, Accuracy and repeatability."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.episodes.accuracy import (
    accuracy,
    paper_accuracy_mm,
    pose_accuracy_mm,
    pose_repeatability_mm,
    repeatability_mm,
)

TARGET_M = np.array([0.003, 0.004, 0.0])
POSITIONS_M = np.array([[0.0, 0.0, 0.0], [0.003, 0.0, 0.0], [0.006, 0.0, 0.0]])


def test_distribution_of_errors():
    found = accuracy(np.arange(1, 102) / 1000)

    assert found == pytest.approx({"mean": 51, "median": 51, "p95": 96, "p99": 100, "max": 101})


def test_of_one_error_everything_is_that_error():
    assert accuracy([0.002]) == dict.fromkeys(("mean", "median", "p95", "p99", "max"), 2.0)


def test_accuracy_of_the_paper():
    assert paper_accuracy_mm(POSITIONS_M, TARGET_M) == pytest.approx(math.sqrt(22))


def test_repeatability_of_the_paper():
    assert repeatability_mm(POSITIONS_M) == pytest.approx(math.sqrt(6))


def test_pose_accuracy():
    assert pose_accuracy_mm(POSITIONS_M, TARGET_M) == pytest.approx(4)


def test_pose_repeatability():
    assert pose_repeatability_mm(POSITIONS_M) == pytest.approx(2 + 3 * math.sqrt(3))


def test_a_simulation_that_repeats_itself_has_no_deviation():
    positions = np.tile([0.3, 0.1, 0.4], (30, 1))

    assert repeatability_mm(positions) == pytest.approx(0, abs=1e-10)
    assert pose_repeatability_mm(positions) == pytest.approx(0, abs=1e-10)


coordinates = st.lists(
    st.tuples(*[st.floats(-1, 1, allow_subnormal=False)] * 3), min_size=2, max_size=12
)


@given(coordinates)
def test_accuracy_is_made_of_pose_accuracy_and_repeatability(positions):
    squares = pose_accuracy_mm(positions, TARGET_M) ** 2 + repeatability_mm(positions) ** 2

    assert paper_accuracy_mm(positions, TARGET_M) ** 2 == pytest.approx(squares, rel=1e-9)

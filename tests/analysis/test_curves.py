import numpy as np
import pytest

from troupe.analysis.curves import band, curve, error_bound_m, first_within
from troupe.analysis.runs import read_run
from troupe.experiments.load import load_experiment


def test_a_band_holds_median_and_extremes_on_a_common_axis():
    curves = [
        (np.array([0.0, 2.0]), np.array([0.0, 2.0])),
        (np.array([0.0, 1.0, 2.0]), np.array([1.0, 5.0, 1.0])),
        (np.array([0.0, 2.0]), np.array([10.0, 10.0])),
    ]

    made = band(curves, num_points=3)

    np.testing.assert_allclose(made.x, [0, 1, 2])
    np.testing.assert_allclose(made.low, [0, 1, 1])
    np.testing.assert_allclose(made.median, [1, 5, 2])
    np.testing.assert_allclose(made.high, [10, 10, 10])


def test_a_curve_is_not_continued_beyond_its_ends():
    short = (np.array([0.0, 1.0]), np.array([4.0, 4.0]))
    long = (np.array([0.0, 2.0]), np.array([2.0, 2.0]))

    made = band([short, long], num_points=5)

    np.testing.assert_allclose(made.median, [3, 3, 3, 2, 2])
    np.testing.assert_allclose(made.high, [4, 4, 4, 2, 2])


def test_a_gap_between_curves_stays_empty():
    made = band(
        [
            (np.array([0.0, 1.0]), np.array([1.0, 1.0])),
            (np.array([3.0, 4.0]), np.array([2.0, 2.0])),
        ],
        num_points=5,
    )

    np.testing.assert_allclose(made.x, [0, 1, 3, 4])


def test_no_curves_make_no_band():
    assert band([]) is None
    assert band([(np.empty(0), np.empty(0))]) is None


def test_a_curve_leaves_out_what_is_not_known_and_keeps_the_newest(make_run):
    columns = {"attempts": [64, 64, 64, 70], "mean_return": [np.nan, 1.0, 2.0, 3.0]}
    run = read_run(make_run("run", updates=4, columns=columns))

    x, y = curve(run, "attempts", "mean_return")

    np.testing.assert_array_equal(x, [64, 70])
    np.testing.assert_array_equal(y, [2, 3])


def test_a_metric_that_a_task_has_not_makes_an_empty_curve(make_run):
    run = read_run(make_run("run", error=False))

    assert len(curve(run, "steps", "error_m")[0]) == 0
    assert first_within(run, 1.0) is None


def test_where_a_bound_is_first_met(make_run):
    run = read_run(make_run("run", updates=4, columns={"error_m": [np.nan, 0.1, 0.004, 0.006]}))

    met = first_within(run, 0.005)

    assert met.steps == 3 * 4096
    assert met.attempts == 3 * 40 + 64
    assert met.wall_s == run.metrics["wall_s"][2]
    assert first_within(run, 0.001) is None


@pytest.mark.parametrize(
    ("name", "bound_m"), [("scara-reach", 0.005), ("scara-point", 0.005 * np.sqrt(3))]
)
def test_the_bound_is_a_distance(name, bound_m):
    assert error_bound_m(load_experiment(name)) == pytest.approx(bound_m)

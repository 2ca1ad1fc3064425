import numpy as np
import pytest

from tests.experiments.conftest import Recording, RunExperiment

KNOWS_NOTHING = "engines.controller.parameters.knows_arm=false"


def errors_rad(recording: Recording) -> np.ndarray:
    """Return how far each joint is from its target, root mean square after the first second."""
    position, target = recording["arm.joint_position"], recording["controller.target"]
    away = position.values - target.values
    return np.sqrt((away[position.time_ns >= 10**9, 0] ** 2).mean(axis=0))


def test_the_arm_follows_its_sines(run_experiment: RunExperiment) -> None:
    recording = run_experiment("bullet-arm", "loop.duration=3s")
    target = recording["controller.target"]
    time_s = target.time_ns * 1e-9
    expected = 0.6 * np.sin(np.pi * np.outer(time_s, [1.0, 2.0]))
    np.testing.assert_allclose(target.values[:, 0], expected, atol=1e-9)
    assert (errors_rad(recording) < 0.012).all()
    assert np.ptp(recording["arm.joint_position"].values, axis=0).min() > 1.0


def test_a_controller_that_does_not_know_the_arm_is_several_times_worse(
    run_experiment: RunExperiment,
) -> None:
    duration = "loop.duration=3s"
    knowing = errors_rad(run_experiment("bullet-arm", duration))
    ignorant = errors_rad(run_experiment("bullet-arm", duration, KNOWS_NOTHING))
    assert (ignorant > 3 * knowing).all()


def test_the_tool_is_where_the_joints_put_it(run_experiment: RunExperiment) -> None:
    recording = run_experiment("bullet-arm", "loop.duration=1s")
    shoulder, elbow = recording["arm.joint_position"].values[-1, 0]
    tool = recording["arm.tool_position"].values[-1, 0]
    both = shoulder + elbow
    # a positive turn about y moves what hangs towards -x
    expected = -0.4 * np.array([np.sin(shoulder) + np.sin(both), np.cos(shoulder) + np.cos(both)])
    assert tool == pytest.approx([expected[0], 0.0, 1.0 + expected[1]], abs=1e-3)

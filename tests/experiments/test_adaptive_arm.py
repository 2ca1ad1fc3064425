import numpy as np
import pytest

from tests.experiments.conftest import Recording, RunExperiment

NO_LEARNING = "engines.controller.parameters.learning_rate=0"


def errors_deg(recording: Recording, first_s: float, last_s: float) -> np.ndarray:
    """Return how far each joint is from its target, root mean square from one time to another."""
    position = recording["arm.position"]
    away = np.degrees(position.values - recording["controller.target"].values)[:, 0]
    time_s = position.time_ns * 1e-9
    chosen = (time_s >= first_s) & (time_s < last_s)
    return np.sqrt((away[chosen] ** 2).mean(axis=0))


@pytest.mark.slow
def test_the_arm_learns_its_own_weight_and_then_that_of_a_load(
    run_experiment: RunExperiment,
) -> None:
    learning = run_experiment("adaptive-arm", "loop.duration=17s")
    feedback = run_experiment("adaptive-arm", NO_LEARNING, "loop.duration=17s")
    load = learning["arm.load"]
    assert load.values[load.time_ns == 9_900_000_000].max() < 1e-3
    assert load.values[-1].tolist() == [0.5]
    # feedback alone leaves a part of each weight over
    assert (errors_deg(feedback, 7, 10) > 1.0).all()
    assert (errors_deg(feedback, 14, 17) > 6.0).all()
    assert (errors_deg(learning, 7, 10) < errors_deg(feedback, 7, 10) / 8).all()
    assert (errors_deg(learning, 14, 17) < errors_deg(feedback, 14, 17) / 8).all()
    # the load is a surprise at first
    assert (errors_deg(learning, 10, 11) > 1.0).all()


def test_what_was_learned_is_the_torque_of_the_weight(run_experiment: RunExperiment) -> None:
    recording = run_experiment("adaptive-arm", "loop.duration=10s")
    # over a whole period, in which friction and inertia take as much as they give
    period = recording["arm.position"].time_ns >= 5 * 10**9
    learned = recording["controller.learned"].values[period, 0]
    weight = weight_torques(recording["arm.position"].values[period, 0])
    np.testing.assert_allclose(learned.mean(axis=0), weight.mean(axis=0), atol=0.05)


def weight_torques(q: np.ndarray) -> np.ndarray:
    """Return the torques that carry three uniform links of 0.22652 kg each, (T, 3), N m."""
    across_m = np.array([0.2251, 0.2251, 0.245]) * np.cos(np.cumsum(q, axis=1))
    # half of a link's own length, and all of it for each link that it carries
    levers_m = across_m * [2.5, 1.5, 0.5]
    return 0.22652 * 9.81 * np.cumsum(levers_m[:, ::-1], axis=1)[:, ::-1]

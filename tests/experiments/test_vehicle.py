import numpy as np
import pytest

from tests.experiments.conftest import Recording, RunExperiment


def distances(recording: Recording) -> np.ndarray:
    """Return how far each vehicle is from its lamp over time, (T, num_instances), in m."""
    lamp = recording["vehicle.lamp_position"].values[-1]
    away = recording["vehicle.position"].values - lamp
    return np.linalg.norm(away[..., :2], axis=-1)


def test_the_brain_drives_the_vehicle_to_the_lamp_and_stops(run_experiment: RunExperiment) -> None:
    recording = run_experiment("vehicle", "loop.duration=8s")
    distance = distances(recording)[:, 0]
    assert distance[0] == pytest.approx(2.4, abs=0.01)
    assert 0.3 < distance[-1] < 0.7
    assert np.ptp(distance[-50:]) < 0.1
    # the eye nearer to the lamp fires more at first, which slows the wheel on its side
    left = recording["brain.left_eye_spikes"].values[:20].sum()
    right = recording["brain.right_eye_spikes"].values[:20].sum()
    assert left > 1.2 * right


def test_with_crossed_wires_it_turns_away(run_experiment: RunExperiment) -> None:
    crossed = "engines.brain.parameters.crossed=true"
    distance = distances(run_experiment("vehicle", crossed, "loop.duration=8s"))[:, 0]
    assert distance[-1] > 4.0


@pytest.mark.slow
def test_each_vehicle_finds_its_lamp_and_does_the_same_alone(
    run_experiment: RunExperiment,
) -> None:
    together = run_experiment("vehicles", "loop.duration=8s", "fleet.instances=16")
    assert (distances(together)[-1] < 0.8).all()
    alone = run_experiment("vehicles", "loop.duration=8s", "fleet.instances=1")
    for pack, recorded in alone.items():
        np.testing.assert_array_equal(together[pack].values[:, :1], recorded.values, err_msg=pack)

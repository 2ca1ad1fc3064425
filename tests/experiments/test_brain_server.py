import numpy as np
import pytest

from tests.experiments.conftest import RunExperiment


@pytest.mark.slow
def test_a_server_does_what_nest_in_a_process_does(run_experiment: RunExperiment) -> None:
    duration = "loop.duration=600ms"
    served = run_experiment("brain-server", duration)
    expected = run_experiment("vehicle", duration)
    assert served["brain.left_motor_spikes"].values.sum() > 0
    for pack, recorded in expected.items():
        np.testing.assert_array_equal(served[pack].values, recorded.values, err_msg=pack)


@pytest.mark.slow
def test_a_brain_in_a_server_drives_the_vehicle_to_the_lamp(
    run_experiment: RunExperiment,
) -> None:
    recording = run_experiment("brain-server", "loop.duration=8s")
    away = recording["vehicle.position"].values - recording["vehicle.lamp_position"].values
    distance = np.linalg.norm(away[:, 0, :2], axis=-1)
    assert distance[0] > 2.0
    assert distance[-1] < 0.8

import numpy as np
import pytest

from tests.experiments.conftest import RunExperiment


@pytest.mark.slow
def test_a_brain_in_pynn_drives_the_vehicle_to_the_lamp_as_one_in_nest_does(
    run_experiment: RunExperiment,
) -> None:
    duration = "loop.duration=8s"
    recording = run_experiment("brain-pynn", duration)
    away = recording["vehicle.position"].values - recording["vehicle.lamp_position"].values
    distance = np.linalg.norm(away[:, 0, :2], axis=-1)
    assert distance[0] > 2.0
    assert distance[-1] < 0.8
    # the same neurons, currents and weights, in other units
    expected = run_experiment("vehicle", duration)
    for pack, recorded in expected.items():
        np.testing.assert_array_equal(recording[pack].values, recorded.values, err_msg=pack)


def test_with_crossed_wires_it_turns_away(run_experiment: RunExperiment) -> None:
    crossed = "engines.brain.parameters.crossed=true"
    recording = run_experiment("brain-pynn", crossed, "loop.duration=8s")
    away = recording["vehicle.position"].values[-1] - recording["vehicle.lamp_position"].values[-1]
    assert np.linalg.norm(away[0, :2]) > 4.0

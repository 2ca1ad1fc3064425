import numpy as np

from tests.experiments.conftest import RunExperiment

FLAG = 0.45


def test_the_brain_pumps_each_car_up_to_its_flag(run_experiment: RunExperiment) -> None:
    recording = run_experiment("mountain-car-spikes", "fleet.instances=8")
    places = recording["car.observation"].values[..., 0]
    assert len(np.unique(places[0])) == 8
    assert (places[-1] >= FLAG).all()
    # the run ended there, long before its 20 s
    assert recording["car.observation"].time_ns[-1] < 4e9
    # no car does it without going back at first, or by pushing against its motion
    assert (places.min(axis=0) < places[0] - 0.05).all()
    speed = recording["car.observation"].values[..., 1]
    pushed = recording["car.action"].values[..., 0]
    fast = abs(speed) > 0.02
    assert (np.sign(pushed[fast]) == np.sign(speed[fast])).mean() > 0.95


def test_a_silent_brain_leaves_the_car_in_the_valley(run_experiment: RunExperiment) -> None:
    silent = "engines.brain.parameters.excitation_pa=0"
    recording = run_experiment("mountain-car-spikes", silent, "loop.duration=5s")
    assert recording["car.observation"].time_ns[-1] == 5_000_000_000
    assert recording["car.observation"].values[..., 0].max() < -0.3
    assert not recording["car.action"].values.any()

import numpy as np

from tests.experiments.conftest import RunExperiment

# the loop keeps to real time, so these runs take a little less than it
FAST = "loop.real_time=4"


def test_the_pole_stays_upright_though_it_is_pushed(run_experiment: RunExperiment) -> None:
    recording = run_experiment("pendulum-balance", FAST)
    angle = recording["cart.angle"].values[:, 0]
    speed = recording["cart.angular_speed"].values[:, 0]
    assert len(angle) > 900
    assert np.abs(angle).max() < 0.35
    # it was pushed at the start, at 4 s and at 8 s
    pushed = np.flatnonzero(np.diff(speed) > 0.5) + 1
    assert [round(t / 1e9) for t in recording["cart.angle"].time_ns[pushed]] == [0, 4, 8]
    assert abs(angle[790]) < 0.02
    assert abs(recording["cart.position"].values[790, 0]) < 0.1


def test_without_the_node_it_falls(run_experiment: RunExperiment) -> None:
    no_force = "loop.connections=[{to: cart.force, dropout: 1.0}]"
    recording = run_experiment("pendulum-balance", FAST, "loop.duration=3s", no_force)
    assert np.abs(recording["cart.angle"].values).max() > 1.0

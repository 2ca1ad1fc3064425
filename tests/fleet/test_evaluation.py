import numpy as np

from troupe.experiments.load import load_experiment
from troupe.fleet.evaluation import Evaluator, evaluate
from troupe.policies.scripted import ZeroPolicy


def test_an_arm_that_stays_at_home_is_as_far_off_as_its_targets_are_away(small):
    experiment = small()
    evaluator = Evaluator(experiment, 20)
    outcome = evaluator.run(ZeroPolicy(3), seed=1)
    world = evaluator.simulation.world
    home = np.array([0.4102, -0.0313, 0.3746])
    assert outcome["length"].tolist() == [20] * 20
    np.testing.assert_allclose(outcome["position"], np.tile(home, (20, 1)), atol=1e-3)
    assert world.arrays["target_position"].shape == (20, 3)
    assert (outcome["success"] == 0).all()


def test_the_same_seed_gives_the_same_evaluation(small):
    first, second = (evaluate(small(), ZeroPolicy(3), 10, seed=4) for _ in range(2))
    assert first == second
    assert first["repeatability_mm"] < 1e-6  # noise on observations does not move this policy


def test_episodes_that_terminate_are_counted_once():
    experiment = load_experiment("scara-point", ["task.threshold_m=10"])
    outcome = Evaluator(experiment, 4).run(ZeroPolicy(3), seed=0)
    assert outcome["length"].tolist() == [1] * 4
    assert (outcome["success"] == 1).all()

from typing import Any

import pytest

from troupe.core import UserError
from troupe.experiments.load import load_experiment


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("learner.num_workers=4", "fleet", "workers", 4),
        ("learner.timesteps_per_batch=2048", "learner", "batch", 2048),
        ("learner.num_sgd_iter=7", "learner", "epochs", 7),
        ("learner.sgd_batchsize=128", "learner", "minibatch", 128),
        ("learner.sgd_stepsize=1e-4", "learner", "step_size", 1e-4),
        ("learner.lr=1e-4", "learner", "step_size", 1e-4),
        ("learner.kl_coeff=0.3", "learner", "kl_coefficient", 0.3),
        ("learner.vf_loss_coeff=0.4", "learner", "value_coefficient", 0.4),
        ("learner.lambda=0.9", "learner", "gae_lambda", 0.9),
        # 50 steps of 20 ms
        ("learner.horizon=50", "task", "episode", "1s"),
        ("learner.rollout_batchsize=16", "fleet", "instances", 16),
    ],
)
def test_names_of_others_stand_for_ours(override: str, section: str, key: str, value: Any) -> None:
    experiment = load_experiment("scara-reach", [override])
    assert experiment.resolved()[section][key] == value


def test_steps_per_task_divide_the_batch_into_instances() -> None:
    overrides = ["learner.timesteps_per_batch=4096", "learner.min_steps_per_task=64"]
    assert load_experiment("scara-reach", overrides).fleet.instances == 64


@pytest.mark.parametrize("alias", ["horizon", "rollout_batchsize", "min_steps_per_task"])
def test_counts_that_are_none_are_refused(alias: str) -> None:
    with pytest.raises(UserError, match=f"learner.{alias}: give a whole number, at least 1"):
        load_experiment("scara-reach", [f"learner.{alias}=many"])

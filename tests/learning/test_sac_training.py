"""SAC in whole runs: with hindsight, resumed, and how few attempts it takes."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from troupe.core import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.launch import run_training
from troupe.fleet.runs import RunDirectory
from troupe.fleet.training import Training

SMALL = (
    "learner.batch=64",
    "learner.minibatch=32",
    "learner.hidden=[16,16]",
    "learner.start_steps=128",
    "task.episode=400ms",
    "evaluation.episodes=2",
)


def small(*overrides: str, steps: int = 512) -> Experiment:
    return load_experiment("scara-reach-sac", [*SMALL, f"steps={steps}", *overrides])


def final_policy(run: Path) -> dict[str, np.ndarray]:
    return load_file(RunDirectory.open(run).latest_checkpoint() / "policy.safetensors")


def assert_same_policy(first: Path, second: Path) -> None:
    for name, values in final_policy(first).items():
        np.testing.assert_array_equal(final_policy(second)[name], values, err_msg=name)


@pytest.mark.parametrize(
    "override",
    [
        "learner.lag=0",
        pytest.param("learner.lag=1", marks=pytest.mark.slow),
        pytest.param("learner.replay_capacity=200", marks=pytest.mark.slow),
        "learner.weighting.type=priority",
    ],
)
def test_a_stopped_run_goes_on_bitwise_as_if_never_stopped(tmp_path, override):
    experiment = small(override)
    assert experiment.resolved()["learner"]["hindsight"] > 0
    summary = run_training(experiment, tmp_path / "whole")
    assert summary["dropped_steps"] == 0
    rows: list[dict[str, float]] = []
    parts = tmp_path / "parts"
    run = RunDirectory.create(parts, experiment)
    training = Training(
        experiment,
        report=lambda row: rows.append(row) or (len(rows) == 4 and training.stop_requested.set()),
    )
    assert training.train(run) == "interrupted"
    training.close()
    run_training(experiment, parts, resume=True)
    assert_same_policy(tmp_path / "whole", parts)
    losses = [
        pq.read_table(p / "metrics.parquet")["critic_loss"] for p in (tmp_path / "whole", parts)
    ]
    np.testing.assert_array_equal(*(loss.to_numpy() for loss in losses))
    assert np.isfinite(losses[0].to_numpy()[2:]).all()


@pytest.mark.slow
def test_a_run_can_be_made_longer(tmp_path):
    run_training(small(), tmp_path)
    assert run_training(small(steps=768), tmp_path, resume=True)["steps"] == 768


def test_hindsight_of_a_task_without_goals_is_refused(tmp_path):
    experiment = load_experiment("mara-point-sac", ["learner.hindsight=4"])
    with pytest.raises(UserError, match=r"learner\.hindsight: the task has no goals"):
        run_training(experiment, tmp_path / "run")


@pytest.mark.slow
def test_pendulum_swings_up_within_10000_steps(tmp_path):
    summary = run_training(load_experiment("pendulum-sac"), tmp_path)
    assert summary["steps"] == 10_000
    assert summary["evaluation"]["mean_return"] > -200


@pytest.mark.slow
@pytest.mark.parametrize(("name", "attempts"), [("scara-point-sac", 100), ("mara-point-sac", 500)])
def test_published_tasks_take_few_attempts(tmp_path, name, attempts):
    stop = ["stop={metric: learned, value: 1}", f"steps={attempts * 1024}"]
    summary = run_training(load_experiment(name, stop), tmp_path)
    assert summary["stop_reason"] == "stop.metric"
    assert summary["learned"]["attempts"] <= attempts, json.dumps(summary["learned"])

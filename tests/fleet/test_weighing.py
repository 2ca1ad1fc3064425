"""Weightings in a run."""

from troupe.fleet.launch import run_training
from troupe.fleet.runs import RunDirectory
from troupe.fleet.training import Training

PRIORITY = "learner.weighting=[{type: priority},{type: novelty}]"


def test_weights_are_logged_with_their_effective_sample_size(small, tmp_path):
    run_training(small(PRIORITY), tmp_path / "run")
    metrics = RunDirectory.open(tmp_path / "run").read_table("metrics.parquet")
    sample_size = metrics["weight_sample_size"]
    assert ((sample_size > 0.1) & (sample_size < 1)).all()
    assert (metrics["weight_min"] < 1).all()
    assert (metrics["weight_max"] > 1).all()


def test_a_weighted_run_goes_on_as_if_never_stopped(small, tmp_path):
    experiment = small(PRIORITY, "learner.lag=0", steps=2048)
    run_training(experiment, tmp_path / "whole")
    rows = []
    training = Training(
        experiment,
        report=lambda row: rows.append(row) or (len(rows) == 3 and training.stop_requested.set()),
    )
    training.train(RunDirectory.create(tmp_path / "parts", experiment))
    training.close()
    run_training(experiment, tmp_path / "parts", resume=True)
    tables = [
        RunDirectory.open(tmp_path / n).read_table("metrics.parquet") for n in ("whole", "parts")
    ]
    for name in ("weight_sample_size", "kl", "mean_return"):
        assert tables[0][name].tolist() == tables[1][name].tolist()


def test_an_alarm_says_that_few_steps_count(small, tmp_path):
    steep = "learner.weighting={type: return, temperature: 0.01}"
    run_training(small(steep), tmp_path / "run")
    assert "effective" in (tmp_path / "run" / "run.log").read_text()

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from troupe.core import InterruptedRun, UserError
from troupe.fleet.launch import run_training
from troupe.fleet.runs import RunDirectory
from troupe.fleet.training import Training

TIMES = {"wall_s", "steps_per_s"}


def curve(run: Path) -> dict[str, np.ndarray]:
    """The metrics of a run, without times."""
    table = pq.read_table(run / "metrics.parquet")
    return {n: table[n].to_numpy() for n in table.column_names if n not in TIMES}


def final_policy(run: Path) -> dict[str, np.ndarray]:
    return load_file(RunDirectory.open(run).latest_checkpoint() / "policy.safetensors")


def assert_same_run(first: Path, second: Path) -> None:
    for name, values in curve(first).items():
        np.testing.assert_array_equal(curve(second)[name], values, err_msg=name)
    for name, values in final_policy(first).items():
        np.testing.assert_array_equal(final_policy(second)[name], values, err_msg=name)


def test_a_run_holds_everything_about_it(small, tmp_path):
    run = tmp_path / "run"
    rows: list[dict[str, float]] = []
    summary = run_training(small(), run, report=rows.append)
    assert summary["steps"] == 1024
    assert summary["updates"] == len(rows) == 4
    assert summary["dropped_steps"] == 0
    assert summary["stop_reason"] == "steps"
    assert summary["evaluation"]["episodes"] == 5
    assert set(summary["evaluation"]["accuracy_mm"]) == {"mean", "median", "p95", "p99", "max"}
    assert json.loads((run / "summary.json").read_text()) == summary
    metrics = curve(run)
    np.testing.assert_array_equal(metrics["steps"], [256, 512, 768, 1024])
    np.testing.assert_array_equal(metrics["lag"], [0, 1, 1, 1])
    episodes = pq.read_table(run / "episodes")
    assert len(episodes) == summary["episodes"] == 3 * 16
    assert RunDirectory.open(run).experiment() == small()
    assert list((run / "tensorboard").iterdir())
    assert not list(run.rglob("*.part"))


@pytest.mark.parametrize("lag", [0, 1])
def test_the_same_seed_gives_bitwise_the_same_run(small, tmp_path, lag):
    for name in ("a", "b"):
        run_training(small(f"learner.lag={lag}"), tmp_path / name)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_another_seed_gives_another_run(small, tmp_path):
    run_training(small(), tmp_path / "a")
    run_training(small("seed=1"), tmp_path / "b")
    assert (curve(tmp_path / "a")["policy_loss"] != curve(tmp_path / "b")["policy_loss"]).all()


@pytest.mark.parametrize("lag", [0, 1])
def test_a_stopped_run_goes_on_bitwise_as_if_never_stopped(small, tmp_path, lag):
    experiment = small(f"learner.lag={lag}", steps=2048)
    run_training(experiment, tmp_path / "whole")
    rows: list[dict[str, float]] = []
    parts = tmp_path / "parts"
    run = RunDirectory.create(parts, experiment)
    training = Training(
        experiment,
        report=lambda row: rows.append(row) or (len(rows) == 3 and training.stop_requested.set()),
    )
    assert training.train(run) == "interrupted"
    training.close()
    summary = run_training(experiment, parts, resume=True)
    assert summary["updates"] == 8
    assert_same_run(tmp_path / "whole", parts)
    whole, joined = (pq.read_table(p / "episodes") for p in (tmp_path / "whole", parts))
    assert joined.equals(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_a_checkpoint_and_exit_code_130(small, tmp_path, number):
    run = tmp_path / "run"
    overrides = [
        o
        for name in ("fleet.instances=16", "learner.batch=256", "learner.minibatch=64")
        for o in ("--set", name)
    ]
    command = [
        sys.executable,
        "-m",
        "troupe",
        "train",
        "scara-reach",
        "--out",
        str(run),
        *overrides,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "metrics.parquet").is_file():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"troupe train --resume {run}" in errors
    steps = pq.read_table(run / "metrics.parquet")["steps"].to_pylist()[-1]
    assert int(RunDirectory.open(run).latest_checkpoint().name) == steps


def test_stop_at_a_metric(small, tmp_path):
    stop = "stop={metric: error_m, bound: at-most, value: 10}"
    summary = run_training(small(stop, steps=10_000), tmp_path / "run")
    assert summary["stop_reason"] == "stop.metric"
    assert summary["steps"] == 512  # the first episodes end in the second fragment


def test_stop_at_a_wall_time(small, tmp_path):
    summary = run_training(small("wall_time=1ms", steps=10_000), tmp_path / "run")
    assert (summary["stop_reason"], summary["steps"]) == ("wall_time", 256)


def test_an_unknown_stop_metric_is_refused_before_anything_is_written(small, tmp_path):
    with pytest.raises(UserError, match=r"stop\.metric: unknown metric 'reward'.*mean_return"):
        run_training(small("stop={metric: reward, value: 0}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_that_instances_do_not_divide_is_refused(small, tmp_path):
    with pytest.raises(UserError, match=r"learner\.batch \(256\) must be a multiple of fleet\.ins"):
        run_training(small("fleet.instances=15"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_replaced_only_by_force(small, tmp_path):
    run_training(small(), tmp_path)
    before = final_policy(tmp_path)
    with pytest.raises(UserError, match="exists; choose another --out, or --force"):
        run_training(small("seed=1"), tmp_path)
    np.testing.assert_array_equal(final_policy(tmp_path)["log_std"], before["log_std"])
    run_training(small("seed=1"), tmp_path, force=True)
    assert (final_policy(tmp_path)["log_std"] != before["log_std"]).any()


def test_force_does_not_replace_what_is_no_run(small, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no run, so --force won't replace it"):
        run_training(small(), tmp_path, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_checkpoint_of_another_experiment_is_refused(small, tmp_path):
    run_training(small(), tmp_path)
    with pytest.raises(UserError, match="checkpoint of another experiment"):
        run_training(small("learner.hidden=[8,8]"), tmp_path, resume=True)


def test_a_checkpoint_cut_short_is_refused(small, tmp_path):
    run_training(small(), tmp_path)
    file = RunDirectory.open(tmp_path).latest_checkpoint() / "workers.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"workers\.safetensors' is cut short or damaged"):
        run_training(small(steps=2048), tmp_path, resume=True)


def test_interrupted_says_how_to_go_on(small, tmp_path, monkeypatch):
    def stop_at_once(self: Training, run: RunDirectory) -> str:
        return "interrupted"

    monkeypatch.setattr(Training, "train", stop_at_once)
    with pytest.raises(InterruptedRun, match="troupe train --resume"):
        run_training(small(), tmp_path / "run")

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
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
    assert len(episodes) == summary["episodes"]
    assert 1024 - 16 * 20 < sum(episodes["length"].to_pylist()) <= 1024
    assert RunDirectory.open(run).experiment() == small()
    assert list((run / "tensorboard").iterdir())
    assert "stopped after 1024 steps: steps" in (run / "run.log").read_text()
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


def test_a_run_that_is_done_has_nothing_left_to_do(small, tmp_path):
    summary = run_training(small(), tmp_path)
    kept = final_policy(tmp_path)
    again = run_training(small(), tmp_path, resume=True)
    timing = {"startup_s"}
    assert {k: v for k, v in again.items() if k not in timing} == {
        k: v for k, v in summary.items() if k not in timing
    }
    for name, values in final_policy(tmp_path).items():
        np.testing.assert_array_equal(values, kept[name])


def test_a_run_that_is_done_can_be_made_longer(small, tmp_path):
    run_training(small(), tmp_path)
    assert run_training(small(steps=1536), tmp_path, resume=True)["steps"] == 1536
    assert RunDirectory.open(tmp_path).experiment() == small(steps=1536)


def test_a_run_that_ended_before_its_first_checkpoint_goes_on_from_its_begin(small, tmp_path):
    run_training(small(), tmp_path / "whole")
    RunDirectory.create(tmp_path / "parts", small())
    run_training(small(), tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_a_checkpoint_and_exit_code_130(small, tmp_path, number):
    run, experiment = tmp_path / "run", tmp_path / "long.yaml"
    experiment.write_text(yaml.safe_dump(small(steps=10**7).resolved()))
    command = [sys.executable, "-m", "troupe", "train", str(experiment), "--out", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "steps/s" in process.stderr.readline()
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
    assert summary["steps"] == 256  # the first episodes end in the first fragment


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
    np.testing.assert_array_equal(
        final_policy(tmp_path)["actor.0.weight"], before["actor.0.weight"]
    )
    run_training(small("seed=1"), tmp_path, force=True)
    assert (final_policy(tmp_path)["actor.0.weight"] != before["actor.0.weight"]).any()


def test_force_does_not_replace_what_is_no_run(small, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"without config\.yaml, so --force won't replace it"):
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

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ray
import yaml

from tests.fleet.test_training import assert_same_run
from troupe.core import UserError
from troupe.fleet.launch import run_training
from troupe.fleet.runs import RunDirectory
from troupe.fleet.sweep import check_sweep, combinations, run_sweep
from troupe.fleet.training import Training

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("cluster")]


def test_workers_give_bitwise_the_run_of_one_process(small, tmp_path):
    run_training(small(), tmp_path / "alone")
    summary = run_training(small("fleet.workers=3"), tmp_path / "workers")
    assert summary["dropped_steps"] == 0
    assert_same_run(tmp_path / "alone", tmp_path / "workers")


@pytest.mark.slow
def test_workers_8_and_their_default_sizes(tmp_path):
    from troupe.experiments.load import load_experiment

    for workers in (0, 1, 2, 4, 8):
        overrides = ["steps=20480", "evaluation.episodes=5", f"fleet.workers={workers}"]
        run_training(load_experiment("scara-reach", overrides), tmp_path / str(workers))
        assert_same_run(tmp_path / "0", tmp_path / str(workers))


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(small, tmp_path):
    run_training(small(steps=2048), tmp_path / "whole")
    parts, rows = tmp_path / "parts", []
    experiment = small("fleet.workers=2", steps=2048)
    training = Training(
        experiment,
        report=lambda row: rows.append(row) or (len(rows) == 3 and training.stop_requested.set()),
    )
    training.train(RunDirectory.create(parts, experiment))
    training.close()
    run_training(small("fleet.workers=3", steps=2048), parts, resume=True)
    assert_same_run(tmp_path / "whole", parts)


def actor_processes() -> list[int]:
    """The processes of actors that this test's Ray runs now."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue

    def is_ours(process: int) -> bool:
        return process == os.getpid() or (process in parents and is_ours(parents[process]))

    def is_actor(process: int) -> bool:
        return b"ray::Actor" in Path(f"/proc/{process}/cmdline").read_bytes()

    return sorted(process for process in parents if is_ours(process) and is_actor(process))


@pytest.mark.parametrize(
    ("workers", "processes", "lost"),
    [
        pytest.param(("fleet.workers=2",), 2, 1, marks=pytest.mark.slow),
        (("fleet.workers=4", "fleet.workers_per_process=2"), 2, 2),
    ],
    ids=["each-its-process", "two-share-one"],
)
def test_a_killed_process_changes_nothing_but_the_count_of_restarts(
    small, tmp_path, workers, processes, lost
):
    run_training(small(steps=2048), tmp_path / "calm")
    killed = []

    def kill_one(row: dict[str, float]) -> None:
        if row["update"] == 3:
            killed.extend(actor_processes())
            os.kill(killed[0], signal.SIGKILL)

    summary = run_training(small(*workers, steps=2048), tmp_path / "storm", report=kill_one)
    assert len(killed) == processes
    assert summary["worker_restarts"] == lost
    assert summary["dropped_steps"] == 0
    assert_same_run(tmp_path / "calm", tmp_path / "storm")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_group_spares_ray_until_the_run_is_saved(small, tmp_path, number):
    run, experiment = tmp_path / "run", tmp_path / "long.yaml"
    experiment.write_text(yaml.safe_dump(small("fleet.workers=2", steps=10**7).resolved()))
    command = [sys.executable, "-m", "troupe", "train", str(experiment), "--out", str(run)]
    # a Ray of its own, in a group of its own, as a terminal or `timeout` would start it
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert "steps/s" in process.stderr.readline()
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    summary = json.loads((run / "summary.json").read_text())
    assert summary["worker_restarts"] == 0
    assert int(RunDirectory.open(run).latest_checkpoint().name) == summary["steps"] > 0


def test_more_workers_than_instances_are_refused(small, tmp_path):
    with pytest.raises(UserError, match=r"fleet\.workers: 17 is more than there are instances"):
        run_training(small("fleet.workers=17"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_actors_import_no_jax(small):
    from troupe.fleet.actor import Actor

    @ray.remote
    class Spy(Actor):
        def modules(self) -> list[str]:
            import sys

            return [name for name in ("jax", "optax", "torch") if name in sys.modules]

    spy = Spy.remote(small().resolved(), 0, 4)
    ray.get(spy.start.remote(3))
    assert ray.get(spy.modules.remote()) == []


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on_where_it_stood(small, tmp_path):
    description = small().resolved()
    description["fleet"]["workers"] = {"grid_search": [0, 1]}
    out, lines = tmp_path / "sweep", []
    experiments = check_sweep(combinations(description), out, force=False)
    summaries = run_sweep(experiments, out, report=lines.append)
    names = ["workers=0", "workers=1"]
    assert [Path(summary["run"]).name for summary in summaries] == names
    assert [line.partition(":")[0] for line in lines] == names
    assert_same_run(out / "workers=0", out / "workers=1")
    with pytest.raises(UserError, match="exists; choose another --out"):
        check_sweep(combinations(description), out, force=False)

    shutil.rmtree(out / "workers=1")
    lines.clear()
    assert run_sweep(experiments, out, resume=True, report=lines.append)[0] == summaries[0]
    assert [line.partition(":")[0] for line in lines] == names[1:]
    assert_same_run(out / "workers=0", out / "workers=1")

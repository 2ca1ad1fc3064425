import os
import signal

import numpy as np
import psutil
import pytest

from tests.fleet.test_training import assert_same_run
from troupe.core import UserError
from troupe.fleet.launch import run_training
from troupe.fleet.runs import RunDirectory
from troupe.fleet.sweep import check_sweep, run_sweep
from troupe.fleet.training import Training

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One local Ray for the module's tests."""
    from troupe.fleet.actors import connect

    connect(None)
    yield
    ray.shutdown()


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


def training_processes() -> list[int]:
    """The processes of actors that this test's Ray runs now."""
    children = psutil.Process().children(recursive=True)
    return [c.pid for c in children if "ray::Actor" in " ".join(c.cmdline())]


def test_a_killed_worker_changes_nothing_but_the_count_of_restarts(small, tmp_path):
    run_training(small(steps=2048), tmp_path / "calm")
    killed = []

    def kill_one(row: dict[str, float]) -> None:
        if row["update"] == 3:
            killed.append(training_processes()[0])
            os.kill(killed[0], signal.SIGKILL)

    summary = run_training(
        small("fleet.workers=2", steps=2048), tmp_path / "storm", report=kill_one
    )
    assert len(killed) == summary["worker_restarts"] == 1
    assert summary["dropped_steps"] == 0
    assert_same_run(tmp_path / "calm", tmp_path / "storm")


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
def test_a_sweep_trains_every_combination(small, tmp_path):
    description = small().resolved()
    description["seed"] = {"grid_search": [0, 1]}
    description["fleet"]["workers"] = {"grid_search": [0, 1]}
    experiments = check_sweep(description, tmp_path / "sweep", force=False)
    summaries = run_sweep(experiments, tmp_path / "sweep")
    assert len(summaries) == 4
    runs = [tmp_path / "sweep" / name for name in experiments]
    same_seed = [run for run in runs if "seed=1" in run.name]
    assert_same_run(*same_seed)
    np.testing.assert_array_equal([run.is_dir() for run in runs], True)

"""Workers that push fragments at their own pace, on a real Ray."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import ray

from tests.fleet.test_actors import actor_processes
from troupe.core import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.launch import run_training
from troupe.fleet.runs import RunDirectory, read_checkpoint
from troupe.fleet.training import Training

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("cluster")]

EVALUATED = "evaluation.episodes=2"
FLEET = ("fleet.workers=3", "fleet.fragment=8", "learner.lag=0")


def settled(summary: dict) -> int:
    """Return the steps of a run that arrived and were not learned from, by its checkpoint."""
    checkpoint = read_checkpoint(RunDirectory.open(Path(summary["run"])).latest_checkpoint())
    return len(checkpoint.groups.get("backlog", {}).get("reward", ()))


@pytest.mark.parametrize(
    "settings",
    [
        ("fleet.mode=preemptive",),
        ("fleet.mode=asynchronous",),
        pytest.param(
            ("fleet.mode=asynchronous", "fleet.workers_per_process=2"), marks=pytest.mark.slow
        ),
    ],
    ids=["preemptive", "asynchronous", "two-in-a-process"],
)
def test_every_step_is_learned_from_or_kept(small, tmp_path, settings):
    summary = run_training(small(*FLEET, *settings), tmp_path / "run")
    assert summary["steps"] == 1024
    assert summary["dropped_steps"] == 0
    assert sum(worker["steps"] for worker in summary["by_worker"]) == 1024 + settled(summary)
    assert all(worker["restarts"] == 0 for worker in summary["by_worker"])


@pytest.mark.slow
def test_preemptive_workers_act_with_the_newest_policy(small, tmp_path):
    experiment = small(*FLEET, "fleet.mode=preemptive", "fleet.fragment=4")
    training = Training(experiment)
    policy = training.policy()
    workers = training._workers
    first = workers.sample(policy, 16)
    assert (first.fragment.version == policy.version).all()
    assert not any(worker.requests for worker in workers._workers)
    training.close()


@pytest.mark.slow
@pytest.mark.parametrize("update", ["immediate", "fragment", "episode"])
def test_steps_tell_which_policy_acted(small, tmp_path, update):
    experiment = small(*FLEET, "fleet.mode=asynchronous", f"fleet.update={update}", steps=2048)
    summary = run_training(experiment, tmp_path / "run")
    lags = [worker["mean_lag"] for worker in summary["by_worker"]]
    assert max(lags) > 0
    assert summary["dropped_steps"] == 0


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_all_that_arrived(small, tmp_path):
    experiment = small(*FLEET, "fleet.mode=asynchronous", steps=2048)
    rows = []
    training = Training(
        experiment,
        report=lambda row: rows.append(row) or (len(rows) == 3 and training.stop_requested.set()),
    )
    training.train(RunDirectory.create(tmp_path / "run", experiment))
    training.close()
    waiting = training.progress.waiting
    assert training.progress.sampled == 3 * 256 + waiting
    summary = run_training(experiment, tmp_path / "run", resume=True)
    assert summary["steps"] == 2048
    assert summary["dropped_steps"] == 0
    received = sum(worker["steps"] for worker in summary["by_worker"])
    assert waiting + received == 2048 - 3 * 256 + settled(summary)
    episodes = RunDirectory.open(tmp_path / "run").read_table("metrics.parquet")
    assert np.all(np.diff(episodes["steps"]) == 256)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_others_do_not_wait(small, tmp_path):
    killed = []

    def kill_one(row: dict[str, float]) -> None:
        if row["update"] == 2:
            killed.append(actor_processes()[0])
            os.kill(killed[0], signal.SIGKILL)

    experiment = small(*FLEET, "fleet.mode=asynchronous", "task.episode=200ms", steps=10240)
    summary = run_training(experiment, tmp_path / "run", report=kill_one)
    assert summary["worker_restarts"] == 1
    assert summary["steps"] == 10240
    # nothing that had arrived: at most the fragment that the worker was sampling
    assert 0 < summary["dropped_steps"] <= 8 * 6
    assert summary["dropped"] == {"worker died": summary["dropped_steps"]}


@pytest.mark.slow
def test_a_slow_worker_gives_less_and_holds_up_nobody(small, tmp_path):
    experiment = small(
        *FLEET, "fleet.mode=preemptive", "engines.arm.step_time=1ms", "fleet.slow_workers={0: 10}"
    )
    shares = [w["share"] for w in run_training(experiment, tmp_path / "run")["by_worker"]]
    assert shares[0] < min(shares[1:])


def test_a_slow_worker_that_is_not_there_is_refused(small):
    with pytest.raises(UserError, match="there is no worker 3: workers is 3"):
        small(*FLEET, "engines.arm.step_time=1ms", "fleet.slow_workers={3: 10}")
    with pytest.raises(UserError, match="no engine declares a step_time"):
        small(*FLEET, "fleet.slow_workers={0: 10}")


def test_modes_without_workers_are_refused(small):
    with pytest.raises(UserError, match="mode 'asynchronous' needs workers"):
        small("fleet.mode=asynchronous")


@pytest.mark.slow
def test_a_cluster_that_others_fill_is_named(small, tmp_path):
    class Other:
        def ready(self) -> None:
            """Occupy the machine."""

    cores = ray.cluster_resources()["CPU"]
    other = ray.remote(num_cpus=cores)(Other).remote()
    ray.get(other.ready.remote())
    with pytest.raises(UserError, match=r"there is a place for 0 of 3 workers: each takes"):
        run_training(small(*FLEET, "fleet.mode=asynchronous"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    ray.kill(other)


@pytest.mark.slow
def test_instances_that_are_not_equally_far_are_saved_and_go_on(tmp_path):
    # the snapshot of a Gymnasium environment holds the actions of the episode so far
    def experiment(steps: int) -> Experiment:
        fleet = ["fleet.workers=2", "fleet.instances=4", "fleet.mode=asynchronous"]
        fleet += ["fleet.fragment=8", "fleet.slow_workers={0: 8}", "engines.env.step_time=200us"]
        learner = ["learner.batch=128", "learner.minibatch=64", "learner.epochs=1"]
        return load_experiment("pendulum", [*fleet, *learner, f"steps={steps}", EVALUATED])

    run_training(experiment(512), tmp_path / "run")
    groups = read_checkpoint(RunDirectory.open(tmp_path / "run").latest_checkpoint()).groups
    acted = groups["workers"]["env/num_acted"]
    assert acted.max() > acted.min()
    summary = run_training(experiment(1024), tmp_path / "run", resume=True)
    assert summary["steps"] == 1024
    assert summary["abandoned_episodes"] == 0

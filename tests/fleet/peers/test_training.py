from pathlib import Path

import numpy as np
import pytest

from tests.fleet.test_training import assert_same_run, curve
from troupe.core import UserError
from troupe.fleet.launch import run_training
from troupe.fleet.peers.training import PeerTraining
from troupe.fleet.runs import RunDirectory
from troupe.fleet.training import check_experiment

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("cluster")]


def merged(how: str) -> tuple[str, str]:
    """Overrides for two learners that merge in a way."""
    return "fleet.learners=2", f"fleet.merge={{type: {how}}}"


def train(experiment, out: Path, stop_after: int = 0, *, resume: bool = False) -> PeerTraining:
    """Train with two learners into a new run, or resume it; stop after some exchanges."""
    rows: list[dict[str, float]] = []

    def report(row: dict[str, float]) -> None:
        rows.append(row)
        if len(rows) == stop_after:
            training.stop_requested.set()

    training = PeerTraining(experiment, report=report)
    try:
        if resume:
            run = RunDirectory.open(out)
            training.resume(run.checkpoint_of(experiment))
        else:
            run = RunDirectory.create(out, experiment)
        assert training.train(run) == ("interrupted" if stop_after else "steps")
    finally:
        training.close()
    return training


@pytest.mark.slow
def test_learners_divide_the_instances_and_their_models_are_merged(small, tmp_path):
    training = train(small(*merged("average"), steps=2048), tmp_path / "run")
    rows = curve(tmp_path / "run")
    np.testing.assert_array_equal(rows["steps"], [512, 1024, 1536, 2048])
    np.testing.assert_array_equal(rows["learners"], [2, 2, 2, 2])
    assert (rows["divergence"] > 0).all()
    assert (rows["dropped_steps"] == 0).all()
    assert [w["updates"] for w in training.workers] == [4, 4]
    policy = RunDirectory.open(tmp_path / "run").latest_policy()
    for name, values in training.policy().parameters.items():
        np.testing.assert_array_equal(policy.parameters[name], values)


@pytest.mark.slow
def test_actors_of_learners_change_nothing(small, tmp_path):
    train(small(*merged("average"), steps=1536), tmp_path / "alone")
    train(small(*merged("average"), "fleet.workers=4", steps=1536), tmp_path / "actors")
    assert_same_run(tmp_path / "alone", tmp_path / "actors")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["federated, every: 1", "all-reduce", "parameter-server"])
def test_a_stopped_run_goes_on_bitwise_as_if_never_stopped(small, tmp_path, how):
    experiment = small(*merged(how), steps=3072)
    train(experiment, tmp_path / "whole")
    train(experiment, tmp_path / "parts", stop_after=3)
    train(experiment, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gossip", "parameter-server, synchronous: false"])
def test_learners_that_wait_for_nobody_train_and_resume(small, tmp_path, how):
    experiment = small(*merged(how), steps=3072)
    train(experiment, tmp_path, stop_after=5)
    training = train(experiment, tmp_path, resume=True)
    assert curve(tmp_path)["steps"].tolist() == [256 * (i + 1) for i in range(12)]
    assert training.progress.steps == 3072


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fleet.instances=15"], r"fleet\.instances \(15\) must be a multiple of .* \(2\)"),
        (["fleet.instances=24"], r"learner\.batch \(256\) must be a multiple of the 12 "),
        (["fleet.workers=3"], r"fleet\.workers \(3\) must be a multiple of .* \(2\)"),
        (["fleet.merge={type: krum}"], r"'krum' .* needs at least 5 learners, not 2"),
    ],
)
def test_what_cannot_be_divided_is_refused(small, overrides, message):
    experiment = small(*merged("average"), *overrides)
    with pytest.raises(UserError, match=message):
        PeerTraining(experiment)
    with pytest.raises(UserError, match=message):
        check_experiment(experiment)


def test_merges_that_fit_nothing_are_refused(small):
    with pytest.raises(UserError, match=r"fleet\.merge\.type: .*'mean'.*average"):
        small("fleet.learners=2", "fleet.merge={type: mean}")
    with pytest.raises(UserError, match="there is nothing to merge: learners is 1"):
        small("fleet.merge={type: average}")
    with pytest.raises(UserError, match="'asynchronous' is for one"):
        small("fleet.learners=2", "fleet.workers=2", "fleet.mode=asynchronous")


@pytest.mark.slow
def test_several_learners_train_by_the_one_command(small, tmp_path):
    summary = run_training(small("fleet.learners=2"), tmp_path / "run")
    assert summary["learners"] == 2
    assert summary["steps"] == 1024
    assert summary["evaluation"]["episodes"] == 5

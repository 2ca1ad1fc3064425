from pathlib import Path

import numpy as np
import pytest

from tests.fleet.test_training import assert_same_run, curve
from troupe.core import UserError, plugins
from troupe.core.settings import validated
from troupe.fleet.peers.training import PeerTraining
from troupe.fleet.runs import RunDirectory

pytestmark = pytest.mark.xdist_group("ray")


def merge(name: str, **values):
    cls = plugins.load("troupe.merges", name)
    return validated(cls, {"type": name, **values}, "fleet.merge")


def train(experiment, how, out: Path, stop_after: int = 0, *, resume: bool = False) -> PeerTraining:
    """Train with two learners into a new run, or resume it; stop after some exchanges."""
    rows: list[dict[str, float]] = []

    def report(row: dict[str, float]) -> None:
        rows.append(row)
        if len(rows) == stop_after:
            training.stop_requested.set()

    training = PeerTraining(experiment, 2, how, report=report)
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


def test_learners_divide_the_instances_and_their_models_are_merged(small, tmp_path):
    training = train(small(steps=2048), merge("average"), tmp_path / "run")
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
    train(small(steps=1536), merge("average"), tmp_path / "alone")
    train(small("fleet.workers=4", steps=1536), merge("average"), tmp_path / "actors")
    assert_same_run(tmp_path / "alone", tmp_path / "actors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [merge("federated", every=1), merge("all-reduce"), merge("parameter-server")], ids=str
)
def test_a_stopped_run_goes_on_bitwise_as_if_never_stopped(small, tmp_path, how):
    experiment = small(steps=3072)
    train(experiment, how, tmp_path / "whole")
    train(experiment, how, tmp_path / "parts", stop_after=3)
    train(experiment, how, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [merge("gossip"), merge("parameter-server", synchronous=False)], ids=str
)
def test_learners_that_wait_for_nobody_train_and_resume(small, tmp_path, how):
    experiment = small(steps=3072)
    train(experiment, how, tmp_path, stop_after=5)
    training = train(experiment, how, tmp_path, resume=True)
    assert curve(tmp_path)["steps"].tolist() == [256 * (i + 1) for i in range(12)]
    assert training.progress.steps == 3072


def test_what_cannot_be_divided_is_refused(small):
    with pytest.raises(UserError, match=r"fleet\.instances \(15\) must be a multiple of .* \(2\)"):
        PeerTraining(small("fleet.instances=15"), 2, merge("average"))
    with pytest.raises(UserError, match=r"learner\.batch \(256\) must be a multiple of the 12 "):
        PeerTraining(small("fleet.instances=24"), 2, merge("average"))
    with pytest.raises(UserError, match=r"fleet\.workers \(3\) must be a multiple of .* \(2\)"):
        PeerTraining(small("fleet.workers=3"), 2, merge("average"))
    with pytest.raises(UserError, match=r"'krum' .* needs at least 5 learners, not 2"):
        PeerTraining(small(), 2, merge("krum"))

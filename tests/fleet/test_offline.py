"""Runs that learn from a store."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fleet.test_training import assert_same_run
from troupe.core import UserError
from troupe.core.settings import Settings
from troupe.episodes.store import StoreSchema, StoreWriter, compact, create_store, open_store
from troupe.experiments.load import load_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.collecting.crew import collect
from troupe.fleet.launch import run_training
from troupe.fleet.offline import OfflineTraining, Source, check_offline, source_of
from troupe.fleet.runs import RunDirectory, experiment_digest, run_steps
from troupe.learning.offline.bc_settings import BCSettings
from troupe.learning.ppo_settings import PPOSettings

SMALL = ("task.episode=400ms", "fleet.instances=4")
LEARN = (
    "learner.minibatch=32",
    "learner.hidden=[8]",
    "learner.gradient_steps=400",
    "learner.evaluate_every=300",
    "evaluation.episodes=3",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a dozen random reaches, that nobody changes."""
    place = tmp_path_factory.mktemp("stored")
    experiment = load_experiment("scara-reach", [*SMALL, "collect.observations=true"])
    collect(experiment, str(place / "store"), 12, spool=place / "spool")
    return str(place / "store")


def small(kind: str, *overrides: str) -> Experiment:
    return load_experiment("scara-reach", [*SMALL, f"learner.type={kind}", *LEARN, *overrides])


def test_a_run_holds_what_it_learned_from(store: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    rows: list[dict[str, float]] = []
    source = Source(store, "instance < 3")
    experiment = small("bc", "learner.gradient_steps=500")
    summary = run_training(experiment, run, source=source, report=rows.append)
    assert (summary["steps"], summary["updates"], summary["stop_reason"]) == (500, 3, "steps")
    assert summary["attempts"] == summary["episodes"] == 0
    assert summary["evaluation"]["episodes"] == 3
    table = open_store(store).query(
        'SELECT id, length, "return" FROM episodes WHERE instance < 3 ORDER BY id'
    )
    learned_from = summary["learned_from"]
    assert learned_from["episodes"] == len(table) < 12
    assert learned_from["steps"] == sum(table["length"].to_pylist())
    assert learned_from["mean_return"] == pytest.approx(np.mean(table["return"]), rel=1e-5)
    assert json.loads((run / "provenance.json").read_text())["learned_from"] == learned_from
    assert source_of(RunDirectory.open(run)).ids == table["id"].to_pylist()
    metrics = pq.read_table(run / "metrics.parquet")
    assert metrics["steps"].to_pylist() == [row["steps"] for row in rows] == [200, 400, 500]
    # looked at after 300 gradient steps, as soon as an update ends
    looks = np.isnan(metrics["mean_return"].to_numpy())
    assert looks.tolist() == [True, False, False]
    assert np.isfinite(metrics["log_likelihood"].to_numpy()).all()
    assert list((run / "tensorboard").iterdir())
    assert RunDirectory.open(run).latest_policy().version == 3
    # episodes that are not what they were are not learned from further
    about = json.loads((run / "provenance.json").read_text())
    about["learned_from"]["digest"] = "other"
    (run / "provenance.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="are not what they were"):
        run_training(experiment, run, resume=True)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("bc",), marks=pytest.mark.slow),
        ("iql", "learner.weighting.type=priority"),
    ],
    ids=["bc", "iql"],
)
def test_a_stopped_run_goes_on_bitwise_as_if_never_stopped(
    store: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    experiment = small(*overrides)
    run_training(experiment, tmp_path / "whole", source=Source(store))
    parts = tmp_path / "parts"
    training = OfflineTraining(
        experiment, Source(store), report=lambda row: training.stop_requested.set()
    )
    run = RunDirectory.create(parts, experiment, origin={"learned_from": training.origin})
    assert training.train(run) == "interrupted"
    training.close()
    run_training(experiment, parts, resume=True)
    assert_same_run(tmp_path / "whole", parts)


@pytest.mark.slow
def test_a_run_goes_on_longer_with_its_own_episodes_as_the_store_grows(tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    collected = load_experiment("scara-reach", [*SMALL, "collect.observations=true"])
    collect(collected, place, 4, spool=tmp_path / "spool")
    run_training(small("bc"), tmp_path / "run", source=Source(place))
    collect(collected, place, 4, spool=tmp_path / "spool")
    compact(open_store(place))
    longer = small("bc", "learner.gradient_steps=600")
    summary = run_training(longer, tmp_path / "run", resume=True)
    assert (summary["steps"], summary["learned_from"]["episodes"]) == (600, 4)


def test_it_stops_at_a_figure_of_the_looks_or_a_time(store: str, tmp_path: Path) -> None:
    stop = ("stop={metric: mean_return, value: -1e9}", "learner.evaluate_every=200")
    summary = run_training(small("bc", *stop), tmp_path / "a", source=Source(store))
    assert (summary["stop_reason"], summary["steps"]) == ("stop.metric", 200)
    timed = small("bc", stop[1], "wall_time=1ns")
    summary = run_training(timed, tmp_path / "a", resume=True)
    assert (summary["stop_reason"], summary["steps"]) == ("wall_time", 200)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), r"learner\.type: 'ppo' samples itself; valid with --store: bc, iql"),
        (("learner.type=bc", "fleet.workers=2"), r"fleet\.workers: nothing is sampled.*valid: 0"),
        (("learner.type=bc", "fleet.learners=2"), r"fleet\.learners: nothing is sampl.*valid: 1"),
        (("learner.type=bc", "stop={metric: sucess, value: 1}"), r"stop\.metric: unknown metric"),
        (
            ("learner={type: bc, evaluate_every: 0}", "stop={metric: success, value: 1}"),
            r"learner\.evaluate_every: with 0 there is no 'success' to stop at.*valid: 1 or more",
        ),
    ],
)
def test_what_does_not_learn_from_a_store_is_refused(
    store: str, tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    experiment = load_experiment("scara-reach", [*SMALL, *overrides])
    for attempt in (
        lambda: check_offline(experiment, Source(store)),
        lambda: run_training(experiment, tmp_path / "run", source=Source(store)),
    ):
        with pytest.raises(UserError, match=message):
            attempt()
    assert not (tmp_path / "run").exists()


def test_episodes_without_a_transition_are_refused_before_anything_is_written(
    store: str, tmp_path: Path
) -> None:
    kept = open_store(store)
    whole = kept.episode(kept.episode_ids()[0])
    steps = {name: array[:1] for name, array in whole.steps.items()}
    cut_off = replace(whole, about={**whole.about, "fault": "died"}, steps=steps)
    place = tmp_path / "store"
    faulty = create_store(place, StoreSchema.of(cut_off))
    with StoreWriter(faulty, "w", spool=tmp_path / "spool") as writer:
        writer.add(cut_off)
    with pytest.raises(UserError, match="nothing to learn from: all transitions of the 1 episodes"):
        run_training(small("iql"), tmp_path / "run", source=Source(str(place)))
    assert not (tmp_path / "run").exists()


def test_the_kind_of_learner_says_what_a_resumed_run_may_change() -> None:
    class OnlineSettings(PPOSettings):
        gradient_steps: int = 5

    def with_learner(learner: Settings) -> Experiment:
        return load_experiment("scara-reach", SMALL).model_copy(update={"learner": learner})

    short, long = (with_learner(BCSettings(gradient_steps=steps)) for steps in (400, 600))
    assert experiment_digest(short) == experiment_digest(long)
    assert experiment_digest(short) != experiment_digest(with_learner(BCSettings(minibatch=8)))
    assert run_steps(long) == 600
    few, many = (with_learner(OnlineSettings(gradient_steps=steps)) for steps in (5, 10))
    assert experiment_digest(few) != experiment_digest(many)
    assert run_steps(few) == few.steps


def test_an_offline_learner_without_a_store_says_what_samples(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'iql' learns from stored.*--store.*: ppo, sac"):
        run_training(small("iql"), tmp_path / "run")

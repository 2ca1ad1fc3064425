"""A worker goes on where the store and what waits for it end."""

from pathlib import Path

import numpy as np
import pytest

from troupe.episodes.store import open_store
from troupe.episodes.store.files import StoreFiles
from troupe.episodes.store.writer import NotAcknowledgedError
from troupe.experiments.schema import Experiment
from troupe.fleet.collecting import worker
from troupe.fleet.collecting.crew import collect
from troupe.fleet.collecting.worker import CollectWorker, Share, next_episodes

NUM = 2


@pytest.fixture
def experiment(small) -> Experiment:
    """Episodes of which all succeed."""
    return small(f"fleet.instances={NUM}", "task.threshold_m=10")


@pytest.fixture
def store(experiment: Experiment, tmp_path: Path) -> str:
    """The first episode of each instance."""
    place = str(tmp_path / "store")
    collect(experiment, place, NUM, policy="zero", spool=tmp_path / "spool")
    return place


def begun(experiment: Experiment, store: str) -> CollectWorker:
    spool = Path(store).with_name("spool")
    return CollectWorker(experiment.resolved(), "zero", store, Share(0, 0, NUM), spool=spool)


def away(*_: object) -> None:
    raise OSError("away")


def test_what_waits_here_is_not_collected_again(
    experiment: Experiment, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ACKNOWLEDGED_WITHIN_S", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(StoreFiles, "put", away)
        patch.setattr(StoreFiles, "put_file", away)
        one = begun(experiment, store)
        first = one.collect(NUM)
        assert (first.episodes, first.waiting) == (0, NUM)
        with pytest.raises(NotAcknowledgedError):
            one.close()
        two = begun(experiment, store)
        second = two.collect(NUM)
        assert (second.steps, second.waiting) == (first.steps, NUM)
    monkeypatch.setattr(worker, "ACKNOWLEDGED_WITHIN_S", None)
    two.close()
    ids = {f"scara-reach-0-{i}-{k}" for i in range(NUM) for k in range(3)}
    assert set(open_store(store).episode_ids()) == ids


def test_successes_are_counted_of_new_episodes_only(
    experiment: Experiment, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "next_episodes", lambda *_: np.zeros(NUM, np.int64))
    again = begun(experiment, store)
    found = again.collect(NUM)
    again.close()
    assert (found.episodes, found.successes) == (NUM, NUM)


def test_engines_that_do_not_close_keep_no_episode_back(
    experiment: Experiment, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = begun(experiment, store)
    monkeypatch.setattr(one, "_is_acknowledged", lambda: False)
    one.collect(NUM)
    monkeypatch.setattr(one._collector, "close", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one.close()
    assert open_store(store).num_episodes == 2 * NUM


def test_ids_that_others_gave_do_not_count() -> None:
    known = ["reach-1-0-4", "reach-1-1-2", "reach-1-0-4-7", "reach-1-0-5-x", "reach-1-9", "other"]
    assert next_episodes(known, "reach", 1, Share(0, 0, 2)).tolist() == [5, 3]
    # of an experiment whose name ends in a number
    assert next_episodes(known, "reach-1", 0, Share(0, 3, 2)).tolist() == [0, 8]

"""Episodes read from real stores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core import UserError
from troupe.core.arrays import ArraySpec
from troupe.episodes.store import (
    EpisodeRecord,
    Store,
    StoreSchema,
    StoreWriter,
    compact,
    create_store,
)
from troupe.learning.offline.stored import check_store, read, select

OBSERVATION = ArraySpec((3,), dtype=np.dtype(np.float32))
ACTION = ArraySpec((2,), low=np.asarray(-1.0), high=np.asarray(1.0))


def record(number: int, **about: Any) -> EpisodeRecord:
    rng = np.random.default_rng(number)
    length = 3 + number % 4
    return EpisodeRecord(
        id=f"e-{number:02d}",
        about={"terminated": number % 2 == 0, "number": number, **about},
        steps={
            "observation": rng.normal(size=(length, 3)).astype(np.float32),
            "next_observation": rng.normal(size=(length, 3)).astype(np.float32),
            "action": rng.normal(size=(length, 2)).astype(np.float32),
            "reward": rng.normal(size=length).astype(np.float32),
            "decides": rng.random(length) < 0.7,
        },
    )


def make(path: Path, numbers: list[int], writers: int = 2) -> Store:
    """A store of some shards, written in the order of the numbers."""
    store = create_store(path / "store", StoreSchema.of(record(0)))
    for w in range(writers):
        with StoreWriter(store, f"w-{w}", spool=path / "spool") as writer:
            for number in numbers[w::writers]:
                writer.add(record(number))
    return store


def test_episodes_come_by_id_with_their_steps_in_order(tmp_path: Path) -> None:
    store = make(tmp_path, [5, 2, 7, 0, 3, 9, 1])
    check_store(store, OBSERVATION, ACTION, "some")
    ids = select(store, "number BETWEEN 2 AND 7")
    assert ids == ["e-02", "e-03", "e-05", "e-07"]
    found = read(store, ids, ACTION)
    records = [record(number) for number in (2, 3, 5, 7)]
    np.testing.assert_array_equal(found.length, [len(r.steps["reward"]) for r in records])
    np.testing.assert_array_equal(found.terminated, [True, False, False, False])
    for name in ("observation", "next_observation", "reward", "decides"):
        expected = np.concatenate([r.steps[name] for r in records])
        np.testing.assert_array_equal(getattr(found, name), expected, err_msg=name)
    actions = np.concatenate([r.steps["action"] for r in records])
    assert (np.abs(actions) > 1).any()
    np.testing.assert_array_equal(found.action, np.clip(actions, -1, 1))
    returns = [r.steps["reward"].sum() for r in records]
    np.testing.assert_allclose(found.returns(), returns, rtol=1e-6)
    length, spread = found.length.mean(), max(returns) - min(returns)
    assert found.reward_scale() == pytest.approx(length / spread, rel=1e-6)


def test_the_digest_is_of_the_episodes_not_of_how_they_are_kept(tmp_path: Path) -> None:
    one = make(tmp_path / "one", [4, 1, 3])
    other = make(tmp_path / "other", [1, 3, 4], writers=1)
    digest = read(one, select(one), ACTION).digest()
    assert read(other, select(other), ACTION).digest() == digest
    compact(one)
    assert read(one, select(one), ACTION).digest() == digest
    assert read(one, select(one, "number > 1"), ACTION).digest() != digest


def test_what_a_store_lacks_is_named(tmp_path: Path) -> None:
    store = make(tmp_path, [0, 1])
    with pytest.raises(UserError, match=r"observation in '.*' has the shape \(3,\).*'arm' \(9,\)"):
        check_store(store, ArraySpec((9,)), ACTION, "arm")
    with pytest.raises(UserError, match=r"an action in '.*' has the shape \(2,\).*\(4,\)"):
        check_store(store, OBSERVATION, ArraySpec((4,)), "arm")
    with pytest.raises(UserError, match=r"--where: none of the 2 episodes .* is where number > 5"):
        select(store, "number > 5")
    with pytest.raises(UserError, match=r"--where: query: .*nmber"):
        select(store, "nmber > 5")
    with pytest.raises(UserError, match=r"no longer 1 of 2 episodes, e\.g\. 'gone'"):
        read(store, ["e-00", "gone"], ACTION)


def test_a_store_without_observations_says_how_to_keep_them(tmp_path: Path) -> None:
    bare = EpisodeRecord(id="a", steps={"action": np.zeros((1, 2)), "reward": np.zeros(1)})
    store = create_store(tmp_path, StoreSchema.of(bare))
    message = r"no observation and no next_observation.*collect\.observations=true"
    with pytest.raises(UserError, match=message):
        check_store(store, OBSERVATION, ACTION, "some")
    with pytest.raises(UserError, match="empty"):
        select(store)


def broken(what: str) -> EpisodeRecord:
    whole = record(1)
    if what == "terminated":
        return replace(whole, about={})
    return replace(whole, steps={**whole.steps, what: np.full_like(whole.steps[what], np.nan)})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("terminated", "'terminated' is missing in the 'about' of 'e-01'"),
        ("next_observation", "next_observation in episode 'e-01' is not finite.*id != 'e-01'"),
        ("reward", "reward in episode 'e-01' is not finite"),
    ],
)
def test_an_episode_that_cannot_be_learned_from_is_named(
    tmp_path: Path, what: str, message: str
) -> None:
    store = create_store(tmp_path / "store", StoreSchema.of(record(0)))
    with StoreWriter(store, "w", spool=tmp_path / "spool") as writer:
        for one in (record(0), broken(what), record(2)):
            writer.add(one)
    with pytest.raises(UserError, match=message):
        read(store, select(store), ACTION)
    assert len(read(store, select(store, "id != 'e-01'"), ACTION).ids) == 2


def test_a_store_in_which_no_action_counts_teaches_nothing(tmp_path: Path) -> None:
    store = create_store(tmp_path / "store", StoreSchema.of(record(0)))
    with StoreWriter(store, "w", spool=tmp_path / "spool") as writer:
        idle = record(0)
        writer.add(replace(idle, steps={**idle.steps, "decides": np.zeros(3, np.bool_)}))
    with pytest.raises(UserError, match="in none of its 3 steps an action counts"):
        read(store, select(store), ACTION)

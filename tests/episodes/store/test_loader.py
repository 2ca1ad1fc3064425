import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.episodes.store.conftest import SCHEMA, made
from tests.episodes.store.test_store import corrupt, write
from troupe.core import UserError
from troupe.episodes.store import StoreWriter, create_store, open_store
from troupe.episodes.store.loader import batches, converted

STEPS = ["id", "step.action", "step.reward", "about.score", "draw.colour"]


@pytest.fixture
def store(local, tmp_path):
    write(local, range(10), tmp_path, shard_episodes=1)
    return local


def joined(found, name):
    return np.concatenate([batch[name] for batch in found])


def test_in_the_order_of_the_store_each_step_comes_once_with_what_belongs_to_it(store):
    found = list(store.iter_batches(STEPS, 8))
    assert [len(batch["id"]) for batch in found] == [8] * 6 + [2]
    expected = [made(number) for number in range(10)]
    np.testing.assert_array_equal(
        joined(found, "step.action"), np.concatenate([r.steps["action"] for r in expected])
    )
    assert joined(found, "id").tolist() == [r.id for r in expected for _ in range(5)]
    assert joined(found, "about.score").tolist() == [n / 2 for n in range(10) for _ in range(5)]
    assert joined(found, "draw.colour").shape == (50, 3)


def test_a_seed_and_an_epoch_decide_the_order(store):
    def order(seed, epoch, **options):
        found = batches(store, ["step.reward", "about.seed"], 7, seed=seed, epoch=epoch, **options)
        return np.concatenate([b["about.seed"] * 100 + b["step.reward"] for b in found]).tolist()

    first = order(0, 0)
    assert first == order(0, 0)
    assert first != order(0, 1)
    assert first != order(1, 0)
    assert sorted(first) == sorted(order(1, 0)) == sorted(order(None, 0))
    assert first[:5] != sorted(first)[:5]
    parts = [order(0, 0, part=(i, 3)) for i in range(3)]
    assert sorted(value for part in parts for value in part) == sorted(first)
    assert len(order(0, 0, drop_last=True)) == 49


def test_lists_of_one_length_here_and_of_others_there_are_objects(local, tmp_path):
    lists = [[1.0, 2.0], [3.0, 4.0], [5.0], [6.0, 7.0]]
    with StoreWriter(local, "w", spool=tmp_path / "spool", shard_episodes=2) as out:
        for number, values in enumerate(lists):
            out.add(replace(made(number), draws={"kinds": values}))
    for seed in (None, 0):
        (batch,) = batches(local, ["about.seed", "draw.kinds"], 9, seed=seed)
        found = zip(batch["about.seed"], batch["draw.kinds"], strict=True)
        assert {int(at): list(values) for at, values in found} == dict(enumerate(lists))


def test_images_come_with_their_steps(store):
    (batch,) = batches(store, ["image.top.rgb", "image.top.depth", "step.reward", "id"], 99, seed=0)
    assert batch["image.top.rgb"].shape == (20, 6, 8, 3)
    for id, rgb, depth, reward in zip(
        batch["id"],
        batch["image.top.rgb"],
        batch["image.top.depth"],
        batch["step.reward"],
        strict=True,
    ):
        record = made(int(id.split("-")[1]))
        which = int(reward != record.steps["reward"][0])
        assert reward == record.steps["reward"][4 * which]
        np.testing.assert_array_equal(rgb, record.images["top.rgb"][which])
        np.testing.assert_array_equal(depth, record.images["top.depth"][which])


def test_images_of_an_episode_s_end_have_no_step(local, tmp_path):
    records = [
        replace(made(n), frames={name: np.array([1, 5]) for name in made(n).frames})
        for n in range(3)
    ]
    with StoreWriter(local, "w", spool=tmp_path / "spool") as writer:
        for record in records:
            writer.add(record)
    (batch,) = local.iter_batches(["image.top.rgb", "step.reward", "about.seed"], 99)
    assert batch["about.seed"].tolist() == [0, 1, 2]
    for of_one, reward, record in zip(
        batch["image.top.rgb"], batch["step.reward"], records, strict=True
    ):
        np.testing.assert_array_equal(of_one, record.images["top.rgb"][0])
        assert reward == record.steps["reward"][1]
    # without steps they come, too
    (batch,) = local.iter_batches(["image.top.rgb", "about.seed"], 99)
    assert batch["about.seed"].tolist() == [0, 0, 1, 1, 2, 2]


def test_from_any_storage(url, tmp_path):
    write(create_store(url, SCHEMA), range(4), tmp_path, shard_episodes=2)
    (batch,) = batches(create_store(url, SCHEMA), ["about.object", "about.success"], 9, seed=None)
    assert batch["about.object"].tolist() == ["box", "can", "can", "box"]
    assert batch["about.success"].tolist() == [False, True, False, True]


def test_given_shards_are_all_that_is_looked_at(local, tmp_path):
    corrupt(local, tmp_path, "missing")
    rest = open_store(local.url, skip_corrupt=True).shards()
    (batch,) = batches(local, ["about.seed"], 9, seed=None, shards=rest)
    assert batch["about.seed"].tolist() == [0, 1, 4, 5]


def test_of_what_no_episode_of_a_shard_has_not_even_the_kind_is_known(local, tmp_path):
    abouts = [{"seed": 0, "by": "Ann", "m": 1.5}, {"seed": 1}, {"seed": 2}, {"seed": 3}]
    with StoreWriter(local, "w", spool=tmp_path / "spool", shard_episodes=2) as out:
        for number, about in enumerate(abouts):
            out.add(replace(made(number), about=about))
    (batch,) = batches(local, ["about.by", "about.m"], 9, seed=None)
    assert batch["about.by"][:2].tolist() == ["Ann", None]
    assert np.isnan(batch["about.by"][2:].astype(float)).all()
    assert np.isnan(batch["about.m"][1:]).all()


def test_batches_go_to_jax(store):
    found = converted(batches(store, ["step.action", "id"], 16), jax.device_put)
    batch = next(found)
    assert isinstance(batch["step.action"], jax.Array)
    assert batch["step.action"].shape == (16, 3)
    assert isinstance(batch["id"], np.ndarray)
    found.close()


def test_what_is_wrong_is_named(store):
    with pytest.raises(
        UserError, match=r"unknown column 'step.actoin'. Did you mean 'step.action'"
    ):
        batches(store, ["step.actoin"], 8)
    with pytest.raises(UserError, match="at least 1, not 0"):
        batches(store, ["step.action"], 0)


def test_torch_that_is_not_there_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "troupe.episodes.store.torch_data", raising=False)
    with pytest.raises(UserError, match="pip install torch"):
        store.torch_dataset(["step.action"], 8)

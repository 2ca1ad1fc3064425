"""Batches in PyTorch, with its own loader and workers. `make check-torch` runs this file.

It needs PyTorch, which the environment of the other tests does not have; so its name is not one
that pytest collects.
"""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.episodes.store.conftest import SCHEMA, made
from tests.episodes.store.test_store import corrupt, write
from troupe.core import TroupeError, UserError
from troupe.episodes.store import create_store, open_store
from troupe.episodes.store.loader import batches, converted

COLUMNS = ["id", "step.action", "step.reward", "step.terminated", "about.seed", "image.top.depth"]
SPAWNED = {"num_workers": 2, "multiprocessing_context": "spawn", "persistent_workers": True}


@pytest.fixture
def store(local, tmp_path):
    write(local, range(20), tmp_path, shard_episodes=1)
    return local


def order(loader) -> list[float]:
    """Each item as a number of its own."""
    found = [100 * batch["about.seed"] + batch["step.reward"] for batch in loader]
    return [number for numbers in found for number in numbers.tolist()]


@pytest.mark.parametrize("options", [{}, SPAWNED], ids=["here", "two workers"])
def test_each_item_comes_once_an_epoch_in_an_order_that_seed_and_epoch_decide(store, options):
    columns = ["step.reward", "about.seed"]
    everything = sorted(order(store.iter_batches(columns, 9)))
    dataset = store.torch_dataset(columns, 7, seed=3)
    loader = DataLoader(dataset, batch_size=None, **options)
    first = order(loader)
    assert first == order(loader)
    dataset.set_epoch(1)
    second = order(loader)
    assert second != first
    assert sorted(first) == sorted(second) == everything
    dataset.set_epoch(0)
    assert order(loader) == first


def test_items_are_tensors_that_hold_what_is_stored(store):
    dataset = store.torch_dataset(COLUMNS, 8, drop_last=True)
    found = list(DataLoader(dataset, batch_size=None))
    assert len(found) == len(list(batches(store, COLUMNS, 8, drop_last=True)))
    for batch in found:
        assert batch["step.action"].shape == (8, 3)
        assert batch["step.action"].dtype == batch["image.top.depth"].dtype == torch.float32
        assert batch["step.terminated"].dtype == torch.bool
        assert isinstance(batch["id"], np.ndarray)
        for id, action, depth, last in zip(
            batch["id"],
            batch["step.action"],
            batch["image.top.depth"],
            batch["step.terminated"],
            strict=True,
        ):
            record = made(int(id.split("-")[1]))
            np.testing.assert_array_equal(action, record.steps["action"][-int(last)])
            np.testing.assert_array_equal(depth, record.images["top.depth"][int(last)])
    assert np.isfinite([float(batch["step.action"].sum()) for batch in found]).all()


def test_several_that_learn_share_the_items(store):
    columns = ["step.reward", "about.seed"]
    parts = [
        order(DataLoader(store.torch_dataset(columns, 7, part=(i, 3)), batch_size=None))
        for i in range(3)
    ]
    everything = order(store.iter_batches(columns, 9))
    assert sorted(number for part in parts for number in part) == sorted(everything)
    assert all(parts)


def test_batches_in_the_order_of_the_store_become_tensors_too(store):
    found = converted(store.iter_batches(["step.action", "about.seed"], 9), torch.from_numpy)
    assert sum(len(batch["step.action"]) for batch in found) == 100


def test_what_is_added_later_does_not_count(store, tmp_path):
    dataset = store.torch_dataset(["about.seed"], 7)
    write(store, range(20, 25), tmp_path, shard_episodes=1, writer="later")
    assert open_store(store.url).num_episodes == 25
    assert sorted(s for b in dataset for s in b["about.seed"].tolist()) == list(range(20))


@pytest.mark.parametrize("options", [{}, SPAWNED], ids=["here", "two workers"])
def test_what_is_corrupt_stays_left_out(local, tmp_path, options):
    corrupt(local, tmp_path, "missing")
    dataset = open_store(local.url, skip_corrupt=True).torch_dataset(["about.seed"], 7)
    found = DataLoader(dataset, batch_size=None, **options)
    assert sorted(s for b in found for s in b["about.seed"].tolist()) == [0, 1, 4, 5]


def test_workers_read_from_remote_storage_with_credentials_of_the_environment(s3, tmp_path):
    store = create_store(s3, SCHEMA)
    write(store, range(4), tmp_path, shard_episodes=1)
    dataset = open_store(s3).torch_dataset(["about.seed", "step.reward"], 3)
    loader = DataLoader(dataset, batch_size=None, **SPAWNED)
    assert sorted(order(loader)) == [100 * n + n + t for n in range(4) for t in range(5)]


def test_what_is_wrong_is_named(store):
    with pytest.raises(UserError, match=r"Did you mean 'step.action'"):
        store.torch_dataset(["step.actoin"], 8)
    with pytest.raises(UserError, match="at least 1, not 0"):
        store.torch_dataset(["step.action"], 0)
    with pytest.raises(UserError, match=r"part: \(2, 2\); valid"):
        store.torch_dataset(["step.action"], 8, part=(2, 2))


def test_forked_workers_are_refused(store):
    dataset = store.torch_dataset(["step.action"], 8)
    forked = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(UserError, match='multiprocessing_context="spawn"'):
        list(forked)


def test_a_shard_that_is_gone_is_an_error(store):
    dataset = store.torch_dataset(["step.action"], 8)
    for shard in store.shards():
        store.files.remove(shard.manifest.shard)
    with pytest.raises(TroupeError, match="cannot be read"):
        list(DataLoader(dataset, batch_size=None))

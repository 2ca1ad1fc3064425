"""Joined and removed shards: readers see each episode once, whatever dies when."""

import shutil
import time

import pytest

from tests.episodes.store.conftest import SCHEMA, assert_same, made
from tests.episodes.store.test_store import write
from troupe.core import UserError
from troupe.episodes.store import compact, create_store, open_store, retain, verify
from troupe.episodes.store.files import StoreFiles
from troupe.episodes.store.upkeep import clean


def ids(store):
    return sorted(store.query("SELECT id FROM episodes")["id"].to_pylist())


def test_small_shards_are_joined_and_nothing_else_changes(url, tmp_path):
    store = create_store(url, SCHEMA)
    write(store, range(9), tmp_path, shard_episodes=2)
    begun = open_store(url)
    begun.shards()
    before = store.query("SELECT * FROM episodes ORDER BY id")
    done = compact(store)
    assert (done.before, done.after, done.files_removed) == (5, 1, 0)
    assert open_store(url).query("SELECT * FROM episodes ORDER BY id").equals(before)
    for number in (0, 8):
        assert_same(begun.episode(f"a-{number}"), made(number))
    assert compact(store, grace_s=0).files_removed == 5
    assert begun.query("SELECT count(*) AS n FROM steps")["n"].to_pylist() == [45]
    found = verify(store)
    assert (found.shards, found.episodes, found.replaced, found.unfinished) == (1, 9, 0, ())
    write(store, range(11), tmp_path)
    assert len(ids(store)) == 11
    assert verify(store).repeats == 0


def test_the_newest_are_kept(url, tmp_path):
    store = create_store(url, SCHEMA)
    for number in range(3):
        write(store, range(3 * number, 3 * number + 3), tmp_path, shard_episodes=3)
    done = retain(store, newest=4, grace_s=0)
    assert done.episodes_removed == 5
    assert ids(store) == ["a-5", "a-6", "a-7", "a-8"]
    assert_same(store.episode("a-5"), made(5))
    assert not verify(store).wrong
    assert retain(store, newest=4, grace_s=0).episodes_removed == 0
    assert retain(store, newest=0, grace_s=0).after == 0
    assert ids(store) == []
    clean(store, 0)
    assert store.manifests() == []
    assert not store.files.sizes("shards")


def test_what_is_older_is_removed(local, tmp_path, monkeypatch):
    write(local, range(2), tmp_path)
    time.sleep(0.3)
    middle = time.time()
    write(local, range(4), tmp_path)
    assert retain(local, younger_than_s=3600).episodes_removed == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # however long it takes
    assert retain(local, younger_than_s=now - middle).episodes_removed == 2
    assert ids(local) == ["a-2", "a-3"]
    with pytest.raises(UserError, match="how many to keep"):
        retain(local)
    with pytest.raises(UserError, match="negative"):
        retain(local, newest=-1)


class DyingFiles(StoreFiles):
    """The files of a process that dies after so many changes."""

    left: int

    def put(self, name: str, content: bytes) -> None:
        self._count()
        super().put(name, content)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("upkeep", "kept"),
    [
        (lambda store: compact(store, grace_s=0), range(8)),
        (lambda store: retain(store, newest=3, grace_s=0), range(5, 8)),
    ],
    ids=["compact", "retain"],
)
def test_upkeep_that_ends_anywhere_leaves_each_episode_once(upkeep, kept, local, tmp_path):
    for number in range(0, 8, 2):
        write(local, range(number, number + 2), tmp_path)
    compact(local)  # so that there is something replaced already
    write(local, range(8), tmp_path, writer="twice")
    before, everything = tmp_path / "before", set(ids(local))
    shutil.copytree(local.url, before)
    for left in range(100):
        shutil.rmtree(local.url)
        shutil.copytree(before, local.url)
        store = open_store(local.url)
        store.files = DyingFiles(local.url)
        store.files.left = left
        try:
            upkeep(store)
            is_dead = False
        except KeyboardInterrupt:
            is_dead = True
        after = open_store(local.url)
        found = ids(after)
        assert len(found) == len(set(found))
        assert set(found) <= everything
        assert {f"a-{number}" for number in kept} <= set(found)
        assert not verify(after).wrong
        if not is_dead:
            break
        upkeep(open_store(local.url))
        assert ids(open_store(local.url)) == [f"a-{number}" for number in kept]
    assert left > 5
    assert found == [f"a-{number}" for number in kept]


def test_a_shard_without_a_manifest_is_not_read_and_is_removed_when_it_is_old(
    local, tmp_path, monkeypatch
):
    write(local, range(2), tmp_path)
    (shard,) = local.shards()
    folder = tmp_path / "store" / "shards"
    shutil.copy(folder / f"{shard.manifest.name}.parquet", folder / "dead.00000000.abc.parquet")
    assert ids(local) == ["a-0", "a-1"]
    assert verify(local).unfinished == ("dead.00000000.abc",)
    assert clean(local) == 0
    monkeypatch.setattr("troupe.episodes.store.upkeep.UNFINISHED_AGE_S", -1.0)
    assert clean(local) == 1
    assert verify(local).unfinished == ()

"""Exactly once, whatever dies or goes away."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import bring_back, take_away, wait_until
from tests.episodes.store.conftest import SCHEMA, assert_same, made
from troupe.core import TroupeError
from troupe.episodes.store import StoreWriter, create_store, open_store, verify, writer
from troupe.episodes.store.files import StoreFiles
from troupe.episodes.store.loader import batches
from troupe.episodes.store.spool import Spool
from troupe.episodes.store.writer import NotAcknowledgedError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(writer, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(writer, "LONGEST_PAUSE_S", 0.05)


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_was_flushed_is_there_before_the_writer_ends(url, tmp_path):
    store = create_store(url, SCHEMA)
    with StoreWriter(store, "w", spool=tmp_path / "spool") as out:
        out.add(made(0))
        assert open_store(url).episode_ids() == []
        out.flush()
        assert open_store(url).episode_ids() == ["a-0"]


def test_repeats_of_a_writer_that_begins_again_are_left_out(url, tmp_path):
    store = create_store(url, SCHEMA)
    for until in (3, 5):
        with StoreWriter(store, "w", spool=tmp_path / "spool", shard_episodes=2) as out:
            new = [out.add(made(number)) for number in range(until)]
    assert new == [False, False, False, True, True]
    assert store.query("SELECT id FROM episodes")["id"].to_pylist() == [f"a-{i}" for i in range(5)]
    assert verify(store).repeats == 0


def test_two_that_write_the_same_under_one_name_or_two_are_seen_once(url, tmp_path):
    store = create_store(url, SCHEMA)
    for name in ("w", "w", "other"):
        out = StoreWriter(store, name, spool=tmp_path / "spool", shard_episodes=2)
        out._known.clear()  # as if both had begun before either wrote
        for number in range(3):
            out.add(made(number))
        out.close()
    assert verify(store).repeats == 6
    ids = ["a-0", "a-1", "a-2"]
    assert store.query("SELECT id FROM episodes ORDER BY id")["id"].to_pylist() == ids
    assert len(store.to_arrow("steps")) == 15
    (batch,) = store.iter_batches(["step.reward"], 99)
    assert len(batch["step.reward"]) == 15
    for seed in (None, 0):  # of some shards there is nothing to read
        (batch,) = batches(store, ["id", "image.top.rgb", "step.reward"], 99, seed=seed)
        assert sorted(batch["id"]) == ["a-0", "a-0", "a-1", "a-1", "a-2", "a-2"]
    assert_same(store.episode("a-1"), made(1))


def is_full(out: StoreWriter) -> bool:
    waiting = out._spool.waiting()
    return bool(waiting) and not out._spool.has_room(min(m.num_bytes for m in waiting) - 500)


def test_storage_that_goes_away_holds_the_writer_up_and_nothing_is_lost(local, tmp_path):
    shared, lines = tmp_path / "store", []
    out = StoreWriter(
        local,
        "w",
        spool=tmp_path / "spool",
        spool_bytes=16_000,
        shard_episodes=1,
        report=lines.append,
    )
    out.add(made(0))
    out.flush()
    take_away(shared)
    added = []

    def add() -> None:
        for number in range(1, 20):
            out.add(made(number))
            added.append(number)

    adding = threading.Thread(target=add, daemon=True)
    adding.start()
    wait_until(lambda: lines and is_full(out))
    assert adding.is_alive()
    assert 0 < len(added) < 8  # two more than wait: those that are being made
    bring_back(shared)
    adding.join()
    out.close()
    assert sorted(local.episode_ids()) == sorted(f"a-{number}" for number in range(20))
    assert verify(local).repeats == 0
    assert "cannot be written, shards wait in" in lines[0]
    assert "can be written again, after" in lines[-1]
    assert not [f for f in (tmp_path / "spool").rglob("*") if f.is_file()]


LEFT = """
import os, shutil, signal, sys, time
from pathlib import Path
from tests.conftest import take_away
from tests.episodes.store.conftest import made
from troupe.episodes.store import StoreWriter, open_store
folder = Path(sys.argv[1])
store = open_store(folder / "store")
out = StoreWriter(store, "dead", spool=folder / "spool", shard_episodes=2)
take_away(folder / "store")
for number in range(6):
    out.add(made(number))
while len(out._spool.waiting()) < 3:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_in_the_spool_is_brought_in_by_the_next(local, tmp_path):
    assert run(LEFT, tmp_path).returncode == -signal.SIGKILL
    bring_back(tmp_path / "store")
    assert local.episode_ids() == []
    with StoreWriter(local, "living", spool=tmp_path / "spool") as out:
        assert not out.add(made(3))
        assert out.add(made(6))
    assert sorted(local.episode_ids()) == [f"a-{number}" for number in range(7)]
    for number in range(7):
        assert_same(local.episode(f"a-{number}"), made(number))


def test_the_spool_of_a_living_writer_is_its_own(local, tmp_path):
    one = StoreWriter(local, "one", spool=tmp_path / "spool")
    two = StoreWriter(local, "two", spool=tmp_path / "spool")
    assert one._spool.path.is_dir()
    assert one._spool.path != two._spool.path
    one.add(made(0))
    one.close()
    two.add(made(1))
    two.close()
    assert sorted(local.episode_ids()) == ["a-0", "a-1"]


FULL = """
import resource
from pathlib import Path
import sys
from tests.episodes.store.conftest import SCHEMA, made
from troupe.episodes.store import StoreWriter, create_store
store = create_store("memory://full/store", SCHEMA)
lines = []
out = StoreWriter(store, "w", spool=Path(sys.argv[1]), shard_episodes=2, report=lines.append)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for number in range(5):
    out.add(made(number))
out.close()
assert len(store.episode_ids()) == 5
assert store.query("SELECT count(DISTINCT id) AS n FROM episodes")["n"].to_pylist() == [5]
assert "is full: OSError: [Errno 27] File too large" in lines[0], lines
"""


BOTH_FULL = """
import resource, sys, time
from pathlib import Path
from tests.conftest import wait_until
from tests.episodes.store.conftest import SCHEMA, made
from troupe.episodes.store import StoreWriter, create_store, verify, writer
writer.FIRST_PAUSE_S = 0.01
folder = Path(sys.argv[1])
store = create_store(folder / "store", SCHEMA)
lines = []
out = StoreWriter(store, "w", spool=folder / "spool", shard_episodes=2, report=lines.append)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
out.add(made(0))
out.add(made(1))
wait_until(lambda: lines)
assert "is full: OSError: [Errno 27] File too large" in lines[0], lines
time.sleep(0.1)
assert store.episode_ids() == []
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
out.add(made(2))
out.close()
assert sorted(store.episode_ids()) == ["a-0", "a-1", "a-2"]
assert not verify(store).wrong
assert not list(folder.rglob("*.part"))
"""


def test_full_disks_here_and_there_hold_the_writer_up_until_there_is_room(tmp_path):
    done = run(BOTH_FULL, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_here_does_not_stop_what_storage_can_take(tmp_path):
    done = run(FULL, tmp_path / "spool")
    assert done.returncode == 0, done.stderr


def fail_while_storage_is_away(store, folder) -> None:
    with StoreWriter(store, "w", spool=folder / "spool") as out:
        out.add(made(0))
        take_away(folder / "store")
        raise ZeroDivisionError


def test_an_error_of_the_collector_is_not_hidden_by_storage_that_is_away(local, tmp_path):
    with pytest.raises(ZeroDivisionError) as failure:
        fail_while_storage_is_away(local, tmp_path)
    assert "1 shards wait in '" in failure.value.__notes__[0]
    bring_back(tmp_path / "store")
    StoreWriter(local, "next", spool=tmp_path / "spool").close()
    assert local.episode_ids() == ["a-0"]


def test_an_error_in_a_thread_ends_the_wait_for_storage_and_acknowledges_nothing(
    local, tmp_path, monkeypatch
):
    go, make_shard = threading.Event(), writer.make_shard

    def fail(table, schema, writer_id, sequence):
        if sequence == 2:
            go.wait()
            raise ZeroDivisionError
        return make_shard(table, schema, writer_id, sequence)

    def go_on() -> None:
        go.set()
        bring_back(tmp_path / "store")

    monkeypatch.setattr(writer, "make_shard", fail)
    few = {"shard_episodes": 1, "spool_bytes": 1}
    out = StoreWriter(local, "w", spool=tmp_path / "spool", **few)
    take_away(tmp_path / "store")
    for number in range(3):  # one waits in the spool, one for room there, and one fails
        out.add(made(number))
    threading.Timer(0.2, go_on).start()
    with pytest.raises(ZeroDivisionError):
        out.flush()
    with pytest.raises(ZeroDivisionError):
        out.close()


def test_shards_come_in_the_order_in_which_they_were_filled(local, tmp_path, monkeypatch):
    order, overtaken = [], threading.Event()
    make_shard, add = writer.make_shard, Spool.add

    def make(table, schema, writer_id, sequence):
        if sequence == 0:
            overtaken.wait(0.3)
        return make_shard(table, schema, writer_id, sequence)

    def note(self, manifest, content):
        order.append(manifest.sequence)
        add(self, manifest, content)
        overtaken.set()

    monkeypatch.setattr(writer, "make_shard", make)
    monkeypatch.setattr(Spool, "add", note)
    with StoreWriter(local, "w", spool=tmp_path / "spool", shard_episodes=1) as out:
        for number in range(2):
            out.add(made(number))
    assert order == [0, 1]


def no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_of_a_full_disk_none_overtakes_those_that_wait(local, tmp_path, monkeypatch):
    order, told, overtaken = [], threading.Event(), threading.Event()
    put = StoreWriter._put

    def slow(self, manifest, content):
        if isinstance(content, Path):
            told.wait()
            overtaken.wait(0.3)
        put(self, manifest, content)
        order.append(manifest.sequence)
        overtaken.set()

    monkeypatch.setattr(StoreWriter, "_put", slow)
    options = {"shard_episodes": 1, "report": lambda line: told.set()}
    with StoreWriter(local, "w", spool=tmp_path / "spool", **options) as out:
        out.add(made(0))
        wait_until(out._spool.waiting)
        monkeypatch.setattr(Spool, "add", no_room)
        out.add(made(1))
    assert order == [0, 1]


def test_storage_that_hangs_while_the_disk_is_full_keeps_nobody_longer_than_asked(
    local, tmp_path, monkeypatch
):
    go, put = threading.Event(), StoreFiles.put

    def hang(*given) -> None:
        go.wait(5)
        put(*given)

    monkeypatch.setattr(Spool, "add", no_room)
    monkeypatch.setattr(StoreFiles, "put", hang)
    out = StoreWriter(local, "w", spool=tmp_path / "spool", shard_episodes=1)
    out.add(made(0))
    out.add(made(1))
    with pytest.raises(NotAcknowledgedError):
        out.flush(0.05)
    with pytest.raises(NotAcknowledgedError, match="no room for 2 more"):
        out.close(0.0)
    assert local.episode_ids() == []
    go.set()
    for thread in out._encoders._threads:
        thread.join()
    assert local.episode_ids() == ["a-0"]  # and nothing is begun any more


def test_a_store_that_cannot_be_read_leaves_no_spool(local, tmp_path):
    (tmp_path / "store" / "manifests").mkdir()
    (tmp_path / "store" / "manifests" / "w.00000000.0.json").write_text("{")
    with pytest.raises(TroupeError, match="cannot be read"):
        StoreWriter(local, "w", spool=tmp_path / "spool")
    assert not (tmp_path / "spool").exists()


@pytest.mark.slow
def test_killed_at_random_each_acknowledged_episode_is_there_exactly_once(tmp_path):
    command = [sys.executable, "-m", "benchmarks.store_storm", str(tmp_path / "store")]
    few = ["--writers", "3", "--readers", "1", "--kills", "12", "--every-s", "0.4"]
    done = subprocess.run(
        [*command, str(tmp_path), *few], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 12
    assert found["acknowledged"] > 0
    assert [found[what] for what in ("lost", "twice", "torn", "wrong_looks")] == [[]] * 4
    assert found["spool_files_left"] == 0
    assert not found["verification"]["wrong"]

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from troupe.core import UserError
from troupe.learning.replay_ring import HEADER_SIZE, Ring, RingWriter

DTYPE = np.dtype([("number", np.int64), ("values", np.float32, (3,)), ("last", np.int64)])

APPEND_FOREVER = """
import sys, numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_replay_ring import DTYPE, numbered
from troupe.learning.replay_ring import RingWriter
writer = RingWriter(Path(sys.argv[1]), DTYPE, 1000)
rng = np.random.default_rng(0)
while True:
    writer.append(numbered(writer.count, int(rng.integers(1, 400))))
"""


def numbered(first: int, num_records: int) -> np.ndarray:
    """Records of which each field tells which record it is."""
    records = np.zeros(num_records, DTYPE)
    records["number"] = records["last"] = first + np.arange(num_records)
    records["values"] = (records["number"] % 1024)[:, None]
    return records


def assert_whole(records: np.ndarray, numbers: np.ndarray) -> None:
    np.testing.assert_array_equal(records["number"], numbers)
    np.testing.assert_array_equal(records["last"], numbers)
    np.testing.assert_array_equal(records["values"], np.tile(numbers[:, None] % 1024, 3))


def read_all(ring: Ring) -> np.ndarray:
    """Check all records that are there, and return their numbers."""
    numbers = np.arange(ring.oldest, ring.count)
    records, whole = ring.read(numbers)
    assert_whole(records[whole], numbers[whole])
    return numbers[whole]


@pytest.fixture
def appending(tmp_path):
    """A process that appends for ever, once it has begun."""
    path = tmp_path / "a.ring"
    command = [sys.executable, "-c", APPEND_FOREVER, str(path), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    yield path, process
    process.kill()
    process.communicate()


def test_the_newest_records_stay(tmp_path):
    with RingWriter(tmp_path / "a.ring", DTYPE, 10) as writer:
        writer.append(numbered(0, 4))
        ring = Ring(tmp_path / "a.ring")
        np.testing.assert_array_equal(read_all(ring), np.arange(4))
        writer.append(numbered(4, 9))
        np.testing.assert_array_equal(read_all(ring), np.arange(3, 13))
        writer.append(numbered(13, 25))  # more than it holds
        np.testing.assert_array_equal(read_all(ring), np.arange(28, 38))
        _, whole = ring.read(np.array([-1, 27, 28, 37, 38]))
        assert whole.tolist() == [False, False, True, True, False]


def test_reopened_it_goes_on(tmp_path):
    for first in (0, 7):
        with RingWriter(tmp_path / "a.ring", DTYPE, 10) as writer:
            assert writer.count == first
            writer.append(numbered(first, 7))
    np.testing.assert_array_equal(read_all(Ring(tmp_path / "a.ring")), np.arange(4, 14))


def test_content_can_be_replaced(tmp_path):
    with RingWriter(tmp_path / "a.ring", DTYPE, 10) as writer:
        writer.append(numbered(0, 38))
        writer.replace(numbered(20, 4), 24)
        np.testing.assert_array_equal(read_all(writer), np.arange(20, 24))
        writer.append(numbered(24, 8))
        np.testing.assert_array_equal(read_all(writer), np.arange(22, 32))


def test_a_killed_writer_leaves_whole_records_and_the_next_goes_on(appending):
    path, process = appending
    ring = Ring(path)
    for _ in range(20):
        while ring.count < 5000:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        break
    count = ring.count
    assert len(read_all(ring)) == count - ring.oldest > 500
    with RingWriter(path, DTYPE, 1000) as writer:
        assert writer.count == count
        writer.append(numbered(count, 300))
        assert read_all(ring)[-1] == count + 299


def test_a_writer_cut_off_in_mid_append_leaves_what_was_whole(tmp_path):
    path = tmp_path / "a.ring"
    with RingWriter(path, DTYPE, 10) as writer:
        writer.append(numbered(0, 12))
        # as if it died within an append of 5, after 2
        writer._counters[1] = 17
        writer._records[[2, 3]] = numbered(12, 2)
    ring = Ring(path)
    np.testing.assert_array_equal(read_all(ring), np.arange(7, 12))
    with RingWriter(path, DTYPE, 10) as writer:
        writer.append(numbered(12, 2))
        np.testing.assert_array_equal(read_all(ring), np.arange(7, 14))
        writer.append(numbered(14, 4))
        np.testing.assert_array_equal(read_all(ring), np.arange(8, 18))


def test_readers_see_only_whole_records_while_a_writer_appends(appending):
    path, process = appending
    ring = Ring(path)
    while ring.count < 2000:
        time.sleep(0.001)
    seen = []
    rng = np.random.default_rng(0)
    for _ in range(300):
        numbers = rng.integers(ring.oldest, ring.count, 64)
        records, whole = ring.read(numbers)
        assert_whole(records[whole], numbers[whole])
        seen.append(ring.count)
    assert process.poll() is None
    assert seen[-1] > seen[0]


def test_there_is_one_writer(tmp_path):
    path = tmp_path / "a.ring"
    with (
        RingWriter(path, DTYPE, 10),
        pytest.raises(UserError, match=r"a\.ring' has another writer"),
    ):
        RingWriter(path, DTYPE, 10)
    RingWriter(path, DTYPE, 10).close()


def test_other_records_or_another_capacity_are_refused(tmp_path):
    path = tmp_path / "a.ring"
    RingWriter(path, DTYPE, 10).close()
    other = np.dtype([("number", np.int64), ("values", np.float32, (4,))])
    with pytest.raises(UserError, match=r"holds records \(number int64\[\], values float32\[3\]"):
        RingWriter(path, other, 10)
    with pytest.raises(UserError, match="has a capacity of 10 records, not 20"):
        RingWriter(path, DTYPE, 20)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:100], "is not a ring file of the format troupe-ring-1"),
        (lambda b: b[:64] + b"x" + b[65:], "is not a ring file"),
        (lambda b: b[:90] + b"x" + b[91:], "header's checksum does not fit"),
        (lambda b: b[:-1], rf"it has {HEADER_SIZE + 279} bytes, not {HEADER_SIZE + 280}"),
        (lambda b: (9).to_bytes(8, "little") + b[8:], "it counts 9 of 4 records"),
    ],
    ids=["short", "magic", "description", "records", "counters"],
)
def test_a_damaged_file_is_refused(tmp_path, damage, message):
    path = tmp_path / "a.ring"
    with RingWriter(path, DTYPE, 10) as writer:
        writer.append(numbered(0, 4))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        Ring(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.ring' does not exist"):
        Ring(tmp_path / "none.ring")
    assert not list(tmp_path.iterdir())

from dataclasses import fields

import numpy as np
import pytest

from troupe.engines.host.messages import from_bytes, to_bytes
from troupe.fleet.serving.batch import Batch, decode_batch, encode_batch, join_batches


def make(ids, ended=(), faults=()):
    rng = np.random.default_rng(sum(ids))
    num, num_ended = len(ids), len(ended)
    return Batch(
        ids=np.array(ids),
        observation=rng.integers(0, 256, (num, 7, 5, 3), np.uint8),
        reward=rng.normal(size=num),
        terminated=np.zeros(num, np.bool_),
        truncated=np.isin(np.arange(num), ended),
        episode=rng.integers(0, 9, num),
        time_ns=rng.integers(0, 2**60, num),
        ended=np.array(ended, np.int64),
        final_observation=rng.integers(0, 256, (num_ended, 7, 5, 3), np.uint8),
        metrics={"error_m": rng.normal(size=num_ended)},
        faults=list(faults),
    )


def assert_equal(one, other):
    for field in fields(Batch):
        found, expected = getattr(one, field.name), getattr(other, field.name)
        if field.name == "metrics":
            assert found.keys() == expected.keys()
            found, expected = (list(m.values()) for m in (found, expected))
        if field.name != "faults":
            assert np.asarray(found).dtype == np.asarray(expected).dtype
        assert np.array_equal(found, expected), field.name


@pytest.mark.parametrize(
    "batch", [make([3]), make([2, 0], ended=[1]), make([5], [0], [(5, "it diverged")]), make([])]
)
def test_a_batch_survives_its_message(batch):
    assert_equal(decode_batch(from_bytes(to_bytes(encode_batch(batch)))), batch)


def test_images_travel_as_their_bytes():
    batch = make(range(50))
    size = len(to_bytes(encode_batch(batch)))
    assert size < batch.observation.nbytes + 50 * 40 + 1000


def test_joined_batches_in_order_keep_what_belongs_together():
    parts = [make([4, 1], ended=[0]), make([0]), make([3, 2], ended=[0, 1], faults=[(2, "x")])]
    joined = join_batches(parts).in_order()
    assert joined.ids.tolist() == [0, 1, 2, 3, 4]
    assert joined.ended.tolist() == [2, 3, 4]
    assert joined.faults == [(2, "x")]
    for part in parts:
        rows = np.searchsorted(joined.ids, part.ids)
        assert np.array_equal(joined.observation[rows], part.observation)
        assert np.array_equal(joined.truncated[rows], part.truncated)
        for k, row in enumerate(part.ended):
            (place,) = np.flatnonzero(joined.ids[joined.ended] == part.ids[row])
            assert np.array_equal(joined.final_observation[place], part.final_observation[k])
            assert joined.metrics["error_m"][place] == part.metrics["error_m"][k]

import numpy as np
import pytest

from troupe.core.json_values import object_array, stored, unstored
from troupe.fleet.division import divide, join_snapshots, replaced, split_snapshot


def test_snapshots_of_different_length_are_joined_and_split_again() -> None:
    values = [object_array([{"a": 1}, None]), object_array([["a longer text", 2.5]])]
    snapshots = [
        {
            "json": stored(v),
            "acted": np.full((len(v), rows, 3), float(rows)),
            "state": np.ones(len(v)),
        }
        for v, rows in zip(values, (4, 7), strict=True)
    ]
    joined = join_snapshots(snapshots)
    assert joined["acted"].shape == (3, 7, 3)
    assert joined["state"].shape == (3,)
    parts = split_snapshot(joined, divide(3, 2))
    for part, value, rows in zip(parts, values, (4, 7), strict=True):
        assert unstored(part["json"], np.dtype(object)).tolist() == value.tolist()
        np.testing.assert_array_equal(part["acted"][:, :rows], float(rows))
        np.testing.assert_array_equal(part["acted"][:, rows:], 0.0)


@pytest.mark.parametrize(("first", "rows"), [(0, 2), (1, 9), (3, 5)])
def test_a_range_of_a_snapshot_is_replaced(first: int, rows: int) -> None:
    snapshot = {"acted": np.arange(4.0)[:, None] * np.ones((4, 5))}
    part = {"acted": np.full((1, rows), -1.0)}
    found = replaced(snapshot, part, first)["acted"]
    assert found.shape == (4, max(5, rows))
    np.testing.assert_array_equal(found[first, :rows], -1.0)
    others = [i for i in range(4) if i != first]
    np.testing.assert_array_equal(found[others, :5], snapshot["acted"][others])
    np.testing.assert_array_equal(found[others, 5:], 0.0)

import uuid

import numpy as np
import pytest

from troupe.episodes.store import EpisodeRecord, StoreSchema, create_store


def made(number: int, num_steps: int = 5, prefix: str = "a") -> EpisodeRecord:
    """An episode that its number decides."""
    rng = np.random.default_rng(number)
    return EpisodeRecord(
        id=f"{prefix}-{number}",
        about={
            "seed": number,
            "success": bool(number % 2),
            "score": number / 2,
            "object": "can" if number % 3 else "box",
        },
        draws={"mass": 0.1 * number, "colour": [0.5, 0.25, number], "light": "dim"},
        steps={
            "action": rng.normal(size=(num_steps, 3)).astype(np.float32),
            "reward": np.arange(num_steps, dtype=np.float32) + number,
            "terminated": np.arange(num_steps) == num_steps - 1,
        },
        images={
            "top.rgb": rng.integers(0, 255, (2, 6, 8, 3), np.uint8),
            "top.depth": rng.random((2, 6, 8)).astype(np.float32),
            "top.mask": rng.integers(0, 60_000, (2, 6, 8)).astype(np.uint16),
        },
        frames={
            name: np.array([0, num_steps - 1]) for name in ("top.rgb", "top.depth", "top.mask")
        },
    )


SCHEMA = StoreSchema.of(made(0))


def assert_same(found: EpisodeRecord, expected: EpisodeRecord) -> None:
    assert (found.id, found.about, found.draws) == (expected.id, expected.about, expected.draws)
    for kind in ("steps", "images", "frames"):
        mine, theirs = getattr(found, kind), getattr(expected, kind)
        assert mine.keys() == theirs.keys()
        for name, values in theirs.items():
            np.testing.assert_array_equal(mine[name], values)
            assert kind == "frames" or mine[name].dtype == values.dtype


@pytest.fixture(params=["path", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def url(request, tmp_path):
    """Where a store of each kind of storage may be."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/store"
    return str(tmp_path / "store")


@pytest.fixture
def local(tmp_path):
    """An empty store on this machine."""
    return create_store(tmp_path / "store", SCHEMA)

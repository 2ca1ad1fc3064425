import json

import numpy as np
import pytest

from troupe.episodes.store import (
    EpisodeRecord,
    Store,
    StoreSchema,
    StoreWriter,
    create_store,
    open_store,
)

STEP_NS = 20_000_000
CONFIG = {"name": "scara-reach"}


def attempt(number: int, num_steps: int | None = None) -> EpisodeRecord:
    """An episode that its number decides, as it is collected with images of every step."""
    rng = np.random.default_rng(number)
    length = num_steps or 4 + number
    seen = rng.normal(size=(length + 1, 4)).astype(np.float32)
    images = {
        # of one colour each, which survives any film
        "top.rgb": np.tile(rng.integers(0, 255, (length + 1, 1, 1, 1), np.uint8), (1, 16, 32, 3)),
        "top.depth": rng.random((length + 1, 6, 8)).astype(np.float32),
    }
    return EpisodeRecord(
        id=f"reach-{number}",
        about={
            "experiment": "reach",
            "config": "c0",
            "seed": 7,
            "success": float(number % 2),
            "terminated": number % 3 == 0,
            "length": length,
        },
        draws={"mass": 0.1 * number, "colour": [0.5, 0.25, float(number)], "light": "dim"},
        steps={
            "action": rng.normal(size=(length, 2)).astype(np.float32),
            "reward": rng.normal(size=length).astype(np.float32),
            "time_ns": np.arange(length) * STEP_NS,
            "arm.joint_position": rng.normal(size=(length, 3)).astype(np.float32),
            "arm.grip": rng.normal(size=length),
            "contact": rng.random(length) < 0.5,
            "force": rng.normal(size=(length, 2, 3)).astype(np.float32),
            "observation": seen[:-1],
            "next_observation": seen[1:],
        },
        images=images,
        frames=dict.fromkeys(images, np.arange(length + 1, dtype=np.int32)),
    )


def write(place, records) -> Store:
    store = create_store(place, StoreSchema.of(records[0]))
    with StoreWriter(store, "w", shard_episodes=2) as out:
        for record in records:
            out.add(record)
    return open_store(place)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path) -> Store:
    """Five episodes in three shards, with the experiment that they are from."""
    store = write(tmp_path / "reach", [attempt(number) for number in range(5)])
    store.files.put_new("experiments/c0.json", json.dumps(CONFIG).encode())
    return store

"""The episode store beside bare pyarrow: the same columns, written and scanned.

Episodes of 100 steps of 7 joints, one image. The bare writer encodes the same images, makes
the same columns with pyarrow and writes them with zstd; the bare reader scans the same columns of
the same files. Beside the time that passes, the time of the processor counts: the store uses
threads, which help only where a core is free.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Options, Spread, Table, in_turn, ratio, write_result
from troupe.episodes.store import (
    EpisodeRecord,
    Store,
    StoreSchema,
    StoreWriter,
    create_store,
    open_store,
)
from troupe.episodes.store.images import encode
from troupe.episodes.store.loader import batches

MUST = 0.7
NUM_STEPS, SHARD_EPISODES, BATCH = 100, 256, 1024
COLUMNS = ("step.observation", "step.action", "step.reward")

Speeds = tuple[float, float]
"""A second that passes, and a second of the processor."""


def run(options: Options) -> None:
    """Measure writing with and without images, then reading, and write the result."""
    folder = options.out / "store"
    rounds = options.choose(7, 1, options.rounds)
    rows: list[list[str]] = []
    measured: dict[str, Any] = {}
    for kind, size_px, full in (("steps", 0, 4096), ("steps and images", 128, 1024)):
        records = episodes(options.choose(full, SHARD_EPISODES), size_px)
        write_store(folder, records[:1])  # what is imported then is not measured
        found = in_turn(
            {
                "store": partial(write_store, folder, records),
                "pyarrow": partial(write_bare, folder, records),
            },
            rounds,
        )
        rows.append(_row(f"write {kind}, episodes/s", found, "store"))
        measured[f"write {kind}"] = found
    write_store(folder, episodes(options.choose(4096, SHARD_EPISODES), 0))
    store = open_store(folder / "store")
    readers: dict[str, Callable[[], Speeds]] = {
        "batches": partial(read, store, None),
        "shuffled batches": partial(read, store, 0),
        "pyarrow": partial(scan, store),
    }
    found = in_turn(readers, rounds)
    for name in ("batches", "shuffled batches"):
        rows.append(_row(f"read {name}, steps/s", found, name))
    measured["read"] = found
    header = ["what", "store", "pyarrow", "store / pyarrow", "must", "of processor time"]
    table = Table("Episode store", header, rows)
    print(table)
    shutil.rmtree(folder)
    write_result("store", options, [table], measured=measured)


def episodes(number: int, size_px: int) -> list[EpisodeRecord]:
    """Return episodes, with an image if its size is not 0."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(number):
        images = {}
        if size_px:
            coarse = rng.integers(0, 255, (1, size_px // 8, size_px // 8, 3), np.uint8)
            images["top.rgb"] = coarse.repeat(8, axis=1).repeat(8, axis=2)
        steps = {
            "observation": rng.normal(size=(NUM_STEPS, 24)).astype(np.float32),
            "action": rng.normal(size=(NUM_STEPS, 7)).astype(np.float32),
            "reward": rng.normal(size=NUM_STEPS).astype(np.float32),
            "terminated": np.arange(NUM_STEPS) == NUM_STEPS - 1,
        }
        about = {"seed": i, "success": bool(i % 2), "object": f"object {i % 10}"}
        frames = {name: np.zeros(1, np.int32) for name in images}
        made.append(EpisodeRecord(f"grasp-{i}", about, {"mass": i / 7}, steps, images, frames))
    return made


def write_store(folder: Path, records: Sequence[EpisodeRecord]) -> Speeds:
    """Return the episodes a second until all have been acknowledged."""
    shutil.rmtree(folder, ignore_errors=True)
    speeds = _watch()
    store = create_store(folder / "store", StoreSchema.of(records[0]))
    options = {"shard_episodes": SHARD_EPISODES, "spool": folder / "spool"}
    with StoreWriter(store, "writer", **options) as writer:  # type: ignore[arg-type]
        for record in records:
            writer.add(record)
    return speeds(len(records))


def write_bare(folder: Path, records: Sequence[EpisodeRecord]) -> Speeds:
    """Return the episodes a second of a loop that encodes, makes tables and writes them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    speeds = _watch()
    for begin in range(0, len(records), SHARD_EPISODES):
        some = records[begin : begin + SHARD_EPISODES]
        columns: dict[str, Any] = {"id": [r.id for r in some]}
        for name in some[0].about:
            columns[name] = [r.about[name] for r in some]
        columns["mass"] = [r.draws["mass"] for r in some]
        for name in some[0].steps:
            columns[name] = _nested([r.steps[name] for r in some])
        for name in some[0].images:
            images = [[encode(image, "png") for image in r.images[name]] for r in some]
            columns[name] = pa.array(images, pa.list_(pa.large_binary()))
            columns[f"frame {name}"] = _nested([r.frames[name] for r in some])
        # as fast as it gets: dictionaries and statistics would double the time
        file = folder / f"{begin}.parquet"
        plain = {"use_dictionary": False, "write_statistics": False}
        pq.write_table(pa.table(columns), file, compression="zstd", **plain)
    return speeds(len(records))


def read(store: Store, seed: int | None) -> Speeds:
    """Return the steps a second of batches."""
    speeds = _watch()
    found = batches(store, COLUMNS, BATCH, seed=seed)
    return speeds(sum(len(batch["step.reward"]) for batch in found))


def scan(store: Store) -> Speeds:
    """Return the steps a second of a loop over the same files with pyarrow, as numpy arrays."""
    speeds = _watch()
    num_steps = 0
    for path in sorted(Path(store.files.path("shards")).glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for rows in file.iter_batches(SHARD_EPISODES, columns=list(COLUMNS)):
                arrays = [rows[name].flatten() for name in COLUMNS]
                values = [a.flatten().to_numpy() for a in arrays[:2]] + [arrays[2].to_numpy()]
                num_steps += len(values[2])
    return speeds(num_steps)


def _watch() -> Callable[[int], Speeds]:
    """Return what tells, of a number of things done since now, how fast that was."""
    began, began_processor = time.perf_counter(), time.process_time()

    def speeds(number: int) -> Speeds:
        wall_s, processor_s = time.perf_counter() - began, time.process_time() - began_processor
        return number / wall_s, number / processor_s

    return speeds


def _nested(arrays: Sequence[Any]) -> pa.Array:
    """Return a list for each episode, of lists where a step's value has a shape."""
    values = pa.array(np.concatenate(arrays).reshape(-1))
    if arrays[0].ndim > 1:
        inner = np.arange(0, len(values) + 1, arrays[0].shape[1], dtype=np.int32)
        values = pa.ListArray.from_arrays(inner, values)
    ends = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, values)


def _row(what: str, found: Mapping[str, Sequence[Speeds]], name: str) -> list[str]:
    (wall, processor), (bare, bare_processor) = (
        zip(*found[contender], strict=True) for contender in (name, "pyarrow")
    )
    return [
        what,
        str(Spread.of(wall)),
        str(Spread.of(bare)),
        str(ratio(wall, bare)),
        f"≥ {MUST}",
        str(ratio(processor, bare_processor)),
    ]

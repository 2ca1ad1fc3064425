"""What a run leaves behind while it learns: metrics, episodes, faults, TensorBoard events."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from troupe.episodes import EpisodeTable
from troupe.fleet.runs import RunDirectory
from troupe.fleet.sampler import FaultRecord, Sample

FLUSH_EVERY_S = 5.0


class Recorder:
    """Collects a row of figures for each update and writes them from time to time."""

    def __init__(self, run: RunDirectory, updates: int) -> None:
        """Record into a run that has done a number of updates.

        What an earlier sitting recorded beyond them is removed: it will be recorded again.
        """
        self._run = run
        self._seed = run.experiment().seed
        self._rows = [row for row in _rows(run) if row["update"] <= updates]
        self._num_written = len(self._rows)
        self._episodes: list[EpisodeTable] = []
        self._events = EventFileWriter(str(run.path / "tensorboard"))
        self._flushed = time.monotonic()
        steps = self._rows[-1]["steps"] if self._rows else 0
        for path in (run.path / "episodes").glob("*.parquet"):
            if int(path.stem) > steps:
                path.unlink()

    def __enter__(self) -> Recorder:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write everything and close the files."""
        self.flush()
        self._events.close()

    def update(self, row: Mapping[str, float], sample: Sample | None = None) -> None:
        """Record an update's figures, and the episodes that ended and the faults in its sample.

        An update that learned from a store has no sample.
        """
        self._rows.append(row)
        if sample is not None:
            self.ended(sample)
        if time.monotonic() - self._flushed > FLUSH_EVERY_S:
            self.flush()

    def ended(self, sample: Sample) -> None:
        """Record the episodes that ended and the faults in a sample."""
        self._episodes.append(sample.episodes)
        self._append_faults(sample.faults)

    def flush(self) -> None:
        """Write everything that was recorded."""
        is_new = self._episodes or self._num_written < len(self._rows)
        if not self._rows or not is_new:
            return
        names = self._rows[-1].keys()
        columns = {n: np.array([row.get(n, np.nan) for row in self._rows]) for n in names}
        steps = int(self._rows[-1]["steps"])
        if tables := self._episodes:
            joined = {n: np.concatenate([t[n] for t in tables]) for n in tables[0]}
            if len(joined["return"]):
                self._run.write_episodes(steps, joined)
        self._run.write_table("metrics.parquet", columns)
        for row in self._rows[self._num_written :]:
            self._write_events(row)
        self._events.flush()
        self._episodes, self._num_written = [], len(self._rows)
        self._flushed = time.monotonic()

    def _append_faults(self, faults: Sequence[FaultRecord]) -> None:
        """Append the engines' failures to ``faults.jsonl``, with what reproduces them."""
        if faults:
            lines = [{"seed": self._seed, **vars(fault)} for fault in faults]
            self._run.append_json("faults.jsonl", lines)

    def _write_events(self, row: Mapping[str, Any]) -> None:
        values = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in row.items()
            if name not in ("update", "steps")
        ]
        event = Event(wall_time=time.time(), step=int(row["steps"]), summary=Summary(value=values))
        self._events.add_event(event)


def _rows(run: RunDirectory) -> list[Mapping[str, float]]:
    columns = run.read_table("metrics.parquet")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

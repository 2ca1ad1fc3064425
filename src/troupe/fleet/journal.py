"""What has arrived since the last checkpoint, in a file: a learner that died learns it again."""

from __future__ import annotations

import json
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from troupe.core.json_values import to_json
from troupe.episodes import Fragment
from troupe.fleet.division import Snapshot
from troupe.fleet.sampler import FaultRecord, Sample

Arrays = dict[str, npt.NDArray[Any]]

LONG = 2**28
"""Bytes after which a checkpoint is due, which begins a new file."""

_HEAD = struct.Struct("<QI")
"""Before each record: its length in bytes, and their CRC-32."""


@dataclass(frozen=True)
class Arrival:
    """Steps that arrived at the learner.

    Attributes:
        version: of the newest policy at that time.
        first_instance: global id of the first instance that `snapshot` is of.
        sample: the steps.
        snapshot: of these instances, after the steps.
    """

    version: int
    first_instance: int
    sample: Sample
    snapshot: Snapshot


class Journal:
    """A file of a run that grows with all that arrives until the next checkpoint.

    What was written survives the death of this process at any time; a record that death cut short
    is as if it had not arrived. After each checkpoint a new file begins, and the old one goes.

    Attributes:
        arrivals: of an earlier sitting since the checkpoint, the oldest first.
        num_steps: in `arrivals` when the file was read.
        num_asked: steps that workers have been asked for and that did not arrive yet.
        num_lost: steps that died with a worker, or with an earlier learner, since the checkpoint.
    """

    def __init__(self, folder: Path | None = None, steps: int = 0) -> None:
        """Read what an earlier sitting kept.

        Args:
            folder: for the files; None to keep nothing.
            steps: of the run at the checkpoint that it goes on from; 0 before the first.
        """
        self._folder = folder
        self._file: BinaryIO | None = None
        self.arrivals: deque[Arrival] = deque()
        self.num_steps = 0
        self.num_asked = 0
        self.num_lost = 0
        self._steps = steps
        self._size = 0
        if folder is not None and self._path(folder).is_file():
            self._read(self._path(folder).read_bytes())

    @property
    def is_long(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._size > LONG

    def arrived(self, arrival: Arrival) -> None:
        """Keep steps that have just arrived."""
        faults = [vars(fault) for fault in arrival.sample.faults]
        about = {
            "version": arrival.version,
            "first_instance": arrival.first_instance,
            "faults": faults,
        }
        parts = {**sample_to_arrays(arrival.sample), **_under("snapshot/", arrival.snapshot)}
        self._append("arrived", about, parts)

    def asked(self, num_steps: int) -> None:
        """Keep that a worker was asked for steps."""
        self.num_asked += num_steps
        self._append("asked", {"steps": num_steps})

    def answered(self, num_steps: int) -> None:
        """Keep that steps that were asked for are not to be expected any more."""
        self.num_asked -= num_steps
        self._append("answered", {"steps": num_steps})

    def lost(self, num_steps: int) -> None:
        """Keep that steps were lost."""
        self._append("lost", {"steps": num_steps})

    def begin(self, steps: int) -> None:
        """Begin a new file: a checkpoint at a number of steps holds what was in this one."""
        self.close()
        self._steps, self._size = steps, 0
        if self._folder is not None:
            for path in self._folder.glob("*.journal"):
                path.unlink()
        if self.num_asked:
            self._append("asked", {"steps": self.num_asked})
        for arrival in self.arrivals:  # not taken yet, so the checkpoint does not hold them
            self.arrived(arrival)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _path(self, folder: Path) -> Path:
        return folder / f"{self._steps:012d}.journal"

    def _append(
        self, kind: str, about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]] = {}
    ) -> None:
        if self._folder is None:
            return
        head = np.frombuffer(to_json({"kind": kind, **about}).encode(), np.uint8)
        content = {name: np.asarray(v, order="C") for name, v in arrays.items()}
        record = save({"about": head, **content})
        if self._file is None:
            self._folder.mkdir(exist_ok=True)
            # beyond the last whole record there may be one that was cut short
            path = self._path(self._folder)
            self._file = path.open("r+b" if path.exists() else "wb", buffering=0)
            self._file.truncate(self._size)
            self._file.seek(self._size)
        whole = _HEAD.pack(len(record), zlib.crc32(record)) + record
        self._file.write(whole)
        self._size += len(whole)

    def _read(self, content: bytes) -> None:
        for record in self._records(content):
            about = json.loads(record.pop("about").tobytes())
            match about["kind"]:
                case "arrived":
                    self.arrivals.append(_arrival(about, record))
                    self.num_steps += self.arrivals[-1].sample.fragment.num_steps
                case "asked":
                    self.num_asked += about["steps"]
                case "answered":
                    self.num_asked -= about["steps"]
                case "lost":
                    self.num_lost += about["steps"]

    def _records(self, content: bytes) -> Iterator[Arrays]:
        """Yield whole records, and remember where the last one ends."""
        while len(content) >= self._size + _HEAD.size:
            length, checksum = _HEAD.unpack_from(content, self._size)
            begin = self._size + _HEAD.size
            record = content[begin : begin + length]
            if len(record) < length or zlib.crc32(record) != checksum:
                return
            self._size = begin + length
            yield load(record)


def sample_to_arrays(sample: Sample) -> Arrays:
    """Return a sample's steps and episodes, without its faults."""
    return {
        **_under("fragment/", sample.fragment.arrays()),
        **_under("episodes/", sample.episodes),
    }


def sample_from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Sample:
    """Return the sample of stored arrays."""
    fragment = Fragment.from_arrays(_part("fragment/", arrays))
    return Sample(fragment, _part("episodes/", arrays), faults=[])


def _arrival(about: Mapping[str, Any], arrays: Arrays) -> Arrival:
    stored = sample_from_arrays(arrays)
    sample = Sample(stored.fragment, stored.episodes, [_fault(f) for f in about["faults"]])
    snapshot = _part("snapshot/", arrays)
    return Arrival(about["version"], about["first_instance"], sample, snapshot)


def _fault(values: Mapping[str, Any]) -> FaultRecord:
    state = {name: np.asarray(value) for name, value in values["last_state"].items()}
    return FaultRecord(**{**values, "last_state": state})


def _under(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    return {f"{prefix}{name}": values for name, values in arrays.items()}


def _part(prefix: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

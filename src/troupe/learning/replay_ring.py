"""Ring files: the last records of one writer, in mapped memory that many readers share.

A file is a header of `HEADER_SIZE` bytes and ``capacity`` records of fixed size. Record number i,
counted from the first ever written, is in slot i modulo the capacity. The header has two counters:
the writer raises ``begun`` to where its records will end, writes them, and raises ``count`` to the
same. So records below ``count`` are complete, and those from ``begun - capacity`` on are not being
overwritten. A writer that is killed leaves ``count`` below ``begun``; the next one goes on there.
"""

from __future__ import annotations

import fcntl
import json
import os
import weakref
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError

MAGIC = b"troupe-ring-1\n"
HEADER_SIZE = 4096
_COUNTERS = 64
"""Bytes at the header's begin for the two counters; the description follows."""

Records = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


class Ring:
    """A ring file, mapped to read.

    Attributes:
        path: of the file.
        dtype: of a record.
        capacity: records that it holds at most.
    """

    _mode = "rb"

    def __init__(self, path: Path) -> None:
        """Map a file.

        Raises:
            UserError: if there is none, or it is damaged or cut short.
        """
        self.path = path
        self.dtype, self.capacity = _read_header(path)
        mapping: Any = np.memmap(path, np.uint8, "r+" if self._mode == "r+b" else "r")
        self._counters: Numbers = mapping[:16].view(np.int64)
        self._records: Records = mapping[HEADER_SIZE:].view(self.dtype)

    @property
    def count(self) -> int:
        """Number of records that were ever completed."""
        return int(self._counters[0])

    @property
    def oldest(self) -> int:
        """Number of the oldest record that is still there."""
        return max(0, int(self._counters[1]) - self.capacity)

    def read(self, numbers: Numbers) -> tuple[Records, npt.NDArray[np.bool_]]:
        """Return copies of records by number, and which of them are whole.

        A writer may overwrite the oldest ones at any time, even while they are copied.
        """
        records = self._records[numbers % self.capacity]
        return records, (numbers >= self.oldest) & (numbers < self.count)


class RingWriter(Ring):
    """The one writer of a ring file; the file is made if it does not exist."""

    _mode = "r+b"

    def __init__(self, path: Path, dtype: np.dtype[Any], capacity: int) -> None:
        """Open or make a file, and go on after its last complete record.

        Raises:
            UserError: if the file is damaged, of another kind, or has a writer.
        """
        if not path.exists():
            _create(path, dtype, capacity)
        descriptor = os.open(path, os.O_RDWR)
        self._release = weakref.finalize(self, os.close, descriptor)
        try:
            _lock(descriptor, path)
            super().__init__(path)
            self._check(dtype, capacity)
        except BaseException:
            self.close()
            raise

    def append(self, records: Records) -> None:
        """Write records, of which only the last ``capacity`` stay."""
        count, capacity = self.count, self.capacity
        end = count + len(records)
        kept = records[-capacity:]
        slots = np.arange(end - len(kept), end) % capacity
        # readers must know what is about to change, and see it only when it is whole
        self._counters[1] = max(end, int(self._counters[1]))
        self._records[slots] = kept
        self._counters[0] = end

    def replace(self, records: Records, count: int) -> None:
        """Put records in the place of all that is there.

        Args:
            records: at most ``capacity``.
            count: records that were ever completed, with these as the last.
        """
        self._counters[0] = 0
        self._records[np.arange(count - len(records), count) % self.capacity] = records
        # so that nothing older is to be seen
        self._counters[1] = count - len(records) + self.capacity
        self._counters[0] = count

    def close(self) -> None:
        """Let others write; may be called again."""
        self._release()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _check(self, dtype: np.dtype[Any], capacity: int) -> None:
        if self.dtype != dtype:
            raise UserError(
                f"ring file '{self.path}' holds records {_shown(self.dtype)}, not {_shown(dtype)}."
            )
        if self.capacity != capacity:
            raise UserError(
                f"ring file '{self.path}' has a capacity of {self.capacity} records, "
                f"not {capacity}."
            )


def _create(path: Path, dtype: np.dtype[Any], capacity: int) -> None:
    about = json.dumps({"fields": dtype.descr, "capacity": capacity}).encode()
    description = MAGIC + zlib.crc32(about).to_bytes(4, "little")
    description += len(about).to_bytes(4, "little") + about
    if _COUNTERS + len(description) > HEADER_SIZE:
        raise ValueError(f"the description of {len(dtype.descr)} fields does not fit the header")
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with aside.open("wb") as file:
        file.seek(_COUNTERS)
        file.write(description)
        file.truncate(HEADER_SIZE + capacity * dtype.itemsize)
    aside.replace(path)


def _read_header(path: Path) -> tuple[np.dtype[Any], int]:
    if not path.is_file():
        raise UserError(f"ring file '{path}' does not exist.")
    with path.open("rb") as file:
        header = file.read(HEADER_SIZE)
    begin = _COUNTERS + len(MAGIC)
    if len(header) < HEADER_SIZE or header[_COUNTERS:begin] != MAGIC:
        raise UserError(f"'{path}' is not a ring file of the format {MAGIC.decode().strip()}.")
    checksum, length = (int.from_bytes(header[begin + i : begin + i + 4], "little") for i in (0, 4))
    about = header[begin + 8 : begin + 8 + length]
    if zlib.crc32(about) != checksum:
        raise UserError(f"ring file '{path}' is damaged: its header's checksum does not fit.")
    values = json.loads(about)
    dtype = np.dtype([(name, kind, *map(tuple, shape)) for name, kind, *shape in values["fields"]])
    capacity = int(values["capacity"])
    size, expected = path.stat().st_size, HEADER_SIZE + capacity * dtype.itemsize
    if size != expected:
        raise UserError(f"ring file '{path}' is damaged: it has {size} bytes, not {expected}.")
    count, begun = np.frombuffer(header[:16], np.int64)
    if not 0 <= count <= begun:
        raise UserError(f"ring file '{path}' is damaged: it counts {count} of {begun} records.")
    return dtype, capacity


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"ring file '{path}' has another writer.") from error


def _shown(dtype: np.dtype[Any]) -> str:
    fields = (f"{name} {dtype[name].base}{list(dtype[name].shape)}" for name in dtype.names or ())
    return f"({', '.join(fields)})"

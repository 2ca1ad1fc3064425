"""Recordings: every chosen datapack of a run with its time, as Parquet.

One folder a pack, in it files that each appear whole; a row is one instance at one time. A value
with a shape is a list, flattened; shape, dtype, unit and names stand in the file's metadata. A JSON
value is its text.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from troupe.core.arrays import ArraySpec
from troupe.core.errors import TroupeError, UserError
from troupe.core.json_values import object_array

FLUSH_BYTES = 16 * 2**20
FLUSH_S = 10.0


@dataclass(frozen=True, eq=False)
class PackRecording:
    """One datapack over time.

    Attributes:
        spec: of one instance's value.
        time_ns: simulated times, (T,).
        values: (T, num_instances, ...).
    """

    spec: ArraySpec
    time_ns: npt.NDArray[np.int64]
    values: npt.NDArray[Any]


class RecordingWriter:
    """Collects samples and writes them, a file a pack, when they are many or some seconds old."""

    def __init__(self, path: Path, packs: Mapping[str, ArraySpec]) -> None:
        """Make the folder of a recording.

        Args:
            path: of the folder.
            packs: specs by name, of what will be added.
        """
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._packs = dict(packs)
        self._times: dict[str, list[int]] = {name: [] for name in packs}
        self._values: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in packs}
        self._num_bytes = 0
        self._flushed_s = time.monotonic()

    def add(self, pack: str, time_ns: int, value: npt.NDArray[Any]) -> None:
        """Keep a pack's value, (num_instances, ...), at a time.

        Raises:
            UserError: if it is to be JSON and is not.
        """
        if value.dtype.hasobject:  # at once: what the values hold may change later
            value = _json_texts(value, pack)
            self._num_bytes += sum(len(text) for text in value)
        self._times[pack].append(time_ns)
        self._values[pack].append(value)
        self._num_bytes += value.nbytes
        if self._num_bytes > FLUSH_BYTES:
            self.flush()

    def flush_if_due(self) -> None:
        """Write what is older than some seconds."""
        if time.monotonic() - self._flushed_s > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was collected.

        Raises:
            TroupeError: if it cannot be written.
        """
        for pack, times in self._times.items():
            if times:
                values = np.stack(self._values[pack])
                with _writing(self._path):
                    self._write(pack, np.asarray(times, np.int64), values)
                self._times[pack], self._values[pack] = [], []
        self._num_bytes, self._flushed_s = 0, time.monotonic()

    def _write(self, pack: str, times: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        folder = self._path / pack.replace("%", "%25").replace("/", "%2F")
        folder.mkdir(exist_ok=True)
        file = folder / f"{times[0]:020d}.parquet"
        aside = file.with_suffix(".part")
        pq.write_table(_table(self._packs[pack], times, values), aside)
        aside.replace(file)


def read_recording(path: Path) -> dict[str, PackRecording]:
    """Return all packs of a recording by name; none if there is no recording.

    Raises:
        UserError: if a file cannot be read.
    """
    folders = sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    # a folder without a file is of a run that ended while it wrote
    return {unquote(f.name): _read_pack(f) for f in folders if any(f.glob("*.parquet"))}


def json_text(value: Any) -> str:
    """Return a JSON value as it is recorded; what JSON has not, e.g. a set, as text.

    Raises:
        ValueError: if it holds itself.
        TypeError: if it has keys that JSON cannot have.
    """
    return json.dumps(value, default=_plain)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise TroupeError(
            f"recording '{path}' cannot be written: {reason}. What was written before is kept."
        ) from error


def _json_texts(values: npt.NDArray[Any], pack: str) -> npt.NDArray[Any]:
    try:
        return object_array([json_text(value) for value in values])
    except (TypeError, ValueError) as error:
        raise UserError(f"{pack}: its value cannot be recorded as JSON: {error}.") from error


def _table(spec: ArraySpec, times: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> pa.Table:
    num_times, num_instances = values.shape[:2]
    shape = values.shape[2:]
    about = {
        "shape": list(shape),
        "dtype": "json" if values.dtype.hasobject else values.dtype.str,
        "unit": spec.unit,
        "names": list(spec.names),
        "instances": num_instances,
    }
    if values.dtype.hasobject:
        column = _text_column(values.reshape(-1))
    else:
        column = _column(values.reshape(-1))
        if shape:
            column = _lists(column, int(np.prod(shape)), num_times * num_instances)
    columns = {
        "time_ns": _column(np.repeat(times, num_instances)),
        "instance": _column(np.tile(np.arange(num_instances, dtype=np.int32), num_times)),
        "value": column,
    }
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    return table.replace_schema_metadata({"troupe": json.dumps(about)})


def _column(values: npt.NDArray[Any]) -> pa.Array:
    """Return an Arrow array; made from the bytes, since `pa.array` would import pandas first."""
    is_bool = values.dtype == np.bool_
    content = np.packbits(values, bitorder="little") if is_bool else np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(content)])


def _lists(column: pa.Array, size: int, number: int) -> pa.Array:
    if size:
        return pa.FixedSizeListArray.from_arrays(column, size)
    # Arrow has none of a fixed size of 0
    return pa.ListArray.from_arrays(_column(np.zeros(number + 1, np.int32)), column)


def _text_column(texts: npt.NDArray[Any]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    content = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), content)


def _read_pack(folder: Path) -> PackRecording:
    files = sorted(folder.glob("*.parquet"))
    try:
        # a path would be read as a data set, by the names of its folders
        tables = [pq.ParquetFile(pa.BufferReader(f.read_bytes())).read() for f in files]
        table = pa.concat_tables(tables)
        about = json.loads(table.schema.metadata[b"troupe"])
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise UserError(f"recording '{folder}' cannot be read: {error}") from error
    num_instances, shape = about["instances"], tuple(about["shape"])
    times = table["time_ns"].to_numpy()[::num_instances]
    column = table["value"].combine_chunks()
    if about["dtype"] == "json":
        values = object_array([json.loads(text) for text in column.to_pylist()])
        dtype = np.dtype(object)
    else:
        flat = column.flatten() if shape else column
        values, dtype = flat.to_numpy(zero_copy_only=False), np.dtype(about["dtype"])
    spec = ArraySpec(shape, about["unit"], dtype=dtype, names=tuple(about["names"]))
    return PackRecording(spec, times, values.reshape(len(times), num_instances, *shape))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)

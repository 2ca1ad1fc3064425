"""The files of a LeRobotDataset: rows and films that go on in a next file when one is full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from troupe.episodes.video import FilmWriter

INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
ORIGIN = "meta/troupe"
CHUNK_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{CHUNK_FILE}.parquet"
DATA_PATH = f"data/{CHUNK_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{CHUNK_FILE}.mp4"
CHUNK_FILES = 1000
DATA_MB, VIDEO_MB = 100, 200
"""Size from which on a next file is begun."""
GROUP_BYTES = 2 * 2**20
"""Of rows that are written together: many small groups would cost readers time."""
GROUP_TABLES = 100
"""That are written together at most: a small one takes far more memory than its bytes."""
FILM_OPTIONS = {"crf": "18", "g": "2", "bf": "0"}
"""Every other frame can be found by itself, since frames are read in any order."""


class _Numbered:
    """Numbers of the files of a kind, and the path of the present one."""

    def __init__(self, root: Path, pattern: str, limit_mb: int, **names: str) -> None:
        self._root, self._pattern, self._names = root, pattern, names
        self._limit_bytes = limit_mb * 2**20
        self.chunk, self.file = 0, 0

    @property
    def path(self) -> Path:
        """Of the present file; its folder is made."""
        name = self._pattern.format(chunk_index=self.chunk, file_index=self.file, **self._names)
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def is_full(self) -> bool:
        """Whether the present file has its size."""
        return self.path.stat().st_size >= self._limit_bytes

    def go_on(self) -> None:
        """Begin a next file."""
        self.file += 1
        if self.file == CHUNK_FILES:
            self.chunk, self.file = self.chunk + 1, 0


class RowFiles:
    """Parquet files that rows are added to, in a block at whose end they are closed."""

    def __init__(self, root: Path, pattern: str, limit_mb: int) -> None:
        """Begin.

        Args:
            root: of the data set.
            pattern: of the files' names.
            limit_mb: size of a file in MiB from which on the next is begun.
        """
        self._files = _Numbered(root, pattern, limit_mb)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._num_bytes = 0

    def __enter__(self) -> RowFiles:
        """Add rows in a block that ends in `close`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the file; after an error without the rows that wait."""
        if kind is not None:
            self._waiting = []
        self.close()

    @property
    def at(self) -> tuple[int, int]:
        """Chunk and file that the next rows go to."""
        if self._writer is not None and not self._waiting and self._files.is_full:
            self.close()
            self._files.go_on()
        return self._files.chunk, self._files.file

    def add(self, table: pa.Table) -> None:
        """Add rows; all have the same columns."""
        self._waiting.append(table)
        self._num_bytes += table.nbytes
        if self._num_bytes >= GROUP_BYTES or len(self._waiting) >= GROUP_TABLES:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).combine_chunks()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._files.path, table.schema)
        self._writer.write_table(table)
        self._waiting, self._num_bytes = [], 0

    def close(self) -> None:
        """End the file."""
        self._write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class FilmFiles:
    """MP4 files that the frames of a camera are added to, an episode after the other.

    They are closed at the end of a block.
    """

    def __init__(
        self, root: Path, feature: str, fps: float, shape: Sequence[int], limit_mb: int
    ) -> None:
        """Begin.

        Args:
            root: of the data set.
            feature: that the frames belong to.
            fps: frames a second.
            shape: of a frame, (H, W, 3).
            limit_mb: size of a file in MiB from which on the next is begun.
        """
        self._files = _Numbered(root, VIDEO_PATH, limit_mb, video_key=feature)
        self._fps, self._shape = fps, shape
        self._film: FilmWriter | None = None

    def add(self, frames: npt.NDArray[np.uint8]) -> tuple[int, int, float, float]:
        """Add an episode's frames, (T, H, W, 3).

        Returns:
            chunk, file, and from when to when in s the episode is there.
        """
        if self._film is not None and self._files.is_full:
            self.close()
            self._files.go_on()
        if self._film is None:
            height, width = self._shape[:2]
            self._film = FilmWriter(self._files.path, self._fps, height, width, FILM_OPTIONS)
        begin = self._film.num_frames
        for frame in frames:
            self._film.add(frame)
        times = begin / self._fps, self._film.num_frames / self._fps
        return self._files.chunk, self._files.file, *times

    def close(self) -> None:
        """End the file."""
        if self._film is not None:
            self._film.close()
            self._film = None


def frame_table(
    columns: Mapping[str, npt.NDArray[Any]], pictures: Mapping[str, Sequence[bytes]]
) -> pa.Table:
    """Return frames as rows.

    Args:
        columns: arrays by feature, (T, ...).
        pictures: encoded images by feature, T each.
    """
    arrays = {name: _column(values) for name, values in columns.items()}
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    for name, contents in pictures.items():
        arrays[name] = pa.array([{"bytes": c, "path": None} for c in contents], kind)
    return pa.table(arrays)


def write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """Write tasks and their numbers, as a pandas DataFrame with the tasks as its index."""
    index = "__index_level_0__"
    table = pa.table({"task_index": pa.array(tasks.values(), pa.int64()), index: list(tasks)})
    numbers = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64"}
    texts = {"name": None, "field_name": index, "pandas_type": "unicode"}
    about = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {**numbers, "numpy_type": "int64", "metadata": None},
            {**texts, "numpy_type": "object", "metadata": None},
        ],
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(about)}), path)


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4) + "\n")


def _column(values: npt.NDArray[Any]) -> pa.Array:
    """Return an array, (T, ...): a single number a row, a list of fixed length, or nested lists."""
    array = pa.array(values.reshape(-1))
    shape = values.shape[1:]
    if shape == (1,):
        return array
    for size in reversed(shape[1:]):
        offsets = np.arange(0, len(array) + 1, size, dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    if len(shape) == 1:
        return pa.FixedSizeListArray.from_arrays(array, shape[0])
    if len(shape) > 1:
        offsets = np.arange(0, len(array) + 1, shape[0], dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    return array

"""Import of a LeRobotDataset v3 into a store: of one of ours all that the store had.

Of one from elsewhere each feature becomes an array of steps of the same name (``next.reward``:
``reward``), images those of every step; ``about`` has task, length and return, and how it ended.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from troupe.core.errors import TroupeError, UserError, unknown
from troupe.core.time import NANOSECONDS
from troupe.episodes.exchange.foreign import foreign_id
from troupe.episodes.exchange.lerobot_files import INFO, ORIGIN, TASKS
from troupe.episodes.exchange.lerobot_layout import (
    DONE,
    SUCCESS,
    TRUNCATED,
    ImageSource,
    Layout,
    layout_of,
)
from troupe.episodes.exchange.lerobot_rate import TIME
from troupe.episodes.exchange.origin import open_origin
from troupe.episodes.store import EpisodeRecord, Store, StoreSchema
from troupe.episodes.store.schema import StepField
from troupe.episodes.video import check_video, read_film

VERSIONS = "v3."
BATCH_ROWS = 256
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Of pictures, by their channels."""


class LeRobotSource:
    """A LeRobotDataset v3 in a folder, as episodes of a store; see `sink.Source`."""

    def __init__(self, folder: Path) -> None:
        """Read what is said of all episodes.

        Raises:
            UserError: if it is of another version, or something to read it is missing.
        """
        self._folder = folder
        try:
            info = json.loads((folder / INFO).read_text())
            self.num_episodes, self._fps = int(info["total_episodes"]), float(info["fps"])
            self._data_path, self._video_path = str(info["data_path"]), info["video_path"]
            self._features = dict(info["features"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"'{folder / INFO}' cannot be read: {error!r}.") from error
        version = str(info.get("codebase_version", ""))
        if not version.startswith(VERSIONS):
            raise UserError(
                f"data set '{folder}' is a LeRobotDataset {version or 'of no version'}; this "
                "Troupe reads v3.0. LeRobot converts earlier ones."
            )
        self._origin = open_origin(folder / ORIGIN)
        self._adds_time = False
        self.left_out: tuple[str, ...] = ()
        if self._origin is None:
            self._layout, self.left_out = layout_of(self._features)
            self._adds_time = TIME not in self._layout.steps
        else:
            self._layout = Layout.from_json(self._origin.layout, self._origin.schema)
        self._films = [s for s in self._layout.images.values() if s.kind == "video"]
        if self._films:
            check_video("videos")
        self._pictured = [s for s in self._layout.images.values() if s.kind in ("image", "video")]
        self._tasks = _tasks(folder / TASKS)

    @property
    def schema(self) -> StoreSchema:
        """Of the store to be made."""
        schema = self._layout.schema
        times = {TIME: StepField((), "int64")} if self._adds_time else {}
        return StoreSchema({**schema.steps, **times}, schema.images)

    def records(self) -> Iterator[EpisodeRecord]:
        """Give the episodes.

        Raises:
            TroupeError: if a file is missing or wrong.
        """
        films = {s.feature: _Film(self._folder, self._video_path, self._fps) for s in self._films}
        entries = self._entries()
        known = chain(() if self._origin is None else self._origin.records())
        for index, table in self._tables():
            at = entries.get(index, {})
            record = self._record(index, table, next(known, None), at)
            images = {}
            for name, source in self._layout.images.items():
                if source.kind == "video":
                    images[name] = films[source.feature].frames(source.feature, at, len(table))
                else:
                    images[name] = _pictures(table[source.feature], source)
            yield _with_images(record, images, len(table))

    def keep(self, store: Store) -> None:
        """Give the store what it keeps beside the episodes."""
        if self._origin is not None:
            self._origin.keep_experiments(store)

    def _record(
        self, index: int, table: pa.Table, known: EpisodeRecord | None, entry: Mapping[str, Any]
    ) -> EpisodeRecord:
        """Return an episode without the images of its steps."""
        steps: dict[str, npt.NDArray[Any]] = {}
        for name, source in self._layout.steps.items():
            values = _values(table[source.feature])
            size = int(np.prod(source.field.shape, dtype=int))
            if source.first is not None:
                values = values.reshape(len(table), -1)[:, source.first : source.first + size]
            shape = (len(table), *source.field.shape)
            steps[name] = np.ascontiguousarray(values.reshape(shape), source.field.dtype)
        if self._adds_time:
            frames = _values(table["frame_index"])
            steps[TIME] = np.rint(frames * (NANOSECONDS["s"] / self._fps)).astype(np.int64)
        if known is not None:
            return EpisodeRecord(
                known.id, known.about, known.draws, steps, known.images, known.frames
            )
        about: dict[str, Any] = {"length": len(table)}
        numbers = list(dict.fromkeys(_values(table["task_index"]).tolist()))
        missing = [number for number in numbers if number not in self._tasks]
        if missing:
            valid = map(str, self._tasks)
            where = f"data set '{self._folder}', episode {index}"
            raise unknown("task_index", str(missing[0]), valid, where)
        about["task"] = "; ".join(self._tasks[number] for number in numbers)
        if "reward" in steps and steps["reward"].ndim == 1:
            about["return"] = float(steps["reward"].sum())
        if self._layout.has_ends and DONE in table.column_names:
            done, truncated = bool(_last(table, DONE)), bool(_last(table, TRUNCATED))
            about["terminated"] = done and not truncated
        if self._layout.has_success:
            about["success"] = bool(_values(table[SUCCESS]).any())
        # films are told apart by their statistics: not every decoder gives the same pixels
        shown = {name: value for name, value in entry.items() if name.startswith("stats/")}
        more = json.dumps([about["task"], shown], sort_keys=True)
        id = foreign_id(self._folder.resolve().name, index, steps, more)
        return EpisodeRecord(id, about, {}, steps)

    def _tables(self) -> Iterator[tuple[int, pa.Table]]:
        """Give the rows of each episode."""
        films = {source.feature for source in self._films}
        wanted = ["episode_index", "frame_index", "task_index", DONE, TRUNCATED, SUCCESS]
        columns = [n for n in self._features if n in wanted]
        columns += [s.feature for s in self._layout.steps.values()]
        columns += [s.feature for s in self._layout.images.values() if s.feature not in films]
        pattern = self._data_path.split("/")[0]
        files = sorted((self._folder / pattern).glob("*/*.parquet"))
        rest: pa.Table | None = None
        for file in files:
            for batch in _batches(file, list(dict.fromkeys(columns))):
                table = batch if rest is None else pa.concat_tables([rest, batch])
                indices = _values(table["episode_index"])
                starts = np.flatnonzero(np.diff(indices)) + 1
                for begin, end in zip([0, *starts[:-1]], starts, strict=False):
                    yield int(indices[begin]), table.slice(begin, end - begin)
                rest = table.slice(starts[-1]) if len(starts) else table
        if rest is not None and len(rest):
            yield int(_values(rest["episode_index"])[0]), rest

    def _entries(self) -> dict[int, dict[str, Any]]:
        """Return what is said of each episode's images: where films are, and statistics."""
        entries: dict[int, dict[str, Any]] = {}
        if not self._pictured:
            return entries
        wanted = ("videos/", *(f"stats/{source.feature}/" for source in self._pictured))
        for file in sorted((self._folder / "meta/episodes").glob("*/*.parquet")):
            names = [n for n in pq.read_schema(file).names if n.startswith(wanted)]
            for row in pq.read_table(file, columns=["episode_index", *names]).to_pylist():
                entries[row["episode_index"]] = row
        return entries


class _Film:
    """Frames of a camera's films, read one after the other."""

    def __init__(self, folder: Path, pattern: str, fps: float) -> None:
        self._folder, self._pattern, self._fps = folder, pattern, fps
        self._path = Path()
        self._frames: Iterator[tuple[float, npt.NDArray[np.uint8]]] = iter(())
        self._read_s = 0.0

    def frames(self, feature: str, at: dict[str, Any], length: int) -> npt.NDArray[np.uint8]:
        """Return the frames of an episode, (T, H, W, 3).

        Raises:
            TroupeError: if it has fewer.
        """
        about = f"videos/{feature}"
        if f"{about}/file_index" not in at:
            raise TroupeError(f"data set '{self._folder}' does not say where '{feature}' is.")
        path = self._folder / self._pattern.format(
            video_key=feature,
            chunk_index=at[f"{about}/chunk_index"],
            file_index=at[f"{about}/file_index"],
        )
        begin_s = float(at[f"{about}/from_timestamp"]) - 0.5 / self._fps
        if path != self._path or begin_s < self._read_s:
            self._path, self._frames, self._read_s = path, read_film(path), -np.inf
        found = []
        for time_s, frame in self._frames:
            self._read_s = time_s
            if time_s >= begin_s:
                found.append(frame)
            if len(found) == length:
                return np.stack(found)
        raise TroupeError(f"film '{path}' has {len(found)} frames of an episode, not {length}.")


def _batches(file: Path, columns: list[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(file) as opened:
            missing = [name for name in columns if name not in opened.schema_arrow.names]
            if missing:
                raise TroupeError(f"'{file}' has no column '{missing[0]}'.")
            for batch in opened.iter_batches(BATCH_ROWS, columns=columns):
                yield pa.table(batch)
    except (pa.ArrowException, OSError) as error:
        raise TroupeError(f"'{file}' cannot be read: {error}") from error


def _values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return what numbers a column holds, one after the other, whatever lists they are in."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    while pa.types.is_nested(values.type):
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _last(table: pa.Table, name: str) -> Any:
    return _values(table[name])[-1]


def _pictures(column: pa.ChunkedArray, source: ImageSource) -> npt.NDArray[Any]:
    """Return the images of rows, (T, H, W, ...)."""
    shape = (len(column), *source.field.shape)
    if source.kind != "image":
        return _values(column).astype(source.field.dtype, copy=False).reshape(shape)
    from PIL import Image

    images = np.empty(shape, np.uint8)
    for k, cell in enumerate(column):
        content = cell.as_py()
        if content["bytes"] is None:
            raise TroupeError(f"images '{source.feature}' are not in the rows: {content['path']}.")
        with Image.open(io.BytesIO(content["bytes"])) as picture:
            images[k] = np.asarray(picture.convert(MODES[shape[3]])).reshape(shape[1:])
    return images


def _with_images(
    record: EpisodeRecord, images: dict[str, npt.NDArray[Any]], length: int
) -> EpisodeRecord:
    """Return an episode with the images of its steps added to those that belong to none."""
    frames = {}
    for name, shown in images.items():
        at = np.arange(length, dtype=np.int32)
        if name in record.images:
            shown = np.concatenate([shown, record.images[name]])
            at = np.concatenate([at, record.frames[name]])
        order = np.argsort(at, kind="stable")
        images[name], frames[name] = shown[order], at[order]
    return EpisodeRecord(record.id, record.about, record.draws, record.steps, images, frames)


def _tasks(path: Path) -> dict[int, str]:
    """Return tasks by number; the other column is theirs, whatever pandas has called it.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"'{path}' cannot be read: {error}") from error
    texts = [name for name in table.column_names if name != "task_index"]
    if len(table.column_names) == len(texts) or not texts:
        raise UserError(
            f"'{path}' has the columns {table.column_names}, not 'task_index' and one of tasks."
        )
    numbers = table["task_index"].to_pylist()
    return dict(zip(numbers, table[texts[0]].to_pylist(), strict=True))

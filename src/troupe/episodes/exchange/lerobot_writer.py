"""The files of a LeRobotDataset v3 as LeRobot 0.4 writes them, of the episodes of a store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from troupe.core.errors import UserError
from troupe.episodes.exchange.lerobot_files import (
    CHUNK_FILES,
    DATA_MB,
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    ORIGIN,
    STATS,
    TASKS,
    VIDEO_MB,
    VIDEO_PATH,
    FilmFiles,
    RowFiles,
    frame_table,
    write_json,
    write_tasks,
)
from troupe.episodes.exchange.lerobot_frames import columns_of, in_no_frame, shown_by_steps
from troupe.episodes.exchange.lerobot_layout import ImageSource, Layout
from troupe.episodes.exchange.lerobot_rate import check_same_rate
from troupe.episodes.exchange.lerobot_stats import DatasetStats, Stats, array_stats, image_stats
from troupe.episodes.exchange.origin import OriginWriter
from troupe.episodes.exchange.selection import Selection
from troupe.episodes.store import StoreSchema
from troupe.episodes.store.images import encode
from troupe.episodes.store.table import to_record

VERSION = "v3.0"


class LeRobotWriter:
    """Writes the files, episode by episode, in a block at whose end they are closed.

    Attributes:
        num_episodes: that were added.
        num_frames: of them.
    """

    def __init__(
        self,
        folder: Path,
        schema: StoreSchema,
        layout: Layout,
        task: str | None,
        default_task: str,
        fps: float,
    ) -> None:
        """Begin.

        Args:
            folder: of the data set, which is there.
            schema: of the store that the episodes are from.
            layout: of the data set.
            task: of all episodes; None: what they say by ``task`` or ``experiment``.
            default_task: of those that say nothing.
            fps: frames a second.
        """
        self._folder, self._schema, self._layout = folder, schema, layout
        self._task, self._default_task, self._fps = task, default_task, fps
        self._features = layout.features()
        self._open = ExitStack()
        self._data = self._open.enter_context(RowFiles(folder, DATA_PATH, DATA_MB))
        self._episodes = self._open.enter_context(RowFiles(folder, EPISODES_PATH, DATA_MB))
        self._films: dict[str, FilmFiles] = {}
        self._stats = DatasetStats()
        self._tasks: dict[str, int] = {}
        aside = {name: source.field for name, source in layout.images.items()}
        self._origin = OriginWriter(folder / ORIGIN, StoreSchema({}, aside))
        self.num_episodes = self.num_frames = 0

    def __enter__(self) -> LeRobotWriter:
        """Write in a block at whose end all files are closed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files, whatever happened."""
        self._open.__exit__(kind, error, trace)

    def add(self, row: pa.Table) -> None:
        """Add an episode, as the store has it in a row.

        Raises:
            UserError: if the format can't express it.
        """
        record = to_record(row, self._schema)
        length = record.num_steps
        if not length:
            raise UserError(f"episode '{record.id}' has no steps: leave it out by --where.")
        check_same_rate(record, self._fps)
        about = record.about
        task = str(self._task or about.get("task") or about.get("experiment") or self._default_task)
        shown = {name: shown_by_steps(record, name) for name in self._layout.images}
        columns = columns_of(record, self._layout, self._features) | self._indices(length, task)
        pictures: dict[str, list[bytes]] = {}
        films: dict[str, float] = {}
        stats: dict[str, Stats] = {}
        for name, source in self._layout.images.items():
            chosen = record.images[name][shown[name]]
            if source.kind == "video":
                films |= self._film(source, chosen)
            elif source.kind == "image":
                pictures[source.feature] = self._encoded(row, name, chosen, shown[name])
            else:
                columns[source.feature] = chosen
                continue
            stats[source.feature] = image_stats(chosen)
        stats |= {name: array_stats(values) for name, values in columns.items()}
        self._add_entry(length, task, films, stats)
        self._data.add(frame_table(columns, pictures))
        self._stats.add(stats)
        self._origin.add(in_no_frame(record, shown))
        self.num_episodes += 1
        self.num_frames += length

    def _indices(self, length: int, task: str) -> dict[str, npt.NDArray[Any]]:
        """Return the columns that every data set has."""
        task_index = self._tasks.setdefault(task, len(self._tasks))
        columns: dict[str, npt.NDArray[Any]] = {
            "timestamp": (np.arange(length) / self._fps).astype(np.float32),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, self.num_episodes),
            "index": np.arange(self.num_frames, self.num_frames + length),
            "task_index": np.full(length, task_index),
        }
        return {name: values.reshape(-1, 1) for name, values in columns.items()}

    def _add_entry(
        self, length: int, task: str, films: Mapping[str, float], stats: Mapping[str, Stats]
    ) -> None:
        """Say where an episode is, before its rows are added."""
        chunk, file = self._data.at
        own_chunk, own_file = self._episodes.at
        entry = {
            "episode_index": self.num_episodes,
            "tasks": [task],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self.num_frames,
            "dataset_to_index": self.num_frames + length,
            **films,
            **{
                f"stats/{name}/{figure}": value.tolist()
                for name, of_one in stats.items()
                for figure, value in of_one.items()
            },
            "meta/episodes/chunk_index": own_chunk,
            "meta/episodes/file_index": own_file,
        }
        self._episodes.add(pa.Table.from_pylist([entry]))

    def finish(self, selection: Selection) -> None:
        """Write what is known only at the end."""
        has_films = bool(self._films)
        info = {
            "codebase_version": VERSION,
            "robot_type": None,
            "total_episodes": self.num_episodes,
            "total_frames": self.num_frames,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": DATA_MB,
            "video_files_size_in_mb": VIDEO_MB,
            "fps": int(self._fps) if self._fps == int(self._fps) else self._fps,
            "splits": {"train": f"0:{self.num_episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if has_films else None,
            "features": {n: f | self._film_info(f) for n, f in self._features.items()},
        }
        write_json(self._folder / INFO, info)
        write_json(self._folder / STATS, self._stats.to_json())
        write_tasks(self._folder / TASKS, self._tasks)
        self._origin.close(selection.store, selection.configs(), self._layout.to_json())

    def _film(self, source: ImageSource, frames: npt.NDArray[np.uint8]) -> dict[str, float]:
        if source.feature not in self._films:
            film = FilmFiles(self._folder, source.feature, self._fps, source.field.shape, VIDEO_MB)
            self._films[source.feature] = self._open.enter_context(closing(film))
        chunk, file, begin_s, end_s = self._films[source.feature].add(frames)
        return {
            f"videos/{source.feature}/chunk_index": chunk,
            f"videos/{source.feature}/file_index": file,
            f"videos/{source.feature}/from_timestamp": begin_s,
            f"videos/{source.feature}/to_timestamp": end_s,
        }

    def _encoded(
        self, row: pa.Table, name: str, frames: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]
    ) -> list[bytes]:
        """Return frames as PNG: as the store has them, if it does."""
        if self._schema.images[name].encoding != "png":
            return [encode(frame, "png") for frame in frames]
        contents = row[f"image.{name}"][0]
        return [contents[int(k)].as_py() for k in at]

    def _film_info(self, feature: dict[str, Any]) -> dict[str, Any]:
        if feature["dtype"] != "video":
            return {}
        height, width, channels = feature["shape"]
        about = {"height": height, "width": width, "channels": channels, "fps": self._fps}
        about |= {"codec": "h264", "pix_fmt": "yuv420p", "is_depth_map": False}
        return {"info": {f"video.{k}": v for k, v in about.items()} | {"has_audio": False}}

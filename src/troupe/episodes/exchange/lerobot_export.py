"""Export of a store as a LeRobotDataset v3, as LeRobot 0.4 writes and reads it.

A frame is a step: what was before it, the action, and what came of it. `lerobot_layout` says which
feature holds what; `origin` keeps the rest in ``meta/troupe``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from troupe.core.errors import UserError, unknown
from troupe.core.time import NANOSECONDS
from troupe.episodes.exchange.lerobot_files import (
    CHUNK_FILES,
    DATA_MB,
    DATA_PATH,
    EPISODES_PATH,
    INFO,
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
from troupe.episodes.exchange.lerobot_layout import (
    DONE,
    SUCCESS,
    TRUNCATED,
    ImageSource,
    Layout,
    layout_for,
)
from troupe.episodes.exchange.lerobot_stats import DatasetStats, Stats, array_stats, image_stats
from troupe.episodes.exchange.origin import OriginWriter
from troupe.episodes.exchange.place import check_place, new_dataset
from troupe.episodes.exchange.selection import Exchanged, Report, Selection, no_report
from troupe.episodes.store import EpisodeRecord, StoreSchema
from troupe.episodes.store.images import encode
from troupe.episodes.store.table import to_record
from troupe.episodes.video import check_video

VERSION = "v3.0"
ORIGIN = "meta/troupe"
IMAGE_KINDS = ("png", "video", "none")
ROUNDED_NS = 1.0
"""By how much times in whole ns may differ from those that are meant."""
SAME_RATE = 1e-6
"""By which part two rates may differ and still be meant as one."""


def export_lerobot(
    selection: Selection,
    out: Path,
    *,
    state: Sequence[str] | None = None,
    images: str = "png",
    task: str | None = None,
    fps: float | None = None,
    force: bool = False,
    report: Report = no_report,
) -> Exchanged:
    """Write episodes as a LeRobotDataset v3.

    Args:
        selection: of a store's episodes.
        out: folder of the data set, which appears whole.
        state: arrays of steps that make ``observation.state``; default: all datapacks that the
            store keeps, or else ``observation``.
        images: "png": RGB images as they are, in the rows; "video": as H.264, which is smaller and
            not exact; "none": no images at all.
        task: that the robot is given in words; default: an episode's ``task`` or ``experiment``,
            or else the store's name.
        fps: frames a second; default: from the steps' ``time_ns``.
        force: whether a data set that is there is replaced.
        report: is told how far it is.

    Raises:
        UserError: if an argument is wrong, or the format can't express the episodes; nothing is
            there then.
        TroupeError: if the store cannot be read, or the data set not written.
    """
    if images not in IMAGE_KINDS:
        raise unknown("kind of images", images, IMAGE_KINDS, "--images")
    if images == "video":
        check_video("--images video")
    check_place(out, INFO, force=force)
    schema = selection.store.schema
    layout = layout_for(
        schema,
        state=state,
        images=images,
        has_ends=selection.has("terminated"),
        has_success=selection.has("success"),
    )
    left_out = tuple(f"images {name}" for name in schema.images if name not in layout.images)
    with new_dataset(out, INFO, force=force) as folder:
        default_task = selection.store.url.rpartition("/")[2]
        writer = _Writer(folder, schema, layout, task, default_task, fps)
        for done, row in enumerate(selection.rows()):
            writer.add(row)
            report(done + 1, len(selection.ids))
        writer.close(selection)
    return Exchanged(str(out), writer.num_episodes, writer.num_frames, left_out=left_out)


class _Writer:
    """Writes the files, episode by episode."""

    def __init__(
        self,
        folder: Path,
        schema: StoreSchema,
        layout: Layout,
        task: str | None,
        default_task: str,
        fps: float | None,
    ) -> None:
        self._folder, self._schema, self._layout = folder, schema, layout
        self._task, self._default_task, self._fps = task, default_task, fps
        self._parts = layout.parts()
        self._features = layout.features()
        self._data = RowFiles(folder, DATA_PATH, DATA_MB)
        self._episodes = RowFiles(folder, EPISODES_PATH, DATA_MB)
        self._films: dict[str, FilmFiles] = {}
        self._stats = DatasetStats()
        self._tasks: dict[str, int] = {}
        aside = {name: source.field for name, source in layout.images.items()}
        self._origin = OriginWriter(folder / ORIGIN, StoreSchema({}, aside))
        self.num_episodes = self.num_frames = 0

    def add(self, row: pa.Table) -> None:
        """Add an episode."""
        record = to_record(row, self._schema)
        length = _length(record)
        fps = self._rate(record)
        about = record.about
        task = str(self._task or about.get("task") or about.get("experiment") or self._default_task)
        shown = {name: _of_steps(record, name, length) for name in self._layout.images}
        columns = self._columns(record, length) | self._indices(length, fps, task)
        pictures: dict[str, list[bytes]] = {}
        films: dict[str, float] = {}
        stats: dict[str, Stats] = {}
        for name, source in self._layout.images.items():
            chosen = record.images[name][shown[name]]
            if source.kind == "video":
                films |= self._film(source, chosen, fps)
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
        self._origin.add(_rest(record, shown))
        self.num_episodes += 1
        self.num_frames += length

    def _indices(self, length: int, fps: float, task: str) -> dict[str, npt.NDArray[Any]]:
        """Return the columns that every data set has."""
        task_index = self._tasks.setdefault(task, len(self._tasks))
        columns: dict[str, npt.NDArray[Any]] = {
            "timestamp": (np.arange(length) / fps).astype(np.float32),
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

    def close(self, selection: Selection) -> None:
        """Write what is known only at the end."""
        self._data.close()
        self._episodes.close()
        for film in self._films.values():
            film.close()
        assert self._fps is not None
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

    def _rate(self, record: EpisodeRecord) -> float:
        """Return the frames a second, which all episodes have in common."""
        times = record.steps.get("time_ns")
        if times is not None and len(times) > 1:
            found = _even_rate(record.id, times)
            if self._fps is None:
                self._fps = found
            elif not math.isclose(self._fps, found, rel_tol=SAME_RATE):
                raise UserError(
                    f"episode '{record.id}' has {found:g} steps a second, not {self._fps:g}; a "
                    "LeRobotDataset has one rate: choose episodes by --where, leave --fps out."
                )
        if self._fps is None:
            raise UserError(
                f"episode '{record.id}' does not say by time_ns how far its steps are apart: "
                "give --fps."
            )
        return self._fps

    def _columns(self, record: EpisodeRecord, length: int) -> dict[str, npt.NDArray[Any]]:
        """Return what the features of arrays and of the end hold."""
        columns: dict[str, npt.NDArray[Any]] = {}
        for feature, names in self._parts.items():
            arrays = [record.steps[name] for name in names]
            if self._layout.steps[names[0]].first is not None:
                dtype = self._features[feature]["dtype"]
                flat = [array.reshape(length, -1).astype(dtype) for array in arrays]
                columns[feature] = np.concatenate(flat, axis=1)
            else:
                columns[feature] = arrays[0]
        is_last = np.arange(length) == length - 1
        columns[DONE] = is_last
        if self._layout.has_ends:
            columns[TRUNCATED] = is_last & (not _said(record, "terminated"))
        if self._layout.has_success:
            columns[SUCCESS] = is_last & bool(_said(record, "success"))
        return {n: v if v.ndim > 1 else v.reshape(-1, 1) for n, v in columns.items()}

    def _film(
        self, source: ImageSource, frames: npt.NDArray[np.uint8], fps: float
    ) -> dict[str, float]:
        if source.feature not in self._films:
            self._films[source.feature] = FilmFiles(
                self._folder, source.feature, fps, source.field.shape, VIDEO_MB
            )
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


def _even_rate(id: str, times: npt.NDArray[np.int64]) -> float:
    """Return how many steps there are in a second; a whole number if rounding to ns hides one.

    Raises:
        UserError: if they are not evenly apart.
    """
    step_ns = float(times[-1] - times[0]) / (len(times) - 1)
    even = times[0] + step_ns * np.arange(len(times))
    if step_ns <= 0 or np.abs(times - even).max() > ROUNDED_NS:
        raise UserError(
            f"episode '{id}': its steps are not evenly apart in time_ns, as LeRobot's frames are."
        )
    rate = NANOSECONDS["s"] / step_ns
    whole = float(round(rate))
    is_whole = whole > 0 and abs(step_ns - NANOSECONDS["s"] / whole) <= ROUNDED_NS
    return whole if is_whole else rate


def _said(record: EpisodeRecord, name: str) -> Any:
    value = record.about.get(name)
    if value is None:
        raise UserError(
            f"episode '{record.id}' does not say about.{name}, as others do: leave it out by "
            f"--where '{name} IS NOT NULL'."
        )
    return value


def _length(record: EpisodeRecord) -> int:
    length = len(next(iter(record.steps.values()), ()))
    if not length:
        raise UserError(f"episode '{record.id}' has no steps: leave it out by --where.")
    return length


def _of_steps(record: EpisodeRecord, name: str, length: int) -> npt.NDArray[np.int64]:
    """Return for each step which of the episode's images shows it.

    Raises:
        UserError: if one shows none.
    """
    shown = {int(step): k for k, step in reversed(list(enumerate(record.frames[name])))}
    missing = [step for step in range(length) if step not in shown]
    if missing:
        raise UserError(
            f"episode '{record.id}' has no image '{name}' of step {missing[0]} and "
            f"{len(missing) - 1} others; a LeRobotDataset wants one of every step: collect with "
            "--set collect.image_steps=all, or leave images out by --images none."
        )
    return np.array([shown[step] for step in range(length)])


def _rest(record: EpisodeRecord, shown: dict[str, npt.NDArray[np.int64]]) -> EpisodeRecord:
    """Return what of an episode is in no frame."""
    kept = {n: np.setdiff1d(np.arange(len(record.images[n])), at) for n, at in shown.items()}
    return EpisodeRecord(
        record.id,
        record.about,
        record.draws,
        images={name: record.images[name][at] for name, at in kept.items()},
        frames={name: record.frames[name][at] for name, at in kept.items()},
    )

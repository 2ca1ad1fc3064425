"""An episode as frames of a LeRobotDataset: what of it each frame holds, and what is in none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.episodes.exchange.lerobot_layout import DONE, SUCCESS, TRUNCATED, Layout
from troupe.episodes.store import EpisodeRecord


def columns_of(
    record: EpisodeRecord, layout: Layout, features: Mapping[str, Mapping[str, Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Return what the features of arrays and of the end hold, (T, ...) each.

    Args:
        record: the episode.
        layout: of the data set.
        features: as the layout describes them.

    Raises:
        UserError: if the episode does not say how it ended, as others do.
    """
    length = record.num_steps
    columns: dict[str, npt.NDArray[Any]] = {}
    for feature, names in layout.parts().items():
        arrays = [record.steps[name] for name in names]
        if layout.steps[names[0]].first is not None:
            dtype = features[feature]["dtype"]
            flat = [array.reshape(length, -1).astype(dtype) for array in arrays]
            columns[feature] = np.concatenate(flat, axis=1)
        else:
            columns[feature] = arrays[0]
    is_last = np.arange(length) == length - 1
    columns[DONE] = is_last
    if layout.has_ends:
        columns[TRUNCATED] = is_last & (not _said(record, "terminated"))
    if layout.has_success:
        columns[SUCCESS] = is_last & bool(_said(record, "success"))
    return {n: v if v.ndim > 1 else v.reshape(-1, 1) for n, v in columns.items()}


def shown_by_steps(record: EpisodeRecord, name: str) -> npt.NDArray[np.int64]:
    """Return for each step, (T,), which of the episode's images shows it.

    Raises:
        UserError: if one shows none.
    """
    length = record.num_steps
    shown = {int(step): k for k, step in reversed(list(enumerate(record.frames[name])))}
    missing = [step for step in range(length) if step not in shown]
    if missing:
        raise UserError(
            f"episode '{record.id}' has no image '{name}' of step {missing[0]} and "
            f"{len(missing) - 1} others; a LeRobotDataset wants one of every step: collect with "
            "--set collect.image_steps=all, or leave images out by --images none."
        )
    return np.array([shown[step] for step in range(length)])


def in_no_frame(record: EpisodeRecord, shown: dict[str, npt.NDArray[np.int64]]) -> EpisodeRecord:
    """Return what of an episode is in no frame."""
    kept = {n: np.setdiff1d(np.arange(len(record.images[n])), at) for n, at in shown.items()}
    return EpisodeRecord(
        record.id,
        record.about,
        record.draws,
        images={name: record.images[name][at] for name, at in kept.items()},
        frames={name: record.frames[name][at] for name, at in kept.items()},
    )


def _said(record: EpisodeRecord, name: str) -> Any:
    value = record.about.get(name)
    if value is None:
        raise UserError(
            f"episode '{record.id}' does not say about.{name}, as others do: leave it out by "
            f"--where '{name} IS NOT NULL'."
        )
    return value

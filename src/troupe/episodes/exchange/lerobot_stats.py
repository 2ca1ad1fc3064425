"""Statistics of features, as LeRobotDataset keeps them of each episode and of all.

Of images they are in units of the greatest value, a figure for each channel. Quantiles of the whole
data set are the means of the episodes', weighted by their frames, as LeRobot's own are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Stats = dict[str, npt.NDArray[Any]]
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
LEVELS = 256
"""Values of a pixel."""


def array_stats(values: npt.NDArray[Any]) -> Stats:
    """Return statistics of an episode's values, (T, ...), for each element of the last axis."""
    flat = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1).astype(np.float64)
    quantiles = np.quantile(flat, list(QUANTILES.values()), axis=0)
    return {
        "min": flat.min(axis=0),
        "max": flat.max(axis=0),
        "mean": flat.mean(axis=0),
        "std": flat.std(axis=0),
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def image_stats(images: npt.NDArray[np.uint8]) -> Stats:
    """Return statistics of an episode's images, (T, H, W, C), each figure (C, 1, 1)."""
    levels = np.arange(LEVELS) / (LEVELS - 1)
    counts = np.stack(
        [np.bincount(images[..., c].reshape(-1), minlength=LEVELS) for c in range(images.shape[-1])]
    )
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    deviation = np.sqrt(share @ levels**2 - mean**2)
    reached = np.cumsum(share, axis=1)
    found = {
        "min": levels[(counts > 0).argmax(axis=1)],
        "max": levels[LEVELS - 1 - (counts[:, ::-1] > 0).argmax(axis=1)],
        "mean": mean,
        "std": deviation,
        **{name: levels[(reached >= q).argmax(axis=1)] for name, q in QUANTILES.items()},
    }
    count = {"count": np.array([len(images)])}
    return {name: value.reshape(-1, 1, 1) for name, value in found.items()} | count


class DatasetStats:
    """Statistics of all episodes together, from those of each."""

    def __init__(self) -> None:
        """Begin with none."""
        self._of: dict[str, Stats] = {}

    def add(self, episode: Mapping[str, Stats]) -> None:
        """Add an episode's statistics by feature."""
        for name, stats in episode.items():
            self._of[name] = _joined(self._of[name], stats) if name in self._of else dict(stats)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return them as JSON values."""
        return {n: {k: v.tolist() for k, v in stats.items()} for n, stats in self._of.items()}


def _joined(one: Stats, other: Stats) -> Stats:
    first, second = float(one["count"][0]), float(other["count"][0])
    share = second / (first + second)
    step = other["mean"] - one["mean"]
    variance = (1 - share) * one["std"] ** 2 + share * other["std"] ** 2
    return {
        "min": np.minimum(one["min"], other["min"]),
        "max": np.maximum(one["max"], other["max"]),
        "mean": one["mean"] + share * step,
        "std": np.sqrt(variance + share * (1 - share) * step**2),
        "count": one["count"] + other["count"],
        **{q: one[q] + share * (other[q] - one[q]) for q in QUANTILES},
    }

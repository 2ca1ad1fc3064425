"""One episode as collectors give it and readers get it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class EpisodeRecord:
    """An episode of T steps.

    Attributes:
        id: unique, and the same whenever the same episode is collected again, e.g.
            "<collection>-<seed>-<instance>-<episode>": by it repeats are recognised.
        about: numbers, truth values and texts by name: seed, success, return, metrics.
        draws: of the randomisation, by name: a number, a list of numbers or a text.
        steps: arrays by name, (T, ...).
        images: of cameras by name, e.g. "overhead.rgb" (K, H, W, C), "overhead.depth" (K, H, W).
        frames: for each image the index of the step that it shows, (K,).
    """

    id: str
    about: Mapping[str, Any] = field(default_factory=dict)
    draws: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    images: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    frames: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        """T, 0 without any array of steps."""
        return len(next(iter(self.steps.values()), ()))

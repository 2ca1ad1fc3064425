"""Which transitions a gradient step is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError, unknown
from troupe.core.seeding import Generator
from troupe.learning.offline.base import OfflineSettings
from troupe.learning.offline.stored import StoredEpisodes
from troupe.learning.offline.transitions import Floats, Transitions
from troupe.learning.weighting import (
    Draws,
    StepRecords,
    Uniform,
    build_weighting,
    summarise,
)

Rows = npt.NDArray[np.int64]
VERSION = "policy_version"
WEIGHTING = "weighting/"
"""What the names of the weighting's arrays begin with in the state."""


class WeightedDraws:
    """Draws transitions with replacement, as often as a weighting says.

    What is stored does not change, so it is weighed once; where priorities count, before each
    update. A transition that has not been drawn yet has the highest priority that any other has.
    """

    def __init__(
        self, settings: OfflineSettings, stored: StoredEpisodes, transitions: Transitions, seed: int
    ) -> None:
        """Begin without priorities.

        Raises:
            UserError: if the episodes lack what a weighting needs.
        """
        self._weighting = build_weighting(settings.weighting, seed)
        self._num = len(transitions.reward)
        self._draws: Draws | None = None
        self._priorities: Floats | None = None
        self._highest = np.float32(1.0)
        if isinstance(self._weighting, Uniform):
            return
        if self._weighting.needs_priority:
            self._priorities = np.full(self._num, np.nan, np.float32)
        self._transitions = transitions
        self._return = stored.returns()[transitions.episode]
        self._lag = _lag(settings, stored)[transitions.episode]
        self._source = _source(settings, stored)[transitions.episode]

    def weigh(self, progress: float) -> dict[str, float]:
        """Weigh all transitions for the next update, and return figures by name.

        Args:
            progress: share of the run that is done.
        """
        if isinstance(self._weighting, Uniform):
            return {}
        if self._draws is None or self._priorities is not None:
            self._draws = self._weighting.draw(self._records(progress))
        return summarise(self._draws.probability * self._num, self._source).figures()

    def draw(self, rng: Generator, shape: tuple[int, int]) -> tuple[Rows, Floats]:
        """Return rows of transitions, and what each counts."""
        if self._draws is None:
            return rng.integers(self._num, size=shape), np.ones(shape, np.float32)
        cumulative = self._draws.probability.cumsum()
        rows = np.searchsorted(cumulative, rng.random(shape) * cumulative[-1], "right")
        rows = np.minimum(rows, self._num - 1)
        return rows, self._draws.correction[rows].astype(np.float32)

    def learned(self, rows: Rows, errors: Floats) -> None:
        """Take |TD| of drawn transitions as their priorities."""
        if self._priorities is not None:
            self._highest = max(self._highest, errors.max())
            self._priorities[rows.reshape(-1)] = errors.reshape(-1)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the priorities, where there are some, and what the weighting has learned.

        What is weighed once is weighed again, by a new weighting.
        """
        if self._priorities is None:
            return {}
        learned = {f"{WEIGHTING}{name}": array for name, array in self._weighting.state().items()}
        own = {"priorities": self._priorities.copy(), "highest": np.asarray(self._highest)}
        return {**own, **learned}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        if self._priorities is None:
            return
        self._priorities = np.array(state["priorities"])
        self._highest = np.float32(state["highest"])
        learned = {n: array for n, array in state.items() if n.startswith(WEIGHTING)}
        self._weighting.restore({n.removeprefix(WEIGHTING): a for n, a in learned.items()})

    def _records(self, progress: float) -> StepRecords:
        priority = self._priorities
        if priority is not None:
            priority = np.where(np.isnan(priority), self._highest, priority)
        return StepRecords(
            lag=self._lag,
            source=self._source,
            trajectory=self._transitions.episode,
            trajectory_return=self._return,
            observation=self._transitions.observation,
            priority=priority,
            progress=progress,
        )


def _lag(settings: OfflineSettings, stored: StoredEpisodes) -> Rows:
    """Return the newest version of all episodes less the one that acted, (E,)."""
    versions = stored.about.get(VERSION, np.full(len(stored.ids), np.nan)).astype(np.float64)
    if np.isnan(versions).any():
        if any(one.type == "lag-decay" for one in settings.weighting):
            raise UserError(
                f"learner.weighting: 'lag-decay' needs '{VERSION}' in the 'about' of all stored "
                "episodes, and some have none."
            )
        return np.zeros(len(stored.ids), np.int64)
    lag: Rows = (versions.max() - versions).astype(np.int64)
    return lag


def _source(settings: OfflineSettings, stored: StoredEpisodes) -> Rows:
    """Return the number of each episode's source, (E,)."""
    if settings.source not in stored.about:
        if any(one.type == "source-balance" for one in settings.weighting):
            raise unknown("column", settings.source, stored.about, "learner.source")
        return np.zeros(len(stored.ids), np.int64)
    names = np.array([str(value) for value in stored.about[settings.source]])
    return np.unique(names, return_inverse=True)[1].reshape(-1)

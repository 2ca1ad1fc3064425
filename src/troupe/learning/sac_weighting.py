"""What SAC draws from its replay when steps do not all count the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Generator
from troupe.learning.replay import Drawn, Replay
from troupe.learning.weighting import Draws, StepRecords, Weighting, effective_sample_size

Floats = npt.NDArray[np.float32]


class ReplayWeighting:
    """Draws by a weighting of all steps in a replay, and keeps the steps' priorities.

    A step that has not been drawn yet has the highest priority that any other has.
    """

    def __init__(self, weighting: Weighting, replay: Replay) -> None:
        """Begin without priorities."""
        self._weighting = weighting
        self._replay = replay
        self._priorities: list[Floats] = []
        self._highest = np.float32(1.0)
        self._all: Drawn | None = None
        self._draws: Draws | None = None

    def weigh(self, version: int, progress: float) -> dict[str, float]:
        """Weigh all steps anew, once for each update, and return figures by name.

        Args:
            version: newest of the policy.
            progress: share of the run that is done.
        """
        rings = self._replay.rings
        for ring in rings[len(self._priorities) :]:
            self._priorities.append(np.full(ring.capacity, np.nan, np.float32))
        self._all = self._replay.all()
        self._draws = self._weighting.draw(self._described(self._all, version, progress))
        return {"replay_sample_size": effective_sample_size(self._draws.probability)}

    def draw(self, rng: Generator, size: int) -> Drawn:
        """Draw steps as the last weights say."""
        assert self._all is not None
        assert self._draws is not None
        return self._all.draw(rng, size, self._draws)

    def learned(self, drawn: Drawn, errors: Floats, as_they_were: npt.NDArray[np.bool_]) -> None:
        """Take |TD| of drawn steps, (B,), as their priorities, unless they were relabelled."""
        self._highest = max(self._highest, errors[as_they_were].max(initial=0))
        for i, priorities in enumerate(self._priorities):
            own = (drawn.ring == i) & as_they_were
            priorities[drawn.number[own] % len(priorities)] = errors[own]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the weighting's state and all priorities."""
        own = {f"weighting.{name}": array for name, array in self._weighting.state().items()}
        each = {f"priorities.{i:03d}": array for i, array in enumerate(self._priorities)}
        return {**own, **each, "highest": np.asarray(self._highest)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        self._priorities = []
        for ring, name in zip(self._replay.rings, _priorities(state), strict=False):
            # a run that was made longer has a larger ring
            priorities = np.full(ring.capacity, np.nan, np.float32)
            priorities[: len(state[name])] = state[name]
            self._priorities.append(priorities)
        self._highest = np.float32(state["highest"])
        prefix = "weighting."
        own = {n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)}
        self._weighting.restore(own)

    def _described(self, steps: Drawn, version: int, progress: float) -> StepRecords:
        records = steps.records
        episodes = np.stack([steps.ring, records["episode"]], axis=1)
        _, trajectory = np.unique(episodes, axis=0, return_inverse=True)
        trajectory = trajectory.reshape(-1)
        # episodes are of different length, and some go on: their mean rewards can be compared
        returns = np.bincount(trajectory, records["reward"]) / np.bincount(trajectory)
        priority = None
        if self._weighting.needs_priority:
            priority = np.empty(len(records), np.float32)
            for i, priorities in enumerate(self._priorities):
                own = steps.ring == i
                priority[own] = priorities[steps.number[own] % len(priorities)]
            priority = np.where(np.isnan(priority), self._highest, priority)
        return StepRecords(
            lag=np.maximum(version - records["version"], 0),
            source=records["instance"],
            trajectory=trajectory,
            trajectory_return=returns[trajectory],
            observation=records["observation"],
            priority=priority,
            progress=progress,
        )


def _priorities(state: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    return sorted(name for name in state if name.startswith("priorities."))
